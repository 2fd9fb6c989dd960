"""Which security roles an identity is mapped to, by the mappings that are live."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from reconciler.canonical.json import Json
from reconciler.kinds._security import listing
from reconciler.model.membership import entries
from reconciler.model.request import ServiceFailure
from reconciler.model.steps import Failed, Steps

_WILD = ("*", "?")


@dataclass(frozen=True)
class Mapped:
    """All mappings: the security roles by the backend roles and users that have them, patterns apart."""

    exact: Mapping[str, frozenset[str]] = field(default_factory=dict)
    patterns: Sequence[tuple[str, str]] = ()

    def roles(self, identity: str) -> frozenset[str]:
        """The security roles of an IAM role, which Amazon OpenSearch Service knows by its ARN."""
        wild = (role for pattern, role in self.patterns if fnmatchcase(identity, pattern))
        return self.exact.get(identity, frozenset()) | frozenset(wild)


def read() -> Steps[Mapped | None]:
    """The live mappings; None where the caller may not read them or they are not what the service documents.

    Together with others who ask for the mappings at this moment it is one request.
    """
    try:
        mappings = yield from listing("rolesmapping")
    except (Failed, ServiceFailure):
        return None
    exact: dict[str, frozenset[str]] = {}
    patterns: list[tuple[str, str]] = []
    for role, mapping in mappings.items():
        for entry in _members(mapping):
            if any(sign in entry for sign in _WILD):
                patterns.append((entry, role))
            else:
                exact[entry] = exact.get(entry, frozenset()) | {role}
    return Mapped(exact, tuple(patterns))


def _members(mapping: Json) -> Iterator[str]:
    for name in ("backend_roles", "users"):
        yield from entries(mapping.get(name) if isinstance(mapping, Mapping) else None)
