"""Judging an answer by what a query expects of it, and what to show of it."""

import json
from collections.abc import Iterator, Mapping, Sequence

from reconciler.canonical.json import Json, canonical_text
from reconciler.model.request import Answer
from reconciler.redaction import Redaction

_WORDS = 500
"""How many characters are shown of what a model says."""

_MOST = 200
"""How many characters are shown of any other answer."""

_RAG = "retrieval_augmented_generation"
_TEXTS = ("completion", "content", "answer")


def judge(
    answer: Answer, asked: Json, expect: Mapping[str, Json], milliseconds: float, redaction: Redaction
) -> tuple[str, ...]:
    """Why the answer to the body `asked` is not the one expected; nothing when it is. Secrets are not in it."""
    wanted = expect.get("status", 200)
    if answer.status != wanted:
        return (f"status {answer.status} instead of {wanted}: {answer.reason}",)
    if not answer.ok and answer.code == "not-json":
        return (f"the answer is not JSON: {answer.reason}",)
    found: list[str] = []
    if wanted == 200:
        shown = redaction.json(answer.body)
        found += [f"status 200 with an error inside: {error}" for error in _inner_errors(shown)]
        if _asks_for_an_answer(asked) and not found and not _generated(shown):
            found.append(f"status 200 without an answer: nothing is at ext.{_RAG}.answer")
    found += _missing_texts(json.dumps(answer.body, ensure_ascii=False), expect.get("contains"), "the answer")
    for condition in _sequence(expect.get("json")):
        if isinstance(condition, Mapping):
            found += (redaction.text(why) for why in _unmet(answer.body, condition))
    limit = expect.get("latency_ms")
    if isinstance(limit, int | float) and milliseconds > limit:
        found.append(f"it took {milliseconds:,.0f} ms, more than {limit:,g}")
    return tuple(found)


def excerpt(answer: Answer, redaction: Redaction) -> str:
    """What people are shown of an answer: the model's words where there are any, in one line."""
    body = redaction.json(answer.body)
    hits = _hits(body)
    if words := _generated(body) or ("" if hits else _completion(body)):
        return _cut(words, _WORDS)
    text = json.dumps(body, ensure_ascii=False) if body is not None else answer.reason
    return _cut(hits or text, _MOST)


def _inner_errors(body: Json) -> Iterator[str]:
    """The errors that an answer with status 200 may hold where what was asked for should be.

    Documents that were found may have errors of their own: only the places that are the services' are looked at.
    """
    if error := _member(body, "error"):
        yield f"error: {_shown(error)}"
    if _member(body, "timed_out") is True:
        yield "timed_out: not everything was searched in time"
    shards = _member(body, "_shards")
    if failed := _member(shards, "failed"):
        reasons = [str(_member(_member(one, "reason"), "reason")) for one in _sequence(_member(shards, "failures"))]
        yield f"_shards.failed: {failed}{': ' + reasons[0] if reasons else ''}"
    for name in ("ext", "inference_results"):
        yield from (f"{name}{path}: {_shown(error)}" for path, error in _errors(_member(body, name), ""))


def _errors(value: Json, path: str) -> Iterator[tuple[str, Json]]:
    if isinstance(value, Mapping):
        for key, member in value.items():
            if key == "error" and member:
                yield f"{path}.error", member
            else:
                yield from _errors(member, f"{path}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, member in enumerate(value):
            yield from _errors(member, f"{path}[{index}]")


def _asks_for_an_answer(asked: Json) -> bool:
    extension = asked.get("ext") if isinstance(asked, Mapping) else None
    return isinstance(extension, Mapping) and "generative_qa_parameters" in extension


def _missing_texts(text: str, wanted: Json, where: str) -> Iterator[str]:
    for part in [wanted] if isinstance(wanted, str) else _sequence(wanted):
        if str(part) not in text:
            yield f"{where} does not contain {part!r}"


def _unmet(body: Json, condition: Mapping[str, Json]) -> Iterator[str]:
    """What of a condition on the values at its path does not hold."""
    from jsonpath_ng.ext.parser import parse

    path = str(condition.get("path"))
    try:
        found: list[Json] = [match.value for match in parse(path).find(body)]
    except Exception as error:  # operators that do not fit the values found, in the library's own ways
        yield f"{path} can not be evaluated on the answer: {str(error) or type(error).__name__}"
        return
    there = [value for value in found if value is not None]
    if condition.get("exists") is False:
        if there:
            yield f"{path} is there: {_shown(there[0])}"
        return
    if not found or (not there and "equals" not in condition):
        yield f"nothing is at {path}"
        return
    if "equals" in condition and not any(_same(value, condition["equals"]) for value in found):
        yield f"{path} is {', '.join(map(_shown, found[:3]))}, not {_shown(condition['equals'])}"
    text = "\n".join(value if isinstance(value, str) else canonical_text(value) for value in there)
    yield from _missing_texts(text, condition.get("contains"), path)


def _same(found: Json, wanted: Json) -> bool:
    """Whether two values are the same JSON: 1 and 1.0 are, 1 and true are not."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, int | float) and isinstance(wanted, int | float):
        return found == wanted
    return canonical_text(found) == canonical_text(wanted)


def _generated(body: Json) -> str:
    """What a pipeline had a model say about what was found."""
    answer = _member(_member(_member(body, "ext"), _RAG), "answer")
    return answer if isinstance(answer, str) else ""


def _completion(body: Json) -> str:
    """The model's text in a prediction, whatever the provider's shape."""
    if isinstance(body, Mapping):
        for key in _TEXTS:
            if isinstance(body.get(key), str):
                return str(body[key])
        return next((found for member in body.values() if (found := _completion(member))), "")
    return next((found for member in _sequence(body) if (found := _completion(member))), "")


def _hits(body: Json) -> str:
    hits = _member(body, "hits")
    if not isinstance(hits, Mapping) or not isinstance(hits.get("hits"), Sequence):
        return ""
    found = _sequence(hits["hits"])
    total = _member(hits.get("total"), "value")
    first = _member(found[0], "_source") if found else None
    count = f"{total if isinstance(total, int) else len(found):,} found"
    return f"{count}, first {canonical_text(first)}" if first is not None else count


def _member(value: Json, name: str) -> Json:
    return value.get(name) if isinstance(value, Mapping) else None


def _sequence(value: Json) -> Sequence[Json]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _shown(value: Json) -> str:
    return _cut(value if isinstance(value, str) else canonical_text(value), 120)


def _cut(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 3] + "..."
