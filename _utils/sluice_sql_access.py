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
# Every right of every user, in which database and table; without these it holds everywhere. Those in columns
# go with their table's.
RIGHTS = """
SELECT grantee, '', '', privilege_type, is_grantable FROM information_schema.user_privileges
UNION SELECT grantee, table_schema, '', privilege_type, is_grantable
    FROM information_schema.schema_privileges
UNION SELECT grantee, table_schema, table_name, 'ALL PRIVILEGES', is_grantable
    FROM information_schema.table_privileges
UNION SELECT grantee, table_schema, table_name, 'ALL PRIVILEGES', is_grantable
    FROM information_schema.column_privileges"""
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

    Raises SqlError if the server does not answer, ConfigError if nobody would be left who comes in.
    """
    there = _users_of(server)
    _refuse_if_all_go(there, wanted, clients)
    found: list[tuple[str, str]] = []
    databases = {row[0] for row in sluice_sql.run(server, "SHOW DATABASES")}
    if database not in databases:
        made = f"CREATE DATABASE {identifier(database)} CHARACTER SET utf8mb4"
        found.append((f"database {database}", made))
    found += _root(server) + _strangers(there, wanted, clients) + _test_database(server, databases)
    rights = _rights_of_all(server)
    for user in wanted:
        for client in clients:
            found += _user(there, user, client)
            found += _rights(rights, user, client, database)
    return found + (_sessions(server, database, databases) if sessions else [])


def _users_of(server: Server) -> dict[tuple[str, str], str]:
    """Name and host of each user, to its hashed password."""
    rows = sluice_sql.run(
        server, "SELECT user, host, authentication_string FROM mysql.user WHERE is_role = 'N'"
    )
    return {(row[0], row[1]): row[2] for row in rows}


def _refuse_if_all_go(there: Mapping[tuple[str, str], str], wanted: list[User], clients: list[str]) -> None:
    """A mine that is empty for a moment must not take the database from every host."""
    names = {user.name for user in wanted}
    if not clients and any(name in names for name, _ in there):
        raise ConfigError(
            "no address is known of any client, so all users would go; nothing was changed. "
            "Ask the hosts for them: salt '*' mine.update"
        )


def _root(server: Server) -> list[tuple[str, str]]:
    """root logs in by the socket, with no password that anyone could know."""
    rows = sluice_sql.run(server, "SHOW CREATE USER root@localhost")
    if rows[0][0].endswith("IDENTIFIED VIA unix_socket"):
        return []
    return [("root logs in by the socket only", "ALTER USER root@localhost IDENTIFIED VIA unix_socket")]


def _strangers(
    there: Mapping[tuple[str, str], str], wanted: list[User], clients: list[str]
) -> list[tuple[str, str]]:
    """Users without a name, root from elsewhere, and ours at addresses that are none of a client any more."""
    names = {user.name for user in wanted}
    gone = [
        (name, host)
        for name, host in sorted(there)
        if not name or (name == "root" and host != "localhost") or (name in names and host not in clients)
    ]
    return [
        (f"user {name or '(nobody)'}@{host} removed", f"DROP USER {_who(name, host)}") for name, host in gone
    ]


def _test_database(server: Server, databases: set[str]) -> list[tuple[str, str]]:
    if "test" not in databases or _tables_of_test(server):
        return []
    return [("database test removed", "DROP DATABASE test")]


def _tables_of_test(server: Server) -> int:
    asked = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'test'"
    return int(sluice_sql.run(server, asked)[0][0])


def _user(there: Mapping[tuple[str, str], str], user: User, client: str) -> list[tuple[str, str]]:
    who, hashed = _who(user.name, client), _hashed(user.password)
    if (user.name, client) not in there:
        return [(f"user {user.name}@{client}", f"CREATE USER {who} IDENTIFIED BY PASSWORD '{hashed}'")]
    if there[user.name, client] != hashed:
        said = f"password of {user.name}@{client}"
        return [(said, f"ALTER USER {who} IDENTIFIED BY PASSWORD '{hashed}'")]
    return []


def _rights_of_all(server: Server) -> dict[str, dict[str, set[str]]]:
    """Who (as the server writes it) to place to rights; the one to hand rights on counts as one of them."""
    found: dict[str, dict[str, set[str]]] = {}
    for who, database, table, right, hands_on in sluice_sql.run(server, RIGHTS):
        has = found.setdefault(who, {}).setdefault(_place(database, table), set())
        has |= ({right} - {"USAGE"}) | ({"GRANT OPTION"} if hands_on == "YES" else set())
    return found


def _place(database: str, table: str = "") -> str:
    """Where a right holds, as GRANT and REVOKE want it named; the database is a pattern."""
    quoted = [f"`{one.replace('`', '``')}`" if one else "*" for one in (database, table)]
    return ".".join(quoted)


def _rights(
    rights: Mapping[str, Mapping[str, set[str]]], user: User, client: str, database: str
) -> list[tuple[str, str]]:
    """Exactly the rights that are wanted, in the databases where they are wanted, and none elsewhere."""
    has = rights.get(_who(user.name, client), {})
    wanted = {_place(_pattern(one)): user.grants for one in (database, *user.also)}
    return [
        order
        for place in [*wanted, *sorted(set(has) - set(wanted))]
        for order in _difference(has.get(place, set()), wanted.get(place, frozenset()), user, client, place)
    ]


def _difference(
    has: set[str], wanted: frozenset[str], user: User, client: str, place: str
) -> list[tuple[str, str]]:
    """Word by word, so that nobody is without a right that is wanted while another one goes."""
    said, who = f"rights of {user.name}@{client} in {place}", _who(user.name, client)
    gone = [(f"{said}: no {one}", f"REVOKE {one} ON {place} FROM {who}") for one in sorted(has - wanted)]
    more = ", ".join(sorted(wanted - has))
    return gone + ([(f"{said}: {more}", f"GRANT {more} ON {place} TO {who}")] if more else [])


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
