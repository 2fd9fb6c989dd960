"""The manifest of semantic search: its plan and its embeddings on the sandbox, all of it on a domain that has k-NN."""

from tests.sandbox.bed import Bed
from tests.sandbox.command import MANIFESTS, left_overs, run
from tests.sandbox.elsewhere import elsewhere

SEMANTIC = MANIFESTS / "deepseek-semantic.yaml"


def test_what_the_sandbox_has_of_it(self_managed: Bed) -> None:
    env = {"OPENAI_API_KEY": self_managed.env["DEEPSEEK_API_KEY"]}
    planned = run(self_managed, "plan", SEMANTIC, "--detailed-exitcode", env=env)
    assert planned.code == 2, planned.all
    assert "Plan: 8 to create, 1 to change" in planned.out
    embedding = ("--target", "models.semantic-embedding")
    applied = run(self_managed, "apply", SEMANTIC, "--yes", "--no-verify", *embedding, env=env)
    assert applied.code == 0, applied.all
    verified = run(self_managed, "verify", SEMANTIC, "--only", "embedding", env=env)
    assert verified.code == 0, verified.all
    assert run(self_managed, "destroy", SEMANTIC, "--yes", env=env).code == 0
    assert left_overs(self_managed) == []


def test_all_of_it_elsewhere() -> None:
    domain = elsewhere()
    applied = run(domain, "apply", SEMANTIC, "--yes")
    try:
        assert applied.code == 0, applied.all
        assert "2 of 2 queries passed." in applied.out
        assert run(domain, "plan", SEMANTIC, "--detailed-exitcode").code == 0
    finally:
        destroyed = run(domain, "destroy", SEMANTIC, "--yes")
        with domain.client() as client:
            client.delete(f"{domain.env['OPENSEARCH_URL']}/deepseek-semantic", auth=domain.master)
    assert destroyed.code == 0, destroyed.all
