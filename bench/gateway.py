"""How many requests a second a sandbox's gateway passes on, what each costs it, and what the sandbox takes.

    python bench/gateway.py [--seconds 5] [--clients 16]

Starts a sandbox of its own and stops it. The clients share the machine with the sandbox, so the last column, requests
a second of one core's time of the gateway's process, says what the gateway itself is able to do.
"""

import argparse
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from reconciler.sandbox import lifecycle
from reconciler.sandbox.lifecycle import SandboxInfo
from reconciler.sandbox.settings import REGION

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Case:
    """One request, repeated: its bytes, signed once, and the status it must have."""

    name: str
    sent: bytes
    status: int


def main() -> None:
    """Print one line of figures for each case."""
    parser = argparse.ArgumentParser(description="Measure a sandbox's gateway.")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each case runs")
    parser.add_argument("--clients", type=int, default=16, help="how many connections ask at once")
    options = parser.parse_args()
    began = time.monotonic()
    with _sandbox() as info:
        print(f"started in {time.monotonic() - began:.1f} s")
        print(f"{'case':<28}{'requests/s':>11}{'ms each':>9}{'requests/s of one core':>24}")
        for case in _cases(info):
            _ask(info, case, 1.0, options.clients)
            done, busy = _ask(info, case, options.seconds, options.clients)
            rate = done / options.seconds
            print(f"{case.name:<28}{rate:>11.0f}{1000 * options.clients / rate:>9.1f}{done / busy:>24.0f}")
        print(f"memory: {_memory(info):.0f} MB")


@contextmanager
def _sandbox() -> Iterator[SandboxInfo]:
    name = f"bench-{os.getpid()}"
    info = lifecycle.up(name)
    try:
        yield info
    finally:
        lifecycle.down(name)


def _cases(info: SandboxInfo) -> Iterator[Case]:
    host = urlsplit(info.endpoints.domain).netloc
    basic = f"Basic {_basic('master', info.settings.passwords['master'])}"
    group = {"name": "bench", "description": "a model group"}
    made = _once(info, _request(host, "POST", "/_plugins/_ml/model_groups/_register", basic, group))
    model_group = f"/_plugins/_ml/model_groups/{json.loads(made)['model_group_id']}"
    signer = Credentials(info.settings.access_key_id, info.settings.secret_access_key)
    for name, path in (("root", "/"), ("cluster settings", "/_cluster/settings"), ("model group", model_group)):
        yield Case(f"{name}, Basic", _request(host, "GET", path, basic), 200)
        yield Case(f"{name}, SigV4", _signed(info, host, path, signer), 200)


def _request(host: str, method: str, path: str, authorization: str, content: object = None) -> bytes:
    body = json.dumps(content).encode() if content is not None else b""
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


def _signed(info: SandboxInfo, host: str, path: str, signer: Credentials) -> bytes:
    request = AWSRequest(method="GET", url=f"{info.endpoints.domain}{path}")
    SigV4Auth(signer, "es", REGION).add_auth(request)
    lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode()


def _basic(user: str, password: str) -> str:
    from base64 import b64encode

    return b64encode(f"{user}:{password}".encode()).decode()


def _ask(info: SandboxInfo, case: Case, seconds: float, clients: int) -> tuple[int, float]:
    """How many answers came in `seconds`, and the seconds of processor time that the gateway's process took."""
    counts = [0] * clients
    until = time.monotonic() + seconds

    def client(number: int) -> None:
        with _connected(info) as connection:
            while time.monotonic() < until:
                status, _ = _exchange(connection, case.sent)
                if status != case.status:
                    raise RuntimeError(f"{case.name} answered {status}")
                counts[number] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    before = _busy(info.pid)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts), _busy(info.pid) - before


def _once(info: SandboxInfo, sent: bytes) -> bytes:
    with _connected(info) as connection:
        status, body = _exchange(connection, sent)
    if status != 200:
        raise RuntimeError(f"{status}: {body!r}")
    return body


@contextmanager
def _connected(info: SandboxInfo) -> Iterator[ssl.SSLSocket]:
    where = urlsplit(info.endpoints.domain)
    trust = ssl.create_default_context(cafile=str(info.endpoints.authority))
    with (
        socket.create_connection((where.hostname, where.port)) as plain,
        trust.wrap_socket(plain, server_hostname=where.hostname) as connection,
    ):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def _exchange(connection: ssl.SSLSocket, sent: bytes) -> tuple[int, bytes]:
    connection.sendall(sent)
    read = b""
    while b"\r\n\r\n" not in read:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("the gateway closed the connection")
        read += part
    head, _, body = read.partition(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split(b" ", 2)[1]), body


def _memory(info: SandboxInfo) -> float:
    """The MB that the gateway's process and its child, the node, take, as the kernel shares them out."""
    children = Path(f"/proc/{info.pid}/task/{info.pid}/children").read_text().split()
    lines = [
        line.split()
        for pid in (info.pid, *children)
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    ]
    return sum(int(line[1]) for line in lines if line[0] == "Pss:") / 1024


def _busy(pid: int) -> float:
    """The seconds of processor time a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


if __name__ == "__main__":
    main()
