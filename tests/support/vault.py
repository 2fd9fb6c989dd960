"""AWS Secrets Manager in memory: secrets with their tags, which keep their names for a while when they are deleted.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_Operations.html
"""

from collections.abc import Callable, Mapping
from typing import Any

from tests.support.refusal import Doc, Refused

_PAGE = 2
_FIELDS = ("Description", "KmsKeyId", "SecretString")
_ABOUT = ("ARN", "Name", "Description", "KmsKeyId", "Tags", "DeletedDate")


class Vault:
    """The secrets of an account's region, by name."""

    def __init__(self, account: str) -> None:
        self.named: dict[str, Doc] = {}
        self._account = account
        self._made = 0

    @property
    def there(self) -> Mapping[str, Doc]:
        """The secrets that are not to be deleted."""
        return {name: one for name, one in self.named.items() if "DeletedDate" not in one}

    def operations(self) -> Mapping[str, Callable[[Mapping[str, Any]], Doc]]:
        """What can be asked, by operation."""
        return {
            "CreateSecret": self._create,
            "DescribeSecret": lambda asked: {key: one for key, one in self._one(asked).items() if key in _ABOUT},
            "ListSecrets": self._list,
            "GetSecretValue": self._value,
            "UpdateSecret": self._update,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "DeleteSecret": self._delete,
            "RestoreSecret": self._restore,
        }

    def _one(self, asked: Mapping[str, Any]) -> Doc:
        which = asked["SecretId"]
        for one in self.named.values():
            if which in (one["Name"], one["ARN"]):
                return one
        raise Refused(400, "Secrets Manager can't find the specified secret.", "ResourceNotFoundException")

    def _usable(self, asked: Mapping[str, Any]) -> Doc:
        found = self._one(asked)
        if "DeletedDate" in found:
            reason = "You can't perform this operation on the secret because it was marked for deletion."
            raise Refused(400, reason, "InvalidRequestException")
        return found

    def _create(self, asked: Mapping[str, Any]) -> Doc:
        name = asked["Name"]
        if name in self.there:
            reason = f"The operation failed because the secret {name} already exists."
            raise Refused(400, reason, "ResourceExistsException")
        if name in self.named:
            reason = "You can't create this secret because a secret with this name is already scheduled for deletion."
            raise Refused(400, reason, "InvalidRequestException")
        self._made += 1
        arn = f"arn:aws:secretsmanager:us-east-1:{self._account}:secret:{name}-{self._made:06d}"
        stated = {key: asked[key] for key in _FIELDS if asked.get(key)}
        self.named[name] = {"ARN": arn, "Name": name, "Tags": list(asked.get("Tags", ())), **stated}
        return {"ARN": arn, "Name": name}

    def _list(self, asked: Mapping[str, Any]) -> Doc:
        start = int(asked.get("NextToken", 0))
        listed = [self._shown(one) for one in self.there.values()]
        more = {"NextToken": str(start + _PAGE)} if start + _PAGE < len(listed) else {}
        return {"SecretList": listed[start : start + _PAGE], **more}

    def _shown(self, one: Doc) -> Doc:
        return {key: value for key, value in one.items() if key in _ABOUT}

    def _value(self, asked: Mapping[str, Any]) -> Doc:
        found = self._usable(asked)
        return {"Name": found["Name"], "SecretString": found["SecretString"]}

    def _update(self, asked: Mapping[str, Any]) -> Doc:
        found = self._usable(asked)
        found.update({key: asked[key] for key in _FIELDS if key in asked})
        return {"ARN": found["ARN"], "Name": found["Name"]}

    def _tag(self, asked: Mapping[str, Any]) -> Doc:
        found = self._usable(asked)
        tags = {one["Key"]: one for one in (*found["Tags"], *asked["Tags"])}
        found["Tags"] = list(tags.values())
        return {}

    def _untag(self, asked: Mapping[str, Any]) -> Doc:
        found = self._usable(asked)
        found["Tags"] = [one for one in found["Tags"] if one["Key"] not in asked["TagKeys"]]
        return {}

    def _delete(self, asked: Mapping[str, Any]) -> Doc:
        found = self._usable(asked)
        if asked.get("ForceDeleteWithoutRecovery"):
            del self.named[found["Name"]]
        elif 7 <= asked.get("RecoveryWindowInDays", 30) <= 30:
            found["DeletedDate"] = "2026-02-01T00:00:00Z"
        else:
            raise Refused(400, "RecoveryWindowInDays must be between 7 and 30 days", "InvalidParameterException")
        return {"ARN": found["ARN"], "Name": found["Name"]}

    def _restore(self, asked: Mapping[str, Any]) -> Doc:
        found = self._one(asked)
        found.pop("DeletedDate", None)
        return {"ARN": found["ARN"], "Name": found["Name"]}
