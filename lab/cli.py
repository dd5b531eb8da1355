"""The lab's command line: `python3 -m lab --help`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

from lab import checkout, fleet, machines, settings
from lab.errors import LabError
from lab.process import say
from lab.settings import Lab


def parser() -> argparse.ArgumentParser:
    """The command line, one subcommand per thing a user does to a lab."""
    top = argparse.ArgumentParser(prog="lab", description=__doc__)
    top.add_argument("--name", help="the lab's name (SLUICE_LAB_NAME; default sluice)")
    top.add_argument("--bridge", help="its bridge (SLUICE_LAB_BRIDGE; default sluice0)")
    top.add_argument("--network", help="its network (SLUICE_LAB_NETWORK; default 10.57.0.0/24)")
    commands = top.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="boot the fleet; go on from whatever is there")
    up.add_argument("--highstate", action="store_true", help="then apply every machine's states")
    commands.add_parser("down", help="remove every machine, mount, bridge and rule of the lab")
    commands.add_parser("push", help="copy the working tree to the master again")
    status = commands.add_parser("status", help="which machines run")
    status.add_argument("--json", action="store_true", help="as JSON")
    for name, text in (("ssh", "a root shell on a machine"), ("logs", "follow a machine's journal"),
                       ("stop", "shut a machine down"), ("start", "boot a machine again")):
        commands.add_parser(name, help=text).add_argument("id")
    run = commands.add_parser("exec", help="run a command on a machine: exec ID -- COMMAND ...")
    run.add_argument("id")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 if it did what it says, else 1 (or the exit code of what `exec` ran)."""
    args = parser().parse_args(argv)
    try:
        return perform(args, settings.load(args.name, args.bridge, args.network))
    except LabError as error:
        say(f"lab: {error}")
        return 1
    except KeyboardInterrupt:
        say("lab: interrupted; `lab up` goes on from here, `lab down` removes what there is")
        return 130


def perform(args: argparse.Namespace, lab: Lab) -> int:
    """Carry out the parsed command."""
    if args.command == "up":
        fleet.up(lab)
        if args.highstate:
            fleet.highstate(lab)
    elif args.command == "down":
        fleet.down(lab)
    elif args.command == "push":
        checkout.push(lab)
    elif args.command == "status":
        return show_status(lab, args.json)
    elif args.command == "stop":
        lab.machine(args.id)
        machines.stop(lab, args.id)
    elif args.command == "start":
        lab.machine(args.id)
        machines.start(lab, args.id)
        machines.wait_for_boot(lab, args.id)
    else:
        return attach(lab, args)
    return 0


def attach(lab: Lab, args: argparse.Namespace) -> int:
    """A command on a machine with this terminal as its own; its exit code."""
    words = {
        "ssh": ["/bin/bash", "-l"],
        "logs": ["journalctl", "--no-pager", "-n", "200", *(["-f"] if os.isatty(1) else [])],
    }.get(args.command) or [word for word in args.words if word != "--" or args.words[0] != "--"]
    if args.command == "exec":
        words = args.words[1:] if args.words[:1] == ["--"] else args.words
    if not words:
        raise LabError("exec: no command; say `lab exec ID -- COMMAND`")
    return subprocess.run([*machines.enter(lab, args.id), *words], check=False).returncode


def show_status(lab: Lab, as_json: bool) -> int:
    """Print a row per machine; 0 if all run, 1 otherwise."""
    rows = fleet.status(lab)
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            print(f"{row['id']:<14} {row['address']:<15} {row['state']:<8} {row['pid'] or '-'}", file=sys.stdout)
    return 0 if all(row["state"] == "running" for row in rows) else 1
