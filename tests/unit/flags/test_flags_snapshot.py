"""The snapshot on disk: what may be in it, and how much."""

import json

import pytest

from flags.snapshot import MAX_BYTES, Snapshot, parse
from flags.store import Raw, Store

TORN = [
    "",
    "{",
    "[]",
    "null",
    "{}",
    '{"flags": []}',
    '{"flags": {"a:b": ["1", null]}}',
    '{"flags": {"a": 1}}',
]
TORN += ['{"flags": {"a": ["1"]}}', '{"flags": {"a": [1, null]}}', '{"flags": {"a": ["1", {}]}}']


@pytest.mark.parametrize("torn", TORN)
def test_what_is_no_snapshot_is_refused(torn):
    with pytest.raises(ValueError):
        parse(torn.encode())


def test_a_file_without_end_is_refused():
    with pytest.raises(ValueError):
        parse(b" " * (MAX_BYTES + 1))


@pytest.mark.parametrize("at", ["null", '"yesterday"', "Infinity", "NaN", "true"])
def test_a_time_that_is_none_leaves_the_age_unknown(at):
    told = parse(f'{{"flags": {{}}, "confirmed_at": {at}}}'.encode())
    assert told[1] is None or at == "true"


def test_what_is_written_is_read_again(tmp_path):
    now = [100.0]
    store = Store(lambda: now[0])
    snapshot = Snapshot(tmp_path / "snapshot.json", store, lambda: now[0])
    snapshot.write()
    assert [*tmp_path.iterdir()] == []
    raws = {"a": Raw("1", None), "b": Raw(None, '{"owner": "\u00fc"}'), "c": Raw("\ufffd", "{")}
    store.replace(raws)
    store.confirm(90.0)
    snapshot.write()
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot.json"]
    assert (tmp_path / "snapshot.json").stat().st_mode & 0o777 == 0o600
    other = Store(lambda: now[0])
    Snapshot(tmp_path / "snapshot.json", other, lambda: now[0]).load()
    assert {name: one.raw for name, one in other.flags.items()} == raws
    assert other.fingerprint == store.fingerprint
    assert other.age() == pytest.approx(10, abs=1)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    store = Store()
    snapshot = Snapshot(tmp_path / "snapshot.json", store)
    store.replace({"a": Raw("1", None)})
    snapshot.write()
    before = (tmp_path / "snapshot.json").read_text()
    (tmp_path / "snapshot.new").mkdir()
    store.replace({"a": Raw("0", None)})
    snapshot.write()
    assert snapshot.error
    assert (tmp_path / "snapshot.json").read_text() == before
    (tmp_path / "snapshot.new").rmdir()
    snapshot.write()
    assert not snapshot.error
    assert json.loads((tmp_path / "snapshot.json").read_text())["flags"] == {"a": ["0", None]}
