"""One call of an AWS API, and why it may be refused: what the rules of `iam_rules` and `iam_limits` judge."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reconciler.sandbox.gateway.account import Account, Caller

_READING = ("Get", "List", "Describe", "Simulate")


@dataclass(frozen=True, slots=True)
class Operation:
    """One API call that somebody makes; `parameters` hold its scalar parameters by the API's names.

    A member of a list has a name such as `Tags.member.1.Key`.
    """

    service: str
    name: str
    parameters: Mapping[str, str]
    caller: Caller
    region: str

    @property
    def action(self) -> str:
        """The action in a policy's words."""
        return f"{self.service}:{self.name}"

    @property
    def reads(self) -> bool:
        """Whether the call changes nothing."""
        return self.name.startswith(_READING)

    def members(self, name: str) -> list[str]:
        """The values of a list parameter: `Tags.member.N.Key` by `members("Tags.member.N.Key")`."""
        values: list[str] = []
        while (value := self.parameters.get(name.replace("N", str(len(values) + 1)))) is not None:
            values.append(value)
        return values


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call is refused: AWS's error code, message and HTTP status."""

    code: str
    message: str
    status: int = 403


Rule = Callable[[Operation, Account], Refusal | None]
