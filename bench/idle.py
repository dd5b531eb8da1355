"""
What connections that wait cost the balancer: `python -m bench.idle [--connections N] [--tls]`.

One worker, N clients that each asked once and then keep their connection open. Prints the worker's memory
before and after, and what a connection costs. Loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import resource
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bench.balancer.processes import free_ports

# What a browser sends, about.
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
    b"Accept: text/html\r\nCookie: session=0123456789abcdef\r\n\r\n"
)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
# So many clients share an address of the loopback, and so many ask at once.
PER_ADDRESS = 40
AT_ONCE = 50
START_SECONDS = 20.0
# Descriptors besides those of the connections.
SPARE = 500


class IdleError(Exception):
    """It could not be measured."""


class Backend(asyncio.Protocol):
    """Answers every request, of which each comes in one piece here."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))


class Client(asyncio.Protocol):
    """Asks when told."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()
        self.said = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.said += data
        self.answered.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.answered.set()

    async def ask(self) -> None:
        self.transport.write(REQUEST)
        await asyncio.wait_for(self.answered.wait(), 30)
        if b"200 OK" not in self.said:
            raise IdleError(f"a request was not answered with 200 but with {self.said[:200]!r}")


class Balancer:
    """One that runs, with one worker."""

    def __init__(self, folder: Path, backend: int, tls: bool) -> None:
        self.port, self.admin, plain = free_ports(3)
        service: dict[str, object] = {
            "listen": f"127.0.0.1:{self.port}",
            "weights": {"stable": 100},
            "tracks": {"stable": {"b": f"127.0.0.1:{backend}"}},
        }
        if tls:
            files = {"certificate_file": str(folder / "pem"), "key_file": str(folder / "key")}
            make_certificate(folder)
            service["tls"] = {"listen": service["listen"], **files}
            service["listen"] = f"127.0.0.1:{plain}"
        (folder / "token").write_text("benchmark-token-without-meaning\n")
        file = {
            "workers": 1,
            "admin": {"listen": f"127.0.0.1:{self.admin}", "token_file": str(folder / "token")},
            "state_dir": str(folder / "state"),
            "services": {"shop": service},
        }
        (folder / "balancer.json").write_text(json.dumps(file))
        words = [sys.executable, "-m", "balancer", "--config", str(folder / "balancer.json")]
        self.process = subprocess.Popen(words, stderr=subprocess.DEVNULL)

    async def ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{self.admin}/health")
                return
            await asyncio.sleep(0.1)
        raise IdleError("the balancer did not start")

    def worker_kb(self) -> int:
        """Resident memory of the worker."""
        pid = self.process.pid
        (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{worker}/status").read_text())
        assert found is not None
        return int(found[1])


def make_certificate(folder: Path) -> None:
    """A certificate that signs itself, in `pem`, and its `key`."""
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=shop.example"
    names = ["-addext", "subjectAltName=DNS:shop.example"]
    files = ["-keyout", str(folder / "key"), "-out", str(folder / "pem")]
    subprocess.run(["openssl", *words.split(), *names, *files], check=True, capture_output=True, timeout=30)


@contextlib.contextmanager
def running(folder: Path, backend: int, tls: bool) -> Iterator[Balancer]:
    made = Balancer(folder, backend, tls)
    try:
        yield made
    finally:
        made.process.terminate()
        made.process.wait(60)


def trusting(folder: Path) -> ssl.SSLContext:
    """A context for clients that trusts the certificate made for them."""
    return ssl.create_default_context(cafile=str(folder / "pem"))


async def connect(port: int, number: int, context: ssl.SSLContext | None) -> Client:
    loop = asyncio.get_running_loop()
    address = number // PER_ADDRESS
    source = f"127.0.{1 + address // 250}.{1 + address % 250}"
    name = "shop.example" if context else None
    _, made = await loop.create_connection(
        Client, "127.0.0.1", port, local_addr=(source, 0), ssl=context, server_hostname=name
    )
    return made


async def measure(folder: Path, connections: int, tls: bool) -> None:
    loop = asyncio.get_running_loop()
    backend = await loop.create_server(Backend, "127.0.0.1", 0, backlog=1000)
    with running(folder, backend.sockets[0].getsockname()[1], tls) as balancer:
        await balancer.ready()
        context = trusting(folder) if tls else None
        clients = [await connect(balancer.port, 0, context)]
        await clients[0].ask()
        before = balancer.worker_kb()
        for begin in range(1, connections + 1, AT_ONCE):
            numbers = range(begin, min(begin + AT_ONCE, connections + 1))
            fresh = await asyncio.gather(*(connect(balancer.port, n, context) for n in numbers))
            await asyncio.gather(*(client.ask() for client in fresh))
            clients.extend(fresh)
        after = balancer.worker_kb()
        each = (after - before) / connections
        how = " with TLS" if tls else ""
        print(
            f"{connections} idle connections{how}: the worker had {before / 1024:.1f} MB and has "
            f"{after / 1024:.1f} MB, {each:.1f} kB a connection"
        )
        for client in clients:
            client.transport.abort()
    backend.close()


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A worker takes as many connections as it has two descriptors for each.
    possible = 100_000 if hard == resource.RLIM_INFINITY else (hard - SPARE) // 2
    top = argparse.ArgumentParser(prog="bench.idle", description="What idle connections cost the balancer.")
    most = f"how many, 1 to {possible} here (see ulimit -Hn)"
    top.add_argument("--connections", type=int, default=min(10_000, possible), help=most)
    top.add_argument("--tls", action="store_true", help="over TLS")
    args = top.parse_args()
    if not 0 < args.connections <= possible:
        top.error(f"--connections: want {most}")
    # The balancer inherits it.
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * args.connections + SPARE, hard))
    with tempfile.TemporaryDirectory() as folder:
        try:
            asyncio.run(measure(Path(folder), args.connections, args.tls))
        except (IdleError, OSError) as error:
            top.exit(1, f"bench.idle: {error}\n")


if __name__ == "__main__":
    main()
