"""What the kinds of IAM have in common: pages of listings, documents as text."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from reconciler.canonical.json import Json
from reconciler.kinds._aws import body_of
from reconciler.manifest.templates import Value
from reconciler.model.request import Answer, Request
from reconciler.model.steps import Failed, Steps, call_all

GONE = frozenset({"NoSuchEntity"})


def pages(requests: Sequence[Request]) -> Steps[list[list[Answer]]]:
    """All pages of several listings, side by side: for each request its answers in order."""
    found: list[list[Answer]] = [[] for _ in requests]
    ahead = dict(enumerate(requests))
    while ahead:
        answers = yield from call_all(ahead.values())
        following: dict[int, Request] = {}
        for (index, request), answer in zip(ahead.items(), answers, strict=True):
            found[index].append(answer)
            body = body_of(answer)
            if body.get("IsTruncated"):
                following[index] = replace(request, parameters={**request.parameters, "Marker": str(body["Marker"])})
        ahead = following
    return found


def items(answers: Sequence[Answer], key: str) -> Iterator[Mapping[str, Json]]:
    """The members of a listing, page after page. An answer without the listing is not an empty one."""
    for answer in answers:
        if answer.missing:
            continue
        listed = body_of(answer).get(key)
        if not isinstance(listed, Sequence) or isinstance(listed, str):
            raise Failed("bad-answer", f"IAM answered a listing without {key}")
        for item in listed:
            if not isinstance(item, Mapping):
                raise Failed("bad-answer", f"IAM answered a listing of {key} with an item that is none")
            yield item


def text_of(document: Value) -> str:
    """A policy document as IAM takes it."""
    return json.dumps(document, separators=(",", ":"))
