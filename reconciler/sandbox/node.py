"""Runs one OpenSearch node of an assembly: configures it, starts it, waits until it serves, stops it.

The node runs with its own folder, on ports the system picks, never as root, and dies with its parent.
"""

import asyncio
import json
import os
import pwd
import shutil
import signal
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from reconciler.canonical.json import Json
from reconciler.errors import Problem, ReconcilerError
from reconciler.sandbox.assembly import Assembly
from reconciler.sandbox.certificates import NODE, SUPER_USER, Certificates
from reconciler.sandbox.security import HASHING

START_DEADLINE = 120.0  # seconds until the node must serve
STOP_DEADLINE = 20.0  # seconds after which a stopping node is killed
_POLL = 0.05

_FOLDERS = ("config", "data", "logs", "tmp")
_SYSTEM_INDICES = [
    ".plugins-ml-agent",
    ".plugins-ml-config",
    ".plugins-ml-connector",
    ".plugins-ml-controller",
    ".plugins-ml-memory-message",
    ".plugins-ml-memory-meta",
    ".plugins-ml-model",
    ".plugins-ml-model-group",
    ".plugins-ml-task",
]
_JAVA_OPTIONS = (
    "-Xms512m",
    "-Xmx512m",
    "-Xss1m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # with the serial collector, halves the time of a start
    "-XX:-UsePerfData",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
    "-Dfile.encoding=UTF-8",
    "-Djava.security.manager=allow",
    "-Djna.nosys=true",
    "-Dlog4j2.disable.jmx=true",
    "-Dlog4j.shutdownHookEnabled=false",
    "-Dopensearch.networkaddress.cache.ttl=60",
    "-Dopensearch.distribution.type=tar",
)
_LOG4J = """\
status = error
appender.file.type = File
appender.file.name = file
appender.file.fileName = ${sys:opensearch.logs.base_path}${sys:file.separator}opensearch.log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %marker%m%n
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
"""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What tells one node from another: its folder, its name, the files of its certificates."""

    folder: Path
    name: str
    certificates: Certificates


@dataclass(frozen=True, slots=True)
class RunningNode:
    """A node that serves at `url` (https, with the certificate of the sandbox's authority)."""

    url: str
    process: asyncio.subprocess.Process

    async def stop(self) -> None:
        """Stop the node, by force if it takes too long; returns when the process is gone."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_DEADLINE)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


def configure(assembly: Assembly, settings: NodeSettings) -> None:
    """Lay out the node's folder: links to the assembly's jars, `config` (the security part is there already)."""
    for name in _FOLDERS:
        (settings.folder / name).mkdir(exist_ok=True)
    for name in ("bin", "lib", "modules", "plugins"):
        (settings.folder / name).symlink_to(assembly.folder / name)
    config = settings.folder / "config"
    for source in (
        settings.certificates.authority,
        settings.certificates.node.certificate,
        settings.certificates.node.key,
    ):
        shutil.copy(source, config)
    (config / "opensearch.yml").write_text(json.dumps(_opensearch_yml(settings)))  # JSON is YAML
    (config / "log4j2.properties").write_text(_LOG4J)
    if os.geteuid() == 0:
        user = _unprivileged()
        for path in (settings.folder, *settings.folder.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


async def start(assembly: Assembly, settings: NodeSettings, password: tuple[str, str]) -> RunningNode:
    """Start the node in its configured folder and wait until it serves `password`, a user's name and password.

    Raises ReconcilerError when the process ends or the deadline passes first; its log is in `logs`.
    """
    ports = settings.folder / "logs" / "http.ports"
    ports.unlink(missing_ok=True)  # of a run before
    with (settings.folder / "logs" / "console.log").open("wb") as console:
        process = await asyncio.create_subprocess_exec(
            *_command(assembly, settings.folder),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            cwd=settings.folder,
            env={"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(settings.folder)},
            start_new_session=True,
        )
    node = RunningNode("", process)
    try:
        port = await _port(ports, process)
        node = RunningNode(f"https://127.0.0.1:{port}", process)
        await _serves(node, settings.certificates.authority, password)
    except TimeoutError as error:
        await node.stop()
        raise ReconcilerError([_not_started(str(error), settings.folder)]) from error
    except BaseException:
        await node.stop()
        raise
    return node


def _opensearch_yml(settings: NodeSettings) -> Mapping[str, Json]:
    pem = {
        "pemcert_filepath": settings.certificates.node.certificate.name,
        "pemkey_filepath": settings.certificates.node.key.name,
        "pemtrustedcas_filepath": settings.certificates.authority.name,
    }
    return {
        "cluster.name": "reconciler-sandbox",
        "node.name": settings.name,
        "node.portsfile": True,
        "network.host": "127.0.0.1",
        "http.port": 0,
        "transport.port": 0,
        "discovery.type": "single-node",
        "path.data": str(settings.folder / "data"),
        "path.logs": str(settings.folder / "logs"),
        "bootstrap.memory_lock": False,
        "cluster.routing.allocation.disk.threshold_enabled": False,
        **{
            f"plugins.security.ssl.{layer}.{key}": value
            for layer in ("transport", "http")
            for key, value in pem.items()
        },
        "plugins.security.ssl.transport.enforce_hostname_verification": False,
        "plugins.security.ssl.http.enabled": True,
        "plugins.security.ssl.http.clientauth_mode": "OPTIONAL",
        "plugins.security.allow_default_init_securityindex": True,
        "plugins.security.authcz.admin_dn": [SUPER_USER],
        "plugins.security.nodes_dn": [NODE],
        "plugins.security.audit.type": "noop",
        "plugins.security.restapi.roles_enabled": ["all_access", "security_rest_api_access", "security_manager"],
        "plugins.security.system_indices.enabled": True,
        "plugins.security.system_indices.indices": _SYSTEM_INDICES,
        **HASHING,
    }


def _command(assembly: Assembly, folder: Path) -> list[str]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ReconcilerError(
            [
                Problem(
                    "sandbox-unsupported",
                    "the sandbox starts its node with setpriv, and there is none on the PATH",
                    hint="run the sandbox on Linux with util-linux 2.33 or later",
                )
            ]
        )
    command = [setpriv, "--pdeathsig", "KILL", "--no-new-privs"]
    if os.geteuid() == 0:
        user = _unprivileged()
        command += ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    return [
        *command,
        "--",
        str(assembly.java),
        *_JAVA_OPTIONS,
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        f"-Dopensearch.path.home={folder}",
        f"-Dopensearch.path.conf={folder / 'config'}",
        "-cp",
        str(assembly.folder / "lib" / "*"),
        "org.opensearch.bootstrap.OpenSearch",
    ]


def _unprivileged() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")


async def _port(ports: Path, process: asyncio.subprocess.Process) -> int:
    deadline = time.monotonic() + START_DEADLINE
    while not ports.exists():
        _check_alive(process, deadline, "it did not open its port")
        await asyncio.sleep(_POLL)
    return int(ports.read_text().split()[0].rpartition(":")[2])


async def _serves(node: RunningNode, authority: Path, password: tuple[str, str]) -> None:
    """Wait until the security index is loaded (until then: 503) and the cluster has its primary shards."""
    trust = ssl.create_default_context(cafile=str(authority))
    deadline = time.monotonic() + START_DEADLINE
    async with httpx.AsyncClient(base_url=node.url, verify=trust, auth=password, timeout=10) as client:
        while True:
            try:
                answer = await client.get("/_cluster/health?wait_for_status=yellow&timeout=5s")
                if answer.status_code == httpx.codes.OK and not answer.json()["timed_out"]:
                    return
            except httpx.TransportError:
                pass
            _check_alive(node.process, deadline, "its security configuration was not loaded")
            await asyncio.sleep(_POLL)


def _check_alive(process: asyncio.subprocess.Process, deadline: float, why: str) -> None:
    """Raise TimeoutError, saying why, when there is nothing left to wait for."""
    if process.returncode is not None:
        why = f"its process ended with status {process.returncode}"
    elif time.monotonic() < deadline:
        return
    raise TimeoutError(why)


def _not_started(why: str, folder: Path) -> Problem:
    said = [
        line
        for name in ("opensearch.log", "console.log")
        if (log := folder / "logs" / name).exists()
        for line in log.read_text(errors="replace").splitlines()
        if line.strip()
    ]
    return Problem(
        "sandbox-not-started",
        f"the OpenSearch node did not start: {why}",
        hint="its last words may say why",
        facts=tuple(("log", line) for line in said[-3:]),
    )
