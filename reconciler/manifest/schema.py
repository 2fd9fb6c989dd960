"""The schemas of the kinds, and the schema of a whole manifest made of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from reconciler.canonical.json import Json
from reconciler.manifest.document import Path

_SUFFIX = ".schema.json"
_MANIFEST = "manifest"
_META = "meta"
_DROPPED = frozenset({"$id", "$schema"})

Schema = Mapping[str, Json]


@dataclass(frozen=True, slots=True, eq=False)
class Schemas:
    """The kinds' schemas by kind, as their files have them, and the frame they stand in.

    `attributes` are, by kind, the names a reference may ask for; `secrets` the paths of write-only fields.
    """

    kinds: Mapping[str, Schema]
    frame: Schema = field(repr=False)
    attributes: Mapping[str, tuple[str, ...]] = field(repr=False)
    secrets: Mapping[str, tuple[Path, ...]] = field(repr=False)

    def is_write_only(self, path: Path) -> bool:
        """Whether the value at `path` of a manifest is, or is inside, a write-only field of an object."""
        if len(path) < 3:
            return False
        inside = path[2:]
        return any(_covers(pointer, inside) for pointer in self.secrets.get(str(path[0]), ()))


def load_schemas(folder: FilePath) -> Schemas:
    """All `<kind>.schema.json` in `folder`, and `manifest.schema.json`, the frame of a manifest around them.

    Raises OSError and ValueError: the files are the project's own.
    """
    documents = {
        path.name.removesuffix(_SUFFIX): json.loads(path.read_text("utf-8"))
        for path in sorted(folder.glob(f"*{_SUFFIX}"))
        if path.name != _META + _SUFFIX
    }
    frame = documents.pop(_MANIFEST)
    return make_schemas(documents, frame)


def make_schemas(kinds: Mapping[str, Schema], frame: Schema) -> Schemas:
    """Schemas of already parsed kinds and frame."""
    return Schemas(
        kinds,
        frame,
        {kind: tuple(_strings(schema.get("attributes"))) for kind, schema in kinds.items()},
        {kind: tuple(map(_path, _strings(schema.get("writeOnlyProperties")))) for kind, schema in kinds.items()},
    )


def assemble(schemas: Schemas) -> Schema:
    """The JSON Schema (2020-12) of one manifest file: the frame with one section for every kind."""
    definitions = _mapping(schemas.frame["$defs"])
    engine = _mapping(_mapping(definitions["engine"])["properties"])
    sections: dict[str, Json] = {
        kind: {
            "title": schema.get("title", kind),
            "description": schema.get("description", ""),
            "type": ["object", "null"],
            "propertyNames": {"$ref": "#/$defs/name"},
            "additionalProperties": {"$ref": f"#/$defs/{kind}"},
        }
        for kind, schema in schemas.kinds.items()
    }
    objects: dict[str, Json] = {kind: _object(kind, schema, engine) for kind, schema in schemas.kinds.items()}
    return {
        **schemas.frame,
        "properties": {**_mapping(schemas.frame["properties"]), **sections},
        "$defs": {**definitions, **objects},
    }


def assemble_for_editors(schemas: Schemas) -> Schema:
    """The same schema, with references allowed in place of any value that is not free text."""
    assembled = assemble(schemas)
    definitions = _mapping(assembled["$defs"])
    opened: dict[str, Json] = {
        name: _open(_mapping(definition)) if name in schemas.kinds else definition
        for name, definition in definitions.items()
    }
    reference: Json = {"description": "A reference.", "type": "string", "pattern": r"\$\{"}
    return {**assembled, "$defs": {**opened, "reference": reference}}


def _open(schema: Schema) -> Schema:
    """`schema` with references allowed in its members and items."""
    changed: dict[str, Json] = dict(schema)
    for keyword in ("properties", "patternProperties"):
        if keyword in schema:
            members = _mapping(schema[keyword])
            changed[keyword] = {name: _or_reference(_mapping(member)) for name, member in members.items()}
    for keyword in ("additionalProperties", "items"):
        if isinstance(schema.get(keyword), Mapping):
            changed[keyword] = _or_reference(_mapping(schema[keyword]))
    return changed


def _or_reference(schema: Schema) -> Schema:
    opened = _open(schema)
    if schema.get("type") == "string" and not schema.keys() & {"enum", "const", "pattern", "format", "maxLength"}:
        return opened
    said = {key: schema[key] for key in ("title", "description", "default") if key in schema}
    return {**said, "anyOf": [opened, {"$ref": "#/$defs/reference"}]}


def _object(kind: str, schema: Schema, engine: Schema) -> Json:
    """A kind's schema as part of the whole: with the engine's keys, and references that still lead home."""
    moved = _moved({key: value for key, value in schema.items() if key not in _DROPPED}, f"#/$defs/{kind}")
    own = _mapping(moved)
    return {**own, "properties": {**_mapping(own.get("properties", {})), **engine}}


def _moved(value: Json, home: str) -> Json:
    if isinstance(value, Mapping):
        return {
            key: home + member[1:]
            if key == "$ref" and isinstance(member, str) and member[:1] == "#"
            else _moved(member, home)
            for key, member in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_moved(item, home) for item in value]
    return value


def _path(pointer: str) -> Path:
    """The fields a pointer such as `/properties/credential/key` names; `*` is any key or item."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    return tuple(step for index, step in enumerate(steps) if not (index == 0 and step == "properties"))


def _covers(pointer: Path, path: Path) -> bool:
    return len(pointer) <= len(path) and all(step in ("*", actual) for step, actual in zip(pointer, path, strict=False))


def _strings(value: Json) -> Iterable[str]:
    return [str(item) for item in value] if isinstance(value, Sequence) else ()


def _mapping(value: Json) -> Schema:
    assert isinstance(value, Mapping)
    return value
