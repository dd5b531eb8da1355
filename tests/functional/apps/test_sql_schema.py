"""An application's schema in a real MariaDB: made once, changed in steps, taken back when a step fails."""

import contextlib
import os
import subprocess
import threading
from pathlib import Path

import pytest
import sluice_sql
import sluice_sql_access
from itrust_machine import MariaDB
from sluice_errors import ConfigError, ReleaseError
from sluice_sql import Server, SqlError
from sluice_sql_schema import Schema, scripts

PASSWORD = "lab-fake \\ \"schema'"
FILES = {
    "createTables.sql": "CREATE TABLE Users (MID bigint, Name varchar(20)) ENGINE=MyISAM;\n",
    "data/admin1.sql": "INSERT INTO users VALUES (9000000001, 'admin; not an end');\n",
}
RAW = {
    "itrust_schema": {
        "password": PASSWORD,
        "grants": ["ALTER", "CREATE", "DELETE", "DROP", "INDEX", "INSERT", "LOCK TABLES", "SELECT", "UPDATE"],
        "also": ["itrust_rehearsal"],
    },
    "app": {"password": "lab-fake-app", "grants": ["SELECT", "INSERT", "UPDATE", "DELETE"]},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server of its own for this file."""
    server = MariaDB(tmp_path_factory.mktemp("sql") / "mariadb")
    yield server
    server.end()


@pytest.fixture
def maria(server):
    """The server with no database of an application and no users."""
    server.tell("SET GLOBAL read_only = 0; DROP DATABASE IF EXISTS itrust; DROP DATABASE IF EXISTS test", "")
    for row in server.tell("SELECT user, host FROM mysql.user WHERE user IN ('app', 'itrust_schema')", ""):
        user, host = row.split("\t")
        server.tell(f"DROP USER {user}@'{host}'", "")
    return server


def give_access(maria, clients=("127.0.0.1",), raw=RAW, sessions=True):
    """As the state does; the lines of what was done."""
    root = Server(socket=str(maria.socket))
    todo = sluice_sql_access.orders(root, "itrust", sluice_sql_access.users(raw), list(clients), sessions)
    for _, order in todo:
        sluice_sql.run(root, order)
    return [said for said, _ in todo]


@pytest.fixture
def as_user(maria):
    give_access(maria)
    return Server(host="127.0.0.1", port=maria.port, user="itrust_schema", password=PASSWORD)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "sql"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "changes").mkdir()
    (folder / "MANIFEST").write_text("".join(f"{name}\n" for name in FILES))
    return folder


@pytest.fixture
def schema(as_user, tmp_path):
    return Schema(as_user, "itrust", "itrust-2", tmp_path / "backups", keep=2)


def apply(schema, source):
    with contextlib.closing(schema.apply(scripts(source), 30)) as steps:
        return dict(steps)


def change(source, name, sql):
    (source / "changes" / f"{name}.sql").write_text(sql)


def test_empty_database_gets_the_files_in_their_order_and_never_again(schema, source, maria):
    assert apply(schema, source) == {"bootstrap": "2 files"}
    assert maria.tell("SELECT * FROM USERS") == ["9000000001\tadmin; not an end"]
    assert apply(schema, source) == {}
    assert maria.tell("SELECT name, state, host FROM sluice_schema") == ["bootstrap\tapplied\titrust-2"]


def test_five_hosts_at_once_make_it_once(as_user, source, maria, tmp_path):
    done, errors = [], []

    def host(number):
        try:
            done.append(apply(Schema(as_user, "itrust", f"itrust-{number}", tmp_path / str(number)), source))
        except ReleaseError as error:
            errors.append(error)

    threads = [threading.Thread(target=host, args=(number,)) for number in range(5)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert not errors
    assert sorted(map(len, done)) == [0, 0, 0, 0, 1]
    assert maria.tell("SELECT count(*) FROM users") == ["1"]


def test_files_that_fail_leave_the_database_empty_and_the_sessions(schema, source, maria):
    (source / "data/admin1.sql").write_text(
        "INSERT INTO users VALUES (1, 'x');\nINSERT INTO nowhere VALUES (1);\n"
    )
    with pytest.raises(
        ReleaseError, match=r"data/admin1.sql: .*nowhere' doesn't exist \(line 2\). The database is"
    ):
        apply(schema, source)
    assert sorted(maria.tell("SHOW TABLES")) == ["sluice_schema", "tomcat_sessions"]
    (source / "data/admin1.sql").write_text(FILES["data/admin1.sql"])
    assert apply(schema, source) == {"bootstrap": "2 files"}


def test_database_that_was_there_before_is_taken_as_it_is(schema, source, maria):
    maria.tell("CREATE TABLE users (MID bigint); INSERT INTO users VALUES (7)")
    assert apply(schema, source) == {"bootstrap": "the database was not empty: taken as it is"}
    assert maria.tell("SELECT * FROM users") == ["7"]


def test_change_is_applied_once_after_a_backup_of_all(schema, source, maria, tmp_path):
    apply(schema, source)
    change(source, "0001-colour", "ALTER TABLE Users ADD COLUMN colour varchar(20);\n")
    assert list(apply(schema, source)) == ["0001-colour"]
    assert maria.tell("SELECT colour FROM users") == ["NULL"]
    (backup,) = (tmp_path / "backups").iterdir()
    assert backup.stat().st_mode & 0o777 == 0o600
    assert "admin; not an end" in backup.read_text()
    assert apply(schema, source) == {}
    assert maria.tell("SHOW DATABASES LIKE 'itrust\\_rehearsal'", "") == []


def test_only_the_last_backups_are_kept(schema, source, tmp_path):
    apply(schema, source)
    for number in range(3):
        change(source, f"000{number}", f"ALTER TABLE users ADD COLUMN c{number} int;\n")
    assert len(apply(schema, source)) == 3
    assert len(list((tmp_path / "backups").iterdir())) == 2


def test_change_with_a_mistake_never_meets_the_database(schema, source, maria):
    apply(schema, source)
    change(source, "0001-bad", "ALTER TABLE users ADD COLUMN a int;\nALTER TABLE nowhere ADD COLUMN b int;\n")
    with pytest.raises(
        ReleaseError, match="0001-bad failed in rehearsal: .*nowhere.* itrust was not touched"
    ):
        apply(schema, source)
    assert maria.tell("SELECT * FROM users") == ["9000000001\tadmin; not an end"]
    assert "0001-bad" not in maria.tell("SELECT name FROM sluice_schema")


def test_change_that_fails_on_the_rows_is_taken_back_half_way(schema, source, maria):
    apply(schema, source)
    maria.tell("CREATE TABLE other (a int) ENGINE=MyISAM; INSERT INTO users VALUES (9000000001, 'twin')")
    change(
        source,
        "0001-half",
        "CREATE TABLE fresh (a int);\nALTER TABLE users ADD COLUMN a int;\n"
        "ALTER TABLE users ADD UNIQUE KEY (MID);\n",
    )
    with pytest.raises(
        ReleaseError, match=r"Duplicate entry.*Taken back from .*: fresh removed, users restored"
    ):
        apply(schema, source)
    assert maria.tell("SELECT * FROM users") == ["9000000001\tadmin; not an end", "9000000001\ttwin"]
    assert "fresh" not in maria.tell("SHOW TABLES")
    assert maria.tell("SELECT name FROM sluice_schema") == ["bootstrap"]


def test_host_that_died_half_way_stops_the_next(schema, source, maria):
    apply(schema, source)
    maria.tell("INSERT INTO sluice_schema VALUES ('0001', '', 'applying', 'itrust-3', '2026-01-01')")
    with pytest.raises(ReleaseError, match=r"0001 was begun by itrust-3 at 2026-01-01 .* did not end"):
        apply(schema, source)


def test_change_that_was_applied_never_changes(schema, source):
    apply(schema, source)
    change(source, "0001", "ALTER TABLE users ADD COLUMN a int;\n")
    apply(schema, source)
    change(source, "0001", "ALTER TABLE users ADD COLUMN b int;\n")
    with pytest.raises(ReleaseError, match="0001 was applied by itrust-2 .* with another content"):
        apply(schema, source)


def test_older_version_goes_on_beside_a_newer_schema(schema, source):
    apply(schema, source)
    change(source, "0001", "ALTER TABLE users ADD COLUMN a int;\n")
    apply(schema, source)
    (source / "changes/0001.sql").unlink()
    assert apply(schema, source) == {}


def test_nothing_is_changed_when_no_backup_can_be_made(schema, source, maria, tmp_path):
    apply(schema, source)
    full = tmp_path / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", full], check=True)
    try:
        (full / "x").write_bytes(b"x" * 4096)
        schema.backups = full
        change(source, "0001", "ALTER TABLE users ADD COLUMN a int;\n")
        with pytest.raises(ReleaseError, match="no backup could be made, so nothing was changed: .*"):
            apply(schema, source)
        assert sorted(one.name for one in full.iterdir()) == ["x"]
    finally:
        subprocess.run(["umount", full], check=True)
    assert maria.tell("SELECT name FROM sluice_schema") == ["bootstrap"]


def test_read_only_database_is_told(schema, source, maria):
    maria.tell("SET GLOBAL read_only = 1")
    with pytest.raises(ReleaseError, match="--read-only option"):
        apply(schema, source)


@pytest.mark.parametrize(
    "other, said",
    [
        ({"password": "wrong"}, "Access denied for user 'itrust_schema'@"),
        ({"port": 1}, "Can't connect to server on '127.0.0.1'"),
        ({"user": "nobody"}, "Access denied for user 'nobody'"),
        ({"host": "127.0.0.2"}, "Can't connect to server on '127.0.0.2'"),
    ],
)
def test_server_that_lets_nobody_in_is_told(as_user, source, tmp_path, other, said):
    asked = {"host": as_user.host, "port": as_user.port, "user": as_user.user, "password": PASSWORD} | other
    with pytest.raises(ReleaseError) as error:
        apply(Schema(Server(**asked), "itrust", "itrust-2", tmp_path), source)
    assert said in str(error.value)
    assert PASSWORD not in str(error.value) and "wrong" not in str(error.value)


def test_frozen_lock_ends_with_who_has_it(as_user, schema, source):
    with (
        sluice_sql.locked(as_user, "sluice_schema.itrust", 5),
        pytest.raises(SqlError, match="another host has held the lock sluice_schema.itrust for 1 s"),
    ):
        list(schema.apply(scripts(source), 1))


def test_manifest_that_leads_elsewhere_is_refused(source):
    (source / "MANIFEST").write_text("../../etc/passwd\n")
    with pytest.raises(ReleaseError, match="MANIFEST names '../../etc/passwd', which is no file below"):
        scripts(source)
    (source / "MANIFEST").unlink()
    with pytest.raises(ReleaseError, match="MANIFEST: No such file"):
        scripts(source)


def children(pid):
    """The processes that a process has started, as directories of /proc."""
    for path in Path("/proc").glob("[0-9]*"):
        # Others come and go meanwhile.
        with contextlib.suppress(OSError):
            if f" {pid} " in (path / "stat").read_text():
                yield path


def words_of(process):
    """Its arguments and its environment."""
    return (process / "cmdline").read_bytes() + (process / "environ").read_bytes()


def test_password_is_in_no_argument_of_a_process(as_user):
    """The lock's holder is a process that stays: its arguments and environment can be looked at."""
    with sluice_sql.locked(as_user, "look", 5):
        told = b"".join(words_of(child) for child in children(os.getpid()))
    assert b"mariadb" in told
    assert b"lab-fake" not in told


def test_users_get_their_rights_and_a_second_time_nothing(maria):
    said = give_access(maria, ["127.0.0.1", "10.9.9.9"])
    assert "database itrust" in said and "user app@10.9.9.9" in said
    assert give_access(maria, ["127.0.0.1", "10.9.9.9"]) == []
    app = Server(host="127.0.0.1", port=maria.port, user="app", password="lab-fake-app")
    assert sluice_sql.run(app, "SELECT count(*) FROM tomcat_sessions", "itrust") == [["0"]]
    with pytest.raises(SqlError, match="CREATE command denied"):
        sluice_sql.run(app, "CREATE TABLE x (a int)", "itrust")
    assert sluice_sql.run(app, "SHOW DATABASES") == [["information_schema"], ["itrust"]]


def test_user_of_a_host_that_is_gone_goes_and_so_do_rights_and_strangers(maria):
    give_access(maria, ["127.0.0.1", "10.9.9.9"])
    maria.tell(
        "GRANT CREATE ON itrust.* TO app@'127.0.0.1'; CREATE DATABASE test;"
        "SET PASSWORD FOR app@'127.0.0.1' = PASSWORD('other')",
        "",
    )
    said = give_access(maria)
    assert said == [
        "user app@10.9.9.9 removed",
        "user itrust_schema@10.9.9.9 removed",
        "database test removed",
        "password of app@127.0.0.1",
        "rights of app@127.0.0.1 in `itrust`.*: no CREATE",
    ]
    assert give_access(maria) == []


def test_a_mine_without_addresses_takes_the_database_from_nobody(maria):
    give_access(maria)
    with pytest.raises(ConfigError, match="no address is known of any client, so all users would go"):
        give_access(maria, clients=())
    assert maria.tell("SELECT count(*) FROM mysql.user WHERE user = 'app'") == ["1"]


def test_first_run_before_any_host_is_in_the_mine_makes_the_database(maria):
    assert "database itrust" in give_access(maria, clients=())


@pytest.mark.parametrize(
    "right",
    [
        "SELECT ON *.*",
        "FILE, PROCESS ON *.*",
        "SELECT ON mysql.*",
        "SELECT ON mysql.global_priv",
        "SELECT (user) ON mysql.global_priv",
        "SELECT ON `itrust%`.*",
    ],
)
def test_rights_outside_the_database_go(maria, right):
    give_access(maria)
    maria.tell(f"GRANT {right} TO app@'127.0.0.1'")
    said = give_access(maria)
    assert said and all(one.startswith("rights of app@127.0.0.1 in ") for one in said)
    assert maria.tell("SHOW GRANTS FOR app@'127.0.0.1'")[1:] == [
        "GRANT SELECT, INSERT, UPDATE, DELETE ON `itrust`.* TO `app`@`127.0.0.1`"
    ]
    assert give_access(maria) == []


def test_right_to_hand_rights_on_goes(maria):
    give_access(maria)
    maria.tell("GRANT SELECT ON itrust.* TO app@'127.0.0.1' WITH GRANT OPTION")
    assert give_access(maria) == ["rights of app@127.0.0.1 in `itrust`.*: no GRANT OPTION"]
    assert give_access(maria) == []


def test_root_comes_in_by_the_socket_alone(maria):
    give_access(maria)
    maria.tell(
        "CREATE USER root@'%'; ALTER USER root@localhost IDENTIFIED VIA unix_socket OR mysql_native_password",
        "",
    )
    assert give_access(maria) == ["root logs in by the socket only", "user root@% removed"]
    assert give_access(maria) == []


def test_database_test_with_tables_in_it_stays(maria):
    give_access(maria)
    maria.tell("CREATE DATABASE test; CREATE TABLE test.kept (a int)", "")
    assert give_access(maria) == []
    assert maria.tell("SHOW TABLES FROM test") == ["kept"]


@pytest.mark.parametrize(
    "raw, said",
    [
        ({"x'y": {"password": "p"}}, "no name for a user"),
        ({"root": {"password": "p"}}, "'root' is no name"),
        ({"app": {"grants": ["SELECT"]}}, "mariadb:users:app:password is empty"),
        ({"app": {"password": "p", "grants": ["SELECT ON *.*; DROP"]}}, "want a list like"),
        ({"app": {"password": "p", "also": ["a`b"]}}, "names of databases"),
    ],
)
def test_users_that_cannot_be_meant_are_refused(raw, said):
    with pytest.raises(ConfigError, match=said.replace("*", r"\*")):
        sluice_sql_access.users(raw)


def test_address_of_a_client_is_checked_for_it_comes_from_the_client():
    with pytest.raises(ConfigError, match="'%' is no address"):
        sluice_sql_access.addresses(["10.0.0.1", "%"])


def test_old_sessions_are_purged_and_living_ones_stay(maria):
    give_access(maria)
    maria.tell(
        "INSERT INTO tomcat_sessions VALUES ('old', '1', 60, (unix_timestamp() - 4000) * 1000, '', ''),"
        "('new', '1', 60, unix_timestamp() * 1000, '', '')"
    )
    maria.tell(sluice_sql_access.PURGE.split("DO", 1)[1])
    assert maria.tell("SELECT id FROM tomcat_sessions") == ["new"]


def test_backup_of_the_timer_is_whole_and_can_be_restored(schema, source, maria, tmp_path, monkeypatch):
    apply(schema, source)
    tools = tmp_path / "bin"
    tools.mkdir()
    options = tmp_path / "options"
    options.write_text(f"[client]\nsocket={maria.socket}\nuser=root\n")
    for name in ("mariadb-dump",):
        (tools / name).write_text(f'#!/bin/sh\nexec /usr/bin/{name} --defaults-file={options} "$@"\n')
        (tools / name).chmod(0o755)
    place = tmp_path / "daily"
    place.mkdir()
    (place / "itrust-20200101T000000.sql.gz").touch()
    tool = Path(__file__).resolve().parents[3] / "salt/mariadb/files/backup"
    env = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"}
    subprocess.run(["sh", tool, "itrust", place, "1"], check=True, env=env)
    (backup,) = place.iterdir()
    assert backup.stat().st_mode & 0o777 == 0o600
    maria.tell("DROP TABLE users")
    text = subprocess.run(["gzip", "-dc", backup], check=True, capture_output=True).stdout
    maria.tell(text.decode())
    assert maria.tell("SELECT Name FROM users") == ["admin; not an end"]
