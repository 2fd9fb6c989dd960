"""The manifests of the repository on the sandbox, each from empty to empty."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.bed import Bed
from tests.sandbox.command import MANIFESTS, TRUSTED, caller, hits, left_overs, mapping, run, settings, stats


@dataclass(frozen=True)
class Case:
    """A manifest: on which flavour, of how many objects, and where in the answer the model's words are."""

    flavour: str
    objects: int
    words: tuple[str, ...]


CASES = {
    "deepseek-bedrock": Case("aws", 8, ("completion",)),
    "deepseek-sagemaker": Case("aws", 8, ("completion",)),
    "deepseek-chat": Case("aws", 7, ("choices", "0", "message", "content")),
    "deepseek-self-managed": Case("self-managed", 5, ("choices", "0", "message", "content")),
}


NEEDS_MORE = {"deepseek-semantic"}  # than the sandbox's node has: see test_semantic.py


def test_every_manifest_is_tested() -> None:
    assert {path.stem for path in MANIFESTS.glob("*.yaml")} == set(CASES) | NEEDS_MORE


@pytest.mark.parametrize("name", CASES)
def test_from_empty_to_empty(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    case, manifest = CASES[name], MANIFESTS / f"{name}.yaml"
    bed: Bed = request.getfixturevalue("aws" if case.flavour == "aws" else "self_managed")
    before, roles_before = settings(bed), roles(bed)

    assert run(bed, "plan", manifest, "--detailed-exitcode").code == 2
    applied = run(bed, "apply", manifest, "--yes")
    assert applied.code == 0, applied.all
    assert f"Verified: {case.objects} objects as planned, 2 of 2 queries passed." in applied.out

    again = run(bed, "plan", manifest, "--detailed-exitcode", "--stats", tmp_path / "plan.json")
    assert (again.code, "No changes" in again.out) == (0, True)
    assert stats(tmp_path / "plan.json")["requests"]["total"] <= 17  # 16 of a chain, and the pipelines

    twice = run(bed, "apply", manifest, "--yes", "--stats", tmp_path / "apply.json")
    assert twice.code == 0
    assert stats(tmp_path / "apply.json")["requests"]["writes"] == 0

    verified = run(bed, "verify", manifest, "--json")
    assert verified.code == 0
    hello, rag = verified.data["queries"]
    assert (hello["status"], hello["answer"]) == (200, "You asked: hello")
    assert (rag["status"], rag["answer"].startswith("You asked: ")) == (200, True)
    assert "SEARCH RESULT 1: New York City" in rag["answer"]
    assert temporary(bed) == []
    assert said(bed, case.words, {"inputs": "hello"} if case.words == ("completion",) else CHAT) == "You asked: hello"

    destroyed = run(bed, "destroy", manifest, "--yes")
    assert destroyed.code == 0, destroyed.all
    assert left_overs(bed) == []
    assert (settings(bed), roles(bed)) == (before, roles_before)
    assert case.flavour != "aws" or mapping(bed) is None


def temporary(bed: Bed) -> list[str]:
    """The temporary indices there are."""
    shown = bed.ask("GET", "/reconciler-verify-*?expand_wildcards=all", by=caller(bed))
    return sorted(shown.json())


CHAT = {"messages": [{"role": "user", "content": "hello"}]}


def said(bed: Bed, words: tuple[str, ...], parameters: Mapping[str, Any]) -> Any:
    """What the one model there is answers, where its answer has the words."""
    (model,) = hits(bed, "/_plugins/_ml/models")
    path = f"/_plugins/_ml/models/{model['_id']}/_predict"
    answer = bed.ask("POST", path, by=caller(bed), content={"parameters": parameters})
    found = answer.json()["inference_results"][0]["output"][0]["dataAsMap"]
    for word in words:
        found = found[int(word) if word.isdigit() else word]
    return found


def roles(bed: Bed) -> set[str]:
    return {role["RoleName"] for role in bed.aws("iam").list_roles()["Roles"]}


def test_side_by_side_they_share_lists_and_one_leaves_without_harm(aws: Bed) -> None:
    bedrock, sagemaker, chat = (MANIFESTS / f"deepseek-{name}.yaml" for name in ("bedrock", "sagemaker", "chat"))
    defaults = effective(aws)
    for manifest in (bedrock, sagemaker, chat):
        applied = run(aws, "apply", manifest, "--yes")
        assert applied.code == 0, applied.all
    assert len(mapping(aws)["backend_roles"]) == 3
    hosts = (r"bedrock-runtime\.us-east-1\.amazonaws", r"runtime\.sagemaker\.us-east-1\.amazonaws", r"api\.deepseek")
    wanted = [rf"^https://{host}\.com/.*$" for host in hosts]
    assert sorted(effective(aws)) == sorted({*defaults, *wanted})

    destroyed = run(aws, "destroy", chat, "--yes")
    assert destroyed.code == 0, destroyed.all
    assert sorted(effective(aws)) == sorted({*defaults, *wanted[:2]})  # DeepSeek's was there before
    assert len(mapping(aws)["backend_roles"]) == 2
    for manifest in (bedrock, sagemaker):
        assert run(aws, "plan", manifest, "--detailed-exitcode").code == 0
        assert run(aws, "verify", manifest).code == 0


def effective(bed: Bed) -> list[str]:
    """The trusted endpoints there are, the default ones included."""
    answer = bed.ask("GET", "/_cluster/settings?flat_settings=true&include_defaults=true", by=caller(bed)).json()
    return list(answer["persistent"].get(TRUSTED) or answer["defaults"][TRUSTED])
