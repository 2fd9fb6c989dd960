"""JSON values as YAML that reads well and that manifests read back as the same."""

from collections.abc import Mapping
from typing import Any

import yaml

from reconciler.canonical.json import Json
from reconciler.manifest.scalars import plain_scalar

_WIDTH = 110
_FOLDED = 100
"""Characters from which on a text of words is written on several lines."""

_BREAKS = frozenset("\r\x85\u2028\u2029")
"""What readers of YAML take for the end of a line, and make another one of."""

_Base: Any = yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper


class _Dumper(_Base):  # type: ignore[misc]
    """Writes what is there twice in full twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dumped(value: Mapping[str, Json], indent: int = 0) -> str:
    """A mapping as block YAML, each line moved in by `indent`; text of several lines as it is."""
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "default_flow_style": False}
    text: str = yaml.dump(value, Dumper=_Dumper, width=_WIDTH, **options)
    margin = " " * indent
    return "".join(f"{margin}{line}" if line.strip("\n") else line for line in text.splitlines(keepends=True))


def _text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text))


def _style(text: str) -> str | None:
    if not _BREAKS.isdisjoint(text) or not text.strip("\n "):
        return '"'
    if "\n" in text:
        return "|"
    if len(text) > _FOLDED and " " in text:
        return ">"
    return None if _is_plain(text) else "'"


def _is_plain(text: str) -> bool:
    """Whether manifests read the text without quotes as itself. What YAML takes for something else is quoted anyway."""
    try:
        return plain_scalar(text) == text
    except OverflowError:
        return False


_Dumper.add_representer(str, _text)
