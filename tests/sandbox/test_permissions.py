"""What `permissions` prints suffices, and nothing of it can be left out.

Identities begin with nothing. A command is run, and they are given exactly what they were refused, until nothing is
refused any more: so on an empty account, on one where all is applied, and on one that somebody changed. What they were
given in the end is what was printed for them.
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
from urllib.parse import unquote

import pytest
from botocore.credentials import Credentials

from reconciler.cli.lease import oneself
from reconciler.cli.run import run
from reconciler.ledger import INDEX
from reconciler.permissions import Needs, Permission
from reconciler.sandbox import lifecycle
from reconciler.sandbox.settings import ACCOUNT, AUTOMATION_ARN, SECRET_ARN
from tests.sandbox.bed import Bed
from tests.sandbox.command import TRUSTED, Ran, hits

Command = Callable[..., Ran]

MANAGER = Permission("security_manager")
"""Being mapped to that role, which is what the Security REST API takes."""

NOT_ASKED = Permission("cluster:admin/opensearch/ml/agents/update")
"""What is printed and not asked for in the sandbox: before OpenSearch 3.1 agents are not changed but made anew."""

_IAM = re.compile(r"User: (\S+) is not authorized to perform: (\S+)(?: on resource: (\S+))?")
_OPENSEARCH = re.compile(r"no permissions for \[(.+?)\] and User \[name=([^,]+),")
_API = "/_plugins/_security/api"
_LOCK = f"/{INDEX}/_doc/lock:whole?refresh=true"
_NOTHING: Mapping[str, Any] = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Deny", "Action": "s3:*", "Resource": "*"},
}
_BULKS: Mapping[str, str] = {"ledger-not-writable": INDEX, "not-loaded": "reconciler-verify-whole-1"}
"""By problem code, the index of bulk requests whose documents were refused, which the sandbox's log does not show."""


@dataclass(eq=False)
class Identity:
    """A role of IAM that is mapped to a role of its own in the Security plugin, and what both allow by now."""

    bed: Bed = field(repr=False)
    name: str
    arn: str
    granted: frozenset[Permission] = field(default=frozenset(), repr=False)

    def allow(self, granted: Iterable[Permission]) -> None:
        """Be allowed this and nothing else."""
        self.granted = frozenset(granted)
        needs = Needs(self.granted - {MANAGER})
        document = json.dumps(needs.iam_policy or _NOTHING)
        self.bed.aws("iam").put_role_policy(RoleName=self.name, PolicyName="p", PolicyDocument=document)
        role = needs.opensearch_role or {"cluster_permissions": [], "index_permissions": []}
        ask(self.bed, "PUT", f"{_API}/roles/{self.name}", role)
        ask(self.bed, "PUT", f"{_API}/rolesmapping/{self.name}", {"backend_roles": [self.arn]})
        members = [self.arn] if MANAGER in self.granted else []
        master = {"users": [AUTOMATION_ARN], "backend_roles": members}
        ask(self.bed, "PUT", f"{_API}/rolesmapping/{MANAGER.action}", master)


@dataclass(frozen=True)
class Refused:
    """A refusal: whose, what for, and on what, "" where that is not told."""

    who: Identity
    action: str
    on: str = ""


@dataclass
class Growth:
    """Identities that are given what they are refused, of what was printed for each.

    `is_done` says of a command that it did all of its work, which it also does without the `forgiven` actions.
    """

    bed: Bed
    command: Callable[[], Ran]
    is_done: Callable[[Ran], bool]
    printed: Mapping[Identity, frozenset[Permission]]
    granted: dict[Identity, frozenset[Permission]] = field(default_factory=dict)
    forgiven: frozenset[str] = frozenset()

    def grow(self) -> None:
        """Run the command until it does its work and nothing is refused. Before that it does not do it."""
        for who in self.printed:
            who.allow(self.granted.get(who, ()))
        while True:
            since = datetime.now(UTC).isoformat(timespec="milliseconds")
            ran = self.command()
            refused = [*self._logged(since), *self._said(ran.err)]
            lacks = bool({one.action for one in refused} - self.forgiven)
            assert self.is_done(ran) is not lacks, f"{refused}\n{ran.all}"
            if not refused:
                break
            lacking = {who: self._lacked(who, refused) for who in self.printed}
            assert any(lacking.values()), f"refused, and not printed: {refused}\n{ran.all}"
            for who, permissions in lacking.items():
                if permissions:
                    who.allow(who.granted | permissions)
        self.granted = {who: who.granted for who in self.printed}

    def left(self) -> set[Permission]:
        """What was printed and never asked for."""
        return {one for who, printed in self.printed.items() for one in printed - self.granted[who]}

    def _lacked(self, who: Identity, refused: Iterable[Refused]) -> frozenset[Permission]:
        asked = {(one.action, one.on) for one in refused if one.who is who}
        needed = (one for one in self.printed[who] if any(_covers(one, *refusal) for refusal in asked))
        return frozenset(needed) - who.granted

    def _logged(self, since: str) -> Iterator[Refused]:
        """The refusals in the sandbox's log."""
        for entry in lifecycle.log(self.bed.name, 500):
            if str(entry["at"]) < since or entry["decision"] != "refused":
                continue
            target, reason = str(entry["request"]).partition(" ")[2], str(entry["reason"])
            first = unquote(target).partition("?")[0].split("/")[1] if target.startswith("/") else ""
            yield from self._refusals(reason, "" if first.startswith("_") else first)
            if "No permission to access REST API" in reason:
                # A plan also asks who is mapped where it is worth no more than a warning.
                askers = (who for who, printed in self.printed.items() if who.arn in reason and MANAGER in printed)
                yield from (Refused(who, MANAGER.action) for who in askers)

    def _said(self, text: str) -> Iterator[Refused]:
        """The refusals of single documents, which the log does not show."""
        for problem in text.split("error[")[1:]:
            if on := _BULKS.get(problem.partition("]")[0]):
                yield from self._refusals(problem, on)

    def _refusals(self, text: str, on: str) -> Iterator[Refused]:
        for arn, action, resource in _IAM.findall(text):
            yield from (Refused(who, action, resource) for who in self.printed if f"/{who.name}/" in arn)
        for actions, name in _OPENSEARCH.findall(text):
            for action in actions.split(", "):
                yield from (Refused(who, action, on) for who in self.printed if who.arn == name)


def _covers(permission: Permission, action: str, on: str) -> bool:
    if permission.action != action:
        return False
    names = on.split(",") if permission.in_opensearch else [on]
    return not (permission.resource and on) or any(fnmatchcase(one, permission.resource) for one in names)


def permissions(printed: Mapping[str, Any]) -> frozenset[Permission]:
    """What a policy and a role allow, one by one, and the mapping besides."""
    found = {Permission(role) for role in printed["also_map_to"]}
    for one in (printed["iam_policy"] or {"Statement": ()})["Statement"]:
        found |= {Permission(action, resource) for action in one["Action"] for resource in one["Resource"]}
    role = printed["opensearch_role"] or {"cluster_permissions": (), "index_permissions": ()}
    found |= {Permission(action) for action in role["cluster_permissions"]}
    for one in role["index_permissions"]:
        found |= {Permission(action, index) for action in one["allowed_actions"] for index in one["index_patterns"]}
    return frozenset(found)


def ask(bed: Bed, method: str, path: str, content: Any = None) -> Any:
    answer = bed.ask(method, path, by=bed.automation, content=content)
    assert answer.is_success, answer.text
    return answer.json()


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


@pytest.fixture
def alone(aws: Bed) -> Bed:
    """The sandbox without the role that everybody is mapped to."""
    ask(aws, "DELETE", f"{_API}/rolesmapping/own_index")
    return aws


@pytest.mark.timeout(300)  # some fifty commands, one after another
def test_the_caller_alone(alone: Bed, tmp_path: Path, command: Command) -> None:
    path = tmp_path / "whole.json"
    write(path, whole(1, 1))
    caller = Identity(alone, "deployer", alone.role("deployer"))
    session = alone.assume(caller.arn)

    def growth(purpose: str, *options: str, go: Callable[..., Ran] = command) -> Growth:
        shown = command("permissions", "--for", purpose, path, "--json", *(one for one in options if one != "--yes"))
        printed = {caller: permissions(shown.data)}
        return Growth(alone, lambda: go(purpose, path, *options, by=session), DONE[purpose], printed)

    plan, drift, listing = growth("plan"), growth("drift"), growth("drift", "--unmanaged")
    alone.aws("secretsmanager").create_secret(Name="users", SecretString=json.dumps({"ann": "Aa1-bridge-over-water"}))
    elsewhere(alone)
    plan.grow()
    assert command("apply", path, "--yes").code == 0
    plan.grow()
    drift.grow()
    disturb(alone)
    plan.grow()
    drift.grow()
    listing.granted = drift.granted
    listing.grow()
    assert (plan.left(), drift.left(), listing.left()) == (set(), set(), set())

    assert command("destroy", path, "--yes").code == 0
    ask(alone, "DELETE", f"/{INDEX}")
    elsewhere(alone)

    def apply(*words: str | Path, by: Credentials) -> Ran:
        # Whoever may not give his lock back runs on, in this process, and what he was refused may still be under way.
        if Permission("indices:data/write/delete", INDEX) not in caller.granted:
            made = any(one.action == "es:ESHttpPatch" for one in caller.granted)
            left = {"query": {"terms": {"type": ["lock"] if made else ["lock", "row"]}}}
            alone.ask("POST", f"/{INDEX}/_delete_by_query?refresh=true", by=alone.automation, content=left)
        elif Permission("indices:data/read/get", INDEX) not in caller.granted:
            ask(alone, "PUT", _LOCK, gone())
        return command(*words, by=by)

    applying = growth("apply", "--yes", go=apply)
    assert plan.printed[caller] < applying.printed[caller]
    applying.granted = plan.granted
    for few in (document(tenants=whole(1, 0)["tenants"]), document()):
        write(path, few)
        applying.grow()
    ask(alone, "POST", f"/{INDEX}/_update/identity?refresh=true", {"script": "ctx._source.body.version = 1"})
    for kinds, models in ((1, 0), (1, 1), (2, 1), (2, 2), (2, 3), (3, 4), (0, 0)):
        write(path, whole(kinds, models))
        applying.grow()
    write(path, document(secretsmanager_secrets=whole(3, 0)["secretsmanager_secrets"]))
    applying.grow()
    assert applying.left() == {NOT_ASKED}


def test_a_signer_that_sees_what_the_caller_does_not(alone: Bed, tmp_path: Path, command: Command) -> None:
    settings = {
        "plugins.ml_commons.connector_access_control_enabled": True,
        TRUSTED: [r"^https://api\.deepseek\.com/.*$"],
    }
    ask(alone, "PUT", "/_cluster/settings", {"persistent": settings})
    path = tmp_path / "signed.json"
    invoke = alone.role("invoke", trust={"Service": "es.amazonaws.com"})
    caller = Identity(alone, "deployer", alone.role("deployer"))
    signer = Identity(alone, "signer", alone.role("signer", trust={"AWS": f"arn:aws:iam::{ACCOUNT}:root"}))
    session = alone.assume(caller.arn)

    def state(**connectors: str) -> None:
        stated = {name: connector(text, invoke, sign_as=signer.arn) for name, text in connectors.items()}
        write(path, document(connectors=stated))

    def go(*words: str | Path) -> Ran:
        alone.ask("DELETE", _LOCK, by=alone.automation)
        return command(*words, by=session)

    def growth(purpose: str, *options: str) -> Growth:
        shown = command("permissions", "--for", purpose, path, "--json").data
        printed = {caller: permissions(shown), signer: permissions(shown["signers"][signer.arn])}
        return Growth(alone, lambda: go(purpose, path, *options), DONE[purpose], printed)

    state(mine="as made")
    plan, applying = growth("plan"), growth("apply", "--yes")
    for who, printed in applying.printed.items():
        who.allow(printed)
    assert command("apply", path, "--yes", by=session).code == 0
    state(mine="changed")
    plan.forgiven = frozenset({"cluster:admin/opensearch/ml/connectors/get"})  # the search shows it, if a bit later
    plan.grow()
    assert plan.left() == set()
    assert all(printed < applying.printed[who] for who, printed in plan.printed.items())

    applying.granted = plan.granted
    applying.grow()
    write(path, document())
    applying.grow()
    ask(alone, "DELETE", f"/{INDEX}")
    state(mine="as made")
    applying.grow()
    assert {one for one in applying.left() if one.resource != INDEX} == set()


def test_many_roles_are_listed_with_what_is_printed(alone: Bed, tmp_path: Path, command: Command) -> None:
    path = tmp_path / "roles.json"
    roles = {name: {"assume_role_policy_document": trust("es.amazonaws.com")} for name in ("one", "two", "three")}
    write(path, document(iam_roles=roles))
    caller = Identity(alone, "deployer", alone.role("deployer"))
    session = alone.assume(caller.arn)
    for purpose, options in (("plan", ()), ("apply", ("--yes",)), ("drift", ())):
        caller.allow(permissions(command("permissions", "--for", purpose, path, "--json").data))
        ran = command(purpose, path, *options, by=session)
        assert DONE[purpose](ran), ran.all


DONE: Mapping[str, Callable[[Ran], bool]] = {
    "plan": lambda ran: ran.code == 0,
    "drift": lambda ran: ran.code in (0, 2) and " 0 unknown" in ran.out and "can not be told" not in ran.out,
    "apply": lambda ran: ran.code == 0,
}
"""By command, what tells that it did all of its work."""


def elsewhere(bed: Bed) -> None:
    """A role that is in no manifest, and that a mapping names."""
    bed.role("elsewhere", {"Effect": "Allow", "Action": "s3:List*", "Resource": "*"})


def disturb(bed: Bed) -> None:
    """Take away what can be taken away of ML Commons, a secret and a role."""
    for kind, name in (("agents", "answers"), ("models", "idle"), ("connectors", "spare"), ("model_groups", "other")):
        (one,) = (hit["_id"] for hit in hits(bed, f"/_plugins/_ml/{kind}") if hit["_source"]["name"] == name)
        if kind == "models":
            ask(bed, "POST", f"/_plugins/_ml/{kind}/{one}/_undeploy")
        ask(bed, "DELETE", f"/_plugins/_ml/{kind}/{one}")
    bed.aws("secretsmanager").delete_secret(SecretId="search/kept", ForceDeleteWithoutRecovery=True)
    bed.aws("iam").delete_role_policy(RoleName="elsewhere", PolicyName="p")
    bed.aws("iam").delete_role(RoleName="elsewhere")


def gone() -> Mapping[str, Any]:
    """The lock of somebody whose process has ended."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    held = replace(oneself("gone", "whole"), process=process.pid)
    return {"type": "lock", "manifest": "whole", "at": held.since, "by": held.who, "body": held.body()}


# --- manifests

TARGET: Mapping[str, Any] = {
    "aws": {"region": "us-east-1", "account_id": ACCOUNT},
    "opensearch": {"endpoint": "${var.opensearch_endpoint}", "domain": "search-demo", "auth": "sigv4"},
}
ELSEWHERE = f"arn:aws:iam::{ACCOUNT}:role/elsewhere"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


def write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content))


def document(**sections: Any) -> dict[str, Any]:
    secrets = {
        "ann": {"secretsmanager": {"secret_id": "users", "key": "ann"}},
        "key": {"env": "DEEPSEEK_API_KEY"},
    }
    variables = {"opensearch_endpoint": {"type": "string"}}
    return {"manifest": "whole", "target": TARGET, "variables": variables, "secrets": secrets, **sections}


def policy(action: str | Sequence[str], resource: str = "*") -> dict[str, Any]:
    allowed = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [allowed]}


def trust(*services: str) -> dict[str, Any]:
    allowed = {"Effect": "Allow", "Principal": {"Service": list(services)}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [allowed]}


def connector(description: str, role: str = "${iam_roles.invoke.arn}", **more: Any) -> dict[str, Any]:
    return {
        "description": description,
        "protocol": "http",
        "credential": {"secretArn": SECRET_ARN, "roleArn": role},
        "actions": [
            {
                "action_type": "predict",
                "method": "POST",
                "url": "https://api.deepseek.com/v1/chat/completions",
                "headers": {"Authorization": "Bearer ${credential.secretArn.my_deepseek_key}"},
                "request_body": '{ "model": "deepseek-chat", "messages": ${parameters.messages} }',
            }
        ],
        **more,
    }


def whole(kinds: int, models: int) -> dict[str, Any]:
    """All kinds, those of ML Commons apart: of both the version, 1 is as they are made first, 0 is none of them."""
    changed = kinds > 1
    text, tags = "changed" if changed else "as made", {"second" if changed else "first": "x"}
    if not kinds:
        return document()
    read = policy(["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"], SECRET_ARN)
    sections: dict[str, Any] = {
        "iam_policies": {"reading": {"policy_document": policy("s3:Get*" if changed else "s3:List*"), "tags": tags}},
        "iam_roles": {
            "invoke": {
                "description": text,
                "assume_role_policy_document": trust("es.amazonaws.com", *["ec2.amazonaws.com"][:changed]),
                "inline_policies": {"read": read, "new" if changed else "old": policy("s3:List*")},
                "managed_policy_arns": [READ_ONLY if changed else "${iam_policies.reading.arn}"],
                "permissions_boundary": ADMINISTRATOR if kinds == 2 else None,
                "tags": tags,
            }
        },
        "secretsmanager_secrets": {
            "kept": {
                "name": "search/kept",
                "description": text,
                "secret_string": "${secret.key}",
                "tags": tags,
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
        "ingest_pipelines": {"tidy": {"description": text, "processors": [{"trim": {"field": "text"}}]}},
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
    }
    return document(**sections, **_models(models)) if models else document(**sections)


def _models(version: int) -> dict[str, Any]:
    """A chain that is asked, a connector of no use, and a model that is gone in version 2 and idle in version 3."""
    text = "changed" if version > 2 else "as made"
    links = {"connector_id": "${connectors.chat.id}", "model_group_id": "${model_groups.group.id}"}
    idle = {**links, "depends_on": ["models.chat"], "model_state": "UNDEPLOYED" if version == 3 else "DEPLOYED"}
    asked = {"parameters": {"messages": [{"role": "user", "content": "hello"}]}}
    return {
        "connectors": {
            "chat": connector("a chat", parameters={"temperature": str(int(version > 2))}),
            "spare": connector(text),
        },
        "model_groups": {"group": {"description": text}, "other": {}},
        "models": {"chat": {**links, "description": text}, **({"idle": idle} if version != 2 else {})},
        "agents": {
            "answers": {
                "type": "flow",
                "description": text,
                "tools": [{"type": "MLModelTool", "parameters": {"model_id": "${models.chat.id}"}}],
            }
        },
        "verify": {
            "documents": {"texts": {"documents": [{"text": "one"}]}},
            "queries": {
                "hello": {"predict": {"model": "${models.chat.id}", "body": asked}},
                "found": {"search": {"documents": "texts", "body": {}}},
                "empty": {"search": {"index": "docs", "body": {}}},
            },
        },
    }
