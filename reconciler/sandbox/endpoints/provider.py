"""What the providers of models have in common."""

import json
import re
from collections.abc import Mapping
from typing import Protocol

from reconciler.canonical.json import Json
from reconciler.sandbox.gateway.http import Answer, Incoming

_TEMPLATE_TOKEN = re.compile(r"<[\uff5c|][^<>]*[\uff5c|]>")

BROKEN = Answer(200, {"content-type": "application/json"}, b'{"id": "broken", "choices": [{"message": {"con')
"""An answer that ends in the middle."""


class Provider(Protocol):
    """A service that serves models at `hosts`. `troubles` are answers of its own that it gives when told to."""

    @property
    def hosts(self) -> re.Pattern[str]:
        """The names it is served under."""
        ...

    @property
    def troubles(self) -> Mapping[str, Answer]:
        """Answers by kind: `throttled`, `unauthorised`, `wrong-model`, `error`, `unavailable`, `malformed`, ..."""
        ...

    def answer(self, request: Incoming, host: re.Match[str]) -> Answer:
        """The answer to a request at a host that `hosts` matched."""
        ...


def echo(prompt: str) -> str:
    """The answer to a prompt: its words without the tokens of a chat template."""
    return f"You asked: {' '.join(_TEMPLATE_TOKEN.sub(' ', prompt).split())}"


def tokens(text: str) -> int:
    """About as many tokens as a text has: its words."""
    return len(text.split())


def read_object(request: Incoming) -> Mapping[str, Json] | None:
    """The body of a request, None when it is not a JSON object."""
    try:
        body = json.loads(request.content)
    except ValueError:
        return None
    return body if isinstance(body, Mapping) else None


def texts(value: Json) -> list[str] | None:
    """A list of texts, or one text as such a list; None for anything else and for an empty list."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        return None
    return [str(one) for one in value]
