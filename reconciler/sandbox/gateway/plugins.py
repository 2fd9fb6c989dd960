"""Shows ML Commons among the node's plugins, where the real node, which lacks it, lists what it has."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from reconciler.canonical.json import Json
from reconciler.sandbox.gateway.http import Answer, Incoming

_BESIDE = "opensearch-job-scheduler"
_SHOWN = "opensearch-ml"


def with_ml_commons(request: Incoming, answer: Answer) -> Answer:
    """The node's answer, with ML Commons in the lists of `_nodes` and `_cat/plugins`."""
    if request.method != "GET" or answer.status != HTTPStatus.OK or _BESIDE.encode() not in answer.body:
        return answer
    if request.path == "/_cat/plugins" and "json" not in answer.headers.get("content-type", ""):
        lines = answer.body.decode().splitlines(keepends=True)
        body = "".join(line + _added(line) for line in lines).encode()
        return Answer(answer.status, answer.headers, body)
    if request.path in {"/_cat/plugins", "/_nodes"} or request.path.startswith("/_nodes/"):
        return Answer(answer.status, answer.headers, json.dumps(_extended(json.loads(answer.body))).encode())
    return answer


def _added(line: str) -> str:
    return line.replace(_BESIDE, _SHOWN.ljust(len(_BESIDE))) if _BESIDE in line else ""


def _extended(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {key: _extended(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        twins = [
            {key: _SHOWN if part == _BESIDE else part for key, part in entry.items()}
            for entry in value
            if isinstance(entry, Mapping) and _BESIDE in entry.values()
        ]
        return [*map(_extended, value), *twins]
    return value
