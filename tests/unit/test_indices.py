"""Indices: what a change may never cost their documents, and what they come after."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from reconciler.canonical.json import Json
from reconciler.model.kind import Place, Siblings
from reconciler.model.objects import Address, Desired, Sought
from reconciler.model.steps import Call
from reconciler.plan.decide import Permissions
from tests.support.bench import Bench, Sections, actions, kinds, outcome
from tests.support.world import World

KIND = kinds()["indices"]
MADE: Mapping[str, Any] = {
    "settings": {"number_of_shards": 1, "refresh_interval": "5s", "analysis": {"analyzer": {"a": {"type": "simple"}}}},
    "mappings": {
        "dynamic": "strict",
        "dynamic_date_formats": ["yyyy"],
        "properties": {
            "text": {"type": "text", "analyzer": "a", "fields": {"raw": {"type": "keyword"}}},
            "object": {"dynamic": "strict", "properties": {"number": {"type": "long"}}},
            "k": {"type": "keyword", "ignore_above": 5},
        },
    },
    "aliases": {"x": {}},
}


def changed(path: str, value: Json) -> dict[str, Any]:
    """The index with the value at a path changed, or taken away where it is None."""
    *parents, last = path.split("/")
    fields: dict[str, Any] = {key: dict(one) for key, one in MADE.items()}
    place = fields
    for key in parents:
        place[key] = dict(place.get(key, {}))
        place = place[key]
    place.pop(last, None)
    if value is not None:
        place[last] = value
    return fields


def planned(fields: Mapping[str, Json], name: str = "kept") -> tuple[Mapping[str, str], list[tuple[str, str]]]:
    world = World()
    assert outcome(Bench(world).apply({"indices": {"kept": MADE}})) == []
    plan = Bench(world).plan({"indices": {name: fields}})
    return actions(plan), [(problem.code, problem.message) for problem in plan.problems]


PROPERTIES = "mappings/properties"
REFUSED: list[tuple[str, Json, str]] = [
    ("name", "other", "name: an index can not be renamed"),
    ("settings/number_of_shards", 2, "settings.index.number_of_shards: an open index does not take it"),
    ("settings/analysis", None, "settings.index.analysis.analyzer.a.type: an open index does not take it"),
    ("settings/codec", "best_compression", "settings.index.codec: an open index does not take it"),
    ("mappings/_source", {"enabled": False}, "mappings._source.enabled: it can not be changed"),
    ("mappings/dynamic_date_formats", None, "mappings.dynamic_date_formats: it can not be changed"),
    (f"{PROPERTIES}/text/type", "keyword", "mappings.properties.text.type: documents were indexed by it"),
    (f"{PROPERTIES}/text/analyzer", None, "mappings.properties.text.analyzer: documents were indexed by it"),
    (f"{PROPERTIES}/text/store", True, "mappings.properties.text.store: documents were indexed by it"),
    (f"{PROPERTIES}/k", None, "mappings.properties.k: a field that is there can not be taken away"),
    (PROPERTIES, None, "mappings.properties: a field that is there can not be taken away"),
    (
        f"{PROPERTIES}/text/fields/raw",
        None,
        "mappings.properties.text.fields: a field that is there can not be taken away",
    ),
    (
        f"{PROPERTIES}/object/properties/number/type",
        "text",
        "mappings.properties.object.properties.number.type: documents were indexed by it",
    ),
    (f"{PROPERTIES}/object/dynamic", None, "mappings.properties.object.dynamic: it can not be unset"),
]


@pytest.mark.parametrize(("path", "value", "message"), REFUSED, ids=[f"{case[0]} {case[1]}" for case in REFUSED])
def test_what_would_need_a_reindex_is_refused_by_the_plan(path: str, value: Json, message: str) -> None:
    _, problems = planned(changed(path, value))
    assert ("needs-reindex", message) in problems
    assert {code for code, _ in problems} == {"needs-reindex"}


UPDATED: list[tuple[str, Json]] = [
    ("settings/refresh_interval", "9s"),
    ("settings/refresh_interval", None),
    ("settings/number_of_replicas", 0),
    ("mappings/dynamic", None),
    ("mappings/_meta", {"by": "us"}),
    (f"{PROPERTIES}/new", {"type": "date"}),
    (f"{PROPERTIES}/text/norms", False),
    (f"{PROPERTIES}/text/search_analyzer", "simple"),
    (f"{PROPERTIES}/text/fields/more", {"type": "keyword"}),
    (f"{PROPERTIES}/object/properties/more", {"type": "long"}),
    (f"{PROPERTIES}/object/dynamic", True),
    (f"{PROPERTIES}/k/ignore_above", None),
    ("aliases/x", None),
    ("aliases/x", {"index_routing": "1"}),
    ("aliases/y", {}),
]


@pytest.mark.parametrize(("path", "value"), UPDATED, ids=[f"{case[0]} {case[1]}" for case in UPDATED])
def test_what_an_open_index_takes_is_an_update(path: str, value: Json) -> None:
    assert planned(changed(path, value)) == ({"indices.kept": "update"}, [])


def test_what_is_refused_names_what_to_do() -> None:
    world = World()
    assert outcome(Bench(world).apply({"indices": {"kept": MADE}})) == []
    (problem,) = Bench(world).plan({"indices": {"kept": changed(f"{PROPERTIES}/text/type", "keyword")}}).problems
    assert problem.hint == (
        "state it as it is, or make another index and copy the documents with POST /_reindex; "
        '`lifecycle: {ignore: ["mappings.properties.text.type"]}` leaves it alone'
    )


def test_what_the_hint_says_lets_the_plan_go_on() -> None:
    world = World()
    assert outcome(Bench(world).apply({"indices": {"kept": MADE}})) == []
    fields = changed(f"{PROPERTIES}/text/type", "keyword")
    fields["settings"] = {**fields["settings"], "number_of_shards": 7, "refresh_interval": "9s"}
    fields["mappings"]["properties"]["new"] = {"type": "date"}
    ignored = ["mappings.properties.text.type", "settings.index.number_of_shards"]
    sections: Sections = {"indices": {"kept": {**fields, "lifecycle": {"ignore": ignored}}}}
    assert outcome(Bench(world).apply(sections)) == []
    there = world.domain.indices.named["kept"]
    assert there["settings"]["index.refresh_interval"] == "9s"
    assert there["settings"]["index.number_of_shards"] == "1"
    assert {name: field["type"] for name, field in there["mappings"]["properties"].items() if "type" in field} == {
        "text": "text",
        "k": "keyword",
        "new": "date",
        "object": "object",
    }
    assert actions(Bench(world).plan(sections)) == {}


def test_another_address_is_the_same_index_where_its_name_is_stated() -> None:
    world = World()
    assert outcome(Bench(world).apply({"indices": {"kept": MADE}})) == []
    moves = {"indices.kept": "indices.now"}
    (problem,) = Bench(world, moved=moves).plan({"indices": {"now": MADE}}).problems
    assert problem.code == "needs-reindex"
    plan = Bench(world, moved=moves).plan({"indices": {"now": {**MADE, "name": "kept"}}})
    assert (actions(plan), list(plan.problems)) == ({}, [])


def test_an_index_that_somebody_made_anew_is_not_ours() -> None:
    world = World()
    bench = Bench(world)
    assert outcome(bench.apply({"indices": {"kept": MADE}})) == []
    there = world.domain.indices.named["kept"]
    there["settings"] = {**there["settings"], "index.uuid": "theirs"}
    assert {problem.code for problem in bench.plan({"indices": {"kept": MADE}}).problems} == {"not-ours"}
    assert outcome(bench.apply({})) == []
    assert list(world.domain.indices.named) == ["kept"]


def test_an_index_that_is_adopted_is_never_made_anew() -> None:
    world = World()
    assert outcome(Bench(world, "theirs").apply({"indices": {"kept": MADE}})) == []
    world.ledger.documents.clear()
    changes = changed("settings/number_of_shards", 2)
    plan = Bench(world).plan({"indices": {"kept": changes}}, Permissions(adopt_all=True))
    assert {problem.code for problem in plan.problems} == {"needs-reindex"}


def test_an_index_that_leaves_the_manifest_goes_unless_it_is_to_be_forgotten() -> None:
    for lifecycle, left in (({}, []), ({"on_remove": "forget"}, ["kept"])):
        world = World()
        bench = Bench(world)
        assert outcome(bench.apply({"indices": {"kept": {**MADE, "lifecycle": lifecycle}}})) == []
        assert outcome(bench.apply({})) == []
        assert list(world.domain.indices.named) == left


def test_an_index_comes_after_its_pipelines_and_the_templates_that_match_it() -> None:
    def desired(address: str, **fields: Any) -> Desired:
        return Desired(Address.parse(address), fields)

    templates = [
        desired("index_templates.matching", index_patterns=["other-*", "a[1]-*"]),
        desired("index_templates.other", index_patterns=["b-*"]),
    ]
    index = desired(
        "indices.one", name="a[1]-x", settings={"index": {"final_pipeline": "p"}, "search.default_pipeline": "s"}
    )
    found = {str(one) for one in KIND.depends_on(index, Siblings(templates))}
    assert found == {"index_templates.matching", "ingest_pipelines.p", "search_pipelines.s"}


def test_many_indices_are_read_in_lines_that_a_node_reads() -> None:
    names = [f"index-with-a-rather-long-name-of-its-own-{number}" for number in range(500)]
    step = next(KIND.read([Sought(name) for name in names], Place()))
    assert isinstance(step, Call)
    assert all(len(request.path) < 3_500 for request in step.requests)
    asked: Sequence[str] = [name for request in step.requests for name in str(request.parameters["index"]).split(",")]
    assert asked == names
    assert len(step.requests) == 8
