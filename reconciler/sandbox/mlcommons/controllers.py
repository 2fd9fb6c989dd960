"""The controller API: rate limits of single users on a model."""

from reconciler.sandbox.mlcommons import indices
from reconciler.sandbox.mlcommons.answers import Refusal, answer, failure, status_error
from reconciler.sandbox.mlcommons.deployment import Deployments
from reconciler.sandbox.mlcommons.documents import Documents, IndexMissing
from reconciler.sandbox.mlcommons.model_groups import ModelGroups
from reconciler.sandbox.mlcommons.rate_limit import parse_rate_limiter
from reconciler.sandbox.mlcommons.routing import ACTION, Call, Route
from reconciler.sandbox.mlcommons.security import Caller
from reconciler.sandbox.mlcommons.settings import LiveSettings
from reconciler.sandbox.mlcommons.values import Document, Part, document, parse_body, string
from reconciler.sandbox.protocol import MlResponse

_DISABLED = (
    "Controller is currently disabled. To enable it, update the setting "
    '"plugins.ml_commons.controller_enabled" to true.'
)


class Controllers:
    """Controllers in the real node."""

    def __init__(
        self, documents: Documents, settings: LiveSettings, groups: ModelGroups, deployments: Deployments
    ) -> None:
        self._documents = documents
        self._settings = settings
        self._groups = groups
        self._deployments = deployments

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        one = "/controllers/{model_id}"
        return (
            Route("POST", one, f"{ACTION}controllers/create", self.create),
            Route("GET", one, f"{ACTION}controllers/get", self.get),
            Route("PUT", one, f"{ACTION}controllers/update", self.update),
            Route("DELETE", one, f"{ACTION}controllers/delete", self.delete),
        )

    async def create(self, call: Call) -> MlResponse:
        """POST controllers/{model_id}."""
        limits = _parse(parse_body(call.request.body))
        caller = await self._allowed(call)
        model_id = call.argument("model_id")
        await self._model(caller, model_id)
        await self._documents.create(indices.CONTROLLERS, {"model_id": model_id, "user_rate_limiter": limits}, model_id)
        await self._switch(model_id, on=True)
        return answer({"model_id": model_id, "status": "CREATED"})

    async def get(self, call: Call) -> MlResponse:
        """GET controllers/{model_id}."""
        await self._allowed(call)
        return answer(await self._read(call.argument("model_id")))

    async def update(self, call: Call) -> MlResponse:
        """PUT controllers/{model_id}: users not named keep their limits."""
        limits = _parse(parse_body(call.request.body))
        caller = await self._allowed(call)
        model_id = call.argument("model_id")
        await self._model(caller, model_id)
        await self._read(model_id)
        result = await self._documents.update(
            indices.CONTROLLERS, model_id, {"user_rate_limiter": limits}, refresh="true"
        )
        await self._switch(model_id, on=True)
        return answer(result)

    async def delete(self, call: Call) -> MlResponse:
        """DELETE controllers/{model_id}."""
        caller = await self._allowed(call)
        model_id = call.argument("model_id")
        await self._model(caller, model_id)
        await self._read(model_id)
        result = await self._documents.delete(indices.CONTROLLERS, model_id)
        await self._switch(model_id, on=False)
        return answer(result)

    async def _allowed(self, call: Call) -> Caller:
        if not self._settings.flag("controller_enabled"):
            raise failure("illegal_state_exception", _DISABLED)
        return await call.permit()

    async def _model(self, caller: Caller, model_id: str) -> Document:
        missing = status_error(
            404,
            f"Failed to find model to create the corresponding model controller with the provided model ID: {model_id}",
        )
        try:
            stored = await self._documents.get(indices.MODELS, model_id)
        except IndexMissing:
            raise missing from None
        if stored is None:
            raise missing
        if not await self._groups.may_use(caller, string(stored.source.get("model_group_id"))):
            raise _forbidden(model_id)
        return stored.source

    async def _read(self, model_id: str) -> Document:
        try:
            stored = await self._documents.get(indices.CONTROLLERS, model_id)
        except IndexMissing:
            stored = None
        if stored is None:
            raise status_error(404, f"Failed to find model controller with the provided model ID: {model_id}")
        return stored.source

    async def _switch(self, model_id: str, *, on: bool) -> None:
        await self._documents.update(indices.MODELS, model_id, {"is_controller_enabled": on})
        stored = await self._documents.get(indices.MODELS, model_id)
        if stored is not None:
            await self._deployments.refresh(model_id, stored.source)


def _forbidden(model_id: str) -> Refusal:
    return status_error(
        403,
        f"User doesn't have privilege to perform this operation on this model controller, model ID: {model_id}",
    )


def _parse(part: Part) -> Document:
    limits: Document = {}
    for key, member in part.members():
        if key == "user_rate_limiter":
            limits = {user: parse_rate_limiter(limiter) for user, limiter in member.members()}
    return document(limits)
