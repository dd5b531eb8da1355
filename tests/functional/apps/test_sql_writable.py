"""Whether a database takes log-ins and writes: a real MariaDB that is well, read-only, frozen or gone."""

import signal
import time

import pytest
import sluice_sql
from itrust_machine import MariaDB
from sluice_errors import ReleaseError
from sluice_sql import Server, SqlError


@pytest.fixture(scope="module")
def maria(tmp_path_factory):
    server = MariaDB(tmp_path_factory.mktemp("writable") / "mariadb")
    yield server
    server.end()


def asked(maria, password="lab-fake-db", name="itrust"):
    sluice_sql.check_writable(Server("127.0.0.1", maria.port, "itrust", password), name)


def test_a_database_that_is_well_or_read_only_or_closed_to_the_user_is_told_apart(maria):
    asked(maria)
    maria.tell("SET GLOBAL read_only = 1")
    with pytest.raises(SqlError, match=r"itrust@127.0.0.1:\d+ is read-only \(want writable\)"):
        asked(maria)
    maria.tell("SET GLOBAL read_only = 0")
    with pytest.raises(SqlError, match="Access denied") as refused:
        asked(maria, password="hidden-word")
    assert "hidden-word" not in str(refused.value)
    with pytest.raises(SqlError, match="Unknown database|Access denied"):
        asked(maria, name="other")


def test_a_database_that_is_frozen_or_gone_is_told_in_time(maria, monkeypatch):
    monkeypatch.setattr(sluice_sql, "CONNECT_SECONDS", 1)
    process = maria.server.process
    process.send_signal(signal.SIGSTOP)
    begin = time.monotonic()
    try:
        with pytest.raises(SqlError, match="itrust@127.0.0.1"):
            asked(maria)
        assert time.monotonic() - begin < 10
    finally:
        process.send_signal(signal.SIGCONT)
    maria.end()
    with pytest.raises(SqlError, match="Can't connect"):
        asked(maria)


@pytest.mark.parametrize("pillar", [{}, {"a": 1}, {"a": {"b": ""}}, {"a": {"b": None}}, {"a": {"b": 5}}])
def test_a_password_that_pillar_does_not_have_is_named(pillar):
    with pytest.raises(ReleaseError, match="pillar a:b is empty"):
        sluice_sql.secret(pillar, "a:b")
