"""The options commands have in common, as values."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Common:
    """How a command speaks: JSON or text, colour, tracebacks, and where its figures go.

    `form` is the format of standard output where a command has more than the two, "" elsewhere; `reports` are
    `FORMAT=FILE` texts, as given.
    """

    json: bool = False
    no_color: bool = False
    debug: bool = False
    stats: Path | None = None
    form: str = ""
    reports: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Consent:
    """What a writing command needs before it writes: whether to ask, and seconds to wait for the lock."""

    yes: bool = False
    lock_timeout: float = 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a command works on: paths, `--var` texts, variable files, what may be adopted, where the ledger is."""

    paths: Sequence[str]
    var: Sequence[str] = ()
    var_file: Sequence[Path] = ()
    adopt: Sequence[str] = ()
    adopt_all: bool = False
    ledger: Path | None = None
    include_adopted: bool = False
    target: Sequence[str] = ()
    max_deletes: int | None = None
    allow_lockout: bool = False
