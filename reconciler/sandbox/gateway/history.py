"""What users and roles were like a moment ago: IAM spreads changes slowly, and reads may show an older state."""

import copy
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from moto.iam.models import IAMBackend, Role, User

_Principal = TypeVar("_Principal", Role, User)


@dataclass(frozen=True, slots=True)
class _State:
    """Users and roles as they were until `until`, on the clock."""

    until: float
    roles: dict[str, Role]
    users: dict[str, User]


class History:
    """Remembers the states of one account's IAM as far back as it is told to."""

    def __init__(self, iam: IAMBackend, clock: Callable[[], float] = time.monotonic) -> None:
        self._iam = iam
        self._clock = clock
        self._states: deque[_State] = deque()

    def remember(self, seconds: float) -> None:
        """Keep what there is now, which is about to change, for `seconds`."""
        now = self._clock()
        while self._states and self._states[0].until <= now - seconds:
            self._states.popleft()
        if seconds > 0:
            roles = {key: _copied(role) for key, role in self._iam.roles.items()}
            users = {key: _copied(user) for key, user in self._iam.users.items()}
            self._states.append(_State(now, roles, users))

    @contextmanager
    def ago(self, seconds: float) -> Iterator[None]:
        """For as long as the context lasts, IAM's users and roles are those of `seconds` ago."""
        past = next((state for state in self._states if state.until > self._clock() - seconds), None)
        if past is None:
            yield
            return
        present = self._iam.roles, self._iam.users
        self._iam.roles, self._iam.users = past.roles, past.users
        try:
            yield
        finally:
            self._iam.roles, self._iam.users = present


def _copied(principal: _Principal) -> _Principal:
    """One that stays as it is when the original changes."""
    copied = copy.copy(principal)
    copied.policies = dict(principal.policies)
    copied.managed_policies = dict(principal.managed_policies)
    return copied
