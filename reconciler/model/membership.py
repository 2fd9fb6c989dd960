"""Lists that belong to several owners: which entries are ours to add and to remove."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reconciler.manifest.templates import Value


@dataclass(frozen=True, slots=True)
class Membership:
    """What to do with one shared list: entries to add (in the manifest's order) and entries to remove."""

    add: tuple[str, ...]
    remove: frozenset[str]

    def result(self, live: Iterable[str]) -> list[str]:
        """The list after the change, others' entries in their order first."""
        return [entry for entry in live if entry not in self.remove] + list(self.add)


def entries(value: Value) -> tuple[str, ...]:
    """The entries of a list as text; nothing for anything else."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(str(entry) for entry in value)
    return ()


def membership(
    live: Iterable[str],
    desired: Iterable[str],
    applied: Iterable[str] = (),
    prior: Iterable[str] = (),
    others: Iterable[str] = (),
) -> Membership:
    """Which entries to add to `live` and which to remove.

    Removed is what we applied and want no longer, unless it was there before us (`prior`) or another
    manifest counts on it (`others`).
    """
    present, wanted = tuple(live), tuple(dict.fromkeys(desired))
    ours = frozenset(applied) - frozenset(prior) - frozenset(others)
    return Membership(
        add=tuple(entry for entry in wanted if entry not in present),
        remove=(ours - frozenset(wanted)) & frozenset(present),
    )


def complete(live: Iterable[str], desired: Iterable[str]) -> Membership:
    """As `membership`, for a list that is to hold the desired entries and no others."""
    present, wanted = tuple(live), tuple(dict.fromkeys(desired))
    return Membership(
        add=tuple(entry for entry in wanted if entry not in present), remove=frozenset(present) - frozenset(wanted)
    )
