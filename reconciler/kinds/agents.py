"""Agents of ML Commons: tools that are used in turn, or as a model decides.

https://docs.opensearch.org/latest/ml-commons-plugin/api/agent-apis/index/
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from reconciler.canonical.json import Json
from reconciler.kinds._ml_commons import ROOT, MlKind, picked, sent
from reconciler.manifest.templates import Value
from reconciler.model.change import FieldChange
from reconciler.model.kind import Fault, Grants, Made, Place, Work
from reconciler.model.steps import Steps

_FIELDS = ("name", "type", "description", "llm", "tools", "parameters", "memory", "app_type")
_PLANS = "plan_execute_and_reflect"


class Agents(MlKind):
    """An agent refers to models, and pipelines and other agents to it. Access control hides none of them."""

    collection = "agents"
    hides = False
    plain = ()
    unused = "no such index [.plugins-ml-agent]"
    answers: ClassVar[Mapping[str, Json]] = {f"POST {ROOT}/agents/_register": {"agent_id": "(known after apply)"}}
    to_read = Grants(
        iam=("es:ESHttpGet",),
        opensearch=("cluster:admin/opensearch/ml/agents/search", "cluster:admin/opensearch/ml/agents/get"),
    )
    to_list = Grants(iam=("es:ESHttpGet",), opensearch=("cluster:admin/opensearch/ml/agents/search",))
    to_write = Grants(
        iam=("es:ESHttpPost", "es:ESHttpPut", "es:ESHttpDelete"),
        opensearch=(
            "cluster:admin/opensearch/ml/agents/register",
            "cluster:admin/opensearch/ml/agents/update",
            "cluster:admin/opensearch/ml/agents/delete",
        ),
    )

    def fields(self, source: Mapping[str, Json]) -> Mapping[str, Json]:
        return picked(source, *_FIELDS)

    def create(self, work: Work) -> Steps[Made]:
        return (yield from self.post(work, "_register", {**sent(work, *_FIELDS), "name": work.name}, "agent_id"))

    def update(self, work: Work) -> Steps[Made]:
        assert work.live is not None
        yield from self.put(work, self.changes(work, *sorted(work.changed)))
        return Made(work.live.id, work.live.attributes)

    def delete(self, work: Work) -> Steps[None]:
        yield from self.remove(work)

    def check(self, fields: Mapping[str, Value], place: Place) -> Iterable[Fault]:
        """Two tools of one name, which the service refuses."""
        tools = fields.get("tools")
        listed = [one for one in tools if isinstance(one, Mapping)] if isinstance(tools, Sequence) else []
        names = Counter(str(one.get("name", one.get("type"))) for one in listed)
        for name in (name for name, count in names.items() if count > 1):
            hint = "give each tool a name of its own"
            yield Fault("wrong-value", ("tools",), f"two tools of the agent are called {name!r}", hint)

    def unfit(self, fields: Mapping[str, Value], place: Place) -> Iterable[Fault]:
        if fields.get("type") == _PLANS and place.before(3, 0):
            message = f"OpenSearch {place.version} has no agents of this type"
            yield Fault("wrong-value", ("type",), message, "take another type, or upgrade the domain")

    def remade(self, changes: Iterable[FieldChange], fields: Mapping[str, Value], place: Place) -> str:
        if not place.since(3, 1):
            return "before OpenSearch 3.1 the service can not change agents"
        for change in changes:
            if change.field == "tools" and not fields.get("tools"):
                return "the service can not take the last tool away"
            if change.path == ("llm",) and change.before is None:
                return "llm can not be added"
        return ""


KIND = Agents
