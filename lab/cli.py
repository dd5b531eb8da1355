"""The lab's command line: `python3 -m lab --help`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable

from lab import checkout, compiled, files, fleet, machines, precheck, settings
from lab.errors import LabError
from lab.process import say
from lab.settings import Lab


def parser() -> argparse.ArgumentParser:
    """The command line, one subcommand per thing a user does to a lab."""
    top = argparse.ArgumentParser(prog="lab", description="A small cloud on this computer.")
    top.add_argument("--name", help="the lab's name (SLUICE_LAB_NAME; default sluice)")
    top.add_argument("--bridge", help="its bridge (SLUICE_LAB_BRIDGE; default sluice0)")
    top.add_argument("--network", help="its network (SLUICE_LAB_NETWORK; default 10.57.0.0/24)")
    top.add_argument("--fleet", help="machines (SLUICE_LAB_FLEET; default checkbox; parts: lab/fleet.toml)")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("check", help="whether the lab can run on this computer")
    up = commands.add_parser("up", help="boot the fleet; go on from whatever is there")
    up.add_argument("--highstate", action="store_true", help="then apply every machine's states")
    commands.add_parser("down", help="remove every machine, mount, bridge and rule of the lab")
    commands.add_parser("push", help="copy the working tree to the master again")
    status = commands.add_parser("status", help="which machines run; exit code 1 unless all do")
    status.add_argument("--json", action="store_true", help="as JSON")
    for name, text in (("ssh", "a root shell on a machine"), ("stop", "shut a machine down"),
                       ("start", "boot a machine"), ("restart", "shut a machine down and boot it")):
        commands.add_parser(name, help=text).add_argument("id", metavar="ID")
    logs = commands.add_parser("logs", help="a machine's journal, also of one that is down")
    logs.add_argument("id", metavar="ID")
    logs.add_argument("-u", "--unit", help="only this unit's")
    logs.add_argument("-n", "--lines", type=int, default=200, help="how many lines (default 200)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on showing new lines")
    run = commands.add_parser("exec", help="run a command on a machine; its exit code")
    run.add_argument("id", metavar="ID")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 if it did what it says, else 1 (or the exit code of what `exec` ran)."""
    args = parser().parse_args(argv)
    try:
        lab = settings.load(args.name, args.bridge, args.network, args.fleet)
        code = COMMANDS[args.command](lab, args)
        sys.stdout.flush()
        return code
    except LabError as error:
        say(f"lab: {error}")
        return 1
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python would complain of the rest when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except PermissionError as error:
        say(f"lab: {error.filename}: {error.strerror}; the lab needs root: run it with sudo")
        return 1
    except (OSError, UnicodeError) as error:
        say(f"lab: {error}; `lab up` goes on from here, `lab down` removes what there is")
        return 1
    except KeyboardInterrupt:
        say("lab: interrupted; `lab up` goes on from here, `lab down` removes what there is")
        return 130


def check(lab: Lab, args: argparse.Namespace) -> int:
    precheck.check(lab)
    print("the lab can run here")
    return 0


def up(lab: Lab, args: argparse.Namespace) -> int:
    fleet.up(lab)
    if args.highstate:
        fleet.highstate(lab)
    return 0


def down(lab: Lab, args: argparse.Namespace) -> int:
    fleet.down(lab)
    return 0


def push(lab: Lab, args: argparse.Namespace) -> int:
    with files.locked(lab.lock):
        changed = checkout.push(lab)
        compiled.push(lab)
    print(f"{changed} files changed on the master")
    return 0


def status(lab: Lab, args: argparse.Namespace) -> int:
    """Print a row per machine; 0 if all run, 1 otherwise."""
    rows = fleet.status(lab)
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        print(f"lab '{lab.name}' on {lab.bridge}, {lab.network}")
        for row in rows:
            print(f"{row['id']:<14} {row['address']:<15} {row['state']:<8} {row['pid'] or '-'}")
    return 0 if all(row["state"] == "running" for row in rows) else 1


def stop(lab: Lab, args: argparse.Namespace) -> int:
    with files.locked(lab.lock):
        machines.stop(lab, args.id)
    return 0


def start(lab: Lab, args: argparse.Namespace) -> int:
    with files.locked(lab.lock):
        machines.start(lab, args.id)
        machines.wait_for_boot(lab, args.id)
    return 0


def restart(lab: Lab, args: argparse.Namespace) -> int:
    with files.locked(lab.lock):
        machines.restart(lab, args.id)
    return 0


def ssh(lab: Lab, args: argparse.Namespace) -> int:
    return become(lab, args.id, machines.enter(lab, args.id, ["/bin/bash", "-l"]))


def logs(lab: Lab, args: argparse.Namespace) -> int:
    options = [f"--unit={args.unit}"] if args.unit else []
    options += ["--follow"] if args.follow else []
    return become(lab, args.id, fleet.log_words(lab, args.id, args.lines, options))


def run(lab: Lab, args: argparse.Namespace) -> int:
    words = args.words[1:] if args.words[:1] == ["--"] else args.words
    if not words:
        raise LabError("exec: no command; say `lab exec ID -- COMMAND`")
    return become(lab, args.id, machines.enter(lab, args.id, words))


def become(lab: Lab, machine_id: str, words: list[str]) -> int:
    """Become a command on a machine: this process's terminal, signals and exit code are the command's."""
    sys.stdout.flush()
    os.execvpe(words[0], words, machines.environment(lab, machine_id))


COMMANDS: dict[str, Callable[[Lab, argparse.Namespace], int]] = {
    "check": check, "up": up, "down": down, "push": push, "status": status, "stop": stop, "start": start,
    "restart": restart, "ssh": ssh, "logs": logs, "exec": run,
}
