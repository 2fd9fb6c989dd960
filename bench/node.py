"""A first apply on the sandbox's real node, against a bare client that sends the same calls.

The bare client sends what the services demand and nothing else: no plan, no ledger, no second look. It keeps its
connections, sends all independent calls side by side, as many at once as was fastest, and Security's in bulk.
"""

import asyncio
import json
import os
import re
import ssl
import statistics
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bench.client import ROOT, environment
from bench.command import Ran, family, prefer, run
from bench.workload import Where, kinds_of, manifest, number
from reconciler.kinds import load_kinds
from reconciler.manifest.load import Manifest
from reconciler.manifest.load import load as load_manifest
from reconciler.manifest.schema import load_schemas
from reconciler.manifest.variables import Inputs
from reconciler.model.kind import Place
from reconciler.model.objects import Address
from reconciler.plan.survey import desired_objects, with_target
from reconciler.references import resolve
from reconciler.sandbox import lifecycle
from reconciler.sandbox.settings import ACCOUNT, DOMAIN, REGION

AT_ONCE = ((4, 4), (8, 8), (16, 8), (8, 12), (16, 16))
"""How many calls of AWS and of ML Commons at once are tried."""

_ROLES = "/_plugins/_security/api/roles"
_MAPPINGS = "/_plugins/_security/api/rolesmapping"
_BATCHES = (50, 100)
_ROLES_AT_ONCE = 1_000
_TRIES = 3
_PASSING = ("max running task", "all shards failed")
_AGAIN = 0.1  # seconds until a throttled call is sent again, and between looks at what is being deployed


@dataclass(frozen=True, slots=True)
class Bare:
    """One run of the bare client: how many calls at once, mappings in one request, seconds, calls sent again."""

    aws: int
    ml: int
    batch: int
    seconds: float
    again: int


def main(chains: int, repeat: int, first: bool, told: Callable[[str], None]) -> dict[str, Any]:
    """Start a sandbox, find the bare client's best, then let it and the reconciler take turns.

    The sandbox goes before others' work on the machine where `first` says so.
    """
    kinds = kinds_of(ROOT)
    with _sandbox(first) as (name, environ, where):
        folder = Path(environ["BENCH_FOLDER"])
        path = folder / "bench.yaml"
        path.write_text(manifest(chains, where, kinds), "utf-8")
        calls = wanted(path, kinds, chains)

        def bare(at_once: tuple[int, int], batch: int) -> Bare:
            _emptied(name, environ, chains, kinds)
            found = asyncio.run(_Client(environ, calls, at_once, batch).run())
            told(f"bare client, {at_once[0]} of AWS and {at_once[1]} of ML Commons at once: {found.seconds:.1f} s")
            return found

        bare(AT_ONCE[0], _BATCHES[-1])  # a node that has just started is slow
        tried = [bare(at_once, _BATCHES[-1]) for at_once in AT_ONCE]
        best = min(tried, key=lambda one: one.seconds)
        tried += [bare((best.aws, best.ml), batch) for batch in _BATCHES[:-1]]
        best = min(tried, key=lambda one: one.seconds)
        turns: list[tuple[float, float]] = []
        applies: list[int] = []
        for _ in range(repeat):
            _emptied(name, environ, chains, kinds)
            runs = _applied(folder, path, environ, told)
            applies.append(len(runs))
            turns.append((sum(one.wall for one in runs), bare((best.aws, best.ml), best.batch).seconds))
    return {
        "chains": chains,
        "wall": round(statistics.median(ours for ours, _ in turns), 2),
        "bare": round(statistics.median(bare for _, bare in turns), 2),
        "ratio": round(statistics.median(ours / bare for ours, bare in turns), 3),
        "pairs": [[round(ours, 2), round(bare, 2)] for ours, bare in turns],
        "applies": max(applies),
        "at_once": {"aws": best.aws, "ml": best.ml, "mappings": best.batch},
        "tried": [{"aws": one.aws, "ml": one.ml, "mappings": one.batch, "seconds": one.seconds} for one in tried],
    }


def _applied(folder: Path, path: Path, environ: Mapping[str, str], told: Callable[[str], None]) -> list[Ran]:
    """Apply the manifest until everything is there: once, unless something failed on the way."""
    runs: list[Ran] = []
    for _ in range(_TRIES):
        runs.append(run(ROOT, folder, ["-m", "reconciler", "apply", "--yes", str(path)], environ))
        told(f"reconciler: {runs[-1].wall:.1f} s" + (f", failed: {_failures(runs[-1])}" if runs[-1].code else ""))
        if not runs[-1].code:
            return runs
    raise RuntimeError(f"{_TRIES} applies failed, the last one with:\n{runs[-1].out[-2_000:]}\n{runs[-1].err[-2_000:]}")


def _failures(ran: Ran) -> str:
    """What a failed apply says of it, in short."""
    lines = [line.strip() for line in ran.err.splitlines()]
    said = [f"{line} {lines[index + 1]}" for index, line in enumerate(lines[:-1]) if " -> " in line]
    return "; ".join(sorted({re.sub(r"https?://[^/]+", "", line) for line in said})) or ran.err[-300:]


@contextmanager
def _sandbox(first: bool) -> Iterator[tuple[str, dict[str, str], Where]]:
    name = f"bench-{os.getpid()}"
    info = lifecycle.up(name)
    try:
        if first:
            for pid in family(info.pid):
                prefer(pid)
        environ = {**environment(), **lifecycle.env(name), "BENCH_FOLDER": str(info.folder)}
        yield name, environ, Where(info.endpoints.aws, info.endpoints.domain, ACCOUNT)
    finally:
        lifecycle.down(name)


def _emptied(name: str, environ: Mapping[str, str], chains: int, kinds: Collection[str]) -> None:
    """The sandbox as it was at first; with the security roles that the mappings need where no kind makes them."""
    lifecycle.reset(name)
    if "security_roles" in kinds:
        return
    roles = [
        {"op": "add", "path": f"/bench-ask-{number(one)}", "value": {"cluster_permissions": ["cluster_monitor"]}}
        for one in range(chains)
    ]

    async def make() -> None:
        connection = _Connections(environ, 1)
        status, answer = await connection.domain("PATCH", _ROLES, roles)
        assert status == 200, answer

    asyncio.run(make())


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one chain demands: fields by kind, with what is known beforehand filled in."""

    roles: Sequence[Mapping[str, Any]]
    security_role: tuple[str, Mapping[str, Any]] | None
    mapping: tuple[str, Mapping[str, Any]]
    connector: Mapping[str, Any]
    group: Mapping[str, Any]
    model: Mapping[str, Any]


def wanted(path: Path, kinds: Collection[str], chains: int) -> list[Wanted]:
    """What the manifest's chains demand, as the services' APIs take it."""
    schemas = load_schemas(ROOT / "schemas")
    loaded: Manifest = load_manifest([str(path)], schemas, Inputs({}, {}))
    place = Place(REGION, ACCOUNT, "aws", DOMAIN)
    known = load_kinds(schemas)
    desired = {address: with_target(one, place) for address, one in desired_objects(loaded, known).items()}

    def lookup(reference: Any) -> str | None:
        if reference.namespace != "iam_roles":
            return None
        role = desired[Address("iam_roles", reference.name)].fields
        return f"arn:aws:iam::{ACCOUNT}:role{role['path']}{role['role_name']}"

    def fields(kind: str, name: str) -> dict[str, Any]:
        found = desired[Address(kind, name)].fields
        return {key: resolve(value, lookup) for key, value in found.items()}

    def chain(n: str) -> Wanted:
        role, named = f"bench-ask-{n}", f"bench-{n}"
        return Wanted(
            roles=[fields("iam_roles", f"{which}-{n}") for which in ("invoke", "ask")],
            security_role=(role, fields("security_roles", role)) if "security_roles" in kinds else None,
            mapping=(role, fields("role_mappings", role)),
            connector=fields("connectors", named),
            group=fields("model_groups", named),
            model=fields("models", named),
        )

    return [chain(number(one)) for one in range(chains)]


class _Connections:
    """Connections that are kept, to AWS and to the domain."""

    def __init__(self, environ: Mapping[str, str], most: int) -> None:
        self._aws, self._domain = environ["AWS_ENDPOINT_URL"], environ["OPENSEARCH_URL"]
        self._keys = Credentials(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"])
        self._trust = ssl.create_default_context(cafile=environ["OPENSEARCH_CA_FILE"])
        self._free: dict[str, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {}
        self._most = asyncio.Semaphore(most)

    async def aws(self, form: Mapping[str, str]) -> tuple[int, bytes]:
        """One call of IAM."""
        body = urlencode({**form, "Version": "2010-05-08"}).encode()
        kind = "application/x-www-form-urlencoded; charset=utf-8"
        return await self._send(self._aws, "POST", "/", body, kind, "iam")

    async def domain(self, method: str, path: str, content: object) -> tuple[int, Any]:
        """One call of the domain."""
        body = json.dumps(content).encode() if content is not None else b""
        status, text = await self._send(self._domain, method, path, body, "application/json", "es")
        return status, json.loads(text) if text else None

    async def _send(self, base: str, method: str, path: str, body: bytes, kind: str, service: str) -> tuple[int, bytes]:
        asked = AWSRequest(method=method, url=base + path, data=body, headers={"content-type": kind} if body else {})
        SigV4Auth(self._keys, service, REGION).add_auth(asked)
        parts = urlsplit(base)
        lines = "".join(f"{name}: {value}\r\n" for name, value in asked.headers.items())
        head = f"{method} {path} HTTP/1.1\r\nhost: {parts.netloc}\r\n{lines}content-length: {len(body)}\r\n\r\n"
        async with self._most:
            free = self._free.setdefault(base, [])
            trust = self._trust if parts.scheme == "https" else None
            opened = free.pop() if free else await asyncio.open_connection(parts.hostname, parts.port, ssl=trust)
            reader, writer = opened
            writer.write(head.encode() + body)
            status, text = await _answer(reader)
            free.append((reader, writer))
        return status, text


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), await reader.readexactly(int(headers.get("content-length", 0)))


@dataclass
class _Client:
    """The bare client: everything that may go side by side does."""

    environ: Mapping[str, str]
    chains: Sequence[Wanted]
    at_once: tuple[int, int]
    batch: int
    again: int = field(default=0, init=False)

    async def run(self) -> Bare:
        """Make everything, and wait until every model is deployed."""
        iam, domain, security = (_Connections(self.environ, most) for most in (*self.at_once, 1))
        began = time.perf_counter()
        models = asyncio.gather(*(self._chain(iam, domain, one) for one in self.chains))
        await asyncio.gather(models, self._security(security))
        await self._deployed(domain)
        return Bare(*self.at_once, self.batch, round(time.perf_counter() - began, 3), self.again)

    async def _chain(self, iam: _Connections, domain: _Connections, one: Wanted) -> None:
        async def roles_and_connector() -> str:
            await asyncio.gather(*(_role(iam, role) for role in one.roles))
            made = await self._made(lambda: domain.domain("POST", "/_plugins/_ml/connectors/_create", one.connector))
            return str(made["connector_id"])

        async def group() -> str:
            made = await self._made(lambda: domain.domain("POST", "/_plugins/_ml/model_groups/_register", one.group))
            return str(made["model_group_id"])

        connector_id, group_id = await asyncio.gather(roles_and_connector(), group())
        model = {
            **{key: one.model[key] for key in ("name", "description")},
            "function_name": "remote",
            "connector_id": connector_id,
            "model_group_id": group_id,
        }
        path = "/_plugins/_ml/models/_register?deploy=true"
        await self._made(lambda: domain.domain("POST", path, model))

    async def _made(self, send: Callable[[], Awaitable[tuple[int, Any]]]) -> Any:
        while True:
            status, answer = await send()
            if status in (500, 503) and any(text in json.dumps(answer) for text in _PASSING):
                self.again += 1
                await asyncio.sleep(_AGAIN)
                continue
            if status >= 300:
                raise RuntimeError(f"{status}: {answer}")
            return answer

    async def _security(self, security: _Connections) -> None:
        roles = [one.security_role for one in self.chains if one.security_role is not None]
        mappings = [one.mapping for one in self.chains]
        for path, objects, most in ((_ROLES, roles, _ROLES_AT_ONCE), (_MAPPINGS, mappings, self.batch)):
            for start in range(0, len(objects), most):
                part = objects[start : start + most]
                operations = [{"op": "add", "path": f"/{name}", "value": dict(about)} for name, about in part]
                status, answer = await security.domain("PATCH", path, operations)
                if status >= 300:
                    raise RuntimeError(f"{status}: {answer}")

    async def _deployed(self, domain: _Connections) -> None:
        """Wait until all models are deployed; a deployment that failed for want of room is begun once more."""
        body = {
            "query": {"bool": {"must_not": {"term": {"model_state": "DEPLOYED"}}}},
            "_source": ["model_state"],
            "size": len(self.chains),
        }
        while True:
            _, answer = await domain.domain("POST", "/_plugins/_ml/models/_search", body)
            left = answer["hits"]["hits"]
            if not left:
                return
            failed = [one["_id"] for one in left if one["_source"]["model_state"] == "DEPLOY_FAILED"]
            self.again += len(failed)
            deploys = (domain.domain("POST", f"/_plugins/_ml/models/{one}/_deploy", None) for one in failed)
            await asyncio.gather(*deploys, asyncio.sleep(_AGAIN))


async def _role(iam: _Connections, role: Mapping[str, Any]) -> None:
    name = role["role_name"]
    tags = {
        f"Tags.member.{place}.{key}": value
        for place, pair in enumerate(role["tags"].items(), 1)
        for key, value in zip(("Key", "Value"), pair, strict=True)
    }
    form = {
        "Action": "CreateRole",
        "RoleName": name,
        "Path": role["path"],
        "Description": role["description"],
        "AssumeRolePolicyDocument": json.dumps(role["assume_role_policy_document"]),
        **tags,
    }
    await _done(iam, form)
    for policy, document in role["inline_policies"].items():
        about = {"RoleName": name, "PolicyName": policy, "PolicyDocument": json.dumps(document)}
        await _done(iam, {"Action": "PutRolePolicy", **about})


async def _done(iam: _Connections, form: Mapping[str, str]) -> None:
    status, text = await iam.aws(form)
    if status >= 300:
        raise RuntimeError(f"{form['Action']}: {status}: {text.decode()}")
