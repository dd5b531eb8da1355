"""
A MariaDB server, by its own command line tools: they read every script as a person's shell would.

The password is in a file that only this user can read, for as long as a tool runs; never in an argument.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sluice_errors import ReleaseError

# What a server says within this is an answer; a frozen one must not hold a state for ever.
CONNECT_SECONDS = 10
# A schema of a large application, or a dump of a large database.
RUN_SECONDS = 1800
# How error texts of the tools begin: `ERROR 1045 (28000) at line 1: `.
SAID = re.compile(r"ERROR \d+ \([0-9A-Z]+\)(?: at line (\d+))?: (.*)")


class SqlError(ReleaseError):
    """The server did not do what it was told; the message is its own, with who was asked."""


@dataclass(frozen=True)
class Server:
    """Where a database is and who logs in. With `socket` it is the one of this machine, as root."""

    host: str = ""
    port: int = 3306
    user: str = ""
    password: str = field(default="", repr=False)
    socket: str = ""

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.socket or f"{self.user}@{self.host}:{self.port}"

    def options(self) -> str:
        """The options file of the tools."""
        values = {"socket": self.socket} if self.socket else {
            "host": self.host, "port": str(self.port), "user": self.user, "password": self.password,
            "protocol": "tcp",
        }  # fmt: skip
        lines = [f"{key}={_quoted(value)}\n" for key, value in values.items()]
        return f"[client]\n{''.join(lines)}default-character-set=utf8mb4\n"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def literal(value: str) -> str:
    """`value` as a text in a statement."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def identifier(name: str) -> str:
    """`name` as that of a table or database in a statement."""
    return "`" + name.replace("`", "``") + "`"


def run(server: Server, sql: bytes | str, database: str = "") -> list[list[str]]:
    """
    Run a script; the rows it printed, each as texts (`NULL` for NULL).

    Raises SqlError at the first statement that fails; those before it are done.
    """
    words = ["--batch", "--raw", "--skip-column-names", *([database] if database else [])]
    data = sql.encode() if isinstance(sql, str) else sql
    with _tool(server, "mariadb", words) as command:
        done = _finished(server, command, data)
    return [line.split("\t") for line in done.decode(errors="replace").splitlines()]


def check_writable(server: Server, database: str) -> None:
    """SqlError if a user cannot log in to a database, or the server takes no writes now."""
    found = run(server, "SELECT @@global.read_only", database)
    if found not in ([["0"]], [["OFF"]]):
        raise SqlError(f"{server.name} is read-only (want writable): SET GLOBAL read_only = 0")


def secret(pillar: Mapping[str, object], key: str) -> str:
    """The text under a key of pillar such as `a:b:c`, not masked as by `pillar.get`; ReleaseError if none."""
    value: object = pillar
    for part in key.split(":"):
        value = value.get(part) if isinstance(value, Mapping) else None
    if not value or not isinstance(value, str):
        raise ReleaseError(f"pillar {key} is empty; put the password there")
    return value


def dump(server: Server, database: str, target: Path, options: Sequence[str] = ()) -> None:
    """Write a database, or what `options` leave of it, to a new file of this user. Raises SqlError."""
    target.touch(mode=0o600, exist_ok=False)
    words = ["--skip-dump-date", "--no-tablespaces", f"--result-file={target}", *options, database]
    try:
        with _tool(server, "mariadb-dump", words) as command:
            _finished(server, command, b"")
        if not _is_whole(target):
            raise SqlError(f"{server.name}: the dump of {database} to {target} is not whole")
    except OSError as error:
        raise SqlError(f"{target} cannot be written: {error.strerror}") from error


def _is_whole(dump: Path) -> bool:
    """Whether a dump has its last line."""
    with dump.open("rb") as file:
        file.seek(max(0, dump.stat().st_size - 100))
        return file.read().rstrip().endswith(b"-- Dump completed")


@contextmanager
def locked(server: Server, name: str, seconds: int) -> Iterator[None]:
    """Hold a named lock of the server; it goes with this process, however that ends. Raises SqlError."""
    with _tool(server, "mariadb", ["--batch", "--skip-column-names", "--unbuffered"]) as command:
        holder = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1)
        assert holder.stdin and holder.stdout
        try:
            holder.stdin.write(f"SELECT GET_LOCK({literal(name)}, {int(seconds)});\n".encode())
            holder.stdin.flush()
            got = holder.stdout.readline().strip()
            if got == b"0":
                raise SqlError(f"{server.name}: another host has held the lock {name} for {seconds} s")
            if got != b"1":
                raise SqlError(_said(server, holder.communicate(timeout=CONNECT_SECONDS)[1]))
            yield
        finally:
            _end(holder)


def _end(holder: "subprocess.Popen[bytes]") -> None:
    try:
        if holder.poll() is None:
            holder.communicate(timeout=CONNECT_SECONDS)
    except subprocess.TimeoutExpired:
        holder.kill()
        holder.communicate()


@contextmanager
def _tool(server: Server, name: str, words: list[str]) -> Iterator[list[str]]:
    """The command, while its options file is there."""
    with tempfile.NamedTemporaryFile("w", prefix="sluice-sql-") as options:
        options.write(server.options())
        options.flush()
        connect = [f"--connect-timeout={CONNECT_SECONDS}"] if name == "mariadb" else []
        yield [name, f"--defaults-file={options.name}", *connect, *words]


def _finished(server: Server, command: list[str], data: bytes) -> bytes:
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=RUN_SECONDS, check=False)
    except FileNotFoundError as error:
        raise SqlError(f"{command[0]} is not installed: install the package mariadb-client") from error
    except subprocess.TimeoutExpired as error:
        raise SqlError(f"{server.name}: not done after {RUN_SECONDS} s") from error
    if done.returncode != 0:
        raise SqlError(_said(server, done.stderr))
    return done.stdout


def _said(server: Server, stderr: bytes) -> str:
    """The server's own words, on one line; without the statement it is about."""
    text = stderr.decode(errors="replace").strip()
    found = SAID.search(text)
    if not found:
        return f"{server.name}: {' '.join(text.split())[:300] or 'no answer'}"
    line = f" (line {found[1]})" if found[1] else ""
    return f"{server.name}: {found[2][:300]}{line}"
