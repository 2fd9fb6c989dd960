"""The private endpoint of a sandbox, which `reconciler.sandbox.lifecycle` asks: resets, faults, the log."""

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from reconciler.canonical.json import Json
from reconciler.sandbox.faults import Faults, read_fault
from reconciler.sandbox.gateway.http import Answer, Incoming, json_answer
from reconciler.sandbox.journal import Journal

Route = Callable[[Mapping[str, Json]], Awaitable[Json]]


class Controlled(Protocol):
    """What is controlled. A method raises ValueError for what it can not do, saying why."""

    async def reset(self) -> None:
        """Bring everything back to what it was at the start."""
        ...

    async def restart_node(self) -> None:
        """Stop the node and start it again, its data kept."""
        ...

    def configure(self, switches: Mapping[str, Json]) -> None:
        """Turn switches of the account; see `reconciler.sandbox.gateway.switches`."""
        ...

    def steer(self, host: str, answer: str, times: int | None, seconds: float) -> None:
        """Choose the next answers of a model's host."""
        ...

    def mend(self) -> None:
        """Let nothing go wrong any more: no faults, no switches, no chosen answers."""
        ...


class Control:
    """Answers requests that show the sandbox's token; bodies are JSON objects, what is wrong with one is a 400."""

    def __init__(self, sandbox: Controlled, journal: Journal, faults: Faults, token: str) -> None:
        self._sandbox = sandbox
        self._journal = journal
        self._faults = faults
        self._authorization = f"Bearer {token}"
        self._routes: Mapping[tuple[str, str], Route] = {
            ("POST", "/reset"): self._reset,
            ("POST", "/restart"): self._restart,
            ("POST", "/faults"): self._configure,
            ("POST", "/network"): self._add_fault,
            ("POST", "/models"): self._steer,
            ("POST", "/mend"): self._mend,
            ("POST", "/log"): self._log,
        }

    async def handle(self, request: Incoming) -> Answer:
        """Answer one request."""
        if not hmac.compare_digest(request.headers.get("authorization", ""), self._authorization):
            return json_answer(401, {"message": "wrong token"})
        route = self._routes.get((request.method, request.path))
        if route is None:
            return json_answer(404, {"message": f"no {request.method} {request.path}"})
        try:
            body = json.loads(request.body or b"{}")
            if not isinstance(body, Mapping):
                raise ValueError("the body is no JSON object")
            return json_answer(200, await route(body))
        except ValueError as error:
            return json_answer(400, {"message": str(error)})

    async def _reset(self, _body: Mapping[str, Json]) -> Json:
        self._faults.clear()
        await self._sandbox.reset()
        self._journal.clear()
        return {"reset": True}

    async def _restart(self, _body: Mapping[str, Json]) -> Json:
        await self._sandbox.restart_node()
        return {"restarted": True}

    async def _configure(self, body: Mapping[str, Json]) -> Json:
        self._sandbox.configure(body)
        return {"faults": True}

    async def _add_fault(self, body: Mapping[str, Json]) -> Json:
        self._faults.add(read_fault(body))
        return {"faults": [dict(fault.as_json()) for fault in self._faults.active]}

    async def _steer(self, body: Mapping[str, Json]) -> Json:
        times, seconds = body.get("times", 1), body.get("seconds", 0.0)
        if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 1):
            raise ValueError(f"times is a number from 1, not {times!r}")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
            raise ValueError(f"seconds is a number from 0, not {seconds!r}")
        self._sandbox.steer(str(body.get("host", "")), str(body.get("answer", "")), times, seconds)
        return {"steered": True}

    async def _mend(self, _body: Mapping[str, Json]) -> Json:
        self._faults.clear()
        self._sandbox.mend()
        return {"mended": True}

    async def _log(self, body: Mapping[str, Json]) -> Json:
        last = body.get("last", 100)
        if not isinstance(last, int) or isinstance(last, bool) or last < 0:
            raise ValueError(f"last is a number from 0, not {last!r}")
        return {"entries": [dict(entry.as_json()) for entry in self._journal.last(last)]}
