"""Model groups of ML Commons: who may use which models.

https://docs.opensearch.org/latest/ml-commons-plugin/api/model-group-apis/index/
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import ClassVar

from reconciler.canonical.json import Json
from reconciler.kinds._ml_commons import ROOT, TO_SEE, MlKind, picked, sent
from reconciler.model.change import FieldChange
from reconciler.model.kind import Fault, Grants, Made, Work
from reconciler.model.objects import Live
from reconciler.model.steps import Steps


class ModelGroups(MlKind):
    """A group's access mode is called `access` when read back."""

    collection = "model_groups"
    hiding = "plugins.ml_commons.model_access_control_enabled"
    replaceable = False  # names are unique
    answers: ClassVar[Mapping[str, Json]] = {
        f"POST {ROOT}/model_groups/_register": {"model_group_id": "(known after apply)"}
    }
    to_read = Grants(
        iam=("es:ESHttpGet",),
        opensearch=("cluster:admin/opensearch/ml/model_groups/search", "cluster:admin/opensearch/ml/model_groups/get"),
    )
    to_plan = TO_SEE
    to_list = Grants(TO_SEE.iam, ("cluster:admin/opensearch/ml/model_groups/search", *TO_SEE.opensearch))
    to_write = Grants(
        iam=("es:ESHttpPost", "es:ESHttpPut", "es:ESHttpDelete"),
        opensearch=(
            "cluster:admin/opensearch/ml/register_model_group",
            "cluster:admin/opensearch/ml/update_model_group",
            "cluster:admin/opensearch/ml/model_groups/delete",
        ),
    )

    def fields(self, source: Mapping[str, Json]) -> Mapping[str, Json]:
        access = {"access_mode": source["access"]} if source.get("access") is not None else {}
        return {**picked(source, "name", "description", "backend_roles"), **access}

    def automatic(self, live: Live) -> frozenset[str]:
        """The access to a group that was made while model access control was off: everybody's, and it has no owner."""
        open_to_all = live.fields.get("access_mode") == "public" and not live.detail
        return frozenset({"access_mode"} if open_to_all else ())

    def refused(self, changes: Iterable[FieldChange], live: Live) -> Iterable[Fault]:
        """A description that is to be emptied: the service answers that it is done, and leaves it as it was."""
        for change in changes:
            if change.field == "description" and not str(change.after or "").strip():
                message = "the service does not take a group's description away"
                yield Fault("wrong-value", change.path, message, "state the one there is, or another one")

    def create(self, work: Work) -> Steps[Made]:
        body = {**sent(work, "description", "access_mode", "backend_roles"), "name": work.name}
        return (yield from self.post(work, "_register", body, "model_group_id"))

    def update(self, work: Work) -> Steps[Made]:
        assert work.live is not None
        yield from self.put(work, self.changes(work, *sorted(work.changed)))
        return Made(work.live.id, work.live.attributes)

    def delete(self, work: Work) -> Steps[None]:
        yield from self.remove(work)

    def _live(self, one: str, source: Mapping[str, Json]) -> Live:
        return replace(super()._live(one, source), detail=picked(source, "owner"))


KIND = ModelGroups
