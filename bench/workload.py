"""The manifest that is measured: chains of two IAM roles, a security role, a mapping, a connector, a group, a model."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "bench"

_HEAD = """\
manifest: {manifest}

target:
  aws:
    region: us-east-1
    account_id: "{account}"
    endpoint_url: {aws}
  opensearch:
    endpoint: {domain}
    domain: search-demo
    auth: sigv4
"""

_OBJECTS: Mapping[str, str] = {
    "iam_roles": """\
  invoke-{n}:
    role_name: bench-invoke-{n}
    path: /bench/
    description: Lets OpenSearch ask the model of chain {n} on Bedrock
    assume_role_policy_document:
      Version: "2012-10-17"
      Statement:
        - Effect: Allow
          Principal:
            Service: es.amazonaws.com
          Action: sts:AssumeRole
          Condition:
            StringEquals:
              aws:SourceAccount: "${{target.account_id}}"
    inline_policies:
      invoke:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Action: bedrock:InvokeModel
            Resource:
              - arn:${{target.partition}}:bedrock:*::foundation-model/deepseek.r1-v1:0
              - arn:${{target.partition}}:bedrock:${{target.region}}:${{target.account_id}}:inference-profile/chain-{n}
    tags:
      chain: "{n}"
      team: search
      stage: production
  ask-{n}:
    role_name: bench-ask-{n}
    path: /bench/
    description: Lets the application of chain {n} ask its model
    assume_role_policy_document:
      Version: "2012-10-17"
      Statement:
        - Effect: Allow
          Principal:
            AWS: arn:${{target.partition}}:iam::${{target.account_id}}:root
          Action: sts:AssumeRole
    inline_policies:
      ask:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Action:
              - es:ESHttpGet
              - es:ESHttpPost
            Resource: ${{target.domain_arn}}/*
    tags:
      chain: "{n}"
      team: search
      stage: production
""",
    "security_roles": """\
  bench-ask-{n}:
    description: May ask the model of chain {n}
    cluster_permissions:
      - cluster:admin/opensearch/ml/predict
      - cluster:admin/opensearch/ml/models/get
      - cluster:admin/opensearch/ml/models/search
    index_permissions:
      - index_patterns:
          - chain-{n}-*
        allowed_actions:
          - read
""",
    "role_mappings": """\
  bench-ask-{n}:
    description: Who may ask the model of chain {n}
    backend_roles:
      - ${{iam_roles.ask-{n}.arn}}
""",
    "connectors": """\
  bench-{n}:
    description: DeepSeek R1 of chain {n}, behind InvokeModel of Bedrock
    version: 1
    protocol: aws_sigv4
    credential:
      roleArn: ${{iam_roles.invoke-{n}.arn}}
    parameters:
      service_name: bedrock
      region: us-east-1
      model_id: us.deepseek.r1-v1:0
      temperature: 0
      max_gen_len: 4000
    client_config:
      max_retry_times: 3
      read_timeout: 60000
    actions:
      - action_type: predict
        method: POST
        url: https://bedrock-runtime.${{parameters.region}}.amazonaws.com/model/${{parameters.model_id}}/invoke
        headers:
          content-type: application/json
        request_body: >-
          {{ "prompt": "<|User|>${{parameters.inputs}}<|Assistant|>",
          "temperature": ${{parameters.temperature}},
          "max_gen_len": ${{parameters.max_gen_len}} }}
""",
    "model_groups": """\
  bench-{n}:
    description: Models of chain {n}
""",
    "models": """\
  bench-{n}:
    description: {model}
    model_group_id: ${{model_groups.bench-{n}.id}}
    connector_id: ${{connectors.bench-{n}.id}}
    is_enabled: true
""",
}
KINDS = tuple(_OBJECTS)
PER_CHAIN: Mapping[str, int] = {**dict.fromkeys(KINDS, 1), "iam_roles": 2}
"""How many objects of each kind a chain has."""


@dataclass(frozen=True, slots=True)
class Where:
    """The account and the addresses of its services and of the domain."""

    aws: str
    domain: str
    account: str


def manifest(chains: int, where: Where, kinds: Collection[str] = KINDS, changed: int | None = None) -> str:
    """The manifest of so many chains, in YAML. The model of chain `changed` has another description."""
    return head(where) + sections(range(chains), kinds, changed)


def head(where: Where) -> str:
    """The manifest without an object."""
    return _HEAD.format(manifest=MANIFEST, aws=where.aws, domain=where.domain, account=where.account)


def sections(chains: range, kinds: Collection[str] = KINDS, changed: int | None = None) -> str:
    """The objects of some chains, as a file of a manifest may state them."""
    parts = []
    for kind, text in _OBJECTS.items():
        if kind in kinds:
            parts.append(f"\n{kind}:\n")
            parts += [text.format(n=number(one), model=_model(one, changed)) for one in chains]
    return "".join(parts)


def number(chain: int) -> str:
    """A chain's number as its names have it."""
    return f"{chain:05d}"


def kinds_of(tree: Path) -> tuple[str, ...]:
    """The kinds of the workload that a checkout knows."""
    return tuple(kind for kind in KINDS if (tree / "schemas" / f"{kind}.schema.json").is_file())


def objects(chains: int, kinds: Collection[str] = KINDS) -> int:
    """How many objects so many chains have."""
    return chains * sum(PER_CHAIN[kind] for kind in kinds)


def _model(chain: int, changed: int | None) -> str:
    return f"DeepSeek R1 of chain {number(chain)}" + (", changed" if chain == changed else "")
