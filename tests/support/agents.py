"""The agents of ML Commons in memory, as the real one answers: before 3.1 they can not be changed.

https://docs.opensearch.org/latest/ml-commons-plugin/api/agent-apis/index/
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support import searching
from tests.support.collection import Collection
from tests.support.refusal import Doc, Refused

_TYPES = ("flow", "conversational", "conversational_flow")
_TEXTS = ("name", "type", "description", "app_type")


class Agents:
    """All agents by id."""

    def __init__(self, kept: Collection) -> None:
        self.kept = kept

    @property
    def documents(self) -> dict[str, Doc]:
        """The agents by id."""
        return self.kept.documents

    def answer(self, method: str, one: str, body: Any, version: Sequence[int], now: float) -> Doc:
        """The answer to one request, of a domain of a version."""
        if one == "_search":
            if not self.kept.used:
                raise Refused(404, "no such index [.plugins-ml-agent]")
            return searching.found(self.kept.searched(now), body)
        if method == "POST" and one == "_register":
            chosen = body.get("agent_id") if tuple(version) >= (3, 9) else None
            return {"agent_id": self.kept.add(_agent(body), chosen)}
        if method == "PUT" and tuple(version) < (3, 1):
            raise Refused(405, "Incorrect HTTP method for uri and method [PUT], allowed: [DELETE, GET]")
        if one not in self.documents:
            raise Refused(404, f"Failed to find agent with the provided agent id: {one}")
        if method == "GET":
            return self.documents[one]
        if method == "DELETE":
            del self.documents[one]
            return {"_id": one, "result": "deleted"}
        if method == "PUT":
            self.kept.update(one, _changes(self.documents[one], body), now)
            return {"_id": one, "result": "updated"}
        raise Refused(405, f"Incorrect HTTP method [{method}]")


def _agent(body: Doc) -> Doc:
    agent: Doc = {key: body[key] for key in _TEXTS if key in body}
    for required in ("name", "type"):
        if required not in agent:
            raise Refused(400, f"Agent {required} can't be null")
    if agent["type"].lower() not in _TYPES:
        raise Refused(400, f"{agent['type']} is not a valid Agent Type")
    if agent["type"].lower() == "conversational" and "llm" not in body:
        raise Refused(400, "We need model information for the conversational agent type")
    return {**agent, **_parts(body), "is_hidden": False}


def _parts(body: Doc) -> Doc:
    """What of a body has parts of its own, as it is kept: values as texts, nothing for what is empty."""
    found: Doc = {}
    if "llm" in body:
        found["llm"] = {"model_id": body["llm"]["model_id"], **_texts(body["llm"])}
    if body.get("tools"):
        found["tools"] = [_tool(one) for one in body["tools"]]
    if "memory" in body:
        found["memory"] = body["memory"]
    return {**found, **_texts(body)}


def _tool(stated: Doc) -> Doc:
    tool: Doc = {"include_output_in_agent_response": False, **stated}
    return {**tool, **_texts(stated), **_texts(stated, "config")}


def _texts(stated: Mapping[str, Any], member: str = "parameters") -> Doc:
    values = stated.get(member) or {}
    return {member: {key: _text(value) for key, value in values.items()}} if values else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _changes(agent: Doc, body: Doc) -> Doc:
    if None in body.values():
        raise Refused(500, "Can't get text on a VALUE_NULL")
    if body.get("type", agent["type"]) != agent["type"]:
        raise Refused(400, "Agent type cannot be updated")
    if "memory" in body and "memory" not in agent:
        raise Refused(500, "null pointer")
    changes = {**{key: body[key] for key in _TEXTS if key in body}, **_parts(body)}
    if "parameters" in changes:
        changes["parameters"] = {**agent.get("parameters", {}), **changes["parameters"]}
    if "llm" in changes:
        before = agent.get("llm", {}).get("parameters", {})
        merged = {**before, **changes["llm"].get("parameters", {})}
        changes["llm"] = {**changes["llm"], **({"parameters": merged} if merged else {})}
    return changes
