"""What `permissions` prints suffices, and nothing of it can be left out.

An identity begins with nothing. A command is run, and it is given exactly what it was refused, until nothing is refused
any more. What it was given in the end is what `permissions` printed.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials

from reconciler.cli.lease import oneself
from reconciler.cli.run import run
from reconciler.permissions import Needs, Permission
from reconciler.sandbox import lifecycle
from reconciler.sandbox.settings import ACCOUNT, SECRET_ARN
from tests.sandbox.bed import Bed
from tests.sandbox.command import TRUSTED, Ran, hits

Command = Callable[..., Ran]

_IAM = re.compile(r"User: (\S+) is not authorized to perform: (\S+)(?: on resource: (\S+))?")
_OPENSEARCH = re.compile(r"no permissions for \[(.+?)\] and User \[name=([^,]+),")
_API = "/_plugins/_security/api"
_NOTHING: Mapping[str, Any] = {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}}


@dataclass(eq=False)
class Identity:
    """A role of IAM and one of the Security plugin, which allow what was `granted` of what was `printed` for it."""

    bed: Bed
    name: str
    arn: str
    printed: frozenset[Permission] = frozenset()
    to_map: frozenset[str] = frozenset()
    granted: frozenset[Permission] = frozenset()
    mapped: frozenset[str] = frozenset()

    def told(self, printed: Mapping[str, Any]) -> None:
        """Take over what the command printed."""
        self.printed, self.to_map = frozenset(_permissions(printed)), frozenset(printed["also_map_to"])

    def allow(self, granted: Iterable[Permission], mapped: Iterable[str]) -> None:
        """Be allowed this and nothing else."""
        for role in (*self.mapped, *mapped):
            self._map(role, [self.arn] if role in mapped else [])
        self.granted, self.mapped = frozenset(granted), frozenset(mapped)
        needs = Needs(self.granted)
        document = json.dumps(needs.iam_policy or _NOTHING)
        self.bed.aws("iam").put_role_policy(RoleName=self.name, PolicyName="p", PolicyDocument=document)
        body = needs.opensearch_role or {"cluster_permissions": [], "index_permissions": []}
        self._ask("PUT", f"roles/{self.name}", body)
        self._map(self.name, [self.arn])

    def _map(self, role: str, members: Sequence[str]) -> None:
        mapping = {"users": self.bed.ask("GET", f"{_API}/rolesmapping/{role}", by=self.bed.automation).json()}
        users = mapping["users"].get(role, {}).get("users", [])
        self._ask("PUT", f"rolesmapping/{role}", {"users": users, "backend_roles": members})

    def _ask(self, method: str, path: str, body: Any) -> None:
        answer = self.bed.ask(method, f"{_API}/{path}", by=self.bed.automation, content=body)
        assert answer.is_success, answer.text


@dataclass(frozen=True)
class Refused:
    """One refusal: whose, which action (a security role for the Security REST API), and on what, "" where unknown."""

    who: Identity
    action: str
    on: str = ""


@dataclass
class Growth:
    """Identities that are given what they are refused; `forgiven` are the actions without which a command succeeded."""

    bed: Bed
    who: Sequence[Identity]
    command: Callable[[], Ran]
    forgiven: set[str] = field(default_factory=set)

    def grow(self, *codes: int) -> None:
        """Run the command until it ends with one of the exit codes, and nothing was refused."""
        while True:
            since = datetime.now(UTC).isoformat(timespec="milliseconds")
            ran = self.command()
            refused = [*self._logged(since), *self._said(ran.all)]
            if not refused:
                assert ran.code in codes, ran.all
                return
            if ran.code in codes:
                self.forgiven |= {one.action for one in refused}
            for who in self.who:
                self._give(who, [one for one in refused if one.who is who], ran)

    def _give(self, who: Identity, refused: Sequence[Refused], ran: Ran) -> None:
        permissions = {
            permission
            for one in refused
            for permission in who.printed
            if permission.action == one.action and (not one.on or _covers(permission.resource, one.on))
        }
        roles = {one.action for one in refused} & who.to_map
        unknown = {one.action for one in refused} - {one.action for one in permissions} - roles
        assert not unknown, f"not printed: {unknown}\n{ran.all}"
        if refused:
            assert not (permissions <= who.granted and roles <= who.mapped), f"refused though granted: {refused}"
            who.allow(who.granted | permissions, who.mapped | roles)

    def _logged(self, since: str) -> Iterator[Refused]:
        for entry in lifecycle.log(self.bed.name, 5000):
            if str(entry["at"]) >= since and entry["decision"] == "refused":
                method, _, target = str(entry["request"]).partition(" ")
                on = target.partition("?")[0].split("/")[1] if target.startswith("/") else ""
                yield from self._refusals(str(entry["reason"]), on.removeprefix("_") and on)
                if target.startswith(_API) and entry["status"] == 403 and method:
                    for who in self.who:
                        for role in who.to_map if who.arn in str(entry["reason"]) else ():
                            yield Refused(who, role)

    def _said(self, text: str) -> Iterator[Refused]:
        """What only the command says: refusals of single documents in a bulk request."""
        yield from self._refusals(" ".join(text.split()), "")

    def _refusals(self, text: str, on: str) -> Iterator[Refused]:
        for arn, action, resource in _IAM.findall(text):
            for who in self.who:
                if f"/{who.name}/" in arn:
                    yield Refused(who, action, resource)
        for actions, name in _OPENSEARCH.findall(text):
            for who in self.who:
                if name == who.arn:
                    yield from (Refused(who, action, "" if on.startswith("_") else on) for action in actions.split(", "))


def _covers(pattern: str, resource: str) -> bool:
    return not pattern or any(fnmatchcase(one, pattern) for one in resource.replace("%2C", ",").split(","))


def _permissions(printed: Mapping[str, Any]) -> Iterator[Permission]:
    """What a policy and a role allow, one by one."""
    for statement in (printed["iam_policy"] or {"Statement": ()})["Statement"]:
        for action in statement["Action"]:
            yield from (Permission(action, one) for one in statement["Resource"])
    role = printed["opensearch_role"] or {"cluster_permissions": (), "index_permissions": ()}
    yield from (Permission(action) for action in role["cluster_permissions"])
    for entry in role["index_permissions"]:
        for action in entry["allowed_actions"]:
            yield from (Permission(action, one) for one in entry["index_patterns"])


@pytest.fixture
def command(aws: Bed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the reconciler in this process, as the user `automation` or in a session of a role."""

    def ran(*words: str | Path, by: Credentials | None = None) -> Ran:
        who = by or aws.automation
        signing = {"AWS_ACCESS_KEY_ID": who.access_key, "AWS_SECRET_ACCESS_KEY": who.secret_key}
        for name, value in {**aws.env, **signing, "AWS_SESSION_TOKEN": who.token or ""}.items():
            monkeypatch.setenv(name, value)
        code = run([str(word) for word in words])
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return ran


def statement(action: str | Sequence[str], resource: str = "*") -> dict[str, Any]:
    allowed = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [allowed]}


def trust(*services: str) -> dict[str, Any]:
    allowed = {"Effect": "Allow", "Principal": {"Service": list(services)}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [allowed]}


TARGET: Mapping[str, Any] = {
    "aws": {"region": "us-east-1", "account_id": ACCOUNT},
    "opensearch": {"endpoint": "${var.opensearch_endpoint}", "domain": "search-demo", "auth": "sigv4"},
}
ELSEWHERE = f"arn:aws:iam::{ACCOUNT}:role/elsewhere"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


def document(**sections: Any) -> dict[str, Any]:
    return {
        "manifest": "whole",
        "target": TARGET,
        "variables": {"opensearch_endpoint": {"type": "string"}},
        "secrets": {
            "ann": {"secretsmanager": {"secret_id": "users", "key": "ann"}},
            "key": {"env": "DEEPSEEK_API_KEY"},
        },
        **sections,
    }


def connector(description: str, **more: Any) -> dict[str, Any]:
    return {
        "description": description,
        "protocol": "http",
        "credential": {"secretArn": SECRET_ARN, "roleArn": "${iam_roles.invoke.arn}"},
        "actions": [
            {
                "action_type": "predict",
                "method": "POST",
                "url": "https://api.deepseek.com/v1/chat/completions",
                "headers": {"Authorization": "Bearer ${credential.secretArn.my_deepseek_key}"},
                "request_body": '{ "model": "${parameters.model}", "messages": ${parameters.messages} }',
            }
        ],
        **more,
    }


def whole(version: int, models: int) -> dict[str, Any]:
    """All kinds, with those of ML Commons apart: in version 1 as they are made, in 2 changed, in 3 once more; 0 is none."""
    changed = version > 1
    text, tags = "changed" if changed else "as made", {"second" if changed else "first": "x"}
    read = statement(["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"], SECRET_ARN)
    sections: dict[str, Any] = {
        "iam_policies": {
            "reading": {"policy_document": statement("s3:Get*" if changed else "s3:List*"), "tags": tags}
        },
        "iam_roles": {
            "invoke": {
                "description": text,
                "assume_role_policy_document": trust("es.amazonaws.com", *["ec2.amazonaws.com"][:changed]),
                "inline_policies": {"read": read, "new" if changed else "old": statement("s3:List*")},
                "managed_policy_arns": [READ_ONLY if changed else "${iam_policies.reading.arn}"],
                "tags": tags,
                **({"permissions_boundary": ADMINISTRATOR} if version == 2 else {}),
            }
        },
        "secretsmanager_secrets": {
            "kept": {
                "name": "search/kept", "description": text, "secret_string": "${secret.key}", "tags": tags,
                "recovery_window_in_days": 7,
            }
        },
        "cluster_settings": {
            "ml": {
                TRUSTED: [r"^https://api\.deepseek\.com/.*$"],
                "plugins.ml_commons.max_model_on_node": 11 + changed,
            }
        },
        "action_groups": {"asking": {"description": text, "allowed_actions": ["cluster:monitor/main"]}},
        "security_roles": {"reader": {"description": text, "cluster_permissions": ["asking"]}},
        "tenants": {"team": {"description": text}},
        "internal_users": {"ann": {"description": text, "password": "${secret.ann}"}},
        "role_mappings": {"reader": {"description": text, "backend_roles": [ELSEWHERE]}},
        "ingest_pipelines": {
            "tidy": {"description": text, "processors": [{"trim": {"field": "text", "ignore_missing": True}}]}
        },
        "search_pipelines": {
            "plain": {"description": text, "request_processors": [{"filter_query": {"query": {"match_all": {}}}}]}
        },
        "index_templates": {"those": {"index_patterns": ["those-*"], "priority": 11 + changed}},
        "indices": {
            "docs": {
                "settings": {"refresh_interval": "9s" if changed else "5s"},
                "mappings": {"properties": {name: {"type": "text"} for name in ["title", "text"][: 1 + changed]}},
                "aliases": {"news" if changed else "olds": {}},
            }
        },
    }  # fmt: skip
    if not models:
        return document(**sections)
    text = "changed" if models > 1 else "as made"
    asked = [{"role": "user", "content": "hello"}]
    return document(
        **sections,
        connectors={
            "chat": connector("a chat", parameters={"model": "deepseek-chat", "temperature": str(int(models > 1))}),
            "spare": connector(text, parameters={"model": "deepseek-chat"}),
        },
        model_groups={"group": {"description": text}},
        models={
            "chat": {
                "description": text,
                "connector_id": "${connectors.chat.id}",
                "model_group_id": "${model_groups.group.id}",
            },
            "idle": {
                "depends_on": ["models.chat"],
                "connector_id": "${connectors.chat.id}",
                "model_group_id": "${model_groups.group.id}",
                "model_state": "UNDEPLOYED" if models == 2 else "DEPLOYED",
            },
        },
        agents={
            "answers": {
                "type": "flow",
                "description": text,
                "tools": [{"type": "MLModelTool", "parameters": {"model_id": "${models.chat.id}"}}],
            }
        },
        verify={
            "documents": {"texts": {"documents": [{"text": "one"}]}},
            "queries": {
                "hello": {"predict": {"model": "${models.chat.id}", "body": {"parameters": {"messages": asked}}}},
                "found": {"search": {"documents": "texts", "body": {}}},
                "empty": {"search": {"index": "docs", "body": {}}},
            },
        },
    )


def write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content))


def ask(bed: Bed, method: str, path: str, content: Any = None) -> Any:
    answer = bed.ask(method, path, by=bed.automation, content=content)
    assert answer.is_success, answer.text
    return answer.json()


def found(bed: Bed, kind: str) -> dict[str, str]:
    """The ids of all objects of a kind of ML Commons, by name."""
    return {hit["_source"]["name"]: hit["_id"] for hit in hits(bed, f"/_plugins/_ml/{kind}")}


def test_with_the_caller_alone(aws: Bed, tmp_path: Path, command: Command) -> None:
    ask(aws, "DELETE", f"{_API}/rolesmapping/own_index")
    aws.aws("secretsmanager").create_secret(Name="users", SecretString=json.dumps({"ann": "Aa1-bridge-over-water"}))
    elsewhere = {"Effect": "Allow", "Action": "s3:List*", "Resource": "*"}
    aws.role("elsewhere", elsewhere)
    caller = Identity(aws, "deployer", aws.role("deployer"))
    by = aws.assume(caller.arn)
    path = tmp_path / "whole.json"
    write(path, whole(1, 1))

    def printed(purpose: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = command("permissions", "--for", purpose, path, "--json").data
        return found

    def growth(purpose: str, *options: str) -> Growth:
        caller.told(printed(purpose))
        return Growth(aws, [caller], lambda: command(purpose, path, *options, by=by))

    import sys, time
    t0 = time.time()
    def log(*a: object) -> None:
        with open("/tmp/perm.log", "a") as f: print(round(time.time() - t0, 1), *a, file=f)

    def through(purpose: str, *codes: int) -> None:
        """Let the caller begin anew in each state, and be given what was needed in all of them."""
        granted, mapped = states[purpose]
        caller.told(printed(purpose))
        caller.allow(granted, mapped)
        grown = Growth(aws, [caller], lambda: command(purpose, path, by=by), forgiven[purpose])
        grown.grow(*codes)
        states[purpose] = caller.granted, caller.mapped
        log(purpose, [(p.action, p.resource) for p in sorted(caller.printed - caller.granted)], forgiven[purpose])

    states: dict[str, Any] = {"plan": ((), ()), "drift": ((), ())}
    forgiven: dict[str, set[str]] = {"plan": set(), "drift": set()}
    through("plan", 0)
    applied = command("apply", path, "--yes")
    assert applied.code == 0, applied.all
    log("applied")
    through("plan", 0)
    through("drift", 0)

    models, connectors, groups = found(aws, "models"), found(aws, "connectors"), found(aws, "model_groups")
    changes = {f"models/{models['chat']}", f"connectors/{connectors['spare']}", f"model_groups/{groups['group']}"}
    for one in changes:
        ask(aws, "PUT", f"/_plugins/_ml/{one}", {"description": "somebody's"})
    ask(aws, "DELETE", f"/_plugins/_ml/agents/{found(aws, 'agents')['answers']}")
    aws.aws("iam").delete_role_policy(RoleName="elsewhere", PolicyName="p")
    aws.aws("iam").delete_role(RoleName="elsewhere")
    aws.aws("secretsmanager").delete_secret(SecretId="search/kept", ForceDeleteWithoutRecovery=True)
    log("changed")
    through("plan", 0)
    through("drift", 2)

    gone = command("destroy", path, "--yes")
    assert gone.code == 0, gone.all
    ask(aws, "DELETE", "/reconciler-ledger")
    aws.role("elsewhere", elsewhere)
    log("destroyed")

    caller.told(printed("apply"))
    caller.allow(states["plan"][0], states["plan"][1])

    def go() -> Ran:
        # Who is refused to give its lock back runs on, in this process.
        aws.ask("DELETE", "/reconciler-ledger/_doc/lock:whole?refresh=true", by=aws.automation)
        if locked:
            ask(aws, "PUT", "/reconciler-ledger/_doc/lock:whole?refresh=true", locked)
        ran = command("apply", path, "--yes", by=by)
        log("ran", ran.code, [line for line in ran.err.splitlines() if "waiting" in line or "error" in line])
        return ran

    locked: dict[str, Any] = {}
    apply = Growth(aws, [caller], go)
    for stage in ((1, 0), (1, 1), (2, 1), (2, 2), (3, 3)):
        write(path, whole(*stage))
        if stage == (2, 1):
            identity = "/reconciler-ledger/_update/identity?refresh=true"
            ask(aws, "POST", identity, {"script": "ctx._source.body.version = 1"})
            held = replace(oneself("gone", "whole"), process=ended())
            locked |= {"type": "lock", "manifest": "whole", "at": held.since, "by": held.who, "body": held.body()}
        apply.grow(0)
        log("apply", stage, [(p.action, p.resource) for p in sorted(caller.printed - caller.granted)], apply.forgiven)
    write(path, document())
    apply.grow(0)
    log("apply", "gone", [(p.action, p.resource) for p in sorted(caller.printed - caller.granted)], apply.forgiven)
    write(path, document(secretsmanager_secrets=whole(3, 0)["secretsmanager_secrets"]))
    apply.grow(0)
    log("apply", "restored", [(p.action, p.resource) for p in sorted(caller.printed - caller.granted)], apply.forgiven)
    raise AssertionError


def ended() -> int:
    """The id of a process that is no more."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid
