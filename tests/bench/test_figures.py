"""The workload is what was promised, the bound is one, and the figures become tables and pictures."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench import bound
from bench.bound import Bound, Sdk
from bench.compare import Pair, text
from bench.pictures import pictures
from bench.report import markdown
from bench.report import text as as_text
from bench.targets import Figures, targets
from bench.workload import KINDS, PER_CHAIN, Where, kinds_of, manifest, objects
from reconciler.manifest.load import load
from reconciler.manifest.schema import load_schemas
from reconciler.manifest.variables import Inputs

ROOT = Path(__file__).parents[2]
WHERE = Where("http://127.0.0.1:1", "http://127.0.0.1:2", "123456789012")
CALLS = (
    "list_details_1000", "list_roles_1000", "search_1000", "iam_read", "iam_create", "iam_put", "sts", "domain_read",
    "domain_write",
)  # fmt: skip
SDK = Sdk(0.4, dict.fromkeys(CALLS, 0.001))


def test_a_chain_is_seven_objects_of_all_its_kinds(tmp_path: Path) -> None:
    path = tmp_path / "bench.yaml"
    path.write_text(manifest(2, WHERE))
    declared = load([str(path)], load_schemas(ROOT / "schemas"), Inputs()).objects
    assert {kind: sum(one.kind == kind for one in declared) for kind in KINDS} == {
        kind: 2 * count for kind, count in PER_CHAIN.items()
    }
    assert objects(1) == 7
    assert kinds_of(ROOT) == KINDS


def test_three_thousand_objects_have_forty_two_thousand_lines() -> None:
    chains = -(-3_000 // objects(1))
    assert 42_000 <= manifest(chains, WHERE).count("\n") <= 42_100


def test_no_plan_takes_less_than_starting_and_reading_all_pages() -> None:
    least = bound.plan(SDK, 1_000)
    assert least.reads == 3 + 1 + 3 + 2 + 2 * 3
    assert least.wall == pytest.approx(0.4 + 3 * 0.02)


def test_one_chain_among_thousands_is_read_by_name() -> None:
    slow = Sdk(0.4, {**SDK.calls, "list_details_1000": 0.4, "list_roles_1000": 0.3})
    assert bound.plan(slow, 1, other_roles=2_000).wall < bound.plan(slow, 1_000).wall


def test_a_first_apply_takes_what_the_services_take() -> None:
    least = bound.first_apply(SDK, 100)
    assert (least.tasks, least.writes) == (5.0, 702)
    assert least.wall == 0.4 + 5.0
    thousand = bound.first_apply(SDK, 1_000)
    assert thousand.security > thousand.tasks == 50.0
    assert thousand.services == thousand.security


def case(scenario: str, chains: int, least: Bound, wall: float) -> dict[str, Any]:
    requests = {"reads": 220, "writes": least.writes, "ledger_reads": 1, "ledger_writes": 4}
    taken = {
        "looks": 201,
        "wall": wall,
        "cpu": wall,
        "peak": 80.0,
        "served": 0.1,
        "yardstick": 0.1,
        "commit": "abc",
    }
    return {"scenario": scenario, "chains": chains, "bound": least.json(), "requests": requests, **taken}


FIGURES: dict[str, Any] = {
    "made": {"commit": "abc", "python": "3.11", "cores": 2, "load": 0.1, "latency": 0.02},
    "cases": [
        case("first apply", 100, bound.first_apply(SDK, 100), 20.0),
        *(case("no-change plan", chains, bound.plan(SDK, chains), chains / 500) for chains in (1, 100, 1_000)),
    ],
    "offline": [{"name": "version", "wall": 0.1, "cpu": 0.1, "peak": 20.0, "sdks_loaded": [], "commit": "abc"}],
}


def test_promises_are_met_missed_or_not_measured() -> None:
    found = {(one.of, one.figure): one.met for one in targets(Figures(FIGURES))}
    assert found["no-change plan, N = 1000", "wall"] is True
    assert found["first apply, N = 100", "wall / bound"] is False
    assert found["first apply, N = 100", "reads / reads of one look, looks at deployments apart"] is True
    assert found["first apply, N = 100", "looks at each deployment"] is False
    assert found["validate, 42,000 lines of YAML, 3,000 objects", "wall"] is None
    assert len(found) == len(list(targets(Figures(FIGURES))))


def test_the_tables_have_every_case() -> None:
    for made in (as_text(FIGURES), markdown(FIGURES)):
        assert made.count("no-change plan") >= 3
        assert "missed" in made


def test_the_pictures_are_pictures() -> None:
    for picture in pictures(FIGURES).values():
        assert ElementTree.fromstring(picture).tag.endswith("svg")  # noqa: S314  (our own text)


def test_figures_of_nothing_are_no_pictures() -> None:
    assert set(pictures({"cases": []}).values()) == {""}


def test_two_versions_that_take_the_same_have_the_ratio_one() -> None:
    from bench.command import Ran
    from bench.scenarios import Measured

    run = Measured(Ran(0, 2.0, 1.0, 80.0, "", ""), {"classes": {"reads": 3}}, 0.1)
    said = text(Pair("no-change plan", 10, [run] * 9, [run] * 9))
    assert "ratio 1.000  (between 1.000 and 1.000)" in said
