"""The command that writes a manifest of what is live. It can not write to the services."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler import diagnosis
from reconciler.cli import session as sessions
from reconciler.cli.commands import looking, opened
from reconciler.cli.options import Common, Load
from reconciler.cli.output import Output
from reconciler.cli.session import Subject
from reconciler.drift.guard import looking_only
from reconciler.errors import Problem, ReconcilerError
from reconciler.export.collect import Export, exported
from reconciler.export.gather import Choice, Found, gathered
from reconciler.manifest.check import misfits
from reconciler.manifest.load import AwsTarget, BasicAuth, Manifest, OpenSearchTarget, SigV4Auth, Target
from reconciler.manifest.schema import load_schemas
from reconciler.manifest.templates import Value
from reconciler.model.kind import Kind
from reconciler.plan.decide import Permissions
from reconciler.render import exported as rendered

_MANAGED = (".es.amazonaws.com", ".es.amazonaws.com.cn", ".on.aws")


@dataclass(frozen=True, slots=True)
class Whence:
    """Where to read, as given: the domain's address and name, how requests are signed, the AWS account."""

    endpoint: str | None = None
    domain: str | None = None
    auth: str | None = None
    ca_file: str | None = None
    region: str | None = None
    account_id: str | None = None
    profile: str | None = None
    assume_role: str | None = None

    @property
    def sigv4(self) -> bool:
        """Whether requests to the domain are signed as the AWS caller."""
        if self.auth:
            return self.auth == "sigv4"
        return bool(self.domain) or (self.endpoint or "").rstrip("/").endswith(_MANAGED)

    @property
    def aws(self) -> bool:
        """Whether there is an AWS account to read."""
        signed = self.endpoint is not None and self.sigv4
        return signed or any((self.region, self.account_id, self.profile, self.assume_role))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to export, as given: kinds, patterns of names, tags as KEY=VALUE."""

    kinds: Sequence[str] = ()
    names: Sequence[str] = ()
    tags: Sequence[str] = ()


def export(whence: Whence, wanted: Wanted, out: Path, name: str | None, common: Common) -> None:
    """Read what there is, write it as a manifest folder, and validate that."""
    output, known = Output(common), sessions.kinds()
    choice, manifest = _choice(wanted, known), _manifest(whence, name)
    _check_folder(out)
    ledger = Path(f"{manifest.name}.ledger.json") if manifest.target.opensearch is None else None
    subject = Subject(manifest, {}, Permissions(), ledger)
    schemas = load_schemas(sessions.schemas_folder())
    with opened(subject, common, output, looking_only) as session:
        found = looking(session, subject, known, lambda _, context: gathered(session.reader, context, choice))
        if found.failed:
            raise ReconcilerError(_unread(found))
        made = exported(found, schemas)
        cost = f"read {len(made.objects):,} objects in {session.requests:,} requests, {session.seconds:.1f} s"
    texts = rendered.files(made)
    _write(out, texts)
    sessions.subject(Load([str(out)]), known)
    _tell(made, out, texts, output, cost)


def _tell(made: Export, out: Path, texts: Mapping[str, str], output: Output, cost: str) -> None:
    if output.is_json:
        output.data(rendered.exported_json(made, str(out), texts))
        return
    output.problems(made.warnings)
    output.note(cost)
    for line in rendered.lines(made, str(out)):
        output.line(line)


def _choice(wanted: Wanted, known: Mapping[str, Kind]) -> Choice:
    for kind in wanted.kinds:
        if kind not in known:
            raise _usage(f"--kind {kind} is no kind", f"there are {', '.join(known)}")
    tags = {}
    for text in wanted.tags:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise _usage(f"--tag {text} is not of the form KEY=VALUE", "write it as team=search")
        tags[key] = value
    return Choice(frozenset(wanted.kinds), tuple(wanted.names), tags)


def _manifest(whence: Whence, name: str | None) -> Manifest:
    """A manifest of nothing but its name and target, checked as one of a file is."""
    if whence.auth not in (None, "sigv4", "basic"):
        raise _usage(f"--auth {whence.auth} is no way of signing", "there are sigv4 and basic")
    if whence.endpoint is None and whence.domain is not None:
        raise _usage("--domain without --endpoint", "name the domain's address too")
    if whence.endpoint is None and not whence.aws:
        raise _usage("nothing to read", "name the domain with --endpoint, or the account with --region, or both")
    aws = {"region": whence.region, "account_id": whence.account_id, "assume_role": whence.assume_role}
    opensearch = {"endpoint": whence.endpoint, "domain": whence.domain}
    called = name or whence.domain or "exported"
    stated: Value = {
        "manifest": called,
        "target": {
            part: {key: value for key, value in options.items() if value is not None}
            for part, options in (("aws", aws), ("opensearch", opensearch))
        },
    }
    for path, keyword in misfits(stated, load_schemas(sessions.schemas_folder())):
        option = "as" if path == ("manifest",) else str(path[-1]).replace("_", "-")
        raise _usage(f"the value of --{option} is not as manifests have it ({keyword})", "correct it")
    return Manifest(
        called,
        Target(
            AwsTarget(whence.region, whence.account_id, None, whence.profile, whence.assume_role)
            if whence.aws
            else None,
            OpenSearchTarget(
                whence.endpoint, whence.domain, SigV4Auth() if whence.sigv4 else BasicAuth(), whence.ca_file
            )
            if whence.endpoint is not None
            else None,
        ),
        objects=(), secrets={}, verify=(), files=(),
    )  # fmt: skip


def _unread(found: Found) -> list[Problem]:
    """Why kinds could not be read: a folder without them would look as if there were nothing of them."""
    context = found.context
    scene = diagnosis.Scene(caller=context.caller.arn or context.caller.user, endpoint=context.place.endpoint)
    return [problem for error in found.failed.values() for problem in diagnosis.problems(error, scene)]


def _check_folder(out: Path) -> None:
    """Nothing is written over: what is in a folder already belongs to its manifest."""
    try:
        taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    except OSError as error:
        raise _usage(f"{out} can not be read: {error.strerror}", "check the path") from error
    if taken:
        raise _usage(f"{out} is not an empty folder", "name another one, or empty it")


def _write(out: Path, texts: Mapping[str, str]) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (out / name).write_text(text, "utf-8")
    except OSError as error:
        raise _usage(f"{out} can not be written: {error.strerror}", "check the path") from error


def _usage(message: str, hint: str) -> ReconcilerError:
    return ReconcilerError([Problem("usage", message, hint=hint)])
