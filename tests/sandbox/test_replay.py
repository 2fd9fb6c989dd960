"""The self-managed sandbox against recorded exchanges with a real 2.19.4 node that ran the real ML Commons."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.sandbox import lifecycle
from reconciler.sandbox.settings import Options
from tests.sandbox.replay import stub
from tests.sandbox.replay.replay import Replay, Result, Sender, load

_FOLDER = Path(__file__).parent / "replay"

# the least share of rows that must agree, by family; the rest have no floor of their own
_EXACT = ("fresh", "sec", "cs")
_FLOORS = dict.fromkeys(_EXACT, 0.95) | dict.fromkeys(("conn", "mg", "model", "task", "predict"), 0.70)
_FLOOR = 0.97


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Result]]:
    """What became of each recorded row on an empty sandbox."""
    with pytest.MonkeyPatch.context() as patch, stub.serving():
        patch.setenv("RECONCILER_SANDBOX_HOME", str(tmp_path_factory.mktemp("sandboxes")))
        info = lifecycle.up("replay", Options("self-managed", trust_proxy_headers=True))
        sender = Sender(info.endpoints.domain, info.settings.passwords, info.endpoints.authority)
        try:
            rows = load(_FOLDER / "transcript.jsonl.gz")
            yield Replay(rows, sender, unsteady=_listed("not-reproducible.txt") | _listed("differs.txt")).run()
        finally:
            sender.close()
            lifecycle.down("replay")


def _listed(name: str) -> set[str]:
    lines = (_FOLDER / name).read_text().splitlines()
    return {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}


def _share(results: list[Result]) -> float:
    return sum(result.outcome == "agree" for result in results) / len(results)


def _families(results: list[Result]) -> dict[str, list[Result]]:
    families: defaultdict[str, list[Result]] = defaultdict(list)
    for result in results:
        families[result.family].append(result)
    return families


pytestmark = pytest.mark.timeout(240)


def test_only_listed_rows_differ(results: list[Result]) -> None:
    known = _listed("differs.txt") | _listed("not-reproducible.txt")
    surprising = [str(result) for result in results if result.outcome != "agree" and result.key not in known]
    assert not surprising, "\n".join(surprising)


def test_listed_rows_still_differ(results: list[Result]) -> None:
    listed = _listed("differs.txt")
    assert listed <= {result.key for result in results if result.outcome != "agree"}


def test_lists_name_recorded_rows(results: list[Result]) -> None:
    assert _listed("differs.txt") | _listed("not-reproducible.txt") <= {result.key for result in results}


def test_enough_rows_agree_in_each_family(results: list[Result]) -> None:
    families = _families(results)
    shares = {family: _share(families[family]) for family in _FLOORS}
    assert {family: share for family, share in shares.items() if share < _FLOORS[family]} == {}


def test_enough_rows_agree_in_all(results: list[Result]) -> None:
    assert _share(results) >= _FLOOR
