"""What no command can do better than: what the services and the SDKs themselves take.

Start-up is what importing the SDKs and making their clients takes. Everything else runs side by side, so that the
longest of these counts: the longest chain of requests of which each needs the answer to the one before, the SDKs'
processor time for all calls, and what a service does one after the other by itself.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench import costs
from bench.sdk import THOUSAND
from bench.workload import KINDS, objects

WINDOW = 10_000
_IAM_PAGES = (1_000, 700)
_READ_ALONE = 4  # GetRole, ListRolePolicies, ListAttachedRolePolicies, and GetRolePolicy after them
_LOCK = 2  # taken and given back
_LEDGER = 2  # before it is written, and after


@dataclass(frozen=True, slots=True)
class Sdk:
    """What the SDKs take: seconds from start to end of a process that only starts up, and processor seconds by call."""

    start: float
    calls: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Bound:
    """The least a command can take, in seconds, what it is made of, and the requests it needs.

    `writes` are those the services demand, the ledger's apart.
    """

    start: float
    latency: float
    sdk: float
    security: float
    tasks: float
    reads: int
    writes: int

    @property
    def wall(self) -> float:
        """All of it."""
        return self.start + max(self.latency, self.sdk, self.security, self.tasks)

    @property
    def services(self) -> float:
        """What the services themselves take apart from holding answers back."""
        return max(self.security, self.tasks)

    def json(self) -> dict[str, Any]:
        """The bound as the figures have it."""
        return {name: round(value, 4) for name, value in {**asdict(self), "wall": self.wall}.items()}


@dataclass(frozen=True, slots=True)
class _Part:
    """Reading beside others: how many requests one after the other, how many in all, their processor time."""

    rounds: int
    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Written:
    """What is written: how many requests, their processor time, and what Security and deployments take."""

    requests: int
    seconds: float
    security: float = 0.0
    tasks: float = 0.0


_NOTHING = _Written(0, 0.0)


def plan(sdk: Sdk, chains: int, kinds: Collection[str] = KINDS, other_roles: int = 0) -> Bound:
    """A plan of so many chains that are there already."""
    parts = _reading(sdk, chains, kinds, 2 * chains + other_roles)
    return _bound(sdk, _rounds(parts), parts)


def one_change(sdk: Sdk, chains: int, kinds: Collection[str] = KINDS) -> Bound:
    """An apply of one change: the plan, the lock, the ledger read under it, an intent, the write, the row, a look."""
    parts = _reading(sdk, chains, kinds, 2 * chains)
    written = _Written(1, sdk.calls["domain_write"])
    return _bound(sdk, _rounds(parts) + _LOCK + 1 + _LEDGER + 2, parts, written)


def first_apply(sdk: Sdk, chains: int, kinds: Collection[str] = KINDS) -> Bound:
    """An apply of so many chains where nothing is.

    The longest chain of requests: look, make the ledger, take the lock, write intents, make a role, put its policy,
    make a connector, register its model, see that it is deployed, write rows, look again, give the lock back.
    """
    look = _reading(sdk, 0, kinds, 0)
    again = _reading(sdk, chains, kinds, 2 * chains)
    each = sdk.calls
    security = costs.security_mappings(chains, chains)
    batches = math.ceil(security / costs.BATCH)
    if "security_roles" in kinds:
        security += costs.security_roles(chains)
        batches += 1
    rounds = _rounds(look) + 1 + _LOCK + _LEDGER + 5 + _rounds(again)
    seconds = 2 * chains * (each["iam_create"] + each["iam_put"]) + (3 * chains + batches) * each["domain_write"]
    written = _Written(7 * chains + batches, seconds, security, costs.deployments(chains))
    return _bound(sdk, rounds, [*look, *again], written)


def _bound(sdk: Sdk, rounds: int, read: Collection[_Part], written: _Written = _NOTHING) -> Bound:
    return Bound(
        start=sdk.start,
        latency=rounds * costs.LATENCY + (costs.TASK if written.tasks else 0.0),
        sdk=sum(part.seconds for part in read) + written.seconds,
        security=written.security,
        tasks=written.tasks,
        reads=sum(part.requests for part in read),
        writes=written.requests,
    )


def _rounds(parts: Collection[_Part]) -> int:
    return max(part.rounds for part in parts)


def _reading(sdk: Sdk, chains: int, kinds: Collection[str], roles: int) -> list[_Part]:
    """Looking at everything once, all sources side by side."""
    each = sdk.calls
    rows = objects(chains, kinds)
    collections = [kind for kind in ("connectors", "model_groups", "models") if kind in kinds]
    lists = [kind for kind in ("security_roles", "role_mappings") if kind in kinds]
    introductions = _Part(1, 3, each["sts"] + 2 * each["domain_read"])
    ledger = _listed(rows, each["search_1000"], each["domain_read"])
    searches = [_listed(chains, each["search_1000"], each["domain_read"]) for _ in collections]
    security = [_Part(1, 1, each["domain_read"]) for _ in lists]
    return [introductions, ledger, *searches, *security, _iam(sdk, chains, roles)]


def _listed(items: int, thousand: float, call: float) -> _Part:
    pages = max(1, math.ceil(items / WINDOW))
    return _Part(pages, pages, pages * call + items / THOUSAND * thousand)


def _iam(sdk: Sdk, chains: int, roles: int) -> _Part:
    """Two listings of all roles, or each of ours alone, whichever takes less."""
    pages, left = 0, roles
    while left > 0 or not pages:
        left -= _IAM_PAGES[pages % 2]
        pages += 1
    seconds = roles / THOUSAND * (sdk.calls["list_details_1000"] + sdk.calls["list_roles_1000"])
    listings = _Part(pages, 2 * pages, max(seconds, 2 * sdk.calls["iam_read"]))
    count = _READ_ALONE * 2 * chains
    if not count:
        return listings
    alone = _Part(2, count, count * sdk.calls["iam_read"])
    faster = min(listings, alone, key=lambda part: max(part.rounds * costs.LATENCY, part.seconds))
    return replace(faster, requests=min(listings.requests, alone.requests))
