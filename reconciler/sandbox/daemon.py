"""The process behind one sandbox: `python -m reconciler.sandbox.daemon FOLDER`, started by `lifecycle.up`.

It runs the node, the gateway, moto and the models until SIGTERM. On its standard output it tells its parent how it
gets on, one JSON object a line: `{"progress": ...}`, then `{"ready": true}` or `{"problem": {...}}`.
"""

import asyncio
import contextlib
import hmac
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from reconciler.canonical.json import Json
from reconciler.errors import ReconcilerError
from reconciler.sandbox import mlcommons
from reconciler.sandbox.assembly import assemble
from reconciler.sandbox.certificates import Certificates, make_certificates
from reconciler.sandbox.endpoints import Models
from reconciler.sandbox.gateway.account import Account
from reconciler.sandbox.gateway.aws import AwsApi
from reconciler.sandbox.gateway.domain import Admission, Domain, SelfManaged
from reconciler.sandbox.gateway.http import Answer, Incoming, application, json_answer
from reconciler.sandbox.gateway.managed import Managed
from reconciler.sandbox.gateway.upstream import Node
from reconciler.sandbox.node import NodeSettings, RunningNode, configure, start
from reconciler.sandbox.outside import Outside
from reconciler.sandbox.protocol import MlCommons
from reconciler.sandbox.reset import Baseline, read_baseline, reset
from reconciler.sandbox.security import write_security
from reconciler.sandbox.servers import serving
from reconciler.sandbox.settings import AUTOMATION_ARN, Endpoints, Settings, read_settings, write_endpoints

_log = logging.getLogger("reconciler.sandbox")


class Control:
    """The private endpoint of `lifecycle`: `POST /reset` and `POST /faults`, with the sandbox's token."""

    def __init__(self, sandbox: "Sandbox", token: str) -> None:
        self._sandbox = sandbox
        self._authorization = f"Bearer {token}"

    async def handle(self, request: Incoming) -> Answer:
        """Answer one request."""
        if not hmac.compare_digest(request.headers.get("authorization", ""), self._authorization):
            return json_answer(401, {"message": "wrong token"})
        if (request.method, request.path) == ("POST", "/faults"):
            return self._faults(request)
        if (request.method, request.path) != ("POST", "/reset"):
            return json_answer(404, {"message": f"no {request.method} {request.path}"})
        await self._sandbox.reset()
        return json_answer(200, {"reset": True})

    def _faults(self, request: Incoming) -> Answer:
        try:
            self._sandbox.configure(json.loads(request.body))
        except ValueError as error:
            return json_answer(400, {"message": str(error)})
        return json_answer(200, {"faults": True})


class Sandbox:
    """What can be brought back to the beginning: the account, the node, ML Commons."""

    def __init__(self, settings: Settings, node: Node, account: Account, outside: Outside, baseline: Baseline) -> None:
        self._flavour = settings.options.flavour
        self._node = node
        self._account = account
        self._outside = outside
        self._baseline = baseline
        admission: Admission = (
            Managed(account)
            if self._flavour == "aws"
            else SelfManaged(trusts_proxies=settings.options.trust_proxy_headers)
        )
        self.domain = Domain(node, admission, self._new_ml_commons())

    async def reset(self) -> None:
        """Bring everything back; ML Commons starts anew once its documents are gone."""
        self._account.reset()
        await reset(self._node, self._baseline)
        self.domain.ml_commons = self._new_ml_commons()

    def configure(self, faults: Mapping[str, Json]) -> None:
        """Turn the switches of the account and of the domain's admission; see `reconciler.sandbox.gateway.switches`."""
        self._account.configure(faults)

    def _new_ml_commons(self) -> MlCommons:
        return mlcommons.create(self._node, self._flavour, self._outside)


async def run(folder: Path) -> None:
    """Run the sandbox whose settings are in `folder`, until SIGTERM or SIGINT."""
    settings = read_settings(folder / "settings.json")
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        certificates = make_certificates(folder / "certificates")
        running = await stack.enter_async_context(_node(settings, certificates))
        _tell({"progress": "starting the gateway"})
        node = Node(running.url, certificates)
        stack.push_async_callback(node.close)
        account = Account(settings.access_key_id, settings.secret_access_key)
        models = Models(account, settings.model_api_key)
        aws_url = await stack.enter_async_context(serving(application(AwsApi(account).handle)))
        models_url = await stack.enter_async_context(serving(application(models.handle)))
        outside = Outside(account, models, models_url=models_url, aws_url=aws_url)
        stack.push_async_callback(outside.close)
        sandbox = Sandbox(settings, node, account, outside, await read_baseline(node))
        domain_url = await stack.enter_async_context(
            serving(application(sandbox.domain.handle), certificate=certificates.gateway)
        )
        control = Control(sandbox, settings.control_token)
        control_url = await stack.enter_async_context(serving(application(control.handle)))
        endpoints = Endpoints(domain_url, aws_url, models_url, control_url, certificates.authority)
        write_endpoints(endpoints, folder / "endpoints.json")
        _tell({"ready": True})
        _detach_output()
        ended = asyncio.create_task(running.process.wait())
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait((ended, waiting), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            _log.error("the node ended with status %s", ended.result())
        waiting.cancel()


@asynccontextmanager
async def _node(settings: Settings, certificates: Certificates) -> AsyncIterator[RunningNode]:
    assembly = assemble(lambda line: _tell({"progress": line}))
    _tell({"progress": "starting OpenSearch"})
    write_security(
        assembly.folder / "plugins" / "opensearch-security" / "config",
        settings.node_folder / "config" / "opensearch-security",
        flavour=settings.options.flavour,
        passwords=settings.passwords,
        master_arn=AUTOMATION_ARN,
    )
    described = NodeSettings(settings.node_folder, f"{settings.name}-0", certificates)
    configure(assembly, described)
    running = await start(assembly, described, ("master", settings.passwords["master"]))
    try:
        yield running
    finally:
        await running.stop()


def _tell(said: Mapping[str, Json]) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), f"{json.dumps(said)}\n".encode())


def _detach_output() -> None:
    """The parent has heard all; what is printed from now on goes to the log."""
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def main() -> int:
    """Entry point; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in ("httpx", "werkzeug", "botocore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        asyncio.run(run(Path(sys.argv[1])))
    except ReconcilerError as error:
        first = error.problems[0]
        _tell({"problem": {"code": first.code, "message": first.message, "hint": first.hint, "facts": first.facts}})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
