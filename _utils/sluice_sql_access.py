"""Who may do what in a database of this machine's MariaDB, compared and put right. As root, by the socket."""

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import sluice_sql
from sluice_errors import ConfigError
from sluice_sql import Server, identifier, literal

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")
GRANT = re.compile(r"[A-Z]+( [A-Z]+){0,3}\Z")
# Where Tomcat keeps the sessions of its users, so that they survive a host.
SESSIONS = """CREATE TABLE tomcat_sessions (
    id varchar(100) PRIMARY KEY,
    valid char(1) NOT NULL,
    max_inactive int NOT NULL,
    last_access bigint NOT NULL,
    app varchar(255),
    data mediumblob,
    KEY (app)
) ENGINE=InnoDB"""
# Sessions that nobody has used for longer than they live are of no use, but Tomcat leaves them.
PURGE = """CREATE EVENT purge_sessions ON SCHEDULE EVERY 10 MINUTE DO
    DELETE FROM tomcat_sessions WHERE max_inactive > 0
        AND last_access < (unix_timestamp() - max_inactive - 3600) * 1000"""


@dataclass(frozen=True)
class User:
    """One user of a database; may log in from each of the addresses."""

    name: str
    password: str = field(repr=False)
    grants: frozenset[str] = frozenset()
    # Databases besides the own one, with the same rights.
    also: tuple[str, ...] = ()


def users(raw: Mapping[str, Mapping[str, object]]) -> list[User]:
    """The users that pillar names. ConfigError with what is wrong."""
    found = []
    for name, about in sorted(raw.items()):
        grants = about.get("grants") or []
        if not NAME.match(name) or name in ("root", "mysql", "mariadb.sys"):
            raise ConfigError(f"pillar mariadb:users: {name!r} is no name for a user of an application")
        if not isinstance(grants, list) or not all(GRANT.match(str(one)) for one in grants):
            raise ConfigError(f"pillar mariadb:users:{name}:grants: want a list like [SELECT, INSERT]")
        if not about.get("password"):
            raise ConfigError(
                f"pillar mariadb:users:{name}:password is empty; put a secret of your own there"
            )
        also = about.get("also") or []
        if not isinstance(also, list) or not all(NAME.match(str(one)) for one in also):
            raise ConfigError(f"pillar mariadb:users:{name}:also: want a list of names of databases")
        found.append(User(name, str(about["password"]), frozenset(map(str, grants)), tuple(map(str, also))))
    return found


def addresses(raw: Iterable[object]) -> list[str]:
    """The addresses of the clients, each checked: they come from the clients themselves."""
    found = []
    for one in raw:
        try:
            found.append(str(ipaddress.ip_address(str(one))))
        except ValueError as error:
            raise ConfigError(f"{str(one)[:60]!r} is no address of a client of the database") from error
    return sorted(set(found))


def orders(
    server: Server, database: str, wanted: list[User], clients: list[str], sessions: bool
) -> list[tuple[str, str]]:
    """
    What is to be done, each with a line for people: database, users, rights, strangers, the sessions' table.

    Raises SqlError if the server does not answer.
    """
    ask = server, "SELECT user, host, plugin, authentication_string FROM mysql.user"
    there = {(row[0], row[1]): row[3] for row in sluice_sql.run(*ask)}
    found: list[tuple[str, str]] = []
    databases = {row[0] for row in sluice_sql.run(server, "SHOW DATABASES")}
    if database not in databases:
        made = f"CREATE DATABASE {identifier(database)} CHARACTER SET utf8mb4"
        found.append((f"database {database}", made))
    found += _strangers(there, databases, wanted, clients)
    for user in wanted:
        for client in clients:
            found += _user(server, there, database, user, client)
    return found + (_sessions(server, database, databases) if sessions else [])


def _strangers(
    there: Mapping[tuple[str, str], str], databases: set[str], wanted: list[User], clients: list[str]
) -> list[tuple[str, str]]:
    """Users without a name, ours at addresses that are none of a client any more, and the test database."""
    names = {user.name for user in wanted}
    gone = [
        (name, host) for name, host in sorted(there) if not name or (name in names and host not in clients)
    ]
    dropped = [
        (f"user {name or '(nobody)'}@{host} removed", f"DROP USER {_who(name, host)}") for name, host in gone
    ]
    return dropped + ([("database test removed", "DROP DATABASE test")] if "test" in databases else [])


def _user(
    server: Server, there: Mapping[tuple[str, str], str], database: str, user: User, client: str
) -> list[tuple[str, str]]:
    who, found = _who(user.name, client), []
    hashed = _hashed(user.password)
    if (user.name, client) not in there:
        found.append((f"user {user.name}@{client}", f"CREATE USER {who} IDENTIFIED BY PASSWORD '{hashed}'"))
    elif there[user.name, client] != hashed:
        said = f"password of {user.name}@{client}"
        found.append((said, f"ALTER USER {who} IDENTIFIED BY PASSWORD '{hashed}'"))
    for one in (database, *user.also):
        found += _rights(server, user, client, one)
    return found


def _rights(server: Server, user: User, client: str, database: str) -> list[tuple[str, str]]:
    """Exactly the rights that are wanted in a database."""
    grantee, schema = literal(_who(user.name, client)), literal(_pattern(database))
    rows = sluice_sql.run(
        server,
        "SELECT privilege_type FROM information_schema.schema_privileges "
        f"WHERE grantee = {grantee} AND table_schema = {schema}",
    )
    has = {row[0] for row in rows} - {"USAGE"}
    place = f"`{_pattern(database)}`.* "
    said = f"rights of {user.name}@{client} in {database}"
    found = []
    if has - user.grants:
        less = ", ".join(sorted(has - user.grants))
        found.append((f"{said}: no {less}", f"REVOKE {less} ON {place} FROM {_who(user.name, client)}"))
    if user.grants - has:
        more = ", ".join(sorted(user.grants - has))
        found.append((f"{said}: {more}", f"GRANT {more} ON {place} TO {_who(user.name, client)}"))
    return found


def _sessions(server: Server, database: str, databases: set[str]) -> list[tuple[str, str]]:
    tables = events = []
    if database in databases:
        tables = sluice_sql.run(server, "SHOW TABLES LIKE 'tomcat\\_sessions'", database)
        events = sluice_sql.run(server, "SHOW EVENTS LIKE 'purge\\_sessions'", database)
    use = f"USE {identifier(database)}; "
    made = [] if tables else [("table tomcat_sessions", use + SESSIONS)]
    return made + ([] if events else [("event purge_sessions", use + PURGE)])


def _pattern(database: str) -> str:
    """The database's name where the server takes a pattern."""
    return database.replace("_", "\\_")


def _who(name: str, host: str) -> str:
    return f"{literal(name)}@{literal(host)}"


def _hashed(password: str) -> str:
    """As mysql_native_password keeps it: `*` and SHA1(SHA1(password)) in capital hexadecimal digits."""
    return "*" + hashlib.sha1(hashlib.sha1(password.encode()).digest()).hexdigest().upper()
