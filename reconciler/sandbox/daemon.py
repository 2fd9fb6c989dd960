"""The process behind one sandbox: `python -m reconciler.sandbox.daemon FOLDER`, started by `lifecycle.up`.

It runs the node, the gateway, moto and the models until SIGTERM. On its standard output it tells its parent how it
gets on, one JSON object a line: `{"progress": ...}`, then `{"ready": true}` or `{"problem": {...}}`.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from reconciler.canonical.json import Json
from reconciler.errors import ReconcilerError
from reconciler.sandbox import mlcommons
from reconciler.sandbox.assembly import assemble
from reconciler.sandbox.certificates import Certificates, Pair, make_certificates
from reconciler.sandbox.control import Control
from reconciler.sandbox.endpoints import Models
from reconciler.sandbox.faults import Faults
from reconciler.sandbox.gateway.account import Account
from reconciler.sandbox.gateway.aws import AwsApi
from reconciler.sandbox.gateway.domain import Admission, Domain, SelfManaged
from reconciler.sandbox.gateway.http import application
from reconciler.sandbox.gateway.managed import Managed
from reconciler.sandbox.gateway.switches import Switches
from reconciler.sandbox.gateway.upstream import Node
from reconciler.sandbox.journal import AWS, DOMAIN, MODELS, Journal
from reconciler.sandbox.mlcommons.deployment import DeployTrouble
from reconciler.sandbox.mlcommons.documents import Staleness
from reconciler.sandbox.node import NodeSettings, RunningNode, configure, start
from reconciler.sandbox.outside import Outside
from reconciler.sandbox.prepared import prepare
from reconciler.sandbox.protocol import MlCommons
from reconciler.sandbox.reset import Baseline, read_baseline, reset
from reconciler.sandbox.security import write_security
from reconciler.sandbox.servers import serving
from reconciler.sandbox.settings import AUTOMATION_ARN, Endpoints, Settings, read_settings, write_endpoints
from reconciler.sandbox.traffic import Handle, watched

_log = logging.getLogger("reconciler.sandbox")


class Sandbox:
    """What can be brought back to the beginning and made to go wrong: the account, the node, ML Commons, models."""

    def __init__(
        self,
        settings: Settings,
        node: "RunningSandboxNode",
        account: Account,
        models: Models,
        outside: Outside,
        baseline: Baseline,
    ) -> None:
        self._settings = settings
        self._node = node
        self._account = account
        self._models = models
        self._outside = outside
        self._baseline = baseline
        self._staleness = Staleness()
        self._deploy_trouble = DeployTrouble()
        admission: Admission = (
            Managed(account)
            if settings.options.flavour == "aws"
            else SelfManaged(trusts_proxies=settings.options.trust_proxy_headers)
        )
        self.domain = Domain(node.client, admission, self._new_ml_commons())

    async def reset(self) -> None:
        """Bring everything back; ML Commons starts anew once its documents are gone."""
        self._models.reset()
        self._staleness.reset()
        self._deploy_trouble.reset()
        self._account.reset()
        prepare(self._settings.model_api_key)
        await reset(self._node.client, self._baseline)
        self.domain.ml_commons = self._new_ml_commons()

    async def restart_node(self) -> None:
        """Stop the node and start it again; ML Commons, which is a part of it, starts anew with its documents."""
        await self._node.restart()
        self.domain.ml_commons = self._new_ml_commons()

    def configure(self, switches: Mapping[str, Json]) -> None:
        """Turn switches: `stale_search_s`, `deploys`, and those of `reconciler.sandbox.gateway.switches`."""
        others = {name: value for name, value in switches.items() if name not in ("stale_search_s", "deploys")}
        if "stale_search_s" in switches:
            self._staleness.set(switches["stale_search_s"])
        if "deploys" in switches:
            self._deploy_trouble.set(switches["deploys"])
        self._account.configure(others)

    def steer(self, host: str, answer: str, times: int | None, seconds: float) -> None:
        """Choose the next answers of a model's host; see `Models.steer`."""
        self._models.steer(host, answer, times=times, seconds=seconds)

    def mend(self) -> None:
        """Turn all switches back, and let models answer as usual."""
        self._account.switches = Switches()
        self._staleness.reset()
        self._deploy_trouble.reset()
        self._models.reset()

    def _new_ml_commons(self) -> MlCommons:
        flavour, trouble = self._settings.options.flavour, self._deploy_trouble
        return mlcommons.create(self._node.client, flavour, self._outside, self._staleness, trouble)


class RunningSandboxNode:
    """The node of this sandbox and the connection to it, which a restart moves to another port."""

    def __init__(
        self, running: RunningNode, certificates: Certificates, start_again: Callable[[], Awaitable[RunningNode]]
    ) -> None:
        self._running = running
        self._start_again = start_again
        self._restarting = asyncio.Lock()
        self.client = Node(running.url, certificates)

    async def restart(self) -> None:
        """Stop the node and start it again."""
        async with self._restarting:
            await self._running.stop()
            self._running = await self._start_again()
            self.client.move(self._running.url)

    async def ended(self) -> int:
        """Wait until the node has ended other than by a restart; returns its exit status."""
        while True:
            running = self._running
            status = await running.process.wait()
            async with self._restarting:
                if self._running is running:
                    return status

    async def stop(self) -> None:
        """Stop the node and close the connection to it."""
        self.client.close()
        await self._running.stop()


async def run(folder: Path) -> None:
    """Run the sandbox whose settings are in `folder`, until SIGTERM or SIGINT."""
    settings = read_settings(folder / "settings.json")
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        certificates = make_certificates(folder / "certificates")
        node = await _start_node(settings, certificates)
        stack.push_async_callback(node.stop)
        _tell({"progress": "starting the gateway"})
        account = Account(settings.access_key_id, settings.secret_access_key)
        prepare(settings.model_api_key)
        models = Models(account, settings.model_api_key)
        journal, faults = Journal(lambda key_id: key.caller.arn if (key := account.key(key_id)) else None), Faults()

        async def served(server: str, handle: Handle, certificate: Pair | None = None) -> str:
            app = application(watched(server, handle, journal, faults))
            return await stack.enter_async_context(serving(app, certificate=certificate))

        aws_url = await served(AWS, AwsApi(account).handle)
        models_url = await served(MODELS, models.handle)
        outside = Outside(account, models, models_url=models_url, aws_url=aws_url, journal=journal)
        stack.push_async_callback(outside.close)
        sandbox = Sandbox(settings, node, account, models, outside, await read_baseline(node.client))
        domain_url = await served(DOMAIN, sandbox.domain.handle, certificates.gateway)
        control = Control(sandbox, journal, faults, settings.control_token)
        control_url = await stack.enter_async_context(serving(application(control.handle)))
        endpoints = Endpoints(domain_url, aws_url, models_url, control_url, certificates.authority)
        write_endpoints(endpoints, folder / "endpoints.json")
        _tell({"ready": True})
        _detach_output()
        ended = asyncio.create_task(node.ended())
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait((ended, waiting), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            _log.error("the node ended with status %s", ended.result())
        for task in (ended, waiting):
            task.cancel()


async def _start_node(settings: Settings, certificates: Certificates) -> RunningSandboxNode:
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

    def start_node() -> Awaitable[RunningNode]:
        return start(assembly, described, ("master", settings.passwords["master"]))

    return RunningSandboxNode(await start_node(), certificates, start_node)


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
