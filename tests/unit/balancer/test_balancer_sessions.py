"""A session needs its name, its key and the token of now, and ends."""

from balancer import sessions
from balancer.sessions import LIFE_SECONDS, MAX_SESSIONS, UNUSED_SECONDS, Sessions

TOKEN = "token-of-the-tests"


def opened(now=0.0):
    found = Sessions()
    return found, found.start(TOKEN, now)


def test_name_and_key_together_are_good_and_neither_alone_is():
    found, one = opened()
    other = found.start(TOKEN, 0.0)
    assert found.is_good(one.name, one.key, TOKEN, 1.0)
    assert not found.is_good(one.name, "", TOKEN, 1.0)
    assert not found.is_good(one.name, other.key, TOKEN, 1.0)
    assert not found.is_good("", one.key, TOKEN, 1.0)
    assert not found.is_good(one.key, one.name, TOKEN, 1.0)


def test_another_token_ends_the_session_for_good():
    found, one = opened()
    assert not found.is_good(one.name, one.key, "another", 1.0)
    assert not found.is_good(one.name, one.key, TOKEN, 2.0)


def test_it_ends_by_logging_out():
    found, one = opened()
    found.end(one.name)
    assert not found.is_good(one.name, one.key, TOKEN, 1.0)


def test_it_ends_when_no_page_asks_any_more():
    found, one = opened()
    assert found.is_good(one.name, one.key, TOKEN, UNUSED_SECONDS - 1)
    assert found.is_good(one.name, one.key, TOKEN, 2 * UNUSED_SECONDS - 2)
    assert not found.is_good(one.name, one.key, TOKEN, 3 * UNUSED_SECONDS)


def test_it_ends_after_a_day_however_much_it_is_used():
    found, one = opened()
    now = 0.0
    while now + 60 < LIFE_SECONDS:
        now += 60
        assert found.is_good(one.name, one.key, TOKEN, now)
    assert not found.is_good(one.name, one.key, TOKEN, LIFE_SECONDS)


def test_the_oldest_goes_when_there_are_too_many():
    found, one = opened()
    later = [found.start(TOKEN, 1.0 + n) for n in range(MAX_SESSIONS)]
    assert not found.is_good(one.name, one.key, TOKEN, 200.0)
    assert all(found.is_good(two.name, two.key, TOKEN, 200.0) for two in later)


def test_no_secret_is_kept_or_shown():
    found, one = opened()
    kept = repr([(name, vars(session)) for name, session in found._open.items()])
    for secret in (one.name, one.key, TOKEN):
        assert secret not in kept
        assert secret not in repr(one)


def test_names_and_keys_cannot_be_guessed():
    made = {sessions.Sessions().start(TOKEN, 0.0).name for _ in range(100)}
    assert len(made) == 100
    assert all(len(name) >= 43 for name in made)
