"""A plan: all changes in order, and what they were computed from. Data, without a secret inside."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.errors import Problem, Severity
from reconciler.ledger import Ledger
from reconciler.manifest.load import Manifest
from reconciler.model.change import Action, Change
from reconciler.model.kind import Caller, Kind, Place
from reconciler.model.objects import Address
from reconciler.references import Graph


@dataclass(frozen=True, slots=True)
class Cluster:
    """The OpenSearch that answers."""

    name: str = ""
    uuid: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What every command works with: the manifest, its kinds, the place, who calls, what answers, the ledger."""

    manifest: Manifest
    kinds: Mapping[str, Kind]
    place: Place
    caller: Caller = field(default_factory=Caller)
    cluster: Cluster = Cluster()
    ledger: Ledger = Ledger()

    @property
    def mark(self) -> str:
        """The ownership mark of this manifest's objects: `<manifest>/<ledger id>`."""
        return f"{self.manifest.name}/{self.ledger.id}"


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes in the order they are made, no-ops included, and the problems that were found.

    `complaints` are about single objects, `obstacles` about the plan as a whole. `graph` has, for each changed
    address, what must be done before it (for removals: the other way round). `objects` is the number of live objects
    read.
    """

    context: Context
    changes: Sequence[Change]
    graph: Graph
    complaints: Sequence[Problem] = ()
    objects: int = 0
    obstacles: Sequence[Problem] = ()

    @property
    def problems(self) -> Sequence[Problem]:
        """All problems that were found."""
        return [*self.complaints, *self.obstacles]

    @property
    def errored(self) -> bool:
        """Whether something is wrong that stops an apply."""
        return any(problem.severity is Severity.ERROR for problem in self.problems)

    @property
    def pending(self) -> Sequence[Change]:
        """The changes that do something."""
        return [change for change in self.changes if change.action is not Action.NO_OP]

    @property
    def shown(self) -> Sequence[Change]:
        """What a plan shows: the pending changes, and objects whose address changed and nothing else."""
        return [change for change in self.changes if change.action is not Action.NO_OP or change.moved_from]

    @property
    def work(self) -> Sequence[Change]:
        """What an apply has to carry out: the pending changes, and rows of the ledger that are out of date."""
        return [change for change in self.changes if change.action is not Action.NO_OP or change.record]

    @property
    def counts(self) -> Mapping[Action, int]:
        """How many changes there are of each action."""
        return Counter(change.action for change in self.changes)

    @property
    def moved(self) -> int:
        """How many objects have another address than before."""
        return sum(change.moved_from is not None for change in self.changes)

    @property
    def widening(self) -> int:
        """How many changes of existing objects let somebody do more than before."""
        return sum(change.widens for change in self.pending)

    @property
    def disrupting(self) -> int:
        """How many changes those who use the objects notice."""
        return sum(bool(change.disruption) for change in self.pending)

    def change(self, address: Address) -> Change | None:
        """The change of one address."""
        return next((change for change in self.changes if change.address == address), None)
