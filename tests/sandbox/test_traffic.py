"""A connector changed while clients ask its model without pause: no prediction fails."""

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.sandbox.bed import Bed
from tests.sandbox.command import hits, run
from tests.sandbox.elsewhere import Domain, elsewhere

MANIFEST = """\
manifest: traffic
target: { opensearch: { endpoint: "${var.opensearch_endpoint}" } }
variables:
  opensearch_endpoint: { type: string }
  model: deepseek-chat
  path: /v1/chat/completions
secrets:
  key: { env: DEEPSEEK_API_KEY }
  other: { env: OTHER_KEY }
  wrong: { env: WRONG_KEY }
connectors:
  chat:
    name: reconciler-test-chat
    protocol: http
    credential: { key: "${secret.%s}" }
    parameters: { model: "${var.model}" }
    actions:
      - action_type: predict
        method: POST
        url: https://api.deepseek.com${var.path}
        headers: { Authorization: "Bearer ${credential.key}" }
        request_body: '{ "model": "${parameters.model}", "messages": ${parameters.messages} }'
models:
  chat:
    name: reconciler-test-chat
    connector_id: ${connectors.chat.id}
verify:
  queries:
    hello:
      predict:
        model: ${models.chat.id}
        body: { parameters: { messages: [{ role: user, content: hello }] } }
"""
CLIENTS = 4
ASK = {"parameters": {"messages": [{"role": "user", "content": "hello"}]}}


class Traffic:
    """Clients that predict one after the other until they are told to stop."""

    def __init__(self, bed: Domain, model: str) -> None:
        self.answers: list[int] = []
        self._bed = bed
        self._path = f"/_plugins/_ml/models/{model}/_predict"
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        with self._bed.client() as client:
            while not self._ending.is_set():
                try:
                    url = f"{self._bed.env['OPENSEARCH_URL']}{self._path}"
                    self.answers.append(client.post(url, json=ASK, auth=self._bed.master).status_code)
                except httpx.HTTPError:
                    self.answers.append(0)


def ours(domain: Domain, kind: str) -> dict[str, Any]:
    """The test's own objects of a kind, by id."""
    body = {"query": {"term": {"name.keyword": "reconciler-test-chat"}}}
    with domain.client() as client:
        url = f"{domain.env['OPENSEARCH_URL']}/_plugins/_ml/{kind}/_search"
        answer = client.post(url, json=body, auth=domain.master)
    found = answer.json()["hits"]["hits"] if answer.status_code == 200 else []
    return {hit["_id"]: hit["_source"] for hit in found}


@pytest.fixture(params=["sandbox", "endpoint"])
def domain(request: pytest.FixtureRequest) -> Domain:
    """A sandbox, and the domain that RECONCILER_TEST_ENDPOINT names."""
    if request.param == "endpoint":
        return elsewhere()
    sandbox: Bed = request.getfixturevalue("self_managed")
    return sandbox


@pytest.mark.figure("a connector changed under four predicting clients")
def test_no_prediction_fails_while_the_connector_changes(domain: Domain, tmp_path: Path) -> None:
    path = tmp_path / "traffic.yaml"
    env = {"OTHER_KEY": domain.env["DEEPSEEK_API_KEY"]}
    path.write_text(MANIFEST % "key")
    first = run(domain, "apply", path, "--yes", env=env)
    assert first.code == 0, first.all
    (model,) = ours(domain, "models")
    reasoner = ["--var", "model=deepseek-reasoner"]
    moved = [*reasoner, "--var", "path=/chat/completions"]
    seen = set(ours(domain, "connectors"))
    with Traffic(domain, model) as traffic:
        for name, options in (("key", reasoner), ("key", moved), ("other", moved)):
            path.write_text(MANIFEST % name)
            changed = run(domain, "apply", path, "--yes", *options, env=env)
            assert changed.code == 0, changed.all
            (now,) = ours(domain, "connectors")
            assert now not in seen
            seen.add(now)
        path.write_text(MANIFEST % "wrong")
        before = ours(domain, "connectors")
        refused = run(domain, "apply", path, "--yes", *moved, env={**env, "WRONG_KEY": "wrong-key-of-nobody"})
        assert refused.code == 1
        assert "error[not-proved]" in refused.all
        assert "wrong-key-of-nobody" not in refused.all
        assert ours(domain, "connectors") == before
    assert list(ours(domain, "models")) == [model]
    assert len(traffic.answers) > 3 * CLIENTS
    assert {status for status in traffic.answers if status != 200} == set()
    assert run(domain, "destroy", path, "--yes", *moved, env=env).code == 0
    assert ours(domain, "models") == ours(domain, "connectors") == {}


def test_a_connector_told_to_be_edited_in_place_keeps_its_id(self_managed: Bed, tmp_path: Path) -> None:
    path = tmp_path / "traffic.yaml"
    path.write_text(
        (MANIFEST % "key").replace("    protocol: http", "    protocol: http\n    update_strategy: in_place")
    )
    first = run(self_managed, "apply", path, "--yes")
    assert first.code == 0, first.all
    (model,) = [hit["_id"] for hit in hits(self_managed, "/_plugins/_ml/models")]
    before = [hit["_id"] for hit in hits(self_managed, "/_plugins/_ml/connectors")]
    changed = run(self_managed, "apply", path, "--yes", "--var", "model=deepseek-reasoner")
    assert changed.code == 0, changed.all
    assert "edited in place" in changed.all
    assert [hit["_id"] for hit in hits(self_managed, "/_plugins/_ml/connectors")] == before
    connector = self_managed.ask("GET", f"/_plugins/_ml/connectors/{before[0]}", by=self_managed.master)
    assert connector.json()["parameters"]["model"] == "deepseek-reasoner"
    (after,) = hits(self_managed, "/_plugins/_ml/models")
    assert (after["_id"], after["_source"]["model_state"]) == (model, "DEPLOYED")
