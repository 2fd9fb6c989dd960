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
    "file-not-text": Code(
        "The file is not UTF-8 text, or larger than is sensible for a manifest.", "Save it as UTF-8."
    ),
    "syntax": Code("The file is not valid YAML or JSON.", "Mend the syntax at the place shown."),
    "repeated-key": Code("A mapping has the same key twice.", "Remove one of them."),
    "unsupported-yaml": Code(
        "The file uses a part of YAML that manifests do not have (tags, non-string keys, several documents).",
        "Write plain mappings, lists and JSON scalars.",
    ),
    "unknown-key": Code(
        "A key is not part of the schema.", "Correct the spelling; the suggestion is the nearest known key."
    ),
    "missing-key": Code("A required key is absent.", "Add it."),
    "wrong-type": Code("A value has the wrong JSON type.", "Give a value of the type named."),
    "wrong-value": Code("A value is of the right type but not allowed.", "Give one of the allowed values."),
    "repeated-object": Code(
        "The same address is declared twice, or two addresses mean one object or one setting.", "Keep one of them."
    ),
    "conflicting-section": Code(
        "Two files of one manifest disagree on its name or its target.", "State the name and the target once."
    ),
    "no-manifest": Code("The folder or the files hold no manifest.", "Add `manifest: <name>` to one of the files."),
    "bad-reference": Code(
        "A `${...}` is malformed or nearly one of ours.", "Write it as suggested, or escape it as `$${`."
    ),
    "unknown-reference": Code(
        "A reference names an object or an attribute that does not exist.",
        "Correct the name; the nearest is suggested.",
    ),
    "unknown-variable": Code(
        "A variable has no declaration or no value.", "Declare it, or give it with --var or --var-file."
    ),
    "unset-environment": Code("An environment variable that the manifest reads is not set.", "Set it."),
    "bad-move": Code(
        "An entry of `moved` does not fit the objects that are declared.",
        "Correct its addresses, or remove it.",
    ),
    "reference-cycle": Code("Objects refer to each other in a circle.", "Break the circle at one of the places shown."),
    "secret-not-allowed": Code(
        "A secret stands in a field that the service shows back.", "Use `${secret.x}` in write-only fields only."
    ),
    "literal-secret": Code("A credential stands in the manifest as plain text.", "Declare it under `secrets`."),
    "bad-policy": Code("An IAM policy document is not valid.", "Correct the element named."),
    # planning
    "not-ours": Code(
        "An object of that name exists, and this manifest did not make it.",
        "Take it over with --adopt, or choose another name.",
        "plan",
    ),
    "owned-by-other": Code("The object belongs to another manifest.", "Remove it there first.", "plan"),
    "ambiguous": Code(
        "Several objects have the name, and the ledger knows none of them.", "Remove or rename all but one.", "plan"
    ),
    "guarded": Code(
        "The service reserves the object for itself.", "Leave it alone; map or reference it instead.", "plan"
    ),
    "unreadable": Code(
        "An object that is ours can not be read. It is not made again.", "Run as an identity that may read it.", "plan"
    ),
    "hidden": Code(
        "Objects are to be made, and others of the same name may be there that the caller is not shown.",
        "Plan as an identity with the security role `all_access` to be sure.",
        "plan",
    ),
    "unknown-kind": Code(
        "The ledger has an object of a kind this version does not know.", "Use a newer version.", "plan"
    ),
    "prevented": Code(
        "The plan would destroy an object whose lifecycle forbids it.",
        "Remove prevent_destroy, or undo the change.",
        "plan",
    ),
    "needs-reindex": Code(
        "An index would have to be made anew and its documents be indexed again, which a plan never does: they would "
        "be lost on the way.",
        "State what differs as it is or leave it out; or declare another index, and have the documents copied by "
        "`_reindex`.",
        "plan",
    ),
    "too-many-deletes": Code(
        "The plan deletes more than --max-deletes allows.", "Look at it; raise the number.", "plan"
    ),
    "lockout": Code("The plan takes the caller's own access away.", "Give --allow-lockout if it is meant.", "plan"),
    "missing-grant": Code("The caller lacks a permission the plan needs.", "Give it to the identity named.", "plan"),
    "not-mapped": Code(
        "The identity has no security role that allows the action.", "Map it; the message names the mapping.", "plan"
    ),
    "wrong-account": Code(
        "The credentials are of another account than the manifest's.", "Use credentials of the right account.", "plan"
    ),
    "foreign-ledger": Code(
        "The ledger came along in a snapshot of another cluster.",
        "Look at what is there; `reconciler ledger rebind` makes it this cluster's.",
        "plan",
    ),
    "stale-plan": Code("Something the saved plan was computed from has changed since.", "Make the plan again.", "plan"),
    "bad-plan": Code("The file is not a saved plan this version can read.", "Make the plan again.", "plan"),
    "no-target": Code(
        "The manifest has objects whose service the target does not name.",
        "State `target.aws` or `target.opensearch`.",
        "plan",
    ),
    "no-endpoint": Code("The target names no OpenSearch endpoint.", "State target.opensearch.endpoint.", "plan"),
    # services
    "no-credentials": Code("There are no usable AWS credentials.", "Sign in, or set the usual variables.", "service"),
    "expired-credentials": Code("The AWS credentials have expired or are not valid.", "Sign in again.", "service"),
    "not-assumable": Code(
        "A role can not be assumed.", "Check its trust policy and the caller's sts:AssumeRole.", "service"
    ),
    "no-region": Code("No AWS region is known.", "State target.aws.region or set AWS_REGION.", "service"),
    "unreachable": Code("The service does not answer.", "Check the endpoint and the network.", "service"),
    "tls": Code("The server's certificate is not trusted.", "State target.opensearch.ca_file.", "service"),
    "not-authenticated": Code("OpenSearch does not accept the user name or password.", "Check them.", "service"),
    "not-opensearch": Code(
        "The endpoint answers, but it is not OpenSearch.",
        "Check the endpoint: Dashboards and proxies answer with HTML.",
        "service",
    ),
    "bad-answer": Code(
        "The service's answer is not what it documents.", "Try again; report it if it stays so.", "service"
    ),
    "no-ml-commons": Code("The domain has no ML Commons plugin.", "Use a domain with ML Commons.", "service"),
    "domain-refused": Code(
        "The domain's access policy or the caller's IAM policy refuses the request.",
        "Grant the action named.",
        "service",
    ),
    "pass-role": Code(
        "The signer may not hand the connector's role to the service.",
        "Grant iam:PassRole on that role to the signer.",
        "service",
    ),
    "untrusted-endpoint": Code(
        "The connector's endpoint is not on the domain's trusted list.", "Add it to cluster_settings.", "service"
    ),
    "missing-credential": Code(
        "The connector's credential has not the keys this domain wants.",
        "`roleArn` on Amazon OpenSearch Service, keys elsewhere.",
        "service",
    ),
    "connector-in-use": Code(
        "Models use the connector, so it can not be changed or removed.", "Move the models first.", "service"
    ),
    "name-taken": Code("Another object has the name.", "Choose another, or adopt the object.", "service"),
    "iam-limit": Code("A limit of IAM is reached.", "Shorten the policy, or ask AWS to raise the limit.", "service"),
    "bad-principal": Code(
        "A trust policy names a principal that does not exist.", "Create it first, or correct the ARN.", "service"
    ),
    "throttled": Code("The service asks for fewer requests, and did so for too long.", "Try again later.", "service"),
    "refused": Code("The service refuses the request.", "The reason is the service's own.", "service"),
    "outcome-unknown": Code(
        "The answer was lost, and the request may have been carried out.",
        "Run the same command again: it looks before it repeats.",
        "service",
    ),
    "not-proved": Code(
        "An object in use was to be replaced, and its successor does not work. Nobody was pointed at it, it is gone "
        "again, and the old one is as it was.",
        "See what the query to it came to, which is listed beside it; correct that and run the same command again.",
        "service",
    ),
    "deploy-failed": Code(
        "The model can not be deployed.", "Check the connector; the reason is the service's own.", "service"
    ),
    "not-in-time": Code("A condition did not come true in time.", "Run the same command again to go on.", "service"),
    "not-as-planned": Code(
        "Read again after the apply, an object is not as planned.", "Run plan to see what differs.", "service"
    ),
    # the ledger, secrets, verification
    "ledger-not-writable": Code("The ledger can not be written.", "Check the permissions on its index.", "ledger"),
    "locked": Code(
        "Somebody else applies this manifest at this moment.", "Wait, or see `reconciler unlock`.", "ledger"
    ),
    "lock-lost": Code("The lock was lost in the middle of an apply.", "Run the same command again.", "ledger"),
    "ledger-newer": Code("The ledger was written by a newer version.", "Use a newer version.", "ledger"),
    "ledger-file": Code("The ledger's file can not be used.", "Check the path and its permissions.", "ledger"),
    "secret-unreadable": Code("A secret can not be read.", "Check where the manifest says it is kept.", "ledger"),
    "bad-baseline": Code(
        "The file of accepted drift is not of its form.", "Correct it at the place shown; see docs/drift.md.", "drift"
    ),
    "stale-baseline": Code(
        "An entry of accepted drift has run out, or is about drift that is not there.",
        "Remove it, or accept the drift anew.",
        "drift",
    ),
    "left-out": Code(
        "Something that is live is not in the exported manifest, for it can not be stated there.",
        "Leave it as it is, or change it so that it can be, and export again.",
        "export",
    ),
    "query-failed": Code(
        "A test query did not get the answer it expects.", "The message has what came instead.", "verify"
    ),
    "not-applied": Code(
        "A test query, or its documents, needs what is known of an object once it is there.",
        "Run apply first.",
        "verify",
    ),
    "left-behind": Code(
        "A temporary index of test queries could not be removed, or what an earlier verify left not be looked for.",
        "Correct what the message names; the next verify removes it.",
        "verify",
    ),
    "not-loaded": Code(
        "Documents that test queries search are refused by their temporary index.",
        "Correct the documents, or the settings and mappings stated beside them.",
        "verify",
    ),
    # the command line
    "usage": Code("The command's options do not fit.", "See `reconciler COMMAND --help`.", "command"),
    "not-confirmed": Code("Nobody confirmed the change.", "Answer `yes`, or give --yes where nobody can.", "command"),
    "interrupted": Code(
        "SIGINT or SIGTERM came, and the command ended in good order.",
        "What was done is told; run the same command again to go on.",
        "command",
    ),
    "internal": Code("A fault in the reconciler itself.", "Report it with the output of --debug.", "command"),
    # the sandbox
    "sandbox-java": Code(
        "The sandbox's node needs Java 17 to 23, and none was found.",
        "Install Java 17 or 21, or set JAVA_HOME.",
        group="sandbox",
    ),
    "sandbox-maven": Code(
        "The sandbox's node is put together by Maven, and there is none.", "Install Maven 3.", group="sandbox"
    ),
    "sandbox-download": Code(
        "Maven could not bring the parts of the sandbox's node.",
        "Check the network and Maven's settings.",
        group="sandbox",
    ),
    "sandbox-folder": Code(
        "A folder of the sandbox can not be used.", "Give another one by the variable named.", group="sandbox"
    ),
    "sandbox-unsupported": Code(
        "The sandbox needs something this system does not have.", "Run it on Linux with util-linux.", group="sandbox"
    ),
    "sandbox-name": Code(
        "The name of a sandbox is not usable as the name of a folder.",
        "Use letters, digits, dot, dash and underscore.",
        group="sandbox",
    ),
    "sandbox-not-started": Code(
        "The sandbox did not become ready.", "Read the log named; start it again.", group="sandbox"
    ),
    "sandbox-not-running": Code(
        "There is no running sandbox of this name.", "Start it with `reconciler sandbox up`.", group="sandbox"
    ),
    "sandbox-other-options": Code(
        "A sandbox of this name runs already, with other options.",
        "Stop it first, or use another name.",
        group="sandbox",
    ),
}
