"""
The schema of an application's database on a MariaDB server, from any of the application's hosts.

:depends: the command line tools of MariaDB (Debian: mariadb-client)
"""

import contextlib
from pathlib import Path

import sluice_sql
import sluice_sql_schema
from sluice_errors import ReleaseError
from sluice_sql import Server

__virtualname__ = "sql_schema"

# Where what there was before a change is kept; only root reads it.
BACKUPS = "/var/backups/sluice/mariadb"


def __virtual__():
    return __virtualname__


def applied(name, source, host, user, password, port=3306, backups=BACKUPS, keep=10, lock_seconds=600):
    """
    Have an application's schema in its database: its files if it is empty, then its changes, each once.

    .. code-block:: yaml

        itrust-schema:
          sql_schema.applied:
            - name: itrust
            - source: /srv/itrust/artifacts/v2-0123456789ab/WEB-INF/sql
            - host: 10.57.0.41
            - user: itrust_schema
            - password: itrust:db:schema_password

    name (str)
        The database.
    source (str)
        A directory with `MANIFEST`, the list of SQL files for an empty database, and `changes/*.sql`, which
        are applied in the order of their names. If it is not there, there is nothing to do.
    host, port, user
        Where the server is, and who may change its tables. Port 3306 unless told.
    password (str)
        The key of pillar that holds the password: no argument of a state is secret.
    backups (str), keep (int)
        Before a change the database is dumped to this directory of this host; the last `keep` are kept.
        Default /var/backups/sluice/mariadb, 10.
    lock_seconds (int)
        How long to wait for another host that is at it. Default 600.

    Of several hosts that run it at once one applies, the others wait. A change is tried on a copy without
    rows first. One that fails all the same is taken back: tables it made or changed are as they were. A
    database that has tables and was never seen here is taken as it is.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"the schema of {name} is up to date"}
    try:
        brought = sluice_sql_schema.scripts(Path(source))
        if not brought:
            return ret | {"comment": f"the application brings no schema ({source} is not there)"}
        server = Server(
            host=host, port=int(port), user=user, password=sluice_sql.secret(__pillar__, password)
        )
        found = sluice_sql_schema.look(server, name)
        # What another host is at is no failure: whether it ends is known under the lock alone.
        if __opts__["test"] or not found.is_under_way:
            todo = sluice_sql_schema.outstanding(found, brought)
            if not todo:
                return ret
        if __opts__["test"]:
            would = {one.name: {"old": None, "new": "applied"} for one in todo}
            return ret | {
                "result": None,
                "changes": would,
                "comment": f"the schema of {name} would be changed",
            }
        schema = sluice_sql_schema.Schema(server, name, __grains__["id"], Path(backups), int(keep))
        with contextlib.closing(schema.apply(brought, int(lock_seconds))) as steps:
            for one, done in steps:
                ret["changes"][one] = {"old": None, "new": done}
    except (ReleaseError, OSError) as error:
        return ret | {"result": False, "comment": f"the schema of {name}: {error}."}
    if ret["changes"]:
        ret["comment"] = f"the schema of {name} was changed"
    return ret
