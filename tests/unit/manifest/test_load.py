"""Files and folders to one manifest."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import ReconcilerError
from reconciler.manifest.load import (
    AwsTarget,
    BasicAuth,
    EnvironmentSecret,
    FileSecret,
    Lifecycle,
    ManagedSecret,
    Manifest,
    OpenSearchTarget,
    SigV4Auth,
    load,
)
from reconciler.manifest.schema import Schemas
from reconciler.manifest.templates import Reference, Template
from reconciler.manifest.variables import Inputs

LoadText = Callable[..., Manifest]

WHOLE = """\
$schema: ../schema.json
manifest: deepseek
target:
  aws: {region: us-east-1, account_id: "123456789012", profile: ops}
  opensearch:
    endpoint: https://search.example.org:9200
    domain: search-demo
    auth: {username: admin, password: "${secret.admin}"}
    ca_file: ca.pem
    verify_certs: false
    timeout: 30
variables:
  role: signer
secrets:
  admin: {env: ADMIN_PASSWORD}
  file: {file: key.txt}
  managed: {secretsmanager: {secret_id: prod/key, key: api}}
iam_roles:
  signer:
    description: Signs for ${target.region}
connectors:
  chat:
    protocol: http
    sign_as: ${iam_roles.signer.arn}
    credential: {key: "${secret.managed}"}
    adopt: true
    lifecycle: {on_remove: forget, prevent_destroy: true, ignore: [description, "tags.*"]}
    depends_on: [iam_roles.signer]
  plain: {protocol: aws_sigv4}
verify:
  queries:
    hello:
      predict: {model: "${connectors.chat.id}", body: {x: 1}, expect: {status: 200}}
"""


def test_everything_a_manifest_says(load_text: LoadText) -> None:
    manifest = load_text(WHOLE)
    assert manifest.name == "deepseek"
    assert manifest.target.aws == AwsTarget(region="us-east-1", account_id="123456789012", profile="ops")
    assert manifest.target.opensearch == OpenSearchTarget(
        endpoint="https://search.example.org:9200",
        domain="search-demo",
        auth=BasicAuth("admin", EnvironmentSecret("ADMIN_PASSWORD")),
        ca_file="ca.pem",
        verify_certs=False,
        timeout=30.0,
    )
    assert manifest.secrets == {
        "admin": EnvironmentSecret("ADMIN_PASSWORD"),
        "file": FileSecret("key.txt"),
        "managed": ManagedSecret("prod/key", "api"),
    }
    assert [declared.address for declared in manifest.objects] == [
        "iam_roles.signer",
        "connectors.chat",
        "connectors.plain",
    ]
    signer, chat, plain = manifest.objects
    assert signer.fields == {"description": Template(("Signs for ", Reference("target", "region")))}
    assert chat.fields == {
        "protocol": "http",
        "sign_as": Template((Reference("iam_roles", "signer", "arn"),)),
        "credential": {"key": Template((Reference("secret", "managed"),))},
    }
    assert (chat.adopt, chat.depends_on) == (True, ("iam_roles.signer",))
    assert chat.lifecycle == Lifecycle("forget", prevent_destroy=True, ignore=("description", "tags.*"))
    assert (plain.adopt, plain.lifecycle, plain.depends_on) == (False, Lifecycle(), ())
    (query,) = manifest.verify
    assert (query.name, query.kind) == ("hello", "predict")
    assert query.body["expect"] == {"status": 200}


def test_places_of_objects_fields_and_references(load_text: LoadText) -> None:
    chat = load_text(WHOLE).objects[1]
    assert (chat.position.line, chat.position.column) == (22, 3)
    assert chat.position_of(("credential", "key")).line == 25
    assert chat.value_position_of(("protocol",)).column == 15
    sign_as = chat.fields["sign_as"]
    assert isinstance(sign_as, Template)
    place = chat.reference_position(("sign_as",), sign_as.references[0])
    assert (place.line, place.column, place.length) == (24, 26, len("signer"))


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("sigv4", SigV4Auth()),
        ("basic", BasicAuth()),
        ("{username: u, password: '${env.PASSWORD}'}", BasicAuth("u", EnvironmentSecret("PASSWORD"))),
        ("{type: basic, username: u, password: '${env.PASSWORD}'}", BasicAuth("u", EnvironmentSecret("PASSWORD"))),
    ],
)
def test_ways_to_sign(load_text: LoadText, stated: str, expected: SigV4Auth | BasicAuth) -> None:
    manifest = load_text(f"manifest: m\ntarget: {{opensearch: {{auth: {stated}}}}}\n")
    assert manifest.target.opensearch
    assert manifest.target.opensearch.auth == expected


@pytest.mark.parametrize(
    "password", ["hunter2", "${var.p}", "x${env.P}", "${secret.p}${secret.p}", "${target.region}", "5"]
)
def test_passwords_are_references(load_text: LoadText, password: str) -> None:
    auth = f"{{username: u, password: '{password}'}}"
    text = f"manifest: m\nvariables: {{p: x}}\nsecrets: {{p: {{env: P}}}}\ntarget: {{opensearch: {{auth: {auth}}}}}\n"
    with pytest.raises(ReconcilerError) as caught:
        load_text(text)
    assert [(p.code, p.address) for p in caught.value.problems] == [("wrong-value", "target.opensearch.auth.password")]
    assert "hunter2" not in str(caught.value)


def test_sections_may_be_empty(load_text: LoadText) -> None:
    manifest = load_text("manifest: m\ntarget:\nconnectors:\nvariables:\nsecrets:\nverify:\n  queries:\n")
    assert (manifest.name, manifest.objects, manifest.target.aws) == ("m", (), None)


def test_files_of_one_manifest_are_one(load_text: LoadText) -> None:
    manifest = load_text(
        "manifest: m\ntarget: {aws: {region: us-east-1}}\nvariables: {v: http}\n",
        "connectors: {a: {protocol: '${var.v}', credential: {k: '${secret.s}'}}}\n",
        "manifest: m\ntarget: {aws: {region: us-east-1}, opensearch: {domain: search}}\n"
        "connectors: {b: {protocol: http}}\nsecrets: {s: {env: S}}\n",
    )
    assert [declared.address for declared in manifest.objects] == ["connectors.a", "connectors.b"]
    assert manifest.objects[0].fields["protocol"] == "http"
    assert manifest.target.aws == AwsTarget(region="us-east-1")
    assert manifest.target.opensearch == OpenSearchTarget(domain="search")
    assert len(manifest.files) == 3


def test_what_is_read_of_a_folder(tmp_path: Path, schemas: Schemas) -> None:
    files = {
        "b.yaml": "manifest: m\n",
        "a.json": '{"iam_roles": {"a": {}}}',
        "c.yml": "iam_roles: {c: {}}",
        ".hidden.yaml": "manifest: hidden",
        "drift-baseline.yaml": "accepted: []",
        "list.json": "[1, 2]",
        "empty.yaml": "",
        "notes.txt": "manifest: text",
        "kubernetes.yaml": "kind: Pod\nspec: !x\n---\nkind: Pod\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "inner.yaml").mkdir()
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "x.yaml").write_text("manifest: inner")
    manifest = load([str(tmp_path), str(tmp_path / "b.yaml")], schemas, Inputs())
    assert [Path(file).name for file in manifest.files] == ["a.json", "b.yaml", "c.yml"]
    assert [declared.name for declared in manifest.objects] == ["a", "c"]


def test_a_file_of_a_folder_with_a_misspelt_section_is_not_passed_over(tmp_path: Path, schemas: Schemas) -> None:
    (tmp_path / "a.yaml").write_text("manifest: m\n")
    (tmp_path / "b.yaml").write_text("conectors: {}\n")
    with pytest.raises(ReconcilerError) as caught:
        load([str(tmp_path)], schemas, Inputs())
    assert [problem.code for problem in caught.value.problems] == ["unknown-key"]


def test_a_file_that_is_named_is_never_passed_over(tmp_path: Path, schemas: Schemas) -> None:
    (tmp_path / "a.yaml").write_text("manifest: m\n")
    (tmp_path / "baseline.yaml").write_text("accepted: []\n")
    with pytest.raises(ReconcilerError) as caught:
        load([str(tmp_path / "a.yaml"), str(tmp_path / "baseline.yaml")], schemas, Inputs())
    assert [(problem.code, problem.address) for problem in caught.value.problems] == [("unknown-key", "accepted")]


def test_all_problems_of_all_files_come_at_once_in_order(load_text: LoadText) -> None:
    with pytest.raises(ReconcilerError) as caught:
        load_text(
            "manifest: m\nconnectors:\n  a: {protocol: x, zzz: 1}\n  b: {}\n",
            "connectors: [1\n",
            "connectors:\n  c: {protocol: http, name: '${secret.x} ${var.y}'}\n",
        )
    found = [(problem.code, problem.position.line if problem.position else 0) for problem in caught.value.problems]
    assert found == [
        ("wrong-value", 3), ("unknown-key", 3), ("missing-key", 4),
        ("syntax", 2),
        ("secret-not-allowed", 2),
    ]  # fmt: skip


def test_a_problem_in_an_anchored_value_is_told_once(load_text: LoadText) -> None:
    with pytest.raises(ReconcilerError) as caught:
        load_text("manifest: m\nconnectors:\n  a: &x {protocol: nope}\n  b: *x\n  c: *x\n")
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("path", ["nothing.yaml", "no/such/folder", "a\0b", ""])
def test_paths_that_lead_nowhere(path: str, schemas: Schemas, tmp_path: Path) -> None:
    with pytest.raises(ReconcilerError) as caught:
        load([str(tmp_path / "x" / path) if path else str(tmp_path / "none.yaml")], schemas, Inputs())
    assert [problem.code for problem in caught.value.problems] == ["file-not-found"]


def test_templates_are_only_checked_for_what_is_known(load_text: LoadText) -> None:
    role = "${iam_roles.r.arn}"
    fields = f"{{protocol: '{role}', retries: '{role}', sign_as: '{role}/x', sharing: '{role}'}}"
    good = load_text(f"manifest: m\nconnectors: {{a: {fields}}}\n")
    assert len(good.objects) == 1
    with pytest.raises(ReconcilerError) as caught:
        load_text(f"manifest: m\nconnectors: {{a: {{protocol: http, retries: 'x{role}'}}}}\n")
    assert [problem.code for problem in caught.value.problems] == ["wrong-type"]


def test_values_from_outside_and_secrets_are_not_in_messages(load_text: LoadText) -> None:
    text = (
        "manifest: m\nconnectors:\n  a:\n    protocol: ${env.TOKEN}\n    retries: ${env.TOKEN}\n"
        "    credential: {key: 12345678, list: [hunter2]}\n    sharing: ${var.token}\n"
        "variables: {token: {type: string}}\n"
    )
    with pytest.raises(ReconcilerError) as caught:
        load_text(text, inputs=Inputs({"token": "s3cr3t-v"}, {"TOKEN": "s3cr3t-e"}))
    assert len(caught.value.problems) == 5
    for problem in caught.value.problems:
        for secret in ("s3cr3t", "12345678", "hunter2"):
            assert secret not in f"{problem.message} {problem.hint}"


def test_long_values_are_cut_and_objects_are_not_shown(load_text: LoadText) -> None:
    with pytest.raises(ReconcilerError) as caught:
        load_text(f"manifest: m\nconnectors: {{a: {{protocol: {'x' * 500}, name: {{k: v}}}}}}\n")
    messages = [problem.message for problem in caught.value.problems]
    assert messages == [f'"{"x" * 57}..." is not one of http, aws_sigv4', "expected text, found a mapping"]
