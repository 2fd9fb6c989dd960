"""What is wrong, as values: a `Problem` has a stable code, a place and what to do about it.

Problems are collected, not raised one by one: a step that finds some raises one `ReconcilerError`
with all of them. Every code is listed in `CODES`, from which `docs/errors.md` is made.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a file. `line` and `column` count from 1; `length` is in characters, 0 when unknown."""

    file: str
    line: int
    column: int
    length: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Severity(StrEnum):
    """How bad a problem is; only errors stop a command."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    `code` is a key of `CODES`; `message` says what happened in one line; `address` names the object and
    the field (`connectors.x.sign_as`); `hint` says what to do; `facts` are labelled lines for problems that
    came from a service (`request`, `reason`, `as`, `cause`, `fix`), in the order they are shown.
    """

    code: str
    message: str
    position: Position | None = None
    address: str = ""
    hint: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    severity: Severity = Severity.ERROR

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"no such problem code: {self.code}")


class ReconcilerError(Exception):
    """One or more problems that stop a command. The problems are all there is to know about it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("; ".join(problem.message for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Code:
    """The documentation of a problem code: what it means and what to do, for `docs/errors.md`."""

    meaning: str
    remedy: str
    group: str = field(default="manifest")


CODES: dict[str, Code] = {
    # the manifest
    "file-not-found": Code("The manifest file or folder does not exist or can not be read.", "Check the path."),
    "file-not-text": Code("The file is not UTF-8 text, or larger than is sensible for a manifest.", "Save it as UTF-8."),
    "syntax": Code("The file is not valid YAML or JSON.", "Mend the syntax at the place shown."),
    "repeated-key": Code("A mapping has the same key twice.", "Remove one of them."),
    "unsupported-yaml": Code(
        "The file uses a part of YAML that manifests do not have (tags, non-string keys, several documents).",
        "Write plain mappings, lists and JSON scalars.",
    ),
    "unknown-key": Code("A key is not part of the schema.", "Correct the spelling; the suggestion is the nearest known key."),
    "missing-key": Code("A required key is absent.", "Add it."),
    "wrong-type": Code("A value has the wrong JSON type.", "Give a value of the type named."),
    "wrong-value": Code("A value is of the right type but not allowed.", "Give one of the allowed values."),
    "repeated-object": Code("The same address is declared twice, in one file or in several.", "Keep one of them."),
    "conflicting-section": Code(
        "Two files of one manifest disagree on its name or its target.", "State the name and the target once."
    ),
    "no-manifest": Code("The folder or the files hold no manifest.", "Add `manifest: <name>` to one of the files."),
    "bad-reference": Code("A `${...}` is malformed or nearly one of ours.", "Write it as suggested, or escape it as `$${`."),
    "unknown-reference": Code(
        "A reference names an object or an attribute that does not exist.", "Correct the name; the nearest is suggested."
    ),
    "unknown-variable": Code("A variable has no declaration or no value.", "Declare it, or give it with --var or --var-file."),
    "unset-environment": Code("An environment variable that the manifest reads is not set.", "Set it."),
    "reference-cycle": Code("Objects refer to each other in a circle.", "Break the circle at one of the places shown."),
    "secret-not-allowed": Code(
        "A secret stands in a field that the service shows back.", "Use `${secret.x}` in write-only fields only."
    ),
    "bad-policy": Code("An IAM policy document is not valid.", "Correct the element named."),
    # the sandbox
    "sandbox-java": Code(
        "The sandbox's node needs Java 17 to 23, and none was found.", "Install Java 17 or 21, or set JAVA_HOME.", group="sandbox"
    ),
    "sandbox-maven": Code("The sandbox's node is put together by Maven, and there is none.", "Install Maven 3.", group="sandbox"),
    "sandbox-download": Code(
        "Maven could not bring the parts of the sandbox's node.", "Check the network and Maven's settings.", group="sandbox"
    ),
    "sandbox-folder": Code(
        "A folder of the sandbox can not be used.", "Give another one by the variable named.", group="sandbox"
    ),
    "sandbox-unsupported": Code(
        "The sandbox needs something this system does not have.", "Run it on Linux with util-linux.", group="sandbox"
    ),
    "sandbox-name": Code(
        "The name of a sandbox is not usable as the name of a folder.", "Use letters, digits, dot, dash and underscore.", group="sandbox"
    ),
    "sandbox-not-started": Code(
        "The sandbox did not become ready.", "Read the log named; start it again.", group="sandbox"
    ),
    "sandbox-not-running": Code("There is no running sandbox of this name.", "Start it with `reconciler sandbox up`.", group="sandbox"),
    "sandbox-other-options": Code(
        "A sandbox of this name runs already, with other options.", "Stop it first, or use another name.", group="sandbox"
    ),
}
