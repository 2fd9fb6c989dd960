"""IAM roles with their trust policy, inline policies, attachments, boundary and tags.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_Operations.html
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from reconciler.canonical import policy
from reconciler.canonical.json import Json
from reconciler.canonical.policy.document import decode
from reconciler.kinds._aws import MARK, body_of, map_of, maps, retagged, tags_of, told
from reconciler.kinds._iam import GONE, items, pages, text_of
from reconciler.manifest.templates import Value
from reconciler.model.change import Action, Change
from reconciler.model.kind import Caller, Fault, Grants, Kind, Made, Place, Reading, Work
from reconciler.model.objects import Live, Sought
from reconciler.model.request import Answer, Request, Service
from reconciler.model.schema import is_known
from reconciler.model.steps import Failed, NotYet, Steps, call, call_all, until

_UNIQUE_ID = re.compile(r"A[RI][OD]A[A-Z0-9]{12,}")
"""What a trust policy shows in place of the ARN of a role or user that is gone."""

_ONE_BY_ONE = 2
"""How many roles are asked for by name, in four requests each. Listing costs two, and more by every thousand roles that
an account has, each of which takes the SDK longer than a request."""

_DETAILS = Request(Service.IAM, "GetAccountAuthorizationDetails", {"Filter": ["Role"], "MaxItems": 1000})
_LISTINGS = frozenset({"iam:GetAccountAuthorizationDetails", "iam:ListRoles"})
_ATTACHED = 10
_INLINE = 10_240
_INLINE_HINT = "a role may have 10,240 characters of them; attach managed policies instead"
_TAKEN = frozenset({"EntityAlreadyExists"})


class IamRoles(Kind):
    """A role is read with everything on it, and ours as a whole except for tags of other keys."""

    service = Service.IAM
    marks = True
    settles = True
    lists = True
    entitles = True
    answers: ClassVar[Mapping[str, Json]] = {
        "ListInstanceProfilesForRole": {"InstanceProfiles": []},
        "CreateRole": {"Role": {"RoleId": "(known after apply)"}},
        "GetRole": {"Role": {"RoleId": "(known after apply)"}},
    }
    to_read = Grants(
        iam=(
            "iam:GetAccountAuthorizationDetails", "iam:ListRoles", "iam:GetRole", "iam:ListRolePolicies",
            "iam:GetRolePolicy", "iam:ListAttachedRolePolicies",
        )
    )  # fmt: skip
    to_list = Grants(iam=("iam:GetAccountAuthorizationDetails",))
    to_write = Grants(
        iam=(
            "iam:CreateRole", "iam:UpdateRole", "iam:UpdateAssumeRolePolicy", "iam:PutRolePolicy",
            "iam:DeleteRolePolicy", "iam:AttachRolePolicy", "iam:DetachRolePolicy", "iam:PutRolePermissionsBoundary",
            "iam:DeleteRolePermissionsBoundary", "iam:TagRole", "iam:UntagRole", "iam:DeleteRole",
            "iam:ListInstanceProfilesForRole",
        )
    )  # fmt: skip

    def read(self, sought: Sequence[Sought], place: Place) -> Steps[Reading]:
        wanted = {one.name.casefold(): one.name for one in sought}
        if len(wanted) <= _ONE_BY_ONE:
            few = yield from _each(list(wanted.values()))
            # What is not there by that name may be by one of another case, which only a listing shows.
            if len(few.lives) == len(wanted):
                return few
        # Two listings carry everything: the details have policies and tags, the list description and session length.
        details, listed = yield from pages([_DETAILS, Request(Service.IAM, "ListRoles", {"MaxItems": 1000})])
        about = {str(role["RoleName"]): role for role in items(listed, "Roles") if _name(role) in wanted}
        roles = [role for role in items(details, "RoleDetailList") if _name(role) in wanted]
        return Reading(tuple(_live({**about.get(str(role["RoleName"]), {}), **role}) for role in roles))

    def look(self, sought: Sought, place: Place) -> Steps[Reading]:
        return (yield from _each([sought.name]))

    def everything(self, place: Place) -> Steps[Reading]:
        (details,) = yield from pages([_DETAILS])
        return Reading(tuple(_live(role) for role in items(details, "RoleDetailList")))

    def create(self, work: Work) -> Steps[Made]:
        fields = work.fields
        parameters: dict[str, Value] = {
            "RoleName": work.name,
            "AssumeRolePolicyDocument": text_of(fields["assume_role_policy_document"]),
            "Path": fields.get("path", "/"),
            "Description": fields.get("description", ""),
            "MaxSessionDuration": fields.get("max_session_duration", 3600),
            "Tags": tags_of({**map_of(fields.get("tags")), MARK: work.mark}),
        }
        if fields.get("permissions_boundary"):
            parameters["PermissionsBoundary"] = fields["permissions_boundary"]
        answer = yield from call(Request(Service.IAM, "CreateRole", parameters, expect=_TAKEN))
        if not answer.ok:
            return (yield from self._resume(work, answer))
        yield from call_all(_put_policies(work.name, map_of(fields.get("inline_policies"))))
        yield from call_all(_attach(work.name, _strings(fields.get("managed_policy_arns"))))
        created = body_of(answer)["Role"]
        assert isinstance(created, Mapping)
        role_id = str(created["RoleId"])
        return Made(role_id, {**self.attributes(work.name, fields, work.place), "id": role_id})

    def _resume(self, work: Work, taken: Answer) -> Steps[Made]:
        """Go on with a role that exists: ours, if the answer to an earlier CreateRole was lost."""

        def probe() -> Steps[Live | NotYet]:
            # IAM knows the name before it shows the role.
            found = yield from self.look(Sought(work.name), work.place)
            return found.lives[0] if found.lives else NotYet("not readable yet")

        mine = yield from until(f"IAM role {work.name} readable", probe, patience=60)
        if mine.mark != work.mark:
            raise Failed("name-taken", taken.reason)
        return (yield from self.update(replace(work, live=mine, changed=frozenset(work.fields))))

    def update(self, work: Work) -> Steps[Made]:
        assert work.live is not None
        live, fields, changed, name = work.live, work.fields, work.changed, work.name
        # At no moment may the role do more than before and after, nor less than both where that can be helped.
        limits: list[Request] = []
        additions: list[Request] = []
        removals: list[Request] = []
        crowded = False
        if "assume_role_policy_document" in changed:
            document = text_of(fields["assume_role_policy_document"])
            additions.append(
                Request(Service.IAM, "UpdateAssumeRolePolicy", {"RoleName": name, "PolicyDocument": document})
            )
        if changed & {"description", "max_session_duration"}:
            # One call sets both, and what it is not told it may clear.
            both = {
                field: fields.get(field, self.schema.rule.member(field).default) if field in changed else value
                for field, value in live.fields.items()
            }
            parameters = {
                "RoleName": name,
                "Description": both["description"],
                "MaxSessionDuration": both["max_session_duration"],
            }
            additions.append(Request(Service.IAM, "UpdateRole", parameters))
        if "permissions_boundary" in changed:
            boundary = fields.get("permissions_boundary")
            (limits if boundary else removals).append(_boundary(name, boundary))
        if "inline_policies" in changed:
            before, after = map_of(live.fields["inline_policies"]), map_of(fields.get("inline_policies"))
            additions += _put_policies(name, _differing(before, after))
            removals += _drop_policies(name, [one for one in before if one not in after])
            crowded = sum(policy.size(one) for one in {**before, **after}.values() if is_known(one)) > _INLINE
        if "managed_policy_arns" in changed:
            held, wanted = _strings(live.fields["managed_policy_arns"]), _strings(fields.get("managed_policy_arns"))
            additions += _attach(name, [arn for arn in wanted if arn not in held])
            removals += _detach(name, [arn for arn in held if arn not in wanted])
            crowded = crowded or len({*held, *wanted}) > _ATTACHED
        tagging = Request(Service.IAM, "TagRole", {"RoleName": name})
        for request in retagged(work, self.schema.rule.at(["tags"]).names, tagging, "UntagRole"):
            (additions if request.operation.startswith("Tag") else removals).append(request)
        for requests in (limits, removals, additions) if crowded else (limits, additions, removals):
            yield from call_all(requests)
        return Made(live.id, live.attributes)

    def delete(self, work: Work) -> Steps[None]:
        assert work.live is not None
        name, fields = work.name, work.live.fields
        listing = Request(Service.IAM, "ListInstanceProfilesForRole", {"RoleName": name}, expect=GONE)
        (profiles,) = yield from pages([listing])
        if names := [str(profile["InstanceProfileName"]) for profile in items(profiles, "InstanceProfiles")]:
            listed = ", ".join(names)
            raise Failed("refused", f"{name} is in the instance profile {listed}; take it out of there first")
        requests = _detach(name, _strings(fields["managed_policy_arns"]))
        requests += _drop_policies(name, map_of(fields["inline_policies"]))
        yield from call_all(requests)
        delete = Request(Service.IAM, "DeleteRole", {"RoleName": name}, expect=GONE | {"DeleteConflict"})

        def probe() -> Steps[Answer | NotYet]:
            answer = yield from call(delete)
            if answer.code == "DeleteConflict":
                return NotYet(answer.reason)
            return answer

        # What was taken off a moment ago may still count.
        yield from until(f"IAM role {name} deletable", probe, patience=30.0, every=0.5)

    def release(self, work: Work) -> Steps[None]:
        yield from call(Request(Service.IAM, "UntagRole", {"RoleName": work.name, "TagKeys": [MARK]}, expect=GONE))

    def key(self, name: str) -> str:
        """Names that differ only by case are the same to IAM."""
        return name.casefold()

    def check(self, fields: Mapping[str, Value], place: Place) -> Iterable[Fault]:
        """The quota of all inline policies together, in characters without white space."""
        documents = map_of(fields.get("inline_policies")).values()
        size = sum(policy.size(document) for document in documents if is_known(document))
        if size > _INLINE:
            yield Fault(
                "iam-limit", ("inline_policies",), f"the inline policies have {size:,} characters", _INLINE_HINT
            )

    def shuts_out(self, change: Change, caller: Caller) -> str:
        if change.live is None or change.action not in (Action.DELETE, Action.REPLACE):
            return ""
        session = caller.arn.partition(":assumed-role/")[2].partition("/")[0]
        return f"it is the role you are ({caller.arn})" if session == change.live.name else ""

    def orphans(self, live: Live) -> Iterable[tuple[str, str]]:
        """Unique ids in the trust policy: their owners are gone, and others of their names are not let in.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
        """
        name = "assume_role_policy_document"
        return [(name, one) for one in sorted(_strings_in(live.fields[name])) if _UNIQUE_ID.fullmatch(one)]

    def resources(self, action: str, name: str, fields: Mapping[str, Value], place: Place) -> Iterable[str]:
        return ("*",) if action in _LISTINGS else self.attributes(name, fields, place).values()

    def attributes(self, name: str, fields: Mapping[str, Value], place: Place) -> Mapping[str, str]:
        path = fields.get("path", "/")
        if not place.account_id or not isinstance(path, str):
            return {}
        return {"arn": f"arn:{place.partition}:iam::{place.account_id}:role{path}{name}"}


def _each(names: Sequence[str]) -> Steps[Reading]:
    """Roles by their names, each with everything on it."""
    asked = [
        Request(Service.IAM, operation, {"RoleName": name}, expect=GONE)
        for name in names
        for operation in ("GetRole", "ListRolePolicies", "ListAttachedRolePolicies")
    ]
    answers = yield from pages(asked)
    found = {
        name: answers[start : start + 3]
        for name, start in zip(names, range(0, len(asked), 3), strict=True)
        if not any(pages[0].missing for pages in answers[start : start + 3])
    }
    inline = [(name, str(one)) for name, (_, pages, _) in found.items() for page in pages for one in _names(page)]
    documents = yield from call_all(
        Request(Service.IAM, "GetRolePolicy", {"RoleName": name, "PolicyName": one}, expect=GONE)
        for name, one in inline
    )
    policies: dict[str, list[Json]] = {name: [] for name in found}
    for (name, _), document in zip(inline, documents, strict=True):
        if not document.missing:
            policies[name].append(body_of(document))
    lives = []
    for name, (role, _, attached) in found.items():
        about = body_of(role[0])["Role"]
        assert isinstance(about, Mapping)
        attachments: list[Json] = [*items(attached, "AttachedPolicies")]
        lives.append(_live({**about, "RolePolicyList": policies[name], "AttachedManagedPolicies": attachments}))
    return Reading(tuple(lives))


def _names(answer: Answer) -> Sequence[Json]:
    names = body_of(answer).get("PolicyNames")
    if not isinstance(names, Sequence) or isinstance(names, str):
        raise Failed("bad-answer", "IAM answered a listing without PolicyNames")
    return names


def _live(role: Mapping[str, Json]) -> Live:
    tags = told(role.get("Tags"))
    boundary = role.get("PermissionsBoundary")
    path = str(role.get("Path", "/"))
    fields: dict[str, Json] = {
        "role_name": str(role["RoleName"]),
        "path": path,
        "assume_role_policy_document": decode(role.get("AssumeRolePolicyDocument")),
        "description": role.get("Description", ""),
        "max_session_duration": role.get("MaxSessionDuration", 3600),
        "permissions_boundary": boundary.get("PermissionsBoundaryArn") if isinstance(boundary, Mapping) else None,
        "inline_policies": {
            str(one["PolicyName"]): decode(one.get("PolicyDocument")) for one in maps(role.get("RolePolicyList"))
        },
        "managed_policy_arns": [str(one["PolicyArn"]) for one in maps(role.get("AttachedManagedPolicies"))],
        "tags": {key: value for key, value in tags.items() if key != MARK},
    }
    service_linked = path.startswith(("/aws-service-role/", "/aws-reserved/"))
    return Live(
        name=str(role["RoleName"]),
        id=str(role["RoleId"]),
        fields=fields,
        attributes={"arn": str(role["Arn"]), "id": str(role["RoleId"])},
        mark=tags.get(MARK, ""),
        guarded="a service-linked role" if service_linked else "",
    )


def _put_policies(role: str, policies: Mapping[str, Value]) -> list[Request]:
    return [
        Request(
            Service.IAM, "PutRolePolicy", {"RoleName": role, "PolicyName": name, "PolicyDocument": text_of(document)}
        )
        for name, document in policies.items()
    ]


def _drop_policies(role: str, names: Iterable[str]) -> list[Request]:
    return [
        Request(Service.IAM, "DeleteRolePolicy", {"RoleName": role, "PolicyName": name}, expect=GONE) for name in names
    ]


def _differing(before: Mapping[str, Value], after: Mapping[str, Value]) -> Mapping[str, Value]:
    """The policies of `after` that `before` has not, or not so."""
    return {
        name: document for name, document in after.items() if name not in before or not _same(before[name], document)
    }


def _same(a: Value, b: Value) -> bool:
    return is_known(a) and is_known(b) and policy.same(a, b)


def _attach(role: str, arns: Iterable[str]) -> list[Request]:
    return [Request(Service.IAM, "AttachRolePolicy", {"RoleName": role, "PolicyArn": arn}) for arn in arns]


def _detach(role: str, arns: Iterable[str]) -> list[Request]:
    return [Request(Service.IAM, "DetachRolePolicy", {"RoleName": role, "PolicyArn": arn}, expect=GONE) for arn in arns]


def _boundary(role: str, arn: Value) -> Request:
    if arn:
        return Request(Service.IAM, "PutRolePermissionsBoundary", {"RoleName": role, "PermissionsBoundary": arn})
    return Request(Service.IAM, "DeleteRolePermissionsBoundary", {"RoleName": role}, expect=GONE)


def _name(role: Mapping[str, Json]) -> str:
    return str(role["RoleName"]).casefold()


def _list(value: Value) -> Sequence[Value]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _strings_in(value: Json) -> set[str]:
    """All texts inside a JSON value."""
    if isinstance(value, Mapping):
        return {text for member in value.values() for text in _strings_in(member)}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return {text for member in value for text in _strings_in(member)}
    return {value} if isinstance(value, str) else set()


def _strings(value: Value) -> list[str]:
    return [str(one) for one in _list(value)]


KIND = IamRoles
