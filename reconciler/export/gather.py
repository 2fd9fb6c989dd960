"""What there is to export: listed, chosen, and read with everything on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from reconciler.ledger import INDEX
from reconciler.model.kind import Kind, Reading
from reconciler.model.objects import Live, Sought
from reconciler.model.request import Service
from reconciler.plan.plan import Context
from reconciler.plan.survey import acquainted
from reconciler.runner import Flow, Runner

_OUR_OWN = frozenset({("indices", INDEX)})
"""What the reconciler keeps on the domain, by kind and name."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to export: kinds (none: all), patterns of the services' names with `*` and `?` (none: any), tags.

    Tags narrow the kinds that have tags; objects of all others have none to be asked for.
    """

    kinds: frozenset[str] = frozenset()
    names: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    def takes(self, kind: Kind, live: Live) -> bool:
        """Whether an object is one of those wanted, as far as its kind and name go."""
        if live.guarded or (kind.name, live.name) in _OUR_OWN:
            return False
        return not self.names or any(fnmatchcase(live.name, pattern) for pattern in self.names)

    def has_tags(self, kind: Kind, live: Live) -> bool:
        """Whether an object has the tags that are wanted, or its kind has no tags."""
        if "tags" not in kind.schema.rule.members:
            return True
        tags = live.fields.get("tags")
        present = tags if isinstance(tags, Mapping) else {}
        return all(present.get(key) == value for key, value in self.tags.items())


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, by kind: the objects, why others may be there unseen, and why nothing of it could be read.

    `kept` is how many objects the services keep for themselves.
    """

    context: Context
    lives: Mapping[str, Sequence[Live]]
    hidden: Mapping[str, str]
    failed: Mapping[str, Exception]
    kept: int = 0


def gathered(runner: Runner, context: Context, choice: Choice) -> Found:
    """Everything of the target that is chosen. What one kind can not be read for keeps no other from being read."""
    context = acquainted(runner, context)
    target = context.manifest.target
    has = {**dict.fromkeys(Service, target.aws is not None), Service.OPENSEARCH: target.opensearch is not None}
    kinds = [
        kind
        for name, kind in context.kinds.items()
        if has[kind.service] and (not choice.kinds or name in choice.kinds)
    ]  # fmt: skip
    listed, failed = _run(runner, [Flow(kind.name, kind.everything(context.place)) for kind in kinds])
    wanted = {
        name: {(live.name, live.id): live for live in reading.lives if choice.takes(context.kinds[name], live)}
        for name, reading in listed.items()
    }
    read, unread = _run(
        runner,
        [
            Flow(name, context.kinds[name].read([_sought(live) for live in lives.values()], context.place))
            for name, lives in wanted.items()
            if lives
        ],
    )
    # A look for names shows all who have them.
    lives = {
        name: [
            live
            for live in reading.lives
            if (live.name, live.id) in wanted[name] and choice.has_tags(context.kinds[name], live)
        ]
        for name, reading in read.items()
    }
    hidden = {name: reading.hidden for name, reading in listed.items() if reading.hidden}
    kept = sum(bool(live.guarded) for reading in listed.values() for live in reading.lives)
    return Found(context, lives, hidden, {**failed, **unread}, kept)


def _sought(live: Live) -> Sought:
    return Sought(live.name, live.id, frozenset(live.fields))


def _run(runner: Runner, flows: Sequence[Flow[str, Reading]]) -> tuple[Mapping[str, Reading], Mapping[str, Exception]]:
    outcomes = runner.run_all(flows)
    failed = {name: outcome.error for name, outcome in outcomes.items() if outcome.error is not None}
    return {name: outcome.value() for name, outcome in outcomes.items() if name not in failed}, failed
