"""`python -m flags --config FILE [--check]`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

import uvloop

from balancer import systemd
from balancer.certificates import CertificateError
from balancer.reader import ConfigError
from balancer.sockets import BIND_SECONDS, Sockets
from balancer.tokens import TokenError
from flags import __version__, config
from flags.certificate import Certificate
from flags.config import Config
from flags.service import Service
from flags.tokens import Tokens

log = logging.getLogger("flags")


def main() -> int:
    """0 after an orderly stop; 2 for a file, token, certificate or address that cannot be used."""
    args = parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        loaded = config.load(args.config)
        tokens = Tokens(loaded.tokens_file)
        certificate = Certificate(loaded) if loaded.tls is not None else None
    except ConfigError as error:
        print(f"{args.config}:\n  " + "\n  ".join(error.mistakes), file=sys.stderr)
        return 2
    except (TokenError, CertificateError) as error:
        print(f"flags: {error}", file=sys.stderr)
        return 2
    if args.check:
        print(f"{args.config}: good")
        return 0
    try:
        sockets = listen(loaded)
        loaded.state_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"flags: {error}", file=sys.stderr)
        return 2
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(loaded, tokens, certificate, sockets))


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="flags", description="The flag service of Sluice (OFREP).")
    top.add_argument("--config", type=Path, required=True, help="the service's file (JSON)")
    top.add_argument("--check", action="store_true", help="say what is wrong with the file, and end")
    top.add_argument("--version", action="version", version=__version__)
    return top


def listen(loaded: Config) -> Sockets:
    """Listen, or go on where the process before this one did: what waits there is lost by no restart."""
    sockets = Sockets(systemd.handed_over())
    sockets.open(loaded.listen, 1, BIND_SECONDS)
    sockets.keep_only([str(loaded.listen)])
    return sockets


async def serve(loaded: Config, tokens: Tokens, certificate: Certificate | None, sockets: Sockets) -> int:
    """Run until told to stop."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    service = Service(loaded, tokens, certificate)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, service.look)
    loop.add_signal_handler(signal.SIGUSR1, service.log.reopen)
    await service.start(sockets.only(loaded.listen))
    systemd.notify("READY=1")
    log.info("ready: %d flags, at %s", len(service.store.flags), loaded.listen)
    telling = asyncio.ensure_future(tell_systemd(service))
    await stop.wait()
    telling.cancel()
    systemd.notify("STOPPING=1")
    await service.stop()
    return 0


async def tell_systemd(service: Service) -> None:
    """Every second: how it goes, if that changed, and that it goes at all."""
    said = ""
    while True:
        status = f"STATUS={service.summary()}"
        systemd.notify(*([status] if status != said else []), "WATCHDOG=1")
        said = status
        await asyncio.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
