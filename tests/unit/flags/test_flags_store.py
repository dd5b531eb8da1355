"""What is known of flags: every change counts once, and nothing grows without end."""

import pytest

from flags.store import MAX_FLAGS, Raw, Store


@pytest.fixture
def store():
    made = Store(lambda: made.now)
    made.now = 0.0
    made.heard = 0

    def heard():
        made.heard += 1

    made.listen(heard)
    return made


def test_a_change_is_told_once_and_none_is_not_told(store):
    store.update({"a": Raw("1", None), "b": Raw("0", None)})
    assert (store.version, store.heard, store.changes) == (1, 1, 2)
    store.update({"a": Raw("1", None)})
    store.update({"c": Raw(None, None)})
    store.replace({"a": Raw("1", None), "b": Raw("0", None)})
    assert (store.version, store.heard) == (1, 1)
    store.replace({"b": Raw("1", None)})
    assert (store.version, store.heard, sorted(store.flags)) == (2, 2, ["b"])


def test_a_document_is_read_again_only_if_it_is_another(store):
    store.update({"a": Raw("1", '{"owner": "pictures"}')})
    flag = store.flags["a"].flag
    store.update({"a": Raw("0", '{"owner": "pictures"}')})
    assert store.flags["a"].flag is flag and store.flags["a"].raw.value == "0"
    store.update({"a": Raw("0", '{"owner": "others"}')})
    assert store.flags["a"].flag.owner == "others"
    store.update({"a": Raw("0", "no JSON")})
    problem = store.flags["a"].problem
    store.update({"a": Raw("1", "no JSON")})
    assert problem and store.flags["a"].flag is None and store.flags["a"].problem == problem


def test_the_fingerprint_is_that_of_the_flags_however_they_came(store):
    assert store.fingerprint == "0" * 16
    store.update({"a": Raw("1", None)})
    first = store.fingerprint
    store.update({"b": Raw("1", "{}"), "a": Raw("0", None)})
    other = Store()
    other.replace({"a": Raw("0", None), "b": Raw("1", "{}")})
    assert other.fingerprint == store.fingerprint != first
    store.update({"b": Raw(None, None), "a": Raw("1", None)})
    assert store.fingerprint == first
    store.replace({})
    assert store.fingerprint == "0" * 16


def test_more_flags_than_may_be_are_left_out_by_name_and_room_is_used_again(store):
    raws = {f"flag{number:06}": Raw("1", None) for number in range(MAX_FLAGS + 50)}
    store.replace(raws)
    assert len(store.flags) == MAX_FLAGS
    assert max(store.flags) == f"flag{MAX_FLAGS - 1:06}"
    store.update({"another": Raw("1", None)})
    assert "another" not in store.flags
    store.update({"flag000000": Raw(None, None)})
    store.update({"another": Raw("1", None)})
    assert "another" in store.flags


def test_a_canary_serves_until_its_time_and_not_with_an_alert(store):
    store.set_release("shop", 30.0, False)
    assert store.settle_releases() == 30.0
    assert store.serving == {"shop"}
    store.set_release("shop", None, True)
    store.settle_releases()
    assert store.serving == frozenset()
    store.set_release("shop", None, False)
    store.now = 29.0
    assert store.settle_releases() == 1.0
    assert store.serving == {"shop"}
    store.now = 30.0
    assert store.settle_releases() is None
    assert store.serving == frozenset()


def test_what_is_gone_of_releases_is_forgotten(store):
    store.set_release("shop", 30.0, False)
    store.set_release("other", 30.0, True)
    store.settle_releases()
    store.forget_releases(["other"])
    store.set_release("other", None, False)
    store.settle_releases()
    assert store.serving == {"other"}


def test_the_age_counts_from_when_data_were_last_known_to_be_right(store):
    assert store.age() == float("inf")
    store.now = 100.0
    store.confirm(90.0)
    assert store.age() == 10.0
    store.confirm(50.0)
    assert store.age() == 10.0
    # A clock that stood still is no age below none.
    store.confirm(200.0)
    assert store.age() == 0.0
