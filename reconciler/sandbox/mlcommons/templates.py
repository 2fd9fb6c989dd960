"""`${prefix.name}` templates, with `${prefix.name:-default}`, as in Apache Commons Text's StringSubstitutor."""

import re
from collections.abc import Mapping
from functools import lru_cache

from reconciler.sandbox.mlcommons.answers import failure


@lru_cache
def _pattern(prefix: str) -> re.Pattern[str]:
    return re.compile(rf"(\$?)\$\{{{re.escape(prefix)}\.([^}}]*)\}}")


def substitute(template: str, prefix: str, values: Mapping[str, str]) -> str:
    """Replace each `${prefix.name}` whose name has a value; what has none stays. Values may hold templates too."""
    return _substitute(template, prefix, values, ())


def _substitute(template: str, prefix: str, values: Mapping[str, str], within: tuple[str, ...]) -> str:
    def replace(match: re.Match[str]) -> str:
        escaped, inside = match.groups()
        if escaped:
            return match[0][1:]
        name, has_default, default = inside.partition(":-")
        if name in within:
            reason = f"Infinite loop in property interpolation of {name}: {'->'.join((*within, name))}"
            raise failure("illegal_state_exception", reason)
        value = values.get(name, default if has_default else None)
        return match[0] if value is None else _substitute(value, prefix, values, (*within, name))

    return _pattern(prefix).sub(replace, template)


def unfilled(text: str) -> list[str]:
    """The names of the `${parameters.x}` still in `text`."""
    return re.findall(r"\$\{parameters\.([^}]+)\}", text)
