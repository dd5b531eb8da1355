"""
The schema of an application's database: made once, changed in steps, each with a way back.

An application brings a directory: `MANIFEST`, a list of files for an empty database, and `changes/*.sql`,
which are applied in the order of their names, once. What was applied stands in the database itself, in the
table `sluice_schema`, written before and after: a run that died half-way is seen and not repeated.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sluice_sql
from sluice_errors import ReleaseError
from sluice_sql import Server, SqlError, identifier, literal

TABLE = "sluice_schema"
LOCK = "sluice_schema"
# Tables that are there before any schema: this one, and the sessions of the application's servers.
OURS = (TABLE, "tomcat_sessions")
BOOTSTRAP = "bootstrap"
REHEARSAL = "_rehearsal"
_MAKE = f"""CREATE TABLE IF NOT EXISTS {TABLE} (
    name varchar(200) PRIMARY KEY,
    sha256 char(64) NOT NULL,
    state enum('applying', 'applied', 'adopted') NOT NULL,
    host varchar(200) NOT NULL,
    at datetime NOT NULL
) ENGINE=InnoDB"""


@dataclass(frozen=True)
class Script:
    """One thing that is applied once: the bootstrap, or a change."""

    name: str
    files: tuple[Path, ...]

    @property
    def sha256(self) -> str:
        """Of all files in their order."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(file.read_bytes())
        return digest.hexdigest()


def scripts(source: Path) -> list[Script]:
    """What an application brings, the bootstrap first. ReleaseError if MANIFEST names what is not there."""
    if not source.is_dir():
        return []
    try:
        names = [line.strip() for line in (source / "MANIFEST").read_text().splitlines() if line.strip()]
    except OSError as error:
        raise ReleaseError(f"{source}/MANIFEST: {error.strerror}; want a list of SQL files") from error
    root = source.resolve()
    for name in names:
        path = (source / name).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            raise ReleaseError(f"{source}/MANIFEST names {ascii(name)}, which is no file below {source}")
    found = [Script(path.stem, (path,)) for path in sorted(source.glob("changes/*.sql"))]
    return [Script(BOOTSTRAP, tuple(source / name for name in names)), *found]


@dataclass(frozen=True)
class Applied:
    """A row of the table."""

    sha256: str
    state: str
    host: str
    at: str


@dataclass(frozen=True)
class Found:
    """A database as it is."""

    tables: frozenset[str]
    applied: dict[str, Applied]

    @property
    def is_empty(self) -> bool:
        """True if no table of an application is there."""
        return not self.tables - set(OURS)

    @property
    def is_under_way(self) -> bool:
        """Whether something was begun and has not ended; perhaps it will."""
        return any(row.state == "applying" for row in self.applied.values())


def look(server: Server, database: str) -> Found:
    """What a database holds, and what was applied to it. Raises SqlError."""
    tables = frozenset(row[0] for row in sluice_sql.run(server, "SHOW TABLES", database))
    if TABLE not in tables:
        return Found(tables, {})
    rows = sluice_sql.run(server, f"SELECT name, sha256, state, host, at FROM {TABLE}", database)
    return Found(tables, {row[0]: Applied(*row[1:]) for row in rows})


def outstanding(found: Found, brought: list[Script]) -> list[Script]:
    """
    What is still to be applied, in order. A change that was there before and is not brought any more is that
    of a newer version: an older one goes on working beside it.

    Raises ReleaseError if something died half-way, or is another than what was applied under its name.
    """
    for name, row in found.applied.items():
        if row.state == "applying":
            raise ReleaseError(
                f"{name} was begun by {row.host} at {row.at} UTC and did not end. Nothing is done to the "
                "database until somebody has looked: restore it from the last backup, or finish it by hand, "
                f"then delete its row of the table {TABLE}, or set that to applied"
            )
    for one in brought:
        row = found.applied.get(one.name)  # type: ignore[assignment]
        if row and one.name != BOOTSTRAP and row.sha256 != one.sha256:
            raise ReleaseError(
                f"{one.name} was applied by {row.host} at {row.at} UTC with another content. What was "
                "applied never changes: bring a new change of the next number"
            )
    return [one for one in brought if one.name not in found.applied]


class Schema:
    """
    The schema of one database, applied from one host.

    backups (Path)
        Where what there was before a change is kept, as files that only root reads; `keep` of them.
    """

    def __init__(self, server: Server, database: str, host: str, backups: Path, keep: int = 10) -> None:
        self.server, self.database, self.host = server, database, host
        self.backups, self.keep = backups, keep

    def apply(self, brought: list[Script], lock_seconds: int) -> Iterator[tuple[str, str]]:
        """
        Apply what is outstanding; of hosts that try at once one does, the others wait for it.

        Yields name and what was done. Raises ReleaseError, with the database as it was before what failed.
        """
        with sluice_sql.locked(self.server, f"{LOCK}.{self.database}", lock_seconds):
            found = look(self.server, self.database)
            for one in outstanding(found, brought):
                yield one.name, self._one(one, found)

    def _one(self, script: Script, found: Found) -> str:
        if script.name == BOOTSTRAP and not found.is_empty:
            self._mark(script, "adopted")
            return "the database was not empty: taken as it is"
        if script.name == BOOTSTRAP:
            self._bootstrap(script)
            return f"{len(script.files)} files"
        backup = self._backed_up(script)
        self._rehearse(script)
        self._change(script, backup)
        return f"applied; the database of before is in {backup}"

    def _bootstrap(self, script: Script) -> None:
        self._mark(script, "applying")
        try:
            for file in script.files:
                self._file(file)
        except SqlError as error:
            # It was empty: whatever is there now was made by these files.
            self._drop(look(self.server, self.database).tables - set(OURS))
            self._unmark(script)
            raise ReleaseError(f"{error}. The database is empty again") from error
        self._mark(script, "applied")

    def _change(self, script: Script, backup: Path) -> None:
        before = self._definitions()
        self._mark(script, "applying")
        try:
            self._file(script.files[0])
        except SqlError as error:
            try:
                restored = self._restore(before, backup)
            except SqlError as worse:
                raise ReleaseError(
                    f"{error}. It could not be taken back ({worse}): restore {self.database} from {backup}"
                ) from error
            self._unmark(script)
            raise ReleaseError(
                f"{error}. Taken back from {backup}: {restored or 'nothing had changed'}"
            ) from error
        self._mark(script, "applied")

    def _file(self, file: Path) -> None:
        try:
            sluice_sql.run(self.server, file.read_bytes(), self.database)
        except SqlError as error:
            raise SqlError(f"{file.parent.name}/{file.name}: {error}") from error

    def _rehearse(self, script: Script) -> None:
        """On tables without rows: a change with a mistake in it never meets users."""
        scratch = self.database + REHEARSAL
        make = f"DROP DATABASE IF EXISTS {identifier(scratch)}; CREATE DATABASE {identifier(scratch)}"
        structure = self.backups / f".rehearsal-{self.database}.sql"
        structure.unlink(missing_ok=True)
        try:
            sluice_sql.dump(self.server, self.database, structure, ["--no-data", "--skip-lock-tables"])
            sluice_sql.run(self.server, make)
            sluice_sql.run(self.server, structure.read_bytes(), scratch)
            sluice_sql.run(self.server, script.files[0].read_bytes(), scratch)
        except SqlError as error:
            raise ReleaseError(
                f"{script.name} failed in rehearsal: {error}. {self.database} was not touched"
            ) from error
        finally:
            structure.unlink(missing_ok=True)
            sluice_sql.run(self.server, f"DROP DATABASE IF EXISTS {identifier(scratch)}")

    def _backed_up(self, script: Script) -> Path:
        """A dump of the whole database; the older ones go."""
        stamp = sluice_sql.run(self.server, "SELECT date_format(utc_timestamp(), '%Y%m%dT%H%i%S')")[0][0]
        target = self.backups / f"{self.database}-before-{script.name}-{stamp}.sql"
        try:
            self.backups.mkdir(mode=0o700, parents=True, exist_ok=True)
            sluice_sql.dump(self.server, self.database, target)
        except (SqlError, OSError) as error:
            target.unlink(missing_ok=True)
            raise ReleaseError(f"no backup could be made, so nothing was changed: {error}") from error
        kept = sorted(
            self.backups.glob(f"{self.database}-before-*.sql"), key=lambda path: path.stat().st_mtime
        )
        for old in kept[: -self.keep]:
            old.unlink()
        return target

    def _definitions(self) -> dict[str, str]:
        """Table to how it is made, without how many rows it had."""
        found: dict[str, str] = {}
        for name in sorted(look(self.server, self.database).tables - set(OURS)):
            rows = sluice_sql.run(
                self.server,
                "SELECT group_concat(concat_ws(' ', column_name, column_type, is_nullable, column_default, "
                "extra, column_key) ORDER BY ordinal_position) FROM information_schema.columns "
                f"WHERE table_schema = {literal(self.database)} AND table_name = {literal(name)}",
            )
            found[name] = "\t".join(rows[0])
        return found

    def _restore(self, before: dict[str, str], backup: Path) -> str:
        """Tables that came go, those that changed or went come back; the others keep what users wrote."""
        now = self._definitions()
        came = set(now) - set(before)
        lost = {name for name, made in before.items() if now.get(name) != made}
        self._drop(came)
        if lost:
            wanted = _tables_of(backup.read_bytes(), lost)
            sluice_sql.run(self.server, wanted, self.database)
        return ", ".join(
            [*(f"{name} removed" for name in sorted(came)), *(f"{name} restored" for name in sorted(lost))]
        )

    def _drop(self, tables: "set[str] | frozenset[str]") -> None:
        if tables:
            names = ", ".join(identifier(name) for name in sorted(tables))
            sluice_sql.run(self.server, f"SET foreign_key_checks = 0; DROP TABLE {names}", self.database)

    def _mark(self, script: Script, state: str) -> None:
        row = f"{literal(script.name)}, '{script.sha256}', '{state}', {literal(self.host)}, utc_timestamp()"
        sluice_sql.run(self.server, f"{_MAKE}; REPLACE INTO {TABLE} VALUES ({row})", self.database)

    def _unmark(self, script: Script) -> None:
        sluice_sql.run(self.server, f"DELETE FROM {TABLE} WHERE name = {literal(script.name)}", self.database)


def _tables_of(dump: bytes, tables: set[str]) -> bytes:
    """The head of a dump, and the parts of it about some tables."""
    head, *parts = dump.split(b"--\n-- Table structure for table ")
    wanted = [part for part in parts if part.split(b"\n", 1)[0].strip(b"`").decode() in tables]
    return b"-- ".join([head, *wanted])
