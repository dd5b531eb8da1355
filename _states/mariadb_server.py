"""
The MariaDB server of this machine: as it has to be, its databases, its users.

:depends: the command line tools of MariaDB, root
"""

import sluice_sql
import sluice_sql_access
from sluice_errors import ReleaseError
from sluice_sql import Server

__virtualname__ = "mariadb_server"

SOCKET = "/run/mysqld/mysqld.sock"


def __virtual__():
    return __virtualname__


def in_force(name, settings, socket=SOCKET):
    """
    Make sure that the running server works by its settings; changes nothing.

    .. code-block:: yaml

        mariadb-in-force:
          mariadb_server.in_force:
            - name: mariadb
            - settings: {lower_case_table_names: 1}

    settings (dict)
        Variable to value. One that the server has taken otherwise waits for a restart, which meets users: the
        state tells of it and leaves it to an operator. `lower_case_table_names` is taken once for all, when
        the data directory is made: with another one the state fails.
    socket (str)
        The server's socket. Default that of Debian.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "the server works by its settings"}
    try:
        asked = "SELECT " + ", ".join(f"@@global.{sluice_sql.identifier(one)}" for one in settings)
        has = dict(zip(settings, sluice_sql.run(Server(socket=socket), asked)[0], strict=True))
    except ReleaseError as error:
        if __opts__["test"]:
            return ret | {"comment": f"the server would be asked: {error}"}
        return ret | {"result": False, "comment": str(error)}
    wrong = {one: (has[one], want) for one, want in settings.items() if has[one].lower() != str(want).lower()}
    said = "; ".join(f"{one} is {is_} (want {want})" for one, (is_, want) in wrong.items())
    if "lower_case_table_names" in wrong:
        comment = (
            f"{said}. It is taken when the data directory is made. Nothing was touched: dump what is in it, "
            "move /var/lib/mysql away, run mariadb-install-db, restart mariadb, load the dump."
        )
        return ret | {"result": False, "comment": comment}
    if wrong:
        ret["warnings"] = [f"{said}: restart mariadb at a quiet time, users get no database meanwhile"]
    return ret


def access(name, users, rights, clients, sessions=False, socket=SOCKET):
    """
    Have a database, and users with exactly these rights in it, each from these addresses and no others.

    .. code-block:: yaml

        mariadb-access:
          mariadb_server.access:
            - name: itrust
            - users: mariadb:users
            - rights: {itrust: {grants: [SELECT, INSERT, UPDATE, DELETE]}}
            - clients: [10.57.0.41, 10.57.0.42]

    name (str)
        The database; made if it is not there, never removed.
    users (str)
        The key of pillar that holds the `password` of each. Passwords are in no argument, and reach the
        server as hashes.
    rights (dict)
        User to `grants` (list of rights) and `also` (other databases with the same rights, default none).
    clients (list)
        Addresses. A user of these at any other address is removed, and so are users without a name and root
        from elsewhere. Without any, while some of the users are there, the state fails and removes nobody.
    sessions (bool)
        Also have the table of Tomcat's sessions, and an event that purges old ones. Default False.
    socket (str)
        The server's socket. Default that of Debian.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{name} and its users are as pillar says"}
    server = Server(socket=socket)
    try:
        raw = __pillar__
        for part in users.split(":"):
            raw = (raw or {}).get(part)
        told = {
            user: {**about, "password": (raw or {}).get(user, {}).get("password")}
            for user, about in rights.items()
        }
        wanted = sluice_sql_access.users(told)
        allowed = sluice_sql_access.addresses(clients)
        todo = sluice_sql_access.orders(server, name, wanted, allowed, sessions)
        for said, order in todo:
            if not __opts__["test"]:
                sluice_sql.run(server, order)
            ret["changes"][said] = {"old": None, "new": "done" if not __opts__["test"] else "would be done"}
    except (ReleaseError, AttributeError) as error:
        return ret | {"result": False, "comment": f"{name}: {error}"}
    if ret["changes"]:
        ret["result"] = None if __opts__["test"] else True
        ret["comment"] = f"{name} and its users would be changed" if __opts__["test"] else f"{name} changed"
    return ret
