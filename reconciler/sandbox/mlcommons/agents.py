"""The agent API: register, get, delete, search, execute; and the tools."""

import time
from collections.abc import Mapping

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons import indices
from reconciler.sandbox.mlcommons.answers import (
    PlainRefusal,
    Refusal,
    answer,
    failure,
    illegal_argument,
    status_error,
)
from reconciler.sandbox.mlcommons.documents import Documents, IndexMissing
from reconciler.sandbox.mlcommons.predict import Predictions
from reconciler.sandbox.mlcommons.processing import Input
from reconciler.sandbox.mlcommons.routing import ACTION, Call, Route
from reconciler.sandbox.mlcommons.search import Search
from reconciler.sandbox.mlcommons.security import Caller
from reconciler.sandbox.mlcommons.settings import LiveSettings
from reconciler.sandbox.mlcommons.templates import substitute
from reconciler.sandbox.mlcommons.values import (
    Document,
    Part,
    compact,
    document,
    listed,
    parameter_map,
    parse_body,
    string,
    string_map,
)
from reconciler.sandbox.protocol import MlResponse

_DISABLED = (
    "Agent Framework is currently disabled. To enable it, update the setting "
    '"plugins.ml_commons.agent_framework_enabled" to true.'
)
_TYPES = ("flow", "conversational", "conversational_flow")
_TOOLS: Mapping[str, str] = {"MLModelTool": "Use this tool to run any model."}
_JAVA_NAMES = {
    "status_exception": "OpenSearchStatusException",
    "illegal_argument_exception": "IllegalArgumentException",
    "illegal_state_exception": "IllegalStateException",
    "security_exception": "OpenSearchSecurityException",
}


class Agents:
    """Agents in the real node. Executing one runs its `MLModelTool`s in turn; other tools are unknown here."""

    def __init__(self, documents: Documents, search: Search, settings: LiveSettings, predictions: Predictions) -> None:
        self._documents = documents
        self._search = search
        self._settings = settings
        self._predictions = predictions

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        one = "/agents/{agent_id}"
        return (
            Route("POST", "/agents/_register", f"{ACTION}agents/register", self.register),
            Route("GET", "/agents/_search", f"{ACTION}agents/search", self.search),
            Route("POST", "/agents/_search", f"{ACTION}agents/search", self.search),
            Route("GET", one, f"{ACTION}agents/get", self.get),
            Route("DELETE", one, f"{ACTION}agents/delete", self.delete),
            Route("POST", f"{one}/_execute", f"{ACTION}execute", self.execute),
            Route("GET", "/tools", f"{ACTION}tools/list", self.tools),
            Route("GET", "/tools/{tool_name}", f"{ACTION}tools/get", self.tool),
        )

    async def register(self, call: Call) -> MlResponse:
        """POST agents/_register."""
        self._require_framework()
        if not call.request.body:
            raise failure("parse_exception", "request body is required", 400)
        agent = _parse(parse_body(call.request.body))
        await call.permit()
        now = int(time.time() * 1000)
        source: Document = {**agent, "created_time": now, "last_updated_time": now, "is_hidden": False}
        return answer({"agent_id": await self._documents.create(indices.AGENTS, source)})

    async def get(self, call: Call) -> MlResponse:
        """GET agents/{id}."""
        self._require_framework()
        await call.permit()
        return answer(await self._read(call.argument("agent_id")))

    async def delete(self, call: Call) -> MlResponse:
        """DELETE agents/{id}."""
        self._require_framework()
        await call.permit()
        agent_id = call.argument("agent_id")
        await self._read(agent_id)
        return answer(await self._documents.delete(indices.AGENTS, agent_id))

    async def search(self, call: Call) -> MlResponse:
        """GET and POST agents/_search; 404 while no agent was ever registered."""
        raw, body = self._search.parse(call)
        await call.permit()
        return await self._search.run(indices.AGENTS, raw, body, missing_is_empty=False)

    async def execute(self, call: Call) -> MlResponse:
        """POST agents/{id}/_execute."""
        self._require_framework()
        parameters = parameter_map(document(parse_body(call.request.body).value).get("parameters"))
        try:
            caller = await call.permit()
            result = await self._run(caller, await self._read(call.argument("agent_id")), parameters)
        except Refusal as refusal:
            raise PlainRefusal(_execution_error(refusal)) from None
        return answer({"inference_results": [{"output": [{"name": "response", "result": result}]}]})

    async def tools(self, call: Call) -> MlResponse:
        """GET tools."""
        await call.permit()
        return answer([_tool(name) for name in _TOOLS])

    async def tool(self, call: Call) -> MlResponse:
        """GET tools/{name}."""
        await call.permit()
        name = call.argument("tool_name")
        if name not in _TOOLS:
            raise status_error(404, f"Failed to find tool information with the provided tool name: {name}")
        return answer(_tool(name))

    def _require_framework(self) -> None:
        if not self._settings.flag("agent_framework_enabled"):
            raise failure("illegal_state_exception", _DISABLED)

    async def _read(self, agent_id: str) -> Document:
        try:
            stored = await self._documents.get(indices.AGENTS, agent_id)
        except IndexMissing:
            raise status_error(404, "Failed to get agent index") from None
        if stored is None:
            raise status_error(404, f"Failed to find agent with the provided agent id: {agent_id}")
        return stored.source

    async def _run(self, caller: Caller, agent: Document, parameters: dict[str, str]) -> str:
        result = ""
        given = dict(parameters)
        for entry in listed(agent.get("tools")):
            tool = document(entry)
            kind = string(tool.get("type"))
            if kind != "MLModelTool":
                raise illegal_argument(f"Tool not found: {kind}")
            result = await self._ask_model(caller, string_map(tool.get("parameters")), given)
            given[f"{tool.get('name') or kind}.output"] = result
        return result

    async def _ask_model(self, caller: Caller, own: dict[str, str], given: Mapping[str, str]) -> str:
        filled = {key: substitute(value, "parameters", given) for key, value in own.items()}
        results = await self._predictions.infer(
            filled.get("model_id", ""), None, Input(parameters={**filled, **given}), caller
        )
        tensors = listed(results[0].get("output")) if results else []
        data = document(document(tensors[0]).get("dataAsMap")) if tensors else {}
        field = filled.get("response_field", "response")
        value: Json = data.get(field, data)
        return value if isinstance(value, str) else compact(_without_null(value))


def _parse(part: Part) -> Document:
    agent: Document = {}
    for key, member in part.members():
        match key:
            case "name" | "type" | "description" | "app_type":
                agent[key] = member.text()
            case "llm":
                agent[key] = _parse_llm(member)
            case "memory":
                agent[key] = _parse_memory(member)
            case "parameters":
                parameters = parameter_map(member.value)
                agent |= {key: dict(parameters)} if parameters else {}
            case "tools":
                tools = [_parse_tool(element) for element in member.elements()]
                if tools:
                    agent[key] = list(tools)
    if "name" not in agent:
        raise illegal_argument("Agent name can't be null")
    if "type" not in agent:
        raise illegal_argument("Agent type can't be null")
    if string(agent["type"]).lower() not in _TYPES:
        raise illegal_argument(f"{agent['type']} is not a valid Agent Type")
    if string(agent["type"]).lower() == "conversational" and "llm" not in agent:
        raise illegal_argument("We need model information for the conversational agent type")
    seen: set[str] = set()
    for entry in listed(agent.get("tools")):
        tool = document(entry)
        name = string(tool.get("name", tool.get("type")))
        if name in seen:
            raise illegal_argument(f"Duplicate tool defined: {name}")
        seen.add(name)
    return agent


def _parse_llm(part: Part) -> Document:
    llm: Document = {}
    for key, member in part.members():
        match key:
            case "model_id":
                llm[key] = member.text()
            case "parameters":
                parameters = parameter_map(member.value)
                llm |= {key: dict(parameters)} if parameters else {}
    if "model_id" not in llm:
        raise illegal_argument("model ID is null")
    return llm


def _parse_memory(part: Part) -> Document:
    memory: Document = {}
    for key, member in part.members():
        match key:
            case "type" | "session_id":
                memory[key] = member.text()
            case "window_size":
                memory[key] = member.number()
    if "type" not in memory:
        raise illegal_argument("agent name is null")
    return memory


def _parse_tool(part: Part) -> Document:
    tool: Document = {"include_output_in_agent_response": False}
    for key, member in part.members():
        match key:
            case "type" | "name" | "description":
                tool[key] = member.text()
            case "parameters" | "config":
                values = parameter_map(member.value)
                tool |= {key: dict(values)} if values else {}
            case "include_output_in_agent_response":
                tool[key] = member.flag()
    if "type" not in tool:
        raise illegal_argument("tool type is null")
    return tool


def _tool(name: str) -> Document:
    return {"name": name, "description": _TOOLS[name], "type": name, "version": "undefined"}


def _without_null(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    return [_without_null(item) for item in value] if isinstance(value, list) else value


def _execution_error(refusal: Refusal) -> MlResponse:
    kind = refusal.cause.type
    body: Document = {
        "status": refusal.status,
        "error": {
            "type": _JAVA_NAMES.get(kind, kind),
            "reason": "Invalid Request" if kind == "illegal_argument_exception" else "System Error",
            "details": refusal.cause.reason,
        },
    }
    return answer(body, refusal.status)
