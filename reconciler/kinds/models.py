"""Remote models of ML Commons: a connector that can be asked, deployed on the domain's nodes.

https://docs.opensearch.org/latest/ml-commons-plugin/api/model-apis/index/
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import ClassVar

from reconciler.canonical.json import Json
from reconciler.kinds._ml_commons import ROOT, TO_SEE, MlKind, picked, sent
from reconciler.model.change import FieldChange
from reconciler.model.kind import Grants, Made, Place, Proof, Work
from reconciler.model.objects import Address, Live, Sought
from reconciler.model.request import Answer, Request, Service, ServiceFailure
from reconciler.model.steps import Failed, NeverHappened, NotYet, Steps, call, until

_ONE = f"{ROOT}/models/{{id}}"
_UNDEPLOYED = {"REGISTERED": "UNDEPLOYED", "UNDEPLOYED": "UNDEPLOYED"}
_DEPLOYED = ("DEPLOYED", "PARTIALLY_DEPLOYED", "DEPLOYING")
_BEGINNING = 20
"""How often a model may be seen at rest after it was told to deploy, before it is told again."""
_STUCK = 80
"""How often a model may be seen being deployed, some 40 s, before that is taken for stuck and begun anew."""


class Models(MlKind):
    """A task that says COMPLETED says nothing yet: only the model's own state does."""

    collection = "models"
    hiding = "plugins.ml_commons.model_access_control_enabled"
    proves = True
    at_once = 10  # tasks that a node runs; it throws out what is beyond
    answers: ClassVar[Mapping[str, Json]] = {
        f"POST {ROOT}/models/_register": {"model_id": "(known after apply)"},
    }
    to_read = Grants(
        iam=("es:ESHttpGet",),
        opensearch=("cluster:admin/opensearch/ml/models/search", "cluster:admin/opensearch/ml/models/get"),
    )
    to_plan = TO_SEE
    to_list = Grants(TO_SEE.iam, ("cluster:admin/opensearch/ml/models/search", *TO_SEE.opensearch))
    to_write = Grants(
        iam=("es:ESHttpPost", "es:ESHttpPut", "es:ESHttpDelete"),
        opensearch=(
            "cluster:admin/opensearch/ml/register_model",
            "cluster:admin/opensearch/ml/models/update",
            "cluster:admin/opensearch/ml/models/delete",
            "cluster:admin/opensearch/ml/deploy_model",
            "cluster:admin/opensearch/ml/undeploy_models",
            "cluster:admin/opensearch/ml/predict",
        ),
    )

    @property
    def _passing(self) -> frozenset[str]:
        """The states that a model leaves by itself."""
        return self.schema.rule.member("model_state").settling

    def undeployed(self, change: FieldChange) -> bool:
        return change.field == "model_state" and change.before == "DEPLOYED"

    def fields(self, source: Mapping[str, Json]) -> Mapping[str, Json]:
        fields = picked(source, "name", "description", "connector_id", "model_group_id", "is_enabled", "rate_limiter")
        state = str(source.get("model_state", ""))
        return {
            "is_enabled": True,
            **fields,
            "function_name": source.get("algorithm", ""),
            "model_state": _UNDEPLOYED.get(state, state),
        }

    def create(self, work: Work) -> Steps[Made]:
        body = {
            **sent(work, "description", "connector_id", "model_group_id"),
            "name": work.name,
            "function_name": "remote",
        }
        deployed = work.fields.get("model_state", "DEPLOYED") == "DEPLOYED"
        made = yield from self.post(work, "_register", body, "model_id", query={"deploy": "true"} if deployed else {})
        yield from _settled(work, made.id, self._passing)
        later = sent(work, "is_enabled", "rate_limiter")
        if later and later != {"is_enabled": True}:
            yield from call(Request(Service.OPENSEARCH, f"PUT {_ONE}", {"id": made.id}, body=later))
        return made

    def answer(self, request: Request, live: Live | None, before: Sequence[Request] = ()) -> Answer:
        if request.operation != f"GET {_ONE}":
            return super().answer(request, live, before)
        state = str(live.fields.get("model_state")) if live is not None else "REGISTERED"
        for one in before:
            if one.operation.endswith("/_undeploy"):
                state = "UNDEPLOYED"
            elif one.operation.endswith("/_deploy") or one.query.get("deploy") == "true":
                state = "DEPLOYED"
        return Answer(200, {"model_state": state})

    def update(self, work: Work) -> Steps[Made]:
        assert work.live is not None
        model = work.live.id
        body = self.changes(work, *sorted(work.changed - {"model_state"}))
        request = Request(Service.OPENSEARCH, f"PUT {_ONE}", {"id": model}, body=body, expect=frozenset({"409"}))

        refusals = 0

        def probe() -> Steps[Answer | NotYet]:
            nonlocal refusals
            # A model can not be changed while it is being deployed, which a prediction may begin at any moment.
            answer = yield from call(request)
            if answer.ok:
                return answer
            refusals += 1
            if refusals == _STUCK:
                yield from call(_order("_undeploy", model))
            return NotYet(answer.reason)

        if body:
            yield from until(f"{work.address} changeable", probe, patience=60, every=0.1)
        if "model_state" in work.changed or refusals >= _STUCK:
            yield from _settled(work, model, self._passing)
        return Made(model, work.live.attributes)

    def delete(self, work: Work) -> Steps[None]:
        assert work.live is not None
        # A prediction may deploy it again at any moment, so undeploying is part of each further attempt.
        undeploy = _order("_undeploy", work.live.id)
        delete = Request(Service.OPENSEARCH, f"DELETE {_ONE}", {"id": work.live.id}, expect=frozenset({"400", "404"}))

        def probe() -> Steps[Answer | NotYet]:
            answer = yield from call(delete)
            if answer.ok or answer.missing:
                return answer
            yield from call(undeploy)
            return NotYet(answer.reason)

        if work.live.fields.get("model_state") in _DEPLOYED:
            yield from call(undeploy)
        yield from until(f"{work.address} undeployed", probe, patience=60)

    def prove(self, proof: Proof) -> Steps[None]:
        alike = picked(proof.user.fields, "model_group_id")
        work = Work(Address(self.name, proof.name), proof.name, proof.place, {**alike, "connector_id": proof.id})
        try:
            made = yield from self.create(work)
            if proof.question is not None:
                ask = Request(Service.OPENSEARCH, f"POST {_ONE}/_predict", {"id": made.id}, body=proof.question)
                yield from call(ask)
        except Exception:
            # Why it does not work is told, and not what came of tidying up: the intent still has its name.
            with suppress(Failed, NeverHappened, ServiceFailure):
                yield from self.unprove(proof.name, proof.place)
            raise
        yield from self._drop(proof.name, made.id, proof.place)

    def unprove(self, name: str, place: Place) -> Steps[None]:
        found = yield from self.read([Sought(name)], place)
        for live in found.lives:
            if live.name == name:
                yield from self._drop(name, live.id, place)

    def _drop(self, name: str, one: str, place: Place) -> Steps[None]:
        live = Live(name, one, {"model_state": "DEPLOYED"})
        yield from self.delete(Work(Address(self.name, name), name, place, live=live))


def _settled(work: Work, model: str, passing: Collection[str]) -> Steps[None]:
    """Bring the model to the state the manifest wants, deploying once more where a deployment failed or is stuck."""
    wanted = "UNDEPLOYED" if work.fields.get("model_state") == "UNDEPLOYED" else "DEPLOYED"
    tries = settling = 0
    beginning = _BEGINNING if work.live is None else 0  # registering it told it to deploy

    def probe() -> Steps[str | NotYet]:
        nonlocal tries, settling, beginning
        answer = yield from call(Request(Service.OPENSEARCH, f"GET {_ONE}", {"id": model}))
        state = str(answer.body.get("model_state")) if isinstance(answer.body, Mapping) else ""
        if _UNDEPLOYED.get(state, state) == wanted:
            return state
        if state in passing:
            beginning, settling = 0, settling + 1
            if settling % _STUCK == 0:
                yield from call(_order("_undeploy", model))
            return NotYet(state)
        if state in _UNDEPLOYED and beginning > 0:
            beginning -= 1
            return NotYet(state)
        if tries == 3:
            raise Failed("deploy-failed", f"{work.address} is {state} after {tries} attempts to make it {wanted}")
        tries += 1
        verb = "_deploy" if wanted == "DEPLOYED" and state != "PARTIALLY_DEPLOYED" else "_undeploy"
        yield from call(_order(verb, model))
        beginning = _BEGINNING if verb == "_deploy" else 0
        return NotYet(state)

    yield from until(f"{work.address} {wanted.lower()}", probe, patience=120, every=0.1, like="deployment")


def _order(verb: str, model: str) -> Request:
    """Deploy or undeploy. 404: it is gone; 409: a prediction or somebody else is deploying it at this moment."""
    return Request(Service.OPENSEARCH, f"POST {_ONE}/{verb}", {"id": model}, expect=frozenset({"404", "409"}))


KIND = Models
