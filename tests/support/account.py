"""IAM and STS in memory: roles with everything on them, and who may be assumed.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_Operations.html
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.support.policies import Policies
from tests.support.refusal import Doc, Refused

ACCOUNT = "123456789012"
CALLER = f"arn:aws:iam::{ACCOUNT}:user/deploy"
_MOST_ATTACHED = 10


class Account:
    """One account. Names are the same whatever their case; `settling` seconds pass before a new role can be seen.

    `page` is how many roles a listing shows at once.
    """

    def __init__(self, *, settling: float = 0.0, page: int = 100) -> None:
        self.settling = settling
        self._most = page
        self.roles: dict[str, Doc] = {}
        self.managed = Policies(ACCOUNT, _policy, self._holding)
        self._made = 0

    def answer(self, operation: str, asked: Mapping[str, Any], now: float) -> Doc:
        """The answer of IAM or STS as boto3 returns it."""
        operations: Mapping[str, Callable[[Mapping[str, Any], float], Doc]] = {
            "CreateRole": self._create,
            "GetRole": lambda asked, now: {"Role": shown(self._visible(asked, now), tags=True)},
            "UpdateRole": self._update,
            "UpdateAssumeRolePolicy": self._trust,
            "DeleteRole": self._delete,
            "ListRoles": lambda asked, now: self._listed("Roles", asked, now, shown),
            "GetAccountAuthorizationDetails": lambda asked, now: self._listed("RoleDetailList", asked, now, detailed),
            "PutRolePolicy": self._put_policy,
            "GetRolePolicy": self._get_policy,
            "DeleteRolePolicy": self._delete_policy,
            "ListRolePolicies": lambda asked, now: {
                "PolicyNames": list(self._visible(asked, now)["policies"]),
                "IsTruncated": False,
            },
            "AttachRolePolicy": self._attach,
            "DetachRolePolicy": self._detach,
            "ListAttachedRolePolicies": lambda asked, now: {
                "AttachedPolicies": _attached(self._visible(asked, now)),
                "IsTruncated": False,
            },
            "PutRolePermissionsBoundary": self._bound,
            "DeleteRolePermissionsBoundary": self._unbound,
            "TagRole": self._tag,
            "UntagRole": self._untag,
            "ListInstanceProfilesForRole": lambda asked, now: {
                "InstanceProfiles": [{"InstanceProfileName": name} for name in self._role(asked)["profiles"]]
            },
            "RemoveRoleFromInstanceProfile": self._leave_profile,
            "GetCallerIdentity": lambda asked, now: {"Arn": CALLER, "Account": ACCOUNT},
            "AssumeRole": self._assume,
        }
        about_policies = self.managed.operations()
        if operation in about_policies:
            return about_policies[operation](asked)
        if operation not in operations:
            raise Refused(400, f"no such operation: {operation}", "InvalidAction")
        return operations[operation](asked, now)

    def has(self, arn: str) -> bool:
        """Whether a role of this ARN exists."""
        return self._of_arn(arn) is not None

    def admits(self, arn: str, now: float) -> bool:
        """Whether the role exists, is known everywhere and trusts the caller."""
        role = self._of_arn(arn)
        if role is None or now < role["settled"]:
            return False
        trusted = [
            principal
            for statement in _listed(role["trust"].get("Statement"))
            if statement.get("Effect") == "Allow"
            for principal in _listed(_principals(statement))
        ]
        return bool({CALLER, ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", "*"} & set(trusted))

    def page(self, asked: Mapping[str, Any], now: float) -> tuple[list[Doc], Doc]:
        """The roles of one page of a listing, and what the answer says of further pages."""
        visible = [role for _, role in sorted(self.roles.items()) if now >= role["settled"]]
        start = int(asked.get("Marker", 0))
        end = start + min(self._most, int(asked.get("MaxItems", self._most)))
        more = {"Marker": str(end)} if end < len(visible) else {}
        return visible[start:end], {"IsTruncated": bool(more), **more}

    def _of_arn(self, arn: str) -> Doc | None:
        role = self.roles.get(arn.rpartition("/")[2].casefold())
        return role if role is not None and role["Arn"] == arn else None

    def _role(self, asked: Mapping[str, Any]) -> Doc:
        role = self.roles.get(str(asked["RoleName"]).casefold())
        if role is None:
            raise Refused(404, f"The role with name {asked['RoleName']} cannot be found.", "NoSuchEntity")
        return role

    def _visible(self, asked: Mapping[str, Any], now: float) -> Doc:
        role = self._role(asked)
        if now < role["settled"]:
            raise Refused(404, f"The role with name {asked['RoleName']} cannot be found.", "NoSuchEntity")
        return role

    def _create(self, asked: Mapping[str, Any], now: float) -> Doc:
        name = str(asked["RoleName"])
        if name.casefold() in self.roles:
            raise Refused(409, f"Role with name {name} already exists.", "EntityAlreadyExists")
        trust = self._trustable(asked["AssumeRolePolicyDocument"])
        self._made += 1
        path = asked.get("Path", "/")
        role = {
            "RoleName": name,
            "RoleId": f"AROA{self._made:016d}",
            "Arn": f"arn:aws:iam::{ACCOUNT}:role{path}{name}",
            "Path": path,
            "trust": trust,
            "Description": asked.get("Description", ""),
            "MaxSessionDuration": asked.get("MaxSessionDuration", 3600),
            "boundary": asked.get("PermissionsBoundary"),
            "tags": {tag["Key"]: tag["Value"] for tag in asked.get("Tags", ())},
            "policies": {},
            "attached": [],
            "profiles": [],
            "settled": now + self.settling,
        }
        self.roles[name.casefold()] = role
        return {"Role": shown(role)}

    def _update(self, asked: Mapping[str, Any], now: float) -> Doc:
        role = self._role(asked)
        # What is not given goes back to its default.
        role["Description"] = asked.get("Description", "")
        role["MaxSessionDuration"] = asked.get("MaxSessionDuration", 3600)
        return {}

    def _trust(self, asked: Mapping[str, Any], now: float) -> Doc:
        role = self._role(asked)
        role["trust"] = self._trustable(asked["PolicyDocument"])
        return {}

    def _trustable(self, text: str) -> Doc:
        document = _policy(text)
        for statement in _listed(document.get("Statement")):
            for principal in _listed(_principals(statement)):
                if str(principal).startswith(f"arn:aws:iam::{ACCOUNT}:role/") and not self.has(principal):
                    raise Refused(400, f'Invalid principal in policy: "AWS":"{principal}"', "MalformedPolicyDocument")
        return document

    def _delete(self, asked: Mapping[str, Any], now: float) -> Doc:
        role = self._role(asked)
        for what, message in (
            ("policies", "must delete policies first."),
            ("attached", "must detach all policies first."),
            ("profiles", "must remove roles from instance profile first."),
        ):
            if role[what]:
                raise Refused(409, f"Cannot delete entity, {message}", "DeleteConflict")
        del self.roles[role["RoleName"].casefold()]
        return {}

    def _listed(self, key: str, asked: Mapping[str, Any], now: float, show: Callable[[Doc], Doc]) -> Doc:
        roles, more = self.page(asked, now)
        return {key: [show(role) for role in roles], **more}

    def _holding(self, arn: str) -> list[str]:
        """The names of the roles that a policy is attached to."""
        return [role["RoleName"] for role in self.roles.values() if arn in role["attached"]]

    def _put_policy(self, asked: Mapping[str, Any], now: float) -> Doc:
        self._role(asked)["policies"][asked["PolicyName"]] = _policy(asked["PolicyDocument"])
        return {}

    def _get_policy(self, asked: Mapping[str, Any], now: float) -> Doc:
        policies = self._visible(asked, now)["policies"]
        if asked["PolicyName"] not in policies:
            raise Refused(404, f"The role policy with name {asked['PolicyName']} cannot be found.", "NoSuchEntity")
        return {"PolicyName": asked["PolicyName"], "PolicyDocument": policies[asked["PolicyName"]]}

    def _delete_policy(self, asked: Mapping[str, Any], now: float) -> Doc:
        if self._role(asked)["policies"].pop(asked["PolicyName"], None) is None:
            raise Refused(404, f"The role policy with name {asked['PolicyName']} cannot be found.", "NoSuchEntity")
        return {}

    def _attach(self, asked: Mapping[str, Any], now: float) -> Doc:
        attached = self._role(asked)["attached"]
        if asked["PolicyArn"] not in attached:
            if len(attached) == _MOST_ATTACHED:
                raise Refused(409, "Cannot exceed quota for PoliciesPerRole: 10", "LimitExceeded")
            attached.append(asked["PolicyArn"])
        return {}

    def _detach(self, asked: Mapping[str, Any], now: float) -> Doc:
        attached = self._role(asked)["attached"]
        if asked["PolicyArn"] not in attached:
            raise Refused(404, f"Policy {asked['PolicyArn']} was not found.", "NoSuchEntity")
        attached.remove(asked["PolicyArn"])
        return {}

    def _bound(self, asked: Mapping[str, Any], now: float) -> Doc:
        self._role(asked)["boundary"] = asked["PermissionsBoundary"]
        return {}

    def _unbound(self, asked: Mapping[str, Any], now: float) -> Doc:
        self._role(asked)["boundary"] = None
        return {}

    def _tag(self, asked: Mapping[str, Any], now: float) -> Doc:
        tags = self._role(asked)["tags"]
        for tag in asked["Tags"]:
            _without(tags, tag["Key"])
            tags[tag["Key"]] = tag["Value"]
        return {}

    def _untag(self, asked: Mapping[str, Any], now: float) -> Doc:
        tags = self._role(asked)["tags"]
        for key in asked["TagKeys"]:
            _without(tags, key)
        return {}

    def _leave_profile(self, asked: Mapping[str, Any], now: float) -> Doc:
        profiles = self._role(asked)["profiles"]
        if asked["InstanceProfileName"] not in profiles:
            raise Refused(404, f"Instance Profile {asked['InstanceProfileName']} cannot be found.", "NoSuchEntity")
        profiles.remove(asked["InstanceProfileName"])
        return {}

    def _assume(self, asked: Mapping[str, Any], now: float) -> Doc:
        arn = asked["RoleArn"]
        if not self.admits(arn, now):
            reason = f"User: {CALLER} is not authorized to perform: sts:AssumeRole on resource: {arn}"
            raise Refused(403, reason, "AccessDenied")
        return {}


def shown(role: Doc, *, tags: bool = False) -> Doc:
    """A role as CreateRole, GetRole and ListRoles show it; listings have neither tags nor boundary."""
    about: Doc = {key: role[key] for key in ("RoleName", "RoleId", "Arn", "Path", "MaxSessionDuration")}
    about["AssumeRolePolicyDocument"] = role["trust"]
    if role["Description"]:
        about["Description"] = role["Description"]
    return {**about, **_marked(role)} if tags else about


def detailed(role: Doc) -> Doc:
    """A role in GetAccountAuthorizationDetails: its policies and tags, without description and session length."""
    return {
        **{key: role[key] for key in ("RoleName", "RoleId", "Arn", "Path")},
        "AssumeRolePolicyDocument": role["trust"],
        "RolePolicyList": [{"PolicyName": name, "PolicyDocument": one} for name, one in role["policies"].items()],
        "AttachedManagedPolicies": _attached(role),
        "InstanceProfileList": [],
        **_marked(role),
    }


def _marked(role: Doc) -> Doc:
    boundary = {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": role["boundary"]}
    return {
        "Tags": [{"Key": key, "Value": value} for key, value in role["tags"].items()],
        **({"PermissionsBoundary": boundary} if role["boundary"] else {}),
    }


def _attached(role: Doc) -> list[Doc]:
    return [{"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn} for arn in role["attached"]]


def _without(tags: Doc, key: str) -> None:
    for known in [one for one in tags if one.casefold() == key.casefold()]:
        del tags[known]


def _policy(text: str) -> Doc:
    try:
        document = json.loads(text)
    except ValueError:
        raise Refused(400, "This policy contains invalid Json", "MalformedPolicyDocument") from None
    if not isinstance(document, dict) or "Statement" not in document:
        raise Refused(400, "Syntax errors in policy.", "MalformedPolicyDocument")
    return document


def _principals(statement: Doc) -> Any:
    principal = statement.get("Principal", {})
    return principal.get("AWS", []) if isinstance(principal, dict) else principal


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
