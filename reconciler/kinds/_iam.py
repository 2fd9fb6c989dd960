"""What the kinds of IAM have in common: pages of listings, tags with the mark among them, documents as text."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from reconciler.canonical.json import Json
from reconciler.manifest.templates import Value
from reconciler.model.kind import Work
from reconciler.model.request import Answer, Request, Service
from reconciler.model.steps import Failed, Steps, call_all

MARK = "reconciler:manifest"
"""The tag whose value is `<manifest>/<ledger id>` on everything in IAM that is ours."""

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


def retagged(work: Work, entity: str, parameter: str, which: str) -> list[Request]:
    """What brings the tags of `work.live` to those stated, with the mark, and takes away those stated before.

    `entity` is what IAM calls it (`Role`), `which` its name or ARN, told by `parameter`.
    """
    assert work.live is not None
    found: list[Request] = []
    tags = map_of(work.fields.get("tags")) if "tags" in work.changed else {}
    if work.live.mark != work.mark or tags:
        added = {parameter: which, "Tags": tags_of({**tags, MARK: work.mark})}
        found.append(Request(Service.IAM, f"Tag{entity}", added))
    stated = {key.casefold() for key in map_of(work.fields.get("tags"))}
    applied = map_of(work.row.applied.get("tags")) if work.row else {}
    dropped = [key for key in applied if key.casefold() not in stated]
    if "tags" in work.changed and dropped:
        found.append(Request(Service.IAM, f"Untag{entity}", {parameter: which, "TagKeys": dropped}))
    return found


def tags_of(tags: Mapping[str, Value]) -> list[Value]:
    """Tags as IAM takes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def told(tags: Json) -> Mapping[str, str]:
    """Tags as IAM shows them, by key."""
    return {str(tag["Key"]): str(tag["Value"]) for tag in maps(tags)}


def text_of(document: Value) -> str:
    """A policy document as IAM takes it."""
    return json.dumps(document, separators=(",", ":"))


def body_of(answer: Answer) -> Mapping[str, Json]:
    """The members of an answer."""
    return answer.body if isinstance(answer.body, Mapping) else {}


def maps(value: Json) -> list[Mapping[str, Json]]:
    """The maps in a list."""
    listed = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    return [one for one in listed if isinstance(one, Mapping)]


def map_of(value: Value) -> Mapping[str, Value]:
    """A map, empty where it is none."""
    return value if isinstance(value, Mapping) else {}
