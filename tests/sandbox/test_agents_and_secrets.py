"""The chain with its key's secret and an agent in the manifest: from empty to an answer, to empty, and back."""

from pathlib import Path
from typing import Any

from tests.sandbox.bed import Bed
from tests.sandbox.command import MANIFESTS, hits, run

CHAT = (MANIFESTS / "deepseek-chat.yaml").read_text()
OWN = """
secrets:
  deepseek_key: { env: DEEPSEEK_API_KEY }

secretsmanager_secrets:
  deepseek:
    name: search/deepseek
    description: the key of DeepSeek's API
    secret_string: '{ "my_deepseek_key": "${secret.deepseek_key}" }'
    recovery_window_in_days: 7

agents:
  answers:
    name: Answers
    type: flow
    description: %s
    tools:
      - type: MLModelTool
        name: deepseek
        parameters:
          model_id: ${models.deepseek-chat.id}
          messages: '[{ "role": "user", "content": "${parameters.question}" }]'
          response_field: choices
  asks-it:
    type: flow
    tools: [{ type: AgentTool, parameters: { agent_id: "${agents.answers.id}" } }]
"""
NAME = "search/deepseek"


def manifest(folder: Path, description: str = "answers a question") -> Path:
    """The walk-through, with its secret declared and agents at its end."""
    text = CHAT.replace("  secret_arn: { type: string, description: The ARN of the secret with the API key. }\n", "")
    text = text.replace("${var.secret_arn}", "${secretsmanager_secrets.deepseek.arn}")
    assert "secret_arn" not in text.partition("manifest:")[2]
    path = folder / "chat.yaml"
    path.write_text(text + OWN % description)
    return path


def agents(bed: Bed) -> dict[str, tuple[str, Any]]:
    """The agents by name, each with its id."""
    found = hits(bed, "/_plugins/_ml/agents")
    return {hit["_source"]["name"]: (hit["_id"], hit["_source"]) for hit in found}


def asked(bed: Bed, agent: str) -> str:
    """What an agent says to a question."""
    body = {"parameters": {"question": "hello"}}
    answer = bed.ask("POST", f"/_plugins/_ml/agents/{agent}/_execute", by=bed.automation, content=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["inference_results"][0]["output"][0]["result"])


def test_from_empty_to_an_agents_answer_to_empty_and_back(aws: Bed, tmp_path: Path) -> None:
    vault = aws.aws("secretsmanager")
    applied = run(aws, "apply", manifest(tmp_path), "--yes")
    assert applied.code == 0, applied.all
    assert "2 of 2 queries passed" in applied.out
    assert aws.env["DEEPSEEK_API_KEY"] not in applied.all
    first = agents(aws)
    assert "You asked: hello" in asked(aws, first["Answers"][0])
    assert run(aws, "plan", manifest(tmp_path), "--detailed-exitcode").code == 0

    # Before 3.1 an agent is made anew, and who asks it is pointed at the new one.
    changed = run(aws, "apply", manifest(tmp_path, "answers otherwise"), "--yes")
    assert changed.code == 0, changed.all
    second = agents(aws)
    assert second.keys() == {"Answers", "asks-it"}
    assert second["Answers"][0] != first["Answers"][0]
    assert second["asks-it"][1]["tools"][0]["parameters"]["agent_id"] == second["Answers"][0]

    arn = vault.describe_secret(SecretId=NAME)["ARN"]
    gone = run(aws, "destroy", manifest(tmp_path), "--yes")
    assert gone.code == 0, gone.all
    assert agents(aws) == {}
    assert "DeletedDate" in vault.describe_secret(SecretId=NAME)

    # Its name is taken for a week: it is had back.
    back = run(aws, "apply", manifest(tmp_path), "--yes")
    assert back.code == 0, back.all
    assert "2 of 2 queries passed" in back.out
    again = vault.describe_secret(SecretId=NAME)
    assert (again["ARN"], again.get("DeletedDate")) == (arn, None)
    assert run(aws, "drift", manifest(tmp_path)).code == 0


def test_somebody_elses_deleted_secret_is_not_had_back(aws: Bed, tmp_path: Path) -> None:
    vault = aws.aws("secretsmanager")
    vault.create_secret(Name=NAME, SecretString="theirs")
    vault.delete_secret(SecretId=NAME, RecoveryWindowInDays=7)
    refused = run(aws, "apply", manifest(tmp_path), "--yes")
    assert refused.code == 1, refused.all
    assert "error[name-taken]" in refused.err
    assert "not ours to have back" in refused.err
    assert "DeletedDate" in vault.describe_secret(SecretId=NAME)
