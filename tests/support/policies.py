"""Customer managed policies of an account in memory: their versions, tags, and whom they are attached to.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_Operations.html
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from tests.support.refusal import Doc, Refused

_VERSIONS = 5
Asked: TypeAlias = Mapping[str, Any]


class Policies:
    """The policies of one account by their names in small letters: those are the same to IAM.

    `parsed` makes a document of its text, `users` gives the names of the roles that a policy is attached to.
    """

    def __init__(self, account: str, parsed: Callable[[str], Doc], users: Callable[[str], list[str]]) -> None:
        self.policies: dict[str, Doc] = {}
        self._account = account
        self._parsed = parsed
        self._users = users
        self._made = 0

    def operations(self) -> Mapping[str, Callable[[Asked], Doc]]:
        """What IAM can be asked about policies."""
        return {
            "CreatePolicy": self._create,
            "GetPolicy": lambda asked: {"Policy": {**_shown(self._policy(asked)), "Tags": _tags(self._policy(asked))}},
            "ListPolicies": self._list,
            "DeletePolicy": self._delete,
            "CreatePolicyVersion": self._create_version,
            "DeletePolicyVersion": self._delete_version,
            "GetPolicyVersion": self._get_version,
            "ListPolicyVersions": self._list_versions,
            "TagPolicy": self._tag,
            "UntagPolicy": self._untag,
            "ListEntitiesForPolicy": lambda asked: {
                "PolicyRoles": [{"RoleName": name} for name in self._users(self._policy(asked)["Arn"])],
                "PolicyUsers": [],
                "PolicyGroups": [],
                "IsTruncated": False,
            },
        }

    def _list(self, asked: Asked) -> Doc:
        """All policies, without tags and descriptions."""
        shown = [_shown(one) for one in self.policies.values()]
        return {
            "Policies": [{k: v for k, v in one.items() if k != "Description"} for one in shown],
            "IsTruncated": False,
        }

    def _list_versions(self, asked: Asked) -> Doc:
        found = self._policy(asked)
        versions = [{"VersionId": one, "IsDefaultVersion": one == found["default"]} for one in found["versions"]]
        return {"Versions": versions, "IsTruncated": False}

    def _policy(self, asked: Asked) -> Doc:
        found = self.policies.get(str(asked["PolicyArn"]).rpartition("/")[2].casefold())
        if found is None or found["Arn"] != asked["PolicyArn"]:
            raise Refused(404, f"Policy {asked['PolicyArn']} was not found.", "NoSuchEntity")
        return found

    def _create(self, asked: Asked) -> Doc:
        name, path = str(asked["PolicyName"]), asked.get("Path", "/")
        if name.casefold() in self.policies:
            raise Refused(
                409, f"A policy called {name} already exists. Duplicate names are not allowed.", "EntityAlreadyExists"
            )
        self._made += 1
        made = {
            "PolicyName": name,
            "PolicyId": f"ANPA{self._made:016d}",
            "Arn": f"arn:aws:iam::{self._account}:policy{path}{name}",
            "Path": path,
            "Description": asked.get("Description", ""),
            "versions": {"v1": self._parsed(asked["PolicyDocument"])},
            "default": "v1",
            "last": 1,
            "tags": {tag["Key"]: tag["Value"] for tag in asked.get("Tags", ())},
        }
        self.policies[name.casefold()] = made
        return {"Policy": _shown(made)}

    def _delete(self, asked: Asked) -> Doc:
        found = self._policy(asked)
        if self._users(found["Arn"]):
            raise Refused(409, "Cannot delete a policy attached to entities.", "DeleteConflict")
        if len(found["versions"]) > 1:
            reason = "This policy has more than one version. Before you delete a policy, you must delete the others."
            raise Refused(409, reason, "DeleteConflict")
        del self.policies[found["PolicyName"].casefold()]
        return {}

    def _create_version(self, asked: Asked) -> Doc:
        found = self._policy(asked)
        document = self._parsed(asked["PolicyDocument"])
        if len(found["versions"]) >= _VERSIONS:
            raise Refused(409, "A managed policy can have up to 5 versions.", "LimitExceeded")
        found["last"] += 1
        version = f"v{found['last']}"
        found["versions"][version] = document
        if asked.get("SetAsDefault"):
            found["default"] = version
        return {"PolicyVersion": {"VersionId": version, "IsDefaultVersion": found["default"] == version}}

    def _delete_version(self, asked: Asked) -> Doc:
        found, version = self._policy(asked), asked["VersionId"]
        if version not in found["versions"]:
            raise Refused(404, f"Policy {asked['PolicyArn']} version {version} does not exist.", "NoSuchEntity")
        if version == found["default"]:
            raise Refused(409, "Cannot delete the default version of a policy.", "DeleteConflict")
        del found["versions"][version]
        return {}

    def _get_version(self, asked: Asked) -> Doc:
        found, version = self._policy(asked), asked["VersionId"]
        if version not in found["versions"]:
            raise Refused(404, f"Policy {asked['PolicyArn']} version {version} does not exist.", "NoSuchEntity")
        return {"PolicyVersion": {"VersionId": version, "Document": found["versions"][version]}}

    def _tag(self, asked: Asked) -> Doc:
        tags = self._policy(asked)["tags"]
        for tag in asked["Tags"]:
            _without(tags, tag["Key"])
            tags[tag["Key"]] = tag["Value"]
        return {}

    def _untag(self, asked: Asked) -> Doc:
        tags = self._policy(asked)["tags"]
        for key in asked["TagKeys"]:
            _without(tags, key)
        return {}


def _shown(policy: Doc) -> Doc:
    about: Doc = {key: policy[key] for key in ("PolicyName", "PolicyId", "Arn", "Path")}
    described = {"Description": policy["Description"]} if policy["Description"] else {}
    return {**about, **described, "DefaultVersionId": policy["default"]}


def _tags(policy: Doc) -> list[Doc]:
    return [{"Key": key, "Value": value} for key, value in policy["tags"].items()]


def _without(tags: Doc, key: str) -> None:
    for known in [one for one in tags if one.casefold() == key.casefold()]:
        del tags[known]
