"""The services a measured command talks to: AWS's query protocol and a domain's REST, over the tests' world.

    python -m bench.services

prints their addresses as one line of JSON and serves until its standard input ends. A third address is for whoever
measures: `bench.client` knows what can be
asked there.
"""

import asyncio
import gc
import json
import re
import resource
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from bench import costs
from bench.query_protocol import decoded, encoded, refusal, result
from bench.wire import Asked, Held, Reply, listen
from bench.workload import MANIFEST
from reconciler.ledger import INDEX
from tests.support.account import ACCOUNT, CALLER, Account, detailed, shown
from tests.support.domain import Domain
from tests.support.refusal import Doc, Refused
from tests.support.searching import WINDOW
from tests.support.world import World

_PAGE, _SHORT_PAGE = 1_000, 700
_SECURITY = "/_plugins/_security/api/"
_NAMES = re.compile(r"'[^']*'")
_WORD = {200: "OK", 400: "BAD_REQUEST", 403: "FORBIDDEN", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 409: "CONFLICT"}
_MADE = 1_795_383_722_560  # milliseconds since 1970
_OWNER: Doc = {
    "owner": {
        "backend_roles": ["admin"],
        "custom_attribute_names": [],
        "roles": ["own_index", "all_access"],
        "name": "admin",
        "user_requested_tenant": "null",
    },
    "created_time": _MADE,
    "last_updated_time": _MADE,
}
_BESIDES: Mapping[str, Doc] = {
    "connectors": {**_OWNER, "access": "private"},
    "model_groups": {**_OWNER, "latest_version": 1},
    "models": {
        "last_deployed_time": _MADE,
        "model_version": "1",
        "created_time": _MADE,
        "deploy_to_all_nodes": True,
        "is_hidden": False,
        "planning_worker_node_count": 1,
        "auto_redeploy_retry_times": 0,
        "last_updated_time": _MADE,
        "current_worker_node_count": 1,
        "planning_worker_nodes": ["4mfAd7_RT7eMuLnvlls4Yg"],
    },
}
"""What the real service says of an object besides what the world keeps of it."""


def processor_seconds() -> float:
    """The seconds of processor time that this process took so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@dataclass
class Tally:
    """What was asked since the last look, and what it took to answer."""

    operations: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    security_seconds: float = 0.0
    late_seconds: float = 0.0
    latest: float = 0.0
    busy: float = field(default_factory=processor_seconds)

    def add(self, operation: str, *, writes: bool, ledger: bool) -> None:
        """Count one request."""
        self.operations[operation] += 1
        self.classes[("ledger_" if ledger else "") + ("writes" if writes else "reads")] += 1

    def late(self, seconds: float) -> None:
        """Note how much later than it should an answer was given."""
        self.late_seconds += seconds
        self.latest = max(self.latest, seconds)


@dataclass(frozen=True, slots=True)
class Stage:
    """What there is before a command runs: how long answers are held, whether limits hold, and others' objects."""

    latency: float = costs.LATENCY
    limits: bool = True
    other_roles: int = 0
    other_connectors: int = 0
    security_roles: tuple[str, ...] = ()


class Services:
    """One account and one domain."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._clock = asyncio.get_running_loop().time
        self.reset(Stage())

    def reset(self, stage: Stage) -> None:
        """Begin anew."""
        self.stage = stage
        slow = stage.limits
        self._world = World(search=costs.STALE if slow else 0.0, deploy=costs.TASK if slow else 0.0, page=_PAGE)
        self._rendered: dict[tuple[str, str], str] = {}
        self._texts: dict[str, tuple[Doc, str]] = {}
        self._sessions: dict[str, str] = {}
        self._versions: Counter[str] = Counter()
        self._undrifted: Doc = {}
        for name in stage.security_roles:
            self.domain.roles[name] = {**self.domain.roles["readall"], "reserved": False}
        for number in range(stage.other_roles):
            _add_role(self.account, f"other-{number:05d}")
        for number in range(stage.other_connectors):
            _add_connector(self.domain, f"other-{number:05d}")
        self.tally = Tally()

    def pace(self, *, latency: float, limits: bool) -> None:
        """Go on with what there is, at another pace."""
        self.stage = Stage(latency, limits)
        self.domain.delays.search, self.domain.delays.deploy = (costs.STALE, costs.TASK) if limits else (0.0, 0.0)

    @property
    def account(self) -> Account:
        """The account's side."""
        return self._world.account

    @property
    def domain(self) -> Domain:
        """The domain's side."""
        return self._world.domain

    # AWS

    def aws(self, asked: Asked) -> Held:
        """A request of IAM or STS."""
        operation, parameters = decoded(asked.body)
        writes = not operation.startswith(("Get", "List", "AssumeRole"))
        self.tally.add(operation, writes=writes, ledger=False)
        if writes:
            name = str(parameters.get("RoleName", "")).casefold()
            self._rendered.pop(("Roles", name), None)
            self._rendered.pop(("RoleDetailList", name), None)
        try:
            reply = Reply(200, "text/xml", result(operation, self._aws(operation, parameters)))
        except Refused as refused:
            self.tally.refused[f"{operation}: {refused.code}"] += 1
            reply = Reply(refused.status, "text/xml", refusal(refused.code, refused.reason))
        return Held(self.stage.latency, lambda: reply)

    def _aws(self, operation: str, asked: dict[str, Any]) -> str:
        if operation == "ListRoles":
            return self._listing("Roles", asked, shown)
        if operation == "GetAccountAuthorizationDetails":
            return self._listing("RoleDetailList", asked, detailed)
        answer = self.account.answer(operation, asked, self._clock())
        if operation == "AssumeRole":
            key = f"ASIA{len(self._sessions):016d}"
            self._sessions[key] = str(asked["RoleArn"])
            expiry = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            secret = {"SecretAccessKey": "s" * 40, "SessionToken": "t" * 300}
            answer = {"Credentials": {"AccessKeyId": key, **secret, "Expiration": expiry}}
        return encoded(answer)

    def _listing(self, key: str, asked: dict[str, Any], show: Callable[[Doc], Doc]) -> str:
        """One page. Every second page is shorter than it could be, as IAM's sometimes are."""
        start = int(asked.get("Marker", 0))
        most = _SHORT_PAGE if start % (_PAGE + _SHORT_PAGE) == _PAGE else _PAGE
        wanted = min(int(asked.get("MaxItems", 100)), most)
        roles, more = self.account.page({**asked, "MaxItems": wanted}, self._clock())
        members = "".join(self._role(key, role, show) for role in roles)
        return f"<{key}>{members}</{key}>{encoded(more)}"

    def _role(self, key: str, role: Doc, show: Callable[[Doc], Doc]) -> str:
        about = (key, role["RoleName"].casefold())
        if about not in self._rendered:
            dated = {**show(role), "CreateDate": "2026-01-01T00:00:00Z"}
            self._rendered[about] = f"<member>{encoded(dated)}</member>"
        return self._rendered[about]

    # the domain

    def opensearch(self, asked: Asked) -> Held:
        """A request of the domain."""
        parts = urlsplit(asked.target)
        path, query = unquote(parts.path), dict(parse_qsl(parts.query))
        ledger = path.startswith((f"/{INDEX}", "/_bulk"))
        writes = asked.method not in ("GET", "HEAD") and not path.endswith(("/_search", "/_predict"))
        self.tally.add(f"{asked.method} {_template(path)}", writes=writes, ledger=ledger)
        body = _body(asked, path, query)
        answer = partial(self._opensearch, asked, path, query, body, ledger)
        if writes and path.startswith(_SECURITY):
            return self._security(path, asked.method, body, answer)
        reply = answer()
        return Held(self.stage.latency, lambda: reply)

    def _opensearch(self, asked: Asked, path: str, query: Mapping[str, str], body: Any, ledger: bool) -> Reply:
        try:
            if ledger:
                found = self._world.ledger.answer(asked.method, path, query, body, self._clock())
                if path.endswith("/_search"):
                    return Reply(200, "application/json", self._hits(found["hits"]).encode())
            else:
                signer = self._sessions.get(_access_key(asked))
                found = self.domain.answer(asked.method, path, query, body, signer, self._clock())
                found = _whole(path, body, found)
        except Refused as refused:
            return self._refused(path, refused)
        return _json(200, found)

    def _hits(self, found: Doc) -> str:
        """What a search of the ledger found, as JSON. What a document looks like there is kept until it changes."""
        listed = ",".join(self._hit(hit) for hit in found["hits"])
        return f'{{"took":1,"timed_out":false,"hits":{{"total":{json.dumps(found["total"])},"hits":[{listed}]}}}}'

    def _hit(self, hit: Doc) -> str:
        document = hit.pop("_source")
        kept, text = self._texts.get(hit["_id"], ({}, ""))
        if kept is not document:
            text = json.dumps(document, separators=(",", ":"))
            self._texts[hit["_id"]] = (document, text)
        return f'{json.dumps(hit, separators=(",", ":"))[:-1]},"_source":{text}}}'

    def _security(self, path: str, method: str, body: Any, answer: Callable[[], Reply]) -> Held:
        """A write to Security: it is checked for a while, and refused if another one was faster."""
        kind, _, name = path.removeprefix(_SECURITY).partition("/")
        entries = len({one["path"].split("/")[1] for one in body}) if method == "PATCH" and not name else 1
        counted = (0, entries) if kind == "rolesmapping" else (entries, 0)
        seconds = costs.security_write(len(self.domain.roles), *counted) if self.stage.limits else 0.0
        self.tally.security_seconds += seconds
        before = self._versions[kind]

        def at_the_end() -> Reply:
            if self._versions[kind] != before:
                return self._refused(path, Refused(409, f"[{kind}]: version conflict, required seqNo [{before}]"))
            self._versions[kind] += 1
            return answer()

        return Held(max(seconds, self.stage.latency), at_the_end)

    def _refused(self, path: str, refused: Refused) -> Reply:
        self.tally.refused[f"{_template(path)}: {refused.status} {_NAMES.sub('..', refused.reason)[:60]}"] += 1
        if path.startswith(_SECURITY):
            return _json(refused.status, {"status": _WORD[refused.status], "message": refused.reason})
        error = {"type": "status_exception", "reason": refused.reason}
        return _json(refused.status, {"error": {"root_cause": [error], **error}, "status": refused.status})

    # whoever measures

    def control(self, asked: Asked) -> Held:
        """A request of whoever measures; answered at once."""
        about = json.loads(asked.body or b"{}")
        found: Doc = {}
        match asked.target:
            case "/reset":
                self.reset(Stage(**about))
                gc.collect()
                gc.freeze()
            case "/pace":
                self.pace(**about)
            case "/drift":
                self._drift(about["role"])
            case "/tally":
                found = self._told()
            case "/state":
                found = self._state()
        return Held(costs.STALE if asked.target == "/settle" else 0.0, lambda: _json(200, found))

    def _drift(self, name: str) -> None:
        """Change a role behind everybody's back; called again, change it back."""
        role = self.account.roles[name.casefold()]
        if self._undrifted:
            role["policies"], self._undrifted = self._undrifted, {}
        else:
            self._undrifted = role["policies"]
            statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
            role["policies"] = {key: {**one, "Statement": [statement]} for key, one in self._undrifted.items()}
        self._rendered.clear()

    def _told(self) -> Doc:
        tally, self.tally = self.tally, Tally()
        return {
            "operations": dict(sorted(tally.operations.items())),
            "classes": {name: tally.classes[name] for name in ("reads", "writes", "ledger_reads", "ledger_writes")},
            "refused": dict(sorted(tally.refused.items())),
            "security_seconds": round(tally.security_seconds, 3),
            "late_seconds": round(tally.late_seconds, 3),
            "latest": round(tally.latest, 4),
            "cpu": round(self.tally.busy - tally.busy, 3),
        }

    def _state(self) -> Doc:
        deployed = [one for one in self.domain.models.documents.values() if one["model_state"] == "DEPLOYED"]
        return {
            **self._world.count(),
            "bench_roles": sum(name.startswith(MANIFEST) for name in self.domain.roles),
            "bench_mappings": sum(name.startswith(MANIFEST) for name in self.domain.mappings),
            "deployed": len(deployed),
            "changed": sum("changed" in one.get("description", "") for one in deployed),
        }


def _whole(path: str, body: Any, found: Doc) -> Doc:
    """What ML Commons shows, with all the fields it has there."""
    parts = path.strip("/").split("/")
    if parts[:2] != ["_plugins", "_ml"]:
        return found
    besides = _BESIDES.get(parts[2], {})
    if parts[-1] != "_search":
        return {**found, **besides} if "name" in found else found
    filtered = isinstance(body, Mapping) and "_source" in body
    about = {"_index": f".plugins-ml-{parts[2].removesuffix('s').replace('_', '-')}", "_score": 1.0}
    about |= {"_version": 1, "_seq_no": 1, "_primary_term": 1}
    hits = [
        {**about, **hit, "_source": hit["_source"] if filtered else {**hit["_source"], **besides}}
        for hit in found["hits"]["hits"]
    ]
    shards = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
    return {"took": 1, "timed_out": False, "_shards": shards, "hits": {**found["hits"], "max_score": 1.0, "hits": hits}}


def _template(path: str) -> str:
    """The path with names and ids taken out."""
    parts = path.strip("/").split("/")
    if parts[:2] == ["_plugins", "_ml"] or (len(parts) > 1 and parts[1] == "_doc"):
        kept = 3 if parts[0] == "_plugins" else 2
        parts = [*parts[:kept], *(part if part.startswith("_") else "{id}" for part in parts[kept:])]
    elif path.startswith(_SECURITY):
        parts = [*parts[:4], *("{name}" for _ in parts[4:])]
    return "/" + "/".join(parts)


def _body(asked: Asked, path: str, query: Mapping[str, str]) -> Any:
    text = asked.body or query.get("source", "").encode()
    if not text:
        return None
    if path.endswith("/_bulk"):
        return [json.loads(line) for line in text.splitlines() if line]
    return json.loads(text)


def _access_key(asked: Asked) -> str:
    """The access key a request is signed with."""
    return asked.headers.get("authorization", "").partition("Credential=")[2].partition("/")[0]


def _json(status: int, found: object) -> Reply:
    return Reply(status, "application/json", json.dumps(found, separators=(",", ":")).encode())


def _add_role(account: Account, name: str) -> None:
    trusted = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    allowed = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": f"arn:aws:s3:::{name}/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trusted]})
    tags = [{"Key": "team", "Value": "others"}, {"Key": "stage", "Value": "production"}]
    asked = {"RoleName": name, "AssumeRolePolicyDocument": document, "Description": "of others", "Tags": tags}
    account.answer("CreateRole", asked, 0.0)
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    account.answer("PutRolePolicy", {"RoleName": name, "PolicyName": "read", "PolicyDocument": policy}, 0.0)


def _add_connector(domain: Domain, name: str) -> None:
    url = "https://bedrock-runtime.${parameters.region}.amazonaws.com/model/${parameters.model_id}/invoke"
    action = {"action_type": "predict", "method": "POST", "url": url, "request_body": "${parameters.inputs}"}
    body = {
        "name": name,
        "description": "of others",
        "version": 1,
        "protocol": "aws_sigv4",
        "credential": {"roleArn": f"arn:aws:iam::{ACCOUNT}:role/others"},
        "parameters": {"region": "us-east-1", "service_name": "bedrock", "model_id": "other"},
        "actions": [action],
    }
    domain.answer("POST", "/_plugins/_ml/connectors/_create", {}, body, None, 0.0)


async def _serve() -> None:
    services = Services()

    def late(seconds: float) -> None:
        services.tally.late(seconds)

    _, aws = await listen(services.aws, late)
    _, domain = await listen(services.opensearch, late)
    _, control = await listen(services.control, lambda seconds: None)
    told = {"aws": aws, "domain": domain, "control": control, "account": ACCOUNT, "caller": CALLER, "window": WINDOW}
    print(json.dumps(told), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    asyncio.run(_serve())
