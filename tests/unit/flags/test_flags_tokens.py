"""Readers' tokens: which files are good, and that none is ever shown."""

import json
import logging

import pytest

from balancer.tokens import TokenError
from flags.tokens import Tokens, parse, ticket_of


@pytest.mark.parametrize(
    "told",
    [{}, [], None, {"a": 1}, {"a": "secret token"}, {"a": ""}, {"a": "secret\n"}, {"a": "secr\u00e9t"}],
)
def test_a_file_without_good_tokens_is_refused_and_not_shown(tmp_path, told):
    with pytest.raises(TokenError) as caught:
        parse(tmp_path / "tokens", json.dumps(told).encode())
    assert "secr" not in str(caught.value)


@pytest.mark.parametrize("raw", [None, b"", b"{", b"\xff", b"[" * 100_000])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, raw):
    with pytest.raises(TokenError):
        parse(tmp_path / "tokens", raw)


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(json.dumps({"one": "token-number-one-x", "two": "token-number-two-x"}))
    made = Tokens(path)
    made.path = path
    return made


def test_each_token_has_its_holder_and_its_ticket(tokens):
    assert tokens.holder(b"token-number-one-x") == "one"
    assert tokens.holder(b"token-number-two-x") == "two"
    assert tokens.holder(b"token-number-one-") is None
    assert tokens.holder(b"\xff") is None
    ticket = tokens.ticket("two")
    assert tokens.ticket_holder(ticket.encode()) == "two"
    assert tokens.ticket_holder(b"") is None
    assert tokens.holder(ticket.encode()) is None
    assert tokens.ticket_holder(b"token-number-two-x") is None


def test_only_what_changes_counts(tokens, caplog):
    caplog.set_level(logging.INFO)
    before = tokens.generation
    tokens.path.write_text(tokens.path.read_text() + "\n")
    tokens.look()
    assert tokens.generation == before
    tokens.path.write_text(json.dumps({"one": "short"}))
    tokens.look()
    assert tokens.generation == before + 1
    assert tokens.ticket_holder(ticket_of("token-number-two-x").encode()) is None
    assert "the token of one is shorter" in caplog.text
    assert "token-number" not in caplog.text
    tokens.path.unlink()
    tokens.look()
    assert tokens.error
    assert tokens.holder(b"short") == "one"
