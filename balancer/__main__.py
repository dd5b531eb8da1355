"""`python -m balancer --config FILE [--check]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import sys
from asyncio import FIRST_COMPLETED
from pathlib import Path

import uvloop
from tornado.httpserver import HTTPServer
from tornado.web import Application

from balancer import __version__, config, heads, systemd
from balancer.admin import MAX_BODY_BYTES, admin_application, alert_application
from balancer.certificates import bad_pairs
from balancer.config import Config
from balancer.limits import HEAD_SECONDS, IDLE_SECONDS
from balancer.reader import ConfigError
from balancer.sockets import BIND_SECONDS, Sockets
from balancer.supervisor import Supervisor
from balancer.tokens import Tokens

log = logging.getLogger("balancer")
KIND = "compiled" if heads.COMPILED else "pure Python"


def main() -> int:
    """0 after an orderly stop; 2 for a file, token or address that cannot be used."""
    args = parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    mistakes = None
    try:
        loaded = config.load(args.config)
    except ConfigError as error:
        print(f"{args.config}:\n  " + "\n  ".join(error.mistakes), file=sys.stderr)
        if args.check:
            return 2
        loaded = last_good(args.config) or sys.exit(2)
        mistakes = "; ".join(error.mistakes)
    if args.check:
        for service, mistake in bad_pairs(loaded.services).items():
            # Not the file's mistake, and not an obstacle: see docs/decisions/0023-https.md.
            print(f"{args.config}: good, but $.services.{service}.tls: {mistake}", file=sys.stderr)
        print(f"{args.config}: good")
        return 0
    try:
        tokens = Tokens(loaded.admin_token_file, loaded.alert_tokens_file, loaded.host_tokens_file)
        sockets = listen(loaded)
        loaded.state_dir.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        print(f"balancer: {error}", file=sys.stderr)
        return 2
    if tokens.mistake is not None:
        log.error("%s; starting without alert tokens and hosts' tokens", tokens.mistake)
        mistakes = "; ".join(filter(None, (mistakes, tokens.mistake)))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        supervisor = Supervisor(args.config, loaded, sockets, tokens, mistakes)
        return runner.run(serve(supervisor, tokens, sockets))


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="balancer", description="The weighted-release balancer of Sluice.")
    top.add_argument("--config", type=Path, required=True, help="the balancer's file (JSON)")
    top.add_argument("--check", action="store_true", help="say what is wrong with the file, and end")
    top.add_argument("--version", action="version", version=f"{__version__}, {KIND}")
    return top


def last_good(path: Path) -> Config | None:
    """The copy of the last good file, where the bad one or systemd says that the state is."""
    for directory in (told_state_dir(path), os.environ.get("STATE_DIRECTORY", "").split(":")[0]):
        kept = Path(directory or "/var/lib/sluice/balancer") / "last-good.json"
        try:
            found = config.load(kept)
        except ConfigError:
            continue
        log.error("%s is refused; starting with the last good one, %s", path, kept)
        return found
    return None


def told_state_dir(path: Path) -> str | None:
    """The state directory that a file names, however bad the rest of it is."""
    try:
        told = json.loads(path.read_bytes())["state_dir"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None
    return told if isinstance(told, str) and "\0" not in told else None


def listen(loaded: Config) -> Sockets:
    """Listen on every address of the file. Raises OSError."""
    sockets = Sockets(systemd.handed_over())
    for listener in loaded.listeners.values():
        sockets.open(listener.address, loaded.workers, BIND_SECONDS)
    for address in loaded.api_addresses:
        sockets.open(address, 1, BIND_SECONDS)
    return sockets


async def serve(supervisor: Supervisor, tokens: Tokens, sockets: Sockets) -> int:
    """Run until told to stop."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: asyncio.ensure_future(reload(supervisor)))
    loop.add_signal_handler(signal.SIGUSR1, lambda: asyncio.ensure_future(supervisor.workers.reopen_logs()))
    starting = asyncio.ensure_future(supervisor.start())
    await asyncio.wait([starting, stopped := asyncio.ensure_future(stop.wait())], return_when=FIRST_COMPLETED)
    if stop.is_set():
        starting.cancel()
        return await end(supervisor, [])
    starting.result()
    applications = [admin_application(supervisor, tokens), alert_application(supervisor, tokens)]
    servers = [
        open_api(application, sockets.only(address))
        for application, address in zip(applications, supervisor.config.api_addresses, strict=False)
    ]
    # Only now, and not while this start could fail: others may be served at these by then.
    sockets.keep_only([*supervisor.config.listeners, *map(str, supervisor.config.api_addresses)])
    systemd.notify("READY=1")
    log.info("ready: %d workers, %d services", supervisor.config.workers, len(supervisor.config.services))
    telling = asyncio.ensure_future(tell_systemd(supervisor))
    await stopped
    telling.cancel()
    return await end(supervisor, servers)


async def end(supervisor: Supervisor, servers: list[HTTPServer]) -> int:
    """Stop in good order. Under systemd whoever comes next waits for this process, not for its workers."""
    systemd.notify("STOPPING=1")
    await supervisor.stop(wait=not systemd.is_there())
    for server in servers:
        server.stop()
    return 0


async def tell_systemd(supervisor: Supervisor) -> None:
    """Every second: how it goes, if that changed, and that it goes at all."""
    said = ""
    while True:
        status = f"STATUS={supervisor.status.summary()}"
        signs = [status] if status != said else []
        if supervisor.workers.is_answering():
            signs.append("WATCHDOG=1")
        if signs:
            systemd.notify(*signs)
        said = status
        await asyncio.sleep(1)


def open_api(application: Application, listener: socket.socket) -> HTTPServer:
    server = HTTPServer(
        application,
        max_body_size=MAX_BODY_BYTES,
        max_buffer_size=MAX_BODY_BYTES * 2,
        idle_connection_timeout=IDLE_SECONDS,
        body_timeout=HEAD_SECONDS,
    )
    server.add_socket(listener)
    return server


async def reload(supervisor: Supervisor) -> None:
    try:
        await supervisor.reload()
    except ConfigError:
        return


if __name__ == "__main__":
    sys.exit(main())
