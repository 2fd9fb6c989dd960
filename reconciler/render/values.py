"""Values and paths as people read them."""

import json
from collections.abc import Mapping, Sequence

from reconciler.diff import dotted
from reconciler.manifest.templates import Template, Value

_SHOWABLE = ("arn:", "${secret.")

__all__ = ["dotted", "guarded", "plain", "shown"]


def shown(value: Value) -> str:
    """A value in one line of JSON; what is not known yet and secrets say so."""
    if isinstance(value, Template):
        if value.whole is not None:
            return _reference(value)
        return json.dumps(str(value), ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)}: {shown(member)}" for key, member in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(shown(member) for member in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def plain(value: Value) -> str:
    """As `shown`, with strings that need no quotes left bare: ARNs and names in lists."""
    if isinstance(value, str) and value and not any(character in value for character in ' "\n\t'):
        return value
    return shown(value)


def guarded(value: Value) -> Value:
    """A value of a write-only field as it may be shown: references and ARNs; anything else might be a secret."""
    if isinstance(value, Mapping):
        return {key: guarded(member) for key, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [guarded(member) for member in value]
    if value is None or isinstance(value, Template) or (isinstance(value, str) and value.startswith(_SHOWABLE)):
        return value
    return "(not shown)"


def _reference(value: Template) -> str:
    reference = value.whole
    assert reference is not None
    if reference.namespace == "secret":
        return f"(secret {reference.name})"
    return f"(known after apply: {str(reference)[2:-1]})"
