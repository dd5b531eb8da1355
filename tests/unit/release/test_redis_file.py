"""redis.conf as text."""

import pytest
from sluice_redis_file import SEEDED_BEFORE, edited, is_ours, line, parsed, quoted, same, seed, unquoted

ODD = [
    "",
    "plain",
    'a "quoted" word',
    "back\\slash",
    "tab\tand blank",
    "ünïcödé",
    "#no comment",
    "'",
    "a b",
    "\\x41",
]


@pytest.mark.parametrize("value", ODD)
def test_a_value_comes_back_as_it_was_written(value):
    assert unquoted(quoted(value)) == value
    assert parsed(line("masterauth", value)) == {"masterauth": value}


def test_values_that_mean_the_same_are_no_difference():
    assert same("maxmemory", "64mb", "67108864")
    assert same("repl-backlog-size", "1k", "1000")
    assert same("notify-keyspace-events", "Kg$x", "g$xK")
    assert same("bind", "127.0.0.1  ::1", "127.0.0.1 ::1")
    assert not same("maxmemory", "64mb", "64m")
    assert not same("maxmemory", "0", "")


def test_a_password_that_looks_like_a_size_is_compared_as_text():
    assert not same("masterauth", "1k", "1000")


def test_an_edit_changes_the_named_settings_and_leaves_all_else():
    text = "# comment\nport 1\ntcp-backlog 511\nuser x on\ntcp-backlog 7\n"
    assert edited(text, {"tcp-backlog": "128", "io-threads": "2"}) == (
        "# comment\nport 1\ntcp-backlog 128\nuser x on\nio-threads 2\n"
    )


def test_a_file_that_salt_made_is_known_and_the_packages_is_not():
    made = seed({"port": "6379"}, ("10.0.0.1", 6379))
    assert is_ours(made) and is_ours(f"{SEEDED_BEFORE}\nport 6379\n")
    assert not is_ours("") and not is_ours("# Redis configuration file example.\n")
    assert made.endswith("port 6379\nreplicaof 10.0.0.1 6379\n")
