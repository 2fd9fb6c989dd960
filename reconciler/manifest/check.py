"""What is wrong with a document by its schema, each problem at the right place."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeAlias

from reconciler.errors import Problem
from reconciler.manifest import wording
from reconciler.manifest.document import Document, Path
from reconciler.manifest.schema import Schemas, assemble
from reconciler.manifest.sieve import doubtful
from reconciler.manifest.templates import Template, Value, holds_template
from reconciler.manifest.wording import Finding, Words

_TYPE_NAMES: Mapping[str, type | tuple[type, ...]] = {"string": str, "boolean": bool, "number": (int, float)}

_Error: TypeAlias = Any  # jsonschema.ValidationError; the library is imported where it is used


def check(value: Value, document: Document, schemas: Schemas) -> list[Problem]:
    """The problems `document` has by the manifest's schema; `value` is the document with variables filled in.

    Where templates stand, only what can be known of them is checked. Values of write-only fields, passwords
    and whatever was filled in from outside are never part of a message.
    """
    words = Words(document, schemas)
    findings = dict.fromkeys(
        finding
        for part in doubtful(value, schemas)
        for error in thorough(schemas).iter_errors(part)
        for finding in _findings(error, words)
    )
    return [finding.problem(document) for finding in findings]


def misfits(value: Value, schemas: Schemas) -> Iterator[tuple[Path, str]]:
    """Where the value of a manifest does not keep to the schema, and the keyword it breaks: for what is no file."""
    for part in doubtful(value, schemas):
        for error in thorough(schemas).iter_errors(part):
            yield tuple(error.absolute_path), str(error.validator)


@lru_cache(maxsize=8)
def thorough(schemas: Schemas) -> Any:
    """A validator of whole documents, of the library jsonschema, that knows templates: what it says is right."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    library = Draft202012Validator
    checker = library.TYPE_CHECKER.redefine("string", lambda _, value: isinstance(value, str | Template))
    keywords = ("pattern", "minLength", "maxLength", "enum", "const", "format")
    overrides = {keyword: _unless_template(library.VALIDATORS[keyword]) for keyword in keywords}
    overrides["type"] = _unless_whole(library.VALIDATORS["type"])
    validator = extend(library, overrides, type_checker=checker)  # type: ignore[no-untyped-call]
    return validator(assemble(schemas))


def _unless_template(keyword: Callable[..., Iterable[_Error]]) -> Callable[..., Iterable[_Error]]:
    def checked(validator: Any, expected: Any, value: Any, schema: Any) -> Iterable[_Error]:
        return () if isinstance(value, Template) else keyword(validator, expected, value, schema) or ()

    return checked


def _unless_whole(keyword: Callable[..., Iterable[_Error]]) -> Callable[..., Iterable[_Error]]:
    def checked(validator: Any, expected: Any, value: Any, schema: Any) -> Iterable[_Error]:
        if isinstance(value, Template) and value.whole:
            return ()
        return keyword(validator, expected, value, schema) or ()

    return checked


def _findings(error: _Error, words: Words) -> Iterator[Finding]:
    path: Path = tuple(error.absolute_path)
    rule, value, expected = error.validator, error.instance, error.validator_value
    description = str(error.schema.get("description", "")) if isinstance(error.schema, Mapping) else ""
    if _is_about_a_key(error):
        yield wording.bad_key((*path, str(value)), description, expected)
    elif rule in ("additionalProperties", "unevaluatedProperties") and isinstance(value, Mapping):
        yield from _unknown_keys(path, value, error.schema)
    elif rule == "required":
        yield from _missing_keys(path, value, expected)
    elif rule == "dependentRequired":
        for name in expected.keys() & value.keys():
            yield from _missing_keys(path, value, expected[name])
    elif rule == "type":
        yield wording.wrong_type(path, value, _listed(expected), words)
    elif rule in ("anyOf", "oneOf") and error.context:
        yield from _best_branch(error, words)
    elif rule in ("enum", "const"):
        yield wording.not_one_of(path, value, expected if rule == "enum" else [expected], words)
    elif rule is None:
        yield Finding(path, "unknown-key", "this key is not allowed here", "remove it", at_key=True)
    elif not (rule == "oneOf" and holds_template(value)):
        yield wording.not_allowed(path, value, rule, expected, description, words)


def _is_about_a_key(error: _Error) -> bool:
    """Whether the error comes from `propertyNames`, whose instances are keys."""
    steps = [None, *error.absolute_schema_path]
    named = ("properties", "patternProperties", "$defs")
    return any(step == "propertyNames" and before not in named for before, step in pairwise(steps))


def _unknown_keys(path: Path, value: Mapping[str, Value], schema: Mapping[str, Any]) -> Iterator[Finding]:
    known = list(schema.get("properties", {}))
    patterns = list(schema.get("patternProperties", {}))
    for name in value:
        if name not in known and not any(re.search(pattern, name) for pattern in patterns):
            absent = [key for key in known if key not in value]
            yield wording.unknown_key((*path, name), absent, known)


def _missing_keys(path: Path, value: Mapping[str, Value], names: Iterable[str]) -> Iterator[Finding]:
    for name in names:
        if name not in value:
            yield Finding(path, "missing-key", f"the key {name} is missing", "add it", at_key=True)


def _best_branch(error: _Error, words: Words) -> Iterator[Finding]:
    """The problems of the branch that was probably meant: of the right type, with the fewest signs of another."""
    depth = len(error.absolute_path)
    branches: dict[int, list[_Error]] = {}
    for nested in error.context:
        branches.setdefault(nested.schema_path[0], []).append(nested)
    fitting = [errors for errors in branches.values() if not any(_wanted_types(each, depth) for each in errors)]
    if not fitting:
        types = dict.fromkeys(name for nested in error.context for name in _wanted_types(nested, depth))
        yield wording.wrong_type(tuple(error.absolute_path), error.instance, types, words)
        return
    best = min(fitting, key=lambda errors: (sum(_weight(each, depth) for each in errors), len(errors)))
    for nested in best:
        yield from _findings(nested, words)


def _wanted_types(error: _Error, depth: int) -> list[str]:
    """The types a branch wants, when that is what is wrong with the value; nothing when the type is right."""
    if len(error.absolute_path) != depth:
        return []
    if error.validator == "type":
        return _listed(error.validator_value)
    if error.validator in ("enum", "const"):
        allowed = error.validator_value if error.validator == "enum" else [error.validator_value]
        types = [name for each in allowed for name in _TYPE_NAMES if isinstance(each, _TYPE_NAMES[name])]
        return [] if any(isinstance(error.instance, _TYPE_NAMES[name]) for name in types) else types
    return []


def _weight(error: _Error, depth: int) -> int:
    """How strongly an error says that another branch was meant: a wrong discriminator, unknown or missing keys."""
    if len(error.absolute_path) > depth + 1:
        return 0
    return {"const": 3, "enum": 3, "required": 1, "additionalProperties": 1}.get(error.validator, 0)


def _listed(types: Any) -> list[str]:
    return [types] if isinstance(types, str) else list(types)
