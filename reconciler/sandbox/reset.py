"""Brings a running node back to what it was when it started, without starting it anew."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from reconciler.canonical.json import Json
from reconciler.sandbox.protocol import NodeClient

_SECURITY_INDEX = ".opendistro_security"
_METADATA = (
    "/_cluster/state/metadata?filter_path=metadata.ingest.pipeline.id,metadata.search_pipeline.pipeline.id,"
    "metadata.index_template.index_template.*.priority,metadata.index_template.index_template.*.index_patterns,"
    "metadata.component_template.component_template.*.template,metadata.templates.*.order,metadata.stored_scripts.*.lang"
)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The documents of the Security plugin's index, by id, as they were when the node had started."""

    security: Mapping[str, Json]


async def read_baseline(node: NodeClient) -> Baseline:
    """What `reset` will go back to."""
    return Baseline(await _security(node))


async def reset(node: NodeClient, baseline: Baseline) -> None:
    """Delete everything but the security index, restore that, and unset all cluster settings."""
    await _delete_indices(node)
    await _delete_metadata(node)
    await _unset_settings(node)
    await _restore_security(node, baseline)


async def _security(node: NodeClient) -> Mapping[str, Json]:
    found = await _expect(node, "POST", f"/{_SECURITY_INDEX}/_search?size=100", {"query": {"match_all": {}}})
    return {_text(hit["_id"]): hit["_source"] for hit in _hits(found)}


async def _restore_security(node: NodeClient, baseline: Baseline) -> None:
    await _expect(node, "POST", f"/{_SECURITY_INDEX}/_refresh")
    now = await _security(node)
    changed = {name: source for name, source in baseline.security.items() if now.get(name) != source}
    if not changed:
        return
    lines = [line for name, source in changed.items() for line in ({"index": {"_id": name}}, source)]
    body = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    status, answer = await node.request("POST", f"/{_SECURITY_INDEX}/_bulk?refresh=true", body=body)
    if status != HTTPStatus.OK or not isinstance(answer, Mapping) or answer["errors"]:
        raise RuntimeError(f"restoring the security configuration failed: {status} {answer}")
    await _expect(node, "DELETE", "/_plugins/_security/api/cache")  # makes the node load its configuration again


async def _delete_indices(node: NodeClient) -> None:
    status, listed = await node.request("GET", "/_cat/indices?format=json&h=index&expand_wildcards=all")
    if status != HTTPStatus.OK or not isinstance(listed, Sequence):
        raise RuntimeError(f"listing the indices failed: {status} {listed}")
    names = [_text(row["index"]) for row in listed if isinstance(row, Mapping) and row["index"] != _SECURITY_INDEX]
    if names:
        await _expect(node, "DELETE", f"/{','.join(names)}?expand_wildcards=none")


async def _delete_metadata(node: NodeClient) -> None:
    answer = await _expect(node, "GET", _METADATA)
    metadata = answer.get("metadata", {})
    assert isinstance(metadata, Mapping)
    for path, names in _created(metadata):
        for name in names:
            await _expect(node, "DELETE", f"{path}/{name}")


def _created(metadata: Mapping[str, Json]) -> list[tuple[str, list[str]]]:
    """What there is of pipelines, templates and scripts: the path of each kind and the names."""

    def part(*keys: str) -> Json:
        value: Json = metadata
        for key in keys:
            value = value.get(key, {}) if isinstance(value, Mapping) else {}
        return value

    def ids(value: Json) -> list[str]:
        if isinstance(value, Mapping):
            return list(value)
        rows = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
        return [_text(row["id"]) for row in rows if isinstance(row, Mapping)]

    return [
        ("/_ingest/pipeline", ids(part("ingest", "pipeline"))),
        ("/_search/pipeline", ids(part("search_pipeline", "pipeline"))),
        ("/_index_template", ids(part("index_template", "index_template"))),
        ("/_component_template", ids(part("component_template", "component_template"))),
        ("/_template", ids(part("templates"))),
        ("/_scripts", ids(part("stored_scripts"))),
    ]


async def _unset_settings(node: NodeClient) -> None:
    settings = await _expect(node, "GET", "/_cluster/settings?flat_settings=true")
    unset = {
        kind: dict.fromkeys(values)
        for kind in ("persistent", "transient")
        if isinstance(values := settings.get(kind), Mapping) and values
    }
    if unset:
        await _expect(node, "PUT", "/_cluster/settings", unset)


async def _expect(node: NodeClient, method: str, path: str, body: Json = None) -> Mapping[str, Json]:
    status, answer = await node.request(method, path, json=body)
    if status != HTTPStatus.OK or not isinstance(answer, Mapping):
        raise RuntimeError(f"{method} {path} answered {status}: {answer}")
    return answer


def _hits(answer: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    outer = answer["hits"]
    rows = outer["hits"] if isinstance(outer, Mapping) else ()
    assert isinstance(rows, Sequence)
    return [row for row in rows if isinstance(row, Mapping)]


def _text(value: Json) -> str:
    assert isinstance(value, str)
    return value
