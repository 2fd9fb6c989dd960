"""Loading: paths to one `Manifest`, or all that is wrong with them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import TypeAlias

from reconciler.errors import Position, Problem, ReconcilerError
from reconciler.manifest.check import check
from reconciler.manifest.document import Document, Path
from reconciler.manifest.events import parse
from reconciler.manifest.moves import Moved
from reconciler.manifest.moves import problems as move_problems
from reconciler.manifest.queries import problems as query_problems
from reconciler.manifest.schema import Schemas
from reconciler.manifest.source import merge_problems, read_source
from reconciler.manifest.templates import Reference, Template, Value, references
from reconciler.manifest.variables import PASSWORD, Inputs, Resolver, Variable, address_of, declared_variables

_LINE_START = re.compile(r"^[\s{\"']*(\w+)[\"']?\s*:", re.MULTILINE)
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
_ENGINE_KEYS = frozenset({"adopt", "lifecycle", "depends_on"})
_ADDRESS = re.compile(r"[a-z_]+\..+")
PASSWORD_ADDRESS = address_of(PASSWORD)
"""What the password for OpenSearch is called where secrets go by their names."""

_OF_ALL_FILES = frozenset({"no-manifest", "unknown-variable", "unknown-reference", "bad-move"})
"""Codes of problems that a file which could not be read may have caused."""


@dataclass(frozen=True, slots=True)
class EnvironmentSecret:
    """A secret in an environment variable."""

    variable: str


@dataclass(frozen=True, slots=True)
class FileSecret:
    """A secret in a file."""

    path: str


@dataclass(frozen=True, slots=True)
class ManagedSecret:
    """A secret of AWS Secrets Manager; `key` picks one value of its JSON, "" takes all of it."""

    secret_id: str
    key: str = ""


SecretSource: TypeAlias = EnvironmentSecret | FileSecret | ManagedSecret


@dataclass(frozen=True, slots=True)
class AwsTarget:
    """The AWS account, as far as the manifest states it."""

    region: str | None = None
    account_id: str | None = None
    partition: str | None = None
    profile: str | None = None
    assume_role: str | None = None
    endpoint_url: str | None = None


@dataclass(frozen=True, slots=True)
class SigV4Auth:
    """Requests are signed as the AWS caller."""


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """Requests carry user name and password; None when the manifest leaves them to the command."""

    username: str | None = None
    password: SecretSource | None = None


@dataclass(frozen=True, slots=True)
class OpenSearchTarget:
    """The domain or cluster, as far as the manifest states it. `timeout` is in seconds."""

    endpoint: str | None = None
    domain: str | None = None
    auth: SigV4Auth | BasicAuth | None = None
    ca_file: str | None = None
    verify_certs: bool = True
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where the objects live."""

    aws: AwsTarget | None = None
    opensearch: OpenSearchTarget | None = None


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What the manifest says about an object's end, and the fields to leave alone."""

    on_remove: str = "delete"
    prevent_destroy: bool = False
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Declared:
    """One object as declared. `fields` are the kind's own, the engine's keys taken out."""

    kind: str
    name: str
    fields: Mapping[str, Value]
    position: Position
    document: Document = field(repr=False, compare=False)
    adopt: bool = False
    lifecycle: Lifecycle = Lifecycle()
    depends_on: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """`kind.name`."""
        return f"{self.kind}.{self.name}"

    def position_of(self, path: Path) -> Position:
        """The place of the key at `path` inside the object, or of what encloses it."""
        return self.document.position((self.kind, self.name, *path))

    def value_position_of(self, path: Path) -> Position:
        """The place of the value at `path` inside the object, or of what encloses it."""
        return self.document.value_position((self.kind, self.name, *path))

    def reference_position(self, path: Path, reference: Reference) -> Position:
        """The place of the name in `reference`, which stands in the string at `path` inside the object."""
        whole = (self.kind, self.name, *path)
        return self.document.within(whole, reference.name_offset, len(reference.name))


@dataclass(frozen=True, slots=True)
class Query:
    """A test query: what `verify` asks, by `kind` (`predict`, `search`, `raw`), and its own `body`."""

    name: str
    kind: str
    body: Mapping[str, Value]
    position: Position


@dataclass(frozen=True, slots=True)
class Documents:
    """A set of documents that `verify` brings along: `stated` are those `documents`, and their index's settings."""

    name: str
    stated: Mapping[str, Value]
    position: Position


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything the files of one manifest say, in the order they say it.

    `secret_positions` are the places where the secrets are declared, by name; and of the password for OpenSearch, under
    its own address, where it stands.
    """

    name: str
    target: Target
    objects: tuple[Declared, ...]
    secrets: Mapping[str, SecretSource]
    verify: tuple[Query, ...]
    files: tuple[str, ...]
    moved: tuple[Moved, ...] = ()
    secret_positions: Mapping[str, Position] = field(default_factory=dict)
    documents: tuple[Documents, ...] = ()


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A document, and its value with variables filled in."""

    document: Document
    value: Mapping[str, Value]

    def section(self, name: str) -> Mapping[str, Value]:
        section = self.value.get(name)
        return section if isinstance(section, Mapping) else {}


def load(paths: Sequence[str], schemas: Schemas, inputs: Inputs) -> Manifest:
    """The manifest that the files and folders `paths` hold together.

    Of a folder all `*.yaml`, `*.yml` and `*.json` are read, not the hidden ones, not those of folders inside
    it, and not those that are clearly no manifests. Raises ReconcilerError with all problems of all files.
    """
    documents, unreadable = _read(paths, schemas)
    variables, problems = _variables(documents)
    resolver = Resolver(variables, inputs, schemas.attributes)
    files: list[_Loaded] = []
    for document in documents:
        value = resolver.resolve(document)
        problems += document.problems
        problems += check(value, document, schemas)
        files.append(_Loaded(document, value if isinstance(value, Mapping) else {}))
    problems += resolver.problems
    problems += _misplaced_references(files, schemas)
    problems += _conflicts(files, schemas)
    problems += query_problems([(file.document, file.section("verify")) for file in files])
    moved = [one for file in files for one in _moved(file)]
    if moved:
        problems += move_problems(moved, _declared(files, schemas), list(schemas.kinds))
    names = [file.value["manifest"] for file in files if "manifest" in file.value]
    if not names:
        problems.append(_nameless(paths, files))
    if unreadable:
        problems = [problem for problem in problems if problem.code not in _OF_ALL_FILES]
    if unreadable or problems:
        raise ReconcilerError(merge_problems([*unreadable, *problems]))
    return _manifest(str(names[0]), files, schemas)


def _read(paths: Sequence[str], schemas: Schemas) -> tuple[list[Document], list[Problem]]:
    """The documents of all files, and the problems of files that could not be read to their end."""
    documents: list[Document] = []
    problems: list[Problem] = []
    seen: set[FilePath] = set()
    for path, listed in _files(paths):
        try:
            resolved = path.resolve()
        except (OSError, ValueError):
            resolved = path
        if resolved in seen:
            continue
        seen.add(resolved)
        source = None
        try:
            source = read_source(path, str(path))
            document = parse(source)
        except ReconcilerError as error:
            if not (listed and source and _is_foreign(_LINE_START.findall(source.text), schemas)):
                problems += error.problems
            continue
        keys = document.value if isinstance(document.value, Mapping) else ()
        if not (listed and _is_foreign(keys, schemas)):
            documents.append(document)
    return documents, problems


def _files(paths: Sequence[str]) -> Iterable[tuple[FilePath, bool]]:
    """Every file to read, and whether it was found in a folder rather than named."""
    for text in paths:
        path = FilePath(text)
        try:
            folder = path.is_dir()
        except ValueError:
            folder = False
        if not folder:
            yield path, False
            continue
        try:
            inside = sorted(path.iterdir())
        except OSError:
            yield path, False
            continue
        for file in inside:
            if file.suffix in _SUFFIXES and not file.name.startswith(".") and not file.is_dir():
                yield file, True


def _is_foreign(keys: Iterable[str], schemas: Schemas) -> bool:
    """Whether a file of a folder is clearly no manifest: none of its keys is a top-level key of ours, nor nearly."""
    ours = {"manifest", "target", "variables", "secrets", "verify", "moved", *schemas.kinds}
    return not any(key in ours or get_close_matches(key, ours, 1, 0.8) for key in keys)


def _nameless(paths: Sequence[str], files: Sequence[_Loaded]) -> Problem:
    if files:
        place = files[0].document.source.position(0)
        return Problem("no-manifest", "the manifest has no name", place, hint="add `manifest: <name>`")
    shown = ", ".join(paths)
    return Problem("no-manifest", f"no manifest in {shown}", hint="add a file with `manifest: <name>`")


def _variables(documents: Iterable[Document]) -> tuple[dict[str, Variable], list[Problem]]:
    variables: dict[str, Variable] = {}
    problems: list[Problem] = []
    for document in documents:
        for name, variable in declared_variables(document).items():
            if name in variables:
                problems.append(_repeated(f"var.{name}", variable.position, variables[name].position))
            else:
                variables[name] = variable
    return variables, problems


def _repeated(address: str, place: Position, first: Position) -> Problem:
    return Problem("repeated-object", "declared already", place, address, f"the first is at {first}")


def _conflicts(files: Iterable[_Loaded], schemas: Schemas) -> list[Problem]:
    """Objects declared twice, and names and targets that differ from file to file."""
    problems: list[Problem] = []
    objects: dict[str, Position] = {}
    stated: dict[Path, tuple[Value, Position]] = {}
    sections: list[tuple[Path, str]] = [((kind,), kind) for kind in schemas.kinds]
    sections += [(("secrets",), "secret"), (("verify", "queries"), "verify.queries")]
    sections += [(("verify", "documents"), "verify.documents")]
    for file in files:
        for path, prefix in sections:
            for name, _, place in file.document.members(path):
                address = f"{prefix}.{name}"
                first = objects.setdefault(address, place)
                if first is not place:
                    problems.append(_repeated(address, place, first))
        target = file.section("target")
        parts: list[tuple[Path, Value]] = [(("target", part), value) for part, value in target.items()]
        for path, value in [(("manifest",), file.value.get("manifest")), *parts]:
            if value is None:
                continue
            place = file.document.position(path)
            known, first = stated.setdefault(path, (value, place))
            if known != value:
                hint = f"the first is at {first}"
                problems.append(Problem("conflicting-section", _DIFFERS[path[0]], place, address_of(path), hint))
    return problems


_DIFFERS: Mapping[str | int, str] = {
    "manifest": "another name than in the other files",
    "target": "another target than in the other files",
}


def _misplaced_references(files: Sequence[_Loaded], schemas: Schemas) -> list[Problem]:
    """References that may not stand where they stand, and secrets that are not declared."""
    secrets = {name for file in files for name in file.section("secrets")}
    problems: list[Problem] = []
    for file in files:
        for path, reference in references(file.value):
            if not _may_refer(path, schemas) and reference.namespace in ("secret", "target", *schemas.kinds):
                message = "this is not known while loading"
                hint = "only ${var.x} and ${env.X} may stand here"
                problems.append(_at_reference("bad-reference", message, hint, file, path, reference))
            elif reference.namespace == "secret":
                problems += _secret_problems(file, path, reference, secrets, schemas)
        problems += _open_password(file)
    return problems


def _at_reference(code: str, message: str, hint: str, file: _Loaded, path: Path, reference: Reference) -> Problem:
    place = file.document.within(path, reference.offset, reference.length)
    return Problem(code, message, place, address_of(path), hint)


def _may_refer(path: Path, schemas: Schemas) -> bool:
    if path == PASSWORD or path[0] == "verify":
        return True
    return path[0] in schemas.kinds and len(path) > 2 and path[2] not in _ENGINE_KEYS


def _secret_problems(
    file: _Loaded, path: Path, reference: Reference, secrets: Iterable[str], schemas: Schemas
) -> Iterable[Problem]:
    if reference.name not in secrets:
        near = get_close_matches(reference.name, list(secrets), 1)
        hint = f"did you mean {near[0]}?" if near else f"declare it under secrets: `{reference.name}:`"
        yield _at_reference("unknown-reference", "no such secret", hint, file, path, reference)
    if path != PASSWORD and not schemas.is_write_only(path):
        hint = "use secrets in write-only fields only"
        yield _at_reference("secret-not-allowed", "the service shows this field back", hint, file, path, reference)


def _open_password(file: _Loaded) -> Iterable[Problem]:
    """The problem of a password that is not one reference to a secret or to the environment."""
    auth = _mapping(_mapping(file.section("target").get("opensearch")).get("auth"))
    password = auth.get("password")
    reference = password.whole if isinstance(password, Template) else None
    if password is not None and (reference is None or reference.namespace not in ("secret", "env")):
        place = file.document.position(PASSWORD)
        hint = "write ${secret.x} or ${env.X}"
        yield Problem("wrong-value", "a password may not stand in a manifest", place, address_of(PASSWORD), hint)


def _manifest(name: str, files: Sequence[_Loaded], schemas: Schemas) -> Manifest:
    secrets = {key: _secret(_mapping(value)) for file in files for key, value in file.section("secrets").items()}
    aws = [part for file in files if (part := file.section("target").get("aws")) is not None]
    opensearch = [part for file in files if (part := file.section("target").get("opensearch")) is not None]
    return Manifest(
        name,
        Target(
            _aws(_mapping(aws[0])) if aws else None,
            _opensearch(_mapping(opensearch[0]), secrets) if opensearch else None,
        ),
        tuple(declared for file in files for declared in _objects(file, schemas)),
        secrets,
        tuple(query for file in files for query in _queries(file)),
        tuple(file.document.file for file in files),
        tuple(one for file in files for one in _moved(file)),
        dict(_secret_positions(files)),
        tuple(documents for file in files for documents in _documents(file)),
    )


def _declared(files: Iterable[_Loaded], schemas: Schemas) -> dict[str, Position]:
    """Where every object is declared, by address."""
    return {
        f"{kind}.{name}": place
        for file in files
        for kind in schemas.kinds
        for name, _, place in file.document.members((kind,))
    }


def _moved(file: _Loaded) -> Iterable[Moved]:
    """The entries of `moved` that are of its form; what is wrong with the others is said by the schema."""
    stated = file.value.get("moved")
    for index, entry in enumerate(stated if isinstance(stated, Sequence) and not isinstance(stated, str) else ()):
        old, new = _mapping(entry).get("from"), _mapping(entry).get("to")
        if isinstance(old, str) and isinstance(new, str) and _ADDRESS.match(old) and _ADDRESS.match(new):
            path = ("moved", index)
            places = file.document.value_position((*path, "from")), file.document.value_position((*path, "to"))
            yield Moved(old, new, address_of(path), *places)


def _secret_positions(files: Sequence[_Loaded]) -> Iterable[tuple[str, Position]]:
    for file in files:
        yield from ((name, place) for name, _, place in file.document.members(("secrets",)))
        if _mapping(_mapping(file.section("target").get("opensearch")).get("auth")):
            yield PASSWORD_ADDRESS, file.document.value_position(PASSWORD)


def _objects(file: _Loaded, schemas: Schemas) -> Iterable[Declared]:
    for kind in file.value:
        if kind not in schemas.kinds:
            continue
        section = file.section(kind)
        for name, _, place in file.document.members((kind,)):
            stated = _mapping(section[name])
            depends_on = stated.get("depends_on", ())
            yield Declared(
                kind,
                name,
                {key: value for key, value in stated.items() if key not in _ENGINE_KEYS},
                place,
                file.document,
                stated.get("adopt") is True,
                _lifecycle(_mapping(stated.get("lifecycle"))),
                _texts(depends_on),
            )


def _lifecycle(stated: Mapping[str, Value]) -> Lifecycle:
    on_remove = stated.get("on_remove", "delete")
    return Lifecycle(str(on_remove), stated.get("prevent_destroy") is True, _texts(stated.get("ignore", ())))


def _queries(file: _Loaded) -> Iterable[Query]:
    queries = _mapping(file.section("verify").get("queries"))
    for name, _, place in file.document.members(("verify", "queries")):
        ((kind, body),) = _mapping(queries[name]).items()
        yield Query(name, kind, _mapping(body), place)


def _documents(file: _Loaded) -> Iterable[Documents]:
    sets = _mapping(file.section("verify").get("documents"))
    for name, _, place in file.document.members(("verify", "documents")):
        yield Documents(name, _mapping(sets[name]), place)


def _secret(stated: Mapping[str, Value]) -> SecretSource:
    if "env" in stated:
        return EnvironmentSecret(str(stated["env"]))
    if "file" in stated:
        return FileSecret(str(stated["file"]))
    managed = _mapping(stated["secretsmanager"])
    return ManagedSecret(str(managed["secret_id"]), str(managed.get("key", "")))


def _aws(stated: Mapping[str, Value]) -> AwsTarget:
    return AwsTarget(**{key: str(value) for key, value in stated.items()})


def _opensearch(stated: Mapping[str, Value], secrets: Mapping[str, SecretSource]) -> OpenSearchTarget:
    timeout = stated.get("timeout")
    return OpenSearchTarget(
        _text(stated.get("endpoint")),
        _text(stated.get("domain")),
        _auth(stated.get("auth"), secrets),
        _text(stated.get("ca_file")),
        stated.get("verify_certs") is not False,
        float(timeout) if isinstance(timeout, int | float) else None,
    )


def _auth(stated: Value, secrets: Mapping[str, SecretSource]) -> SigV4Auth | BasicAuth | None:
    if stated is None:
        return None
    if stated == "sigv4":
        return SigV4Auth()
    if not isinstance(stated, Mapping):
        return BasicAuth()
    password = stated["password"]
    assert isinstance(password, Template)
    reference = password.references[0]
    source = EnvironmentSecret(reference.name) if reference.namespace == "env" else secrets[reference.name]
    return BasicAuth(_text(stated["username"]), source)


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: Value) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, Sequence) else ()


def _mapping(value: Value) -> Mapping[str, Value]:
    return value if isinstance(value, Mapping) else {}
