"""`_cluster/settings` with the settings of ML Commons: the real node's answer, under their own names."""

import json
from urllib.parse import urlencode

from reconciler.canonical.json import Json
from reconciler.sandbox.mlcommons.answers import answer, forwarded
from reconciler.sandbox.mlcommons.filter_path import filtered
from reconciler.sandbox.mlcommons.security import Security
from reconciler.sandbox.mlcommons.settings import DEFINITIONS, KEPT_PREFIX, PREFIX, LiveSettings, check
from reconciler.sandbox.mlcommons.values import Document, document
from reconciler.sandbox.protocol import MlRequest, MlResponse, NodeClient

PATH = "/_cluster/settings"
_SCOPES = ("transient", "persistent")


def flat(value: Json, prefix: str = "") -> Document:
    """Nested settings as one level of dotted keys."""
    settings: Document = {}
    for key, item in document(value).items():
        if isinstance(item, dict):
            settings.update(flat(item, f"{prefix}{key}."))
        else:
            settings[f"{prefix}{key}"] = item
    return settings


def nested(settings: Document) -> Document:
    """Dotted keys as nested objects."""
    tree: Document = {}
    for key, value in settings.items():
        *parents, last = key.split(".")
        branch: Document = tree
        for parent in parents:
            child = branch.setdefault(parent, {})
            branch = child if isinstance(child, dict) else {}
        branch[last] = value
    return tree


class ClusterSettings:
    """Answers `_cluster/settings` together with the real node."""

    def __init__(self, node: NodeClient, security: Security, settings: LiveSettings) -> None:
        self._node = node
        self._security = security
        self._settings = settings

    async def handle(self, request: MlRequest) -> MlResponse | None:
        """Answer a GET or a PUT; None when ML Commons has no part in it."""
        if request.method == "GET":
            return await self._forward(request, None)
        if request.method != "PUT":
            return None
        try:
            body: Json = json.loads(request.body)
        except ValueError:
            return None
        if not isinstance(body, dict):
            return None
        changes = {scope: flat(body.get(scope)) for scope in _SCOPES if isinstance(body.get(scope), dict)}
        if not any(key.startswith(PREFIX) for settings in changes.values() for key in settings):
            return None
        for scope, settings in changes.items():
            for key, value in settings.items():
                refusal = check(scope, key.removeprefix(PREFIX), value) if key.startswith(PREFIX) else None
                if refusal is not None:
                    caller = await self._security.caller(request.auth_headers)
                    await self._security.require(caller, "cluster:admin/settings/update")
                    return refusal.response()
        kept: Document = {
            scope: {_kept(key): value for key, value in settings.items()} for scope, settings in changes.items()
        }
        response = await self._forward(request, kept)
        self._settings.forget()
        return response

    async def _forward(self, request: MlRequest, body: Document | None) -> MlResponse:
        query = {key: value for key, value in request.query.items() if key not in ("filter_path", "flat_settings")}
        path = f"{PATH}?{urlencode({**query, 'flat_settings': 'true'})}"
        headers = dict(request.auth_headers)
        status, found = await self._node.request(request.method, path, json=body, headers=headers)
        if isinstance(found, str) or "error" in document(found):
            renamed = found if isinstance(found, str) else json.loads(json.dumps(found).replace(KEPT_PREFIX, PREFIX))
            return forwarded(status, renamed)
        result: Document = {}
        for key, value in document(found).items():
            result[key] = _own_names(document(value)) if isinstance(value, dict) else value
        if isinstance(result.get("defaults"), dict):
            defaults = document(result["defaults"])
            changed = {name for scope in _SCOPES for name in document(result.get(scope))}
            for key, definition in DEFINITIONS.items():
                if PREFIX + key not in changed:
                    default = definition.default
                    defaults[PREFIX + key] = default if isinstance(default, str) else list(default)
            result["defaults"] = defaults
        if request.query.get("flat_settings") not in ("true", ""):
            result = {
                key: nested(document(value)) if isinstance(value, dict) else value for key, value in result.items()
            }
        return answer(filtered(result, request.query.get("filter_path")), status)


def _kept(key: str) -> str:
    return KEPT_PREFIX + key.removeprefix(PREFIX) if key.startswith(PREFIX) else key


def _own_names(settings: Document) -> Document:
    return {
        PREFIX + key.removeprefix(KEPT_PREFIX) if key.startswith(KEPT_PREFIX) else key: value
        for key, value in settings.items()
    }
