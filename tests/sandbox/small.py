"""A small chain on a self-managed sandbox, everything in it called alike, and what became of it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.sandbox.bed import Bed
from tests.sandbox.command import run

MANIFEST = """\
manifest: %s
target:
  opensearch:
    endpoint: ${var.opensearch_endpoint}
    timeout: ${var.timeout}
variables:
  opensearch_endpoint: { type: string }
  timeout: { type: number, default: 60 }
secrets:
  key: { env: DEEPSEEK_API_KEY }
role_mappings:
  ml_full_access:
    users: [%s]
connectors:
  %s:
    protocol: http
    credential: { key: "${secret.key}" }
    parameters: { model: deepseek-chat }
    actions:
      - action_type: predict
        method: POST
        url: https://api.deepseek.com/v1/chat/completions
        headers: { Authorization: "Bearer ${credential.key}" }
        request_body: '{ "model": "${parameters.model}", "messages": ${parameters.messages} }'
model_groups:
  %s:
    description: a group
models:
  %s:
    connector_id: ${connectors.%s.id}
    model_group_id: ${model_groups.%s.id}
"""
KINDS = ("connectors", "models", "model_groups")


def manifest(folder: Path, name: str, user: str) -> Path:
    """Write the manifest: its objects bear its name, and the mapping gets `user`."""
    path = folder / f"{name}.yaml"
    path.write_text(MANIFEST % (name, user, name, name, name, name, name))
    return path


def names(bed: Bed, kind: str) -> list[str]:
    """What there is of a kind, whoever made it, by name."""
    body: Mapping[str, Any] = {"query": {"match_all": {}}, "size": 100}
    answer = bed.ask("GET", f"/_plugins/_ml/{kind}/_search", by=bed.master, content=body)
    return sorted(hit["_source"]["name"] for hit in answer.json()["hits"]["hits"])


def everything(bed: Bed) -> list[list[str]]:
    """The names of all connectors, models and model groups."""
    return [names(bed, kind) for kind in KINDS]


def members(bed: Bed) -> list[str] | None:
    """The users in the mapping of `ml_full_access`, None where there is no mapping."""
    answer = bed.ask("GET", "/_plugins/_security/api/rolesmapping/ml_full_access", by=bed.master)
    return sorted(answer.json()["ml_full_access"]["users"]) if answer.status_code == 200 else None


def rows(bed: Bed) -> list[dict[str, Any]]:
    """The ledger's rows."""
    bed.ask("POST", "/reconciler-ledger/_refresh", by=bed.master)
    answer = bed.ask("GET", "/reconciler-ledger/_search?size=1000", by=bed.master)
    return [hit["_source"] for hit in answer.json()["hits"]["hits"] if hit["_source"]["type"] == "row"]


def is_locked(bed: Bed, name: str) -> bool:
    """Whether somebody holds the lock of a manifest."""
    return bed.ask("GET", f"/reconciler-ledger/_doc/lock:{name}", by=bed.master).status_code == 200


def add_others(bed: Bed) -> None:
    """Let somebody else have a connector, a model group and a member in the mapping."""
    group = {"name": "theirs", "description": "theirs"}
    assert bed.ask("POST", "/_plugins/_ml/model_groups/_register", by=bed.master, content=group).status_code == 200
    connector = {
        "name": "theirs", "description": "theirs", "version": "1", "protocol": "http", "credential": {"key": "theirs"},
        "actions": [{"action_type": "predict", "method": "POST", "url": "https://api.openai.com/v1/x"}],
    }  # fmt: skip
    made = bed.ask("POST", "/_plugins/_ml/connectors/_create", by=bed.master, content=connector)
    assert made.status_code == 200, made.text
    mapping = "/_plugins/_security/api/rolesmapping/ml_full_access"
    assert bed.ask("PUT", mapping, by=bed.master, content={"users": ["theirs"]}).status_code == 201


def of_others(bed: Bed) -> list[Any]:
    """What somebody else has, as it is."""
    body: Mapping[str, Any] = {"query": {"term": {"name.keyword": "theirs"}}}
    searches = [f"/_plugins/_ml/{kind}/_search" for kind in KINDS]
    found = [bed.ask("GET", path, by=bed.master, content=body).json()["hits"]["hits"] for path in searches]
    return [(hit["_id"], hit["_source"]) for hits in found for hit in hits]


def is_well(bed: Bed, path: Path, others: Sequence[str] = ()) -> None:
    """Everything is there once and as planned, and nothing is pending.

    `others` is what the others' connector, group and member are called.
    """
    assert everything(bed) == [sorted(["one", *others]), ["one"], sorted(["one", *others])]
    assert members(bed) == sorted(["somebody", *others])
    assert [row["address"] for row in rows(bed) if row["intent"]] == []
    planned = json.loads(run(bed, "plan", path, "--json").out)
    assert {tuple(change["change"]["actions"]) for change in planned["resource_changes"]} == {("no-op",)}


def ends_well(bed: Bed, path: Path) -> None:
    """Apply once more: then all is well, and destroy takes everything."""
    again = run(bed, "apply", path, "--yes")
    assert again.code == 0, again.all
    is_well(bed, path)
    gone = run(bed, "destroy", path, "--yes")
    assert gone.code == 0, gone.all
    assert everything(bed) == [[], [], []]
    assert members(bed) is None
