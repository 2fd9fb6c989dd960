"""Sends the recorded requests to a live domain, in their order and one at a time, and compares the answers.

The domain must be empty, as the recorded node was. Some answers need a moment, so a row that differs is sent again:
a GET of a model or task whose state differs, for up to 15 s; a search, until 2.5 s after the last write, since searches
are stale for a moment; a write refused because of such a stale search, a version conflict or an unfinished deployment,
for up to 2.5 s. After a request that starts a deployment, its end is awaited before the next write.
"""

import gzip
import json
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests

from reconciler.canonical.json import Json
from tests.sandbox.replay.comparison import Comparison, Difference
from tests.sandbox.replay.ids import Ids, Row

_POLL_SECONDS, _STALE_SECONDS, _STEP_SECONDS, _TIMEOUT_SECONDS = 15.0, 2.5, 0.25, 30.0

_STATE = re.compile(r"/_plugins/_ml/(models|tasks)/[^/_?][^/?]*")
_SEARCH = re.compile(r".*/(_search|_count)(\?.*)?")
_DEPLOY = re.compile(r"/_plugins/_ml/models/(?:_register\?.*deploy=true.*|([^/]+)/_deploy)")
_PREDICT = re.compile(r"/_plugins/_ml/models/([^/]+)/_predict")
_PASSING_REFUSAL = re.compile(
    r"still using this connector|is already being used by|(?i:version.conflict)|wait for the model to complete"
)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a row: `agree`, `differ`, or `blocked` when it needs an id that was never made."""

    row: Row
    outcome: str
    status: int = 0
    differences: tuple[Difference, ...] = field(default=())
    reason: str = ""

    @property
    def key(self) -> str:
        """The row's name in a list."""
        return f"{self.row.name}@{self.row.seq}"

    @property
    def family(self) -> str:
        """The first part of the row's name."""
        return self.row.name.split(".")[0]

    def __str__(self) -> str:
        row = self.row
        lines = [f"{self.key}, as {row.sender}: {row.method} {row.path} -> {self.status} {self.reason}"]
        return "\n    ".join([*lines, *map(str, self.differences[:6])])


def load(path: Path) -> list[Row]:
    """The rows of a recording (JSON lines, gzipped) that were answered, in order."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        raw = [json.loads(line) for line in file]
    rows = [
        Row(
            entry["seq"],
            entry["name"],
            entry.get("as"),
            entry["method"],
            entry["path"],
            entry.get("request_headers") or {},
            entry.get("request_body"),
            entry["status"],
            entry["response_body"],
        )
        for entry in raw
    ]
    return sorted((row for row in rows if row.status), key=lambda row: row.seq)


class Sender:
    """Sends rows as who sent them when they were recorded: a user by password, a role by proxy headers, or nobody."""

    def __init__(self, url: str, passwords: Mapping[str, str], authority: Path) -> None:
        self._url = url
        self._passwords = passwords
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(authority)

    def send(self, row: Row, method: str, path: str, body: Json) -> tuple[int, Json]:
        """Status and body of the answer."""
        headers = dict(row.headers)
        given = {name.lower() for name in headers}
        user = self._identify(row, headers, given)
        data = None
        if body is not None:
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            if "content-type" not in given:
                lines = urlsplit(path).path.endswith(("/_bulk", "/_msearch"))
                headers["Content-Type"] = "application/x-ndjson" if lines else "application/json"
        prepared = self._session.prepare_request(requests.Request(method, self._url + path, headers=headers, data=data))
        if user is not None:
            requests.auth.HTTPBasicAuth(user, self._passwords[user])(prepared)
        answer = self._session.send(prepared, timeout=_TIMEOUT_SECONDS)
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, answer.text

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def _identify(self, row: Row, headers: dict[str, str], given: Collection[str]) -> str | None:
        """The user to name by password; proxy headers of a role are added."""
        sender = row.sender
        if sender is None or sender == "anonymous" or "authorization" in given:
            return None
        if sender.startswith("arn:"):
            if "x-proxy-user" not in given:
                headers.update({"x-forwarded-for": "127.0.0.1", "x-proxy-user": sender, "x-proxy-roles": sender})
            return None
        if any(name.lower() == "x-proxy-user" and value == sender for name, value in headers.items()):
            return None
        return sender


class Replay:
    """One run of a recording. No other answer is waited for on rows named in `unsteady`."""

    def __init__(self, rows: list[Row], sender: Sender, unsteady: Collection[str] = ()) -> None:
        self._rows = rows
        self._sender = sender
        self._unsteady = unsteady
        self._ids = Ids(rows)
        self._last_write = float("-inf")
        self._deploying: tuple[Row, str | None] | None = None
        self._stale = list(_stale_hits(rows))

    def run(self) -> list[Result]:
        """The results of all rows."""
        return [self._row(index) for index in range(len(self._rows))]

    def _row(self, index: int) -> Result:
        row = self._rows[index]
        body_text = row.body if isinstance(row.body, str) else json.dumps(row.body)
        needed = self._ids.unknown(f"{row.path} {body_text}")
        if needed:
            made = self._ids.origin(needed[0])
            return Result(row, "blocked", reason=f"unknown id {needed[0]}, first recorded at {made and made.name}")
        path, body = self._ids.live(row.path), self._ids.live_all(row.body)
        reading = row.method in ("GET", "HEAD") or _SEARCH.fullmatch(path) is not None
        self._settle_before(path, reading)
        status, answer, differences = self._send(index, path, body)
        if not reading:
            self._last_write = time.monotonic()
            started = _DEPLOY.fullmatch(path) or _PREDICT.fullmatch(path)
            if started and isinstance(answer, dict):
                model = started[1] or answer.get("model_id")
                self._deploying = (row, model if isinstance(model, str) else None)
        return Result(row, "differ" if differences else "agree", status, tuple(differences))

    def _send(self, index: int, path: str, body: Json) -> tuple[int, Json, list[Difference]]:
        row = self._rows[index]
        begin, mark = time.monotonic(), self._ids.mark()
        while True:
            status, answer = self._sender.send(row, row.method, path, body)
            comparison = Comparison(self._ids, row, self._further(index), self._stale[index])
            differences = comparison.run(row.status, status, row.answer, answer)
            if not differences:
                return status, answer, differences
            until = self._again_until(row, path, status, answer, begin)
            if time.monotonic() + _STEP_SECONDS > until:
                break
            self._ids.reset(mark)
            time.sleep(_STEP_SECONDS)
        self._ids.reset(mark)
        for binding in comparison.bound:  # from an answer that differs, learn only what it plainly says
            plain = binding.place.count(".") == 1 and "[" not in binding.place
            if plain and status < 300 and row.status < 300:
                self._ids.bind(binding.recorded, binding.live)
        return status, answer, differences

    def _again_until(self, row: Row, path: str, status: int, answer: Json, begin: float) -> float:
        """Until when it is worth sending a row again."""
        refused = status in (400, 409) and row.status in (200, 201, 400, 409)
        if refused and _PASSING_REFUSAL.search(json.dumps(answer)):
            return begin + _STALE_SECONDS
        if f"{row.name}@{row.seq}" in self._unsteady:
            return begin
        if row.method == "GET" and _STATE.fullmatch(path) and _state(answer) != _state(row.answer):
            return begin + _POLL_SECONDS
        if _SEARCH.fullmatch(path) and row.status == 200:
            return self._last_write + _STALE_SECONDS
        return begin

    def _further(self, index: int) -> set[str]:
        """The states a model is on the way to.

        Those which later rows show before anything else is done to it, and DEPLOYED if it was registered to be
        deployed or the row before is a predict.
        """
        row, states = self._rows[index], set[str]()
        if row.method != "GET" or not _STATE.fullmatch(row.path):
            return states
        origin = self._ids.origin(row.path.split("/")[-1])
        before = self._rows[index - 1].path if index else ""
        if (origin and _DEPLOY.fullmatch(origin.path)) or before == f"{row.path}/_predict":
            states = {"DEPLOYING", "DEPLOYED"}
        for later in self._rows[index + 1 : index + 20]:
            if later.path == row.path and isinstance(later.answer, dict):
                states |= {str(later.answer.get(key)) for key in ("state", "model_state")}
            elif row.path in later.path:
                break
        return states

    def _settle_before(self, path: str, reading: bool) -> None:
        """Wait for a deployment under way, unless the request to come does not mind."""
        if self._deploying is None:
            return
        by_predict = _PREDICT.fullmatch(self._deploying[0].path) is not None
        if path.endswith("/_undeploy") or not (reading or by_predict):
            self._settle()

    def _settle(self) -> None:
        """Wait until the deployment started by the last requests has ended, or has not begun within a second."""
        if self._deploying is None:
            return
        (row, model), self._deploying = self._deploying, None
        begin = time.monotonic()
        while model and time.monotonic() < begin + _POLL_SECONDS:
            status, answer = self._sender.send(row, "GET", f"/_plugins/_ml/models/{model}", None)
            state = answer.get("model_state") if status == 200 and isinstance(answer, dict) else None
            if state in (None, "DEPLOYED", "PARTIALLY_DEPLOYED", "DEPLOY_FAILED") or (
                state != "DEPLOYING" and time.monotonic() > begin + 1
            ):
                break
            time.sleep(_STEP_SECONDS / 2)


def _state(body: Json) -> tuple[Json, Json] | None:
    return (body.get("state"), body.get("model_state")) if isinstance(body, dict) else None


def _stale_hits(rows: list[Row]) -> list[set[str]]:
    """For each row the ids of the hits that were stale when recorded: an earlier answer shows a later version."""
    stale: list[set[str]] = []
    latest: dict[str, int] = {}
    for row in rows:
        body = row.answer if isinstance(row.answer, dict) else {}
        outer = body.get("hits")
        hits = outer.get("hits") if isinstance(outer, dict) else None
        found: set[str] = set()
        for hit in hits if isinstance(hits, list) else []:
            if isinstance(hit, dict):
                identifier, version = hit.get("_id"), hit.get("_version", 0)
                if isinstance(identifier, str) and isinstance(version, int):
                    found |= {identifier} if 0 < version < latest.get(identifier, 0) else set()
        stale.append(found)
        identifier, version = body.get("_id"), body.get("_version")
        if isinstance(identifier, str) and isinstance(version, int):
            latest[identifier] = version
    return stale
