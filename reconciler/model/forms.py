"""Forms in which values of equal meaning are equal: text, the settings of an index, its mappings."""

import json
from collections.abc import Iterator, Mapping, Sequence

from reconciler.manifest.templates import Template, Value, holds_template


def text(value: Value) -> Value:
    """What a service that keeps strings makes of a JSON value: `5` is "5", a list is its JSON text."""
    if isinstance(value, str) or value is None or holds_template(value):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def settings(stated: Mapping[str, Value], prefix: str = "") -> Mapping[str, Value]:
    """Index settings by their full names, values as the texts that the service keeps. Null is absence."""
    return dict(_flat(stated, prefix))


def _flat(stated: Mapping[str, Value], prefix: str) -> Iterator[tuple[str, Value]]:
    for key, value in stated.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif value is not None:
            listed = isinstance(value, Sequence) and not isinstance(value, str | Template)
            form: Value = [text(one) for one in value] if listed else text(value)  # type: ignore[union-attr]
            yield name if name.startswith("index.") else f"index.{name}", form


MEMBERS = frozenset({"properties", "fields"})
"""What holds fields by name, in mappings and in a field."""

_ROOT: Mapping[str, Value] = {
    "_meta": {},
    "_routing": {"required": "false"},
    "_source": {"enabled": "true"},
    "date_detection": "true",
    "dynamic": "true",
    "dynamic_templates": [],
    "numeric_detection": "false",
}
_FIELD: Mapping[str, Value] = {
    "boost": "1",
    "coerce": "true",
    "copy_to": [],
    "doc_values": "true",
    "eager_global_ordinals": "false",
    "enabled": "true",
    "fielddata": "false",
    "ignore_above": "2147483647",
    "ignore_malformed": "false",
    "ignore_z_value": "true",
    "include_in_parent": "false",
    "include_in_root": "false",
    "index": "true",
    "index_options": "positions",
    "index_phrases": "false",
    "meta": {},
    "norms": "true",
    "positive_score_impact": "true",
    "split_queries_on_whitespace": "false",
    "store": "false",
}
_FIELD_OF: Mapping[str, Mapping[str, Value]] = {
    "binary": {"doc_values": "false"},
    "keyword": {"index_options": "docs", "norms": "false"},
    "search_as_you_type": {"doc_values": "false"},
    "wildcard": {"doc_values": "false"},
}
_SHOWS_BOOST = frozenset({"boolean", "date", "integer_range", "keyword", "text"})


def mappings(stated: Mapping[str, Value]) -> Mapping[str, Value]:
    """Index mappings with scalars as texts and fields with their type. Null is absence."""
    found: dict[str, Value] = {}
    for name, value in stated.items():
        form = _fields(value) if name == "properties" else _form(value)
        if form is not None and (name != "properties" or form):
            found[name] = form
    return found


def whole(form: Mapping[str, Value]) -> Mapping[str, Value]:
    """Mappings with what they mean by silence: a node does not show all that it was told, where it means the same."""
    return {**_ROOT, **{name: _whole_fields(one) if name == "properties" else one for name, one in form.items()}}


def unsaid(kind: Value, name: str) -> Value:
    """What a parameter of a field of a type is where nothing says it, None where that is not known.

    `kind` is None for mappings as a whole.
    """
    if kind is None:
        return _ROOT.get(name)
    return _FIELD_OF.get(str(kind), _FIELD).get(name, _FIELD.get(name))


def _fields(stated: Value) -> Value:
    if not isinstance(stated, Mapping):
        return stated
    return {name: _field(one) if isinstance(one, Mapping) else one for name, one in stated.items()}


def _field(stated: Mapping[str, Value]) -> Mapping[str, Value]:
    kind = stated.get("type", "object")
    found: dict[str, Value] = {"type": kind}
    for name, value in stated.items():
        form = _fields(value) if name in MEMBERS else _form(value)
        if name == "copy_to" and isinstance(form, str):
            form = [form]
        if form is None or (name in MEMBERS and not form) or (name == "boost" and kind not in _SHOWS_BOOST):
            continue
        found[name] = form
    return found


def _whole_fields(form: Value) -> Value:
    if not isinstance(form, Mapping):
        return form
    return {name: _whole_field(one) if isinstance(one, Mapping) else one for name, one in form.items()}


def _whole_field(form: Mapping[str, Value]) -> Mapping[str, Value]:
    said = {name: _whole_fields(one) if name in MEMBERS else one for name, one in form.items()}
    analyzer = form.get("analyzer", "default")
    searching = form.get("search_analyzer", analyzer)
    analyzers = {"analyzer": analyzer, "search_analyzer": searching, "search_quote_analyzer": searching}
    return {**_FIELD, **_FIELD_OF.get(str(form.get("type")), {}), **analyzers, **said}


def _form(value: Value) -> Value:
    if isinstance(value, Mapping):
        return {key: _form(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | Template):
        return [_form(one) for one in value]
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return text(value)
