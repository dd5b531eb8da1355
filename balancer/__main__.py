"""`python -m balancer --config FILE [--check]`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import uvloop
from tornado.httpserver import HTTPServer
from tornado.web import Application

from balancer import __version__, config
from balancer.admin import MAX_BODY_BYTES, admin_application, alert_application
from balancer.config import Address, Config, ConfigError
from balancer.supervisor import Supervisor
from balancer.tokens import Tokens

log = logging.getLogger("balancer")
BACKLOG = 4096


def main() -> int:
    """0 after an orderly stop; 2 for a file, token or address that cannot be used."""
    args = parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        loaded = config.load(args.config)
    except ConfigError as error:
        print(f"{args.config}:\n  " + "\n  ".join(error.mistakes), file=sys.stderr)
        if args.check:
            return 2
        loaded = last_good(args.config) or sys.exit(2)
    if args.check:
        print(f"{args.config}: good")
        return 0
    try:
        tokens = Tokens(loaded.admin_token_file, loaded.alert_tokens_file)
        listeners = {name: listen(service.listen) for name, service in loaded.services.items()}
        loaded.state_dir.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        print(f"balancer: {error}", file=sys.stderr)
        return 2
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(args.config, loaded, tokens, listeners))


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="balancer", description="The weighted-release balancer of Sluice.")
    top.add_argument("--config", type=Path, required=True, help="the balancer's file (JSON)")
    top.add_argument("--check", action="store_true", help="say what is wrong with the file, and end")
    top.add_argument("--version", action="version", version=__version__)
    return top


def last_good(path: Path) -> Config | None:
    """The copy of the last good file, found through what the bad one still says of its state directory."""
    kept = (
        Path(os.environ.get("STATE_DIRECTORY", "/var/lib/sluice/balancer").split(":")[0]) / "last-good.json"
    )
    try:
        found = config.load(kept)
    except ConfigError:
        return None
    log.error("%s is refused; starting with the last good one, %s", path, kept)
    return found


def listen(address: Address) -> socket.socket:
    """A listening socket that all workers share: what waits in its queue outlives any one of them."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host, address.port))
    except OSError as error:
        raise OSError(f"cannot listen on {address}: {error.strerror}") from error
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


async def serve(path: Path, loaded: Config, tokens: Tokens, listeners: dict[str, socket.socket]) -> int:
    """Run until told to stop."""
    loop = asyncio.get_running_loop()
    supervisor = Supervisor(path, loaded, listeners)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: asyncio.ensure_future(reload(supervisor)))
    loop.add_signal_handler(signal.SIGUSR1, lambda: asyncio.ensure_future(supervisor.workers.reopen_logs()))
    await supervisor.start()
    servers = [open_api(admin_application(supervisor, tokens), loaded.admin_listen)]
    if loaded.alert_listen is not None:
        servers.append(open_api(alert_application(supervisor, tokens), loaded.alert_listen))
    notify("READY=1")
    log.info("ready: %d workers, %d services", loaded.workers, len(loaded.services))
    await stop.wait()
    notify("STOPPING=1")
    for listener in listeners.values():
        listener.close()
    await supervisor.stop()
    for server in servers:
        server.stop()
    return 0


def open_api(application: Application, address: Address) -> HTTPServer:
    server = HTTPServer(application, max_body_size=MAX_BODY_BYTES, max_buffer_size=MAX_BODY_BYTES * 2)
    server.listen(address.port, address.host)
    return server


async def reload(supervisor: Supervisor) -> None:
    try:
        await supervisor.reload()
    except ConfigError:
        return


def notify(state: str) -> None:
    """Tell systemd, if it asked (sd_notify(3): a datagram to NOTIFY_SOCKET; a leading @ is a NUL byte)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.sendto(state.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)


if __name__ == "__main__":
    sys.exit(main())
