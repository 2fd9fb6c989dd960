"""The manifest of semantic search in memory: what needs plugins that the sandbox's node does not have.

That a domain with those plugins takes it shows `tests/sandbox/test_semantic.py`, where one is named.
"""

from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import session
from reconciler.cli.options import Load
from reconciler.manifest.load import Manifest
from tests.support.bench import Bench, Sections, actions, outcome
from tests.support.world import World

PATH = Path(__file__).parents[2] / "manifests" / "deepseek-semantic.yaml"


@pytest.fixture
def manifest(monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.setenv("RECONCILER_VAR_opensearch_endpoint", "https://localhost:9200")
    monkeypatch.setenv("OPENSEARCH_USERNAME", "me")
    return session.subject(Load([str(PATH)]), session.kinds()).manifest


def sections(manifest: Manifest) -> Sections:
    found: Any = {}
    for one in manifest.objects:
        lifecycle = {"lifecycle": {"on_remove": one.lifecycle.on_remove}}
        found.setdefault(one.kind, {})[one.name] = {**one.fields, **lifecycle}
    return found  # type: ignore[no-any-return]


def test_from_empty_to_applied_to_gone(manifest: Manifest) -> None:
    world = World()
    bench = Bench(world, secrets={"deepseek_key": "sk-deepseek", "openai_key": "sk-openai"})
    wanted = sections(manifest)
    assert outcome(bench.apply(wanted)) == []
    domain = world.domain
    (embedding,) = [one for one, model in domain.models.documents.items() if "OpenAI" in model["name"]]
    (chat,) = [one for one in domain.models.documents if one != embedding]
    pipeline = domain.cluster.ingest_pipelines["deepseek-semantic"]
    assert pipeline["processors"] == [
        {"text_embedding": {"model_id": embedding, "field_map": {"text": "text_embedding"}}}
    ]
    (processor,) = domain.cluster.search_pipelines["deepseek-semantic"]["response_processors"]
    assert processor["retrieval_augmented_generation"]["model_id"] == chat
    index = domain.indices.named["deepseek-semantic"]
    assert (index["settings"]["index.knn"], index["settings"]["index.default_pipeline"]) == (
        "true",
        "deepseek-semantic",
    )
    assert index["mappings"]["properties"]["text_embedding"]["dimension"] == 1536
    assert actions(bench.plan(wanted)) == {}
    assert outcome(bench.destroy()) == []
    assert (domain.models.documents, domain.cluster.ingest_pipelines) == ({}, {})
    assert list(domain.indices.named) == ["deepseek-semantic"]  # its documents are not the manifest's


def test_what_is_used_comes_before_what_uses_it(manifest: Manifest) -> None:
    bench = Bench(World(), secrets={"deepseek_key": "sk-deepseek", "openai_key": "sk-openai"})
    bench.apply(sections(manifest))
    begun = [str(one) for one in bench.progress.begun]
    order = ("connectors.semantic-embedding", "models.semantic-embedding", "ingest_pipelines.deepseek-semantic")
    places = [begun.index(one) for one in (*order, "indices.deepseek-semantic")]
    assert places == sorted(places)
