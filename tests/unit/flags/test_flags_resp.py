"""RESP3 as Redis speaks it, and what is none."""

import asyncio

import pytest

from flags.resp import (
    MAX_REPLY_BYTES,
    MAX_VALUE_BYTES,
    TOO_LONG,
    Link,
    Push,
    RedisError,
    Refusal,
    command,
    parse,
)

REPLIES = {
    b"+OK\r\n": b"OK",
    b"$5\r\na\r\nbc\r\n": b"a\r\nbc",
    b"$0\r\n\r\n": b"",
    b"$-1\r\n": None,
    b"_\r\n": None,
    b":-7\r\n": -7,
    b"#t\r\n": b"t",
    b",1.5\r\n": b"1.5",
    b"=8\r\ntxt:role\r\n": b"role",
    b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n": [b"a", [1]],
    b"*-1\r\n": [],
    b"%1\r\n+a\r\n:1\r\n": [b"a", 1],
    b"~1\r\n+a\r\n": [b"a"],
}


@pytest.mark.parametrize("raw", REPLIES)
def test_every_kind_of_reply_is_read_whole_or_not_at_all(raw):
    assert parse(raw, 0) == (REPLIES[raw], len(raw))
    assert parse(b"xx" + raw + b"more", 2) == (REPLIES[raw], len(raw) + 2)
    for end in range(1, len(raw)):
        assert parse(raw[:end], 0) is None


def test_errors_and_messages_are_not_taken_for_values():
    error, _ = parse(b"-NOPERM no\r\n", 0)
    assert isinstance(error, Refusal)
    message, _ = parse(b">2\r\n+a\r\n+b\r\n", 0)
    assert isinstance(message, Push)
    assert isinstance(parse(b"!3\r\nERR\r\n", 0)[0], Refusal)


@pytest.mark.parametrize(
    "raw", [b"HTTP/1.1 400 Bad Request\r\n", b"$x\r\n", b"*9x\r\n", b"\r\n\r\n", b":one\r\n"]
)
def test_what_is_no_reply_is_an_error(raw):
    with pytest.raises((RedisError, ValueError)):
        parse(raw, 0)


def test_a_command_is_sent_with_lengths_so_that_nothing_in_it_is_another():
    assert command(("SET", "a\r\nb", b"\xff")) == b"*3\r\n$3\r\nSET\r\n$4\r\na\r\nb\r\n$1\r\n\xff\r\n"


class Transport:
    def __init__(self):
        self.sent, self.is_over = b"", False

    def write(self, data):
        self.sent += data

    def abort(self):
        self.is_over = True


def with_link(story):
    """Run a story with a connection and the messages that came on it."""

    async def run():
        pushes = []
        link = Link(pushes.append)
        link.connection_made(Transport())
        return await story(link, pushes)

    return asyncio.run(run())


def message(channel, event=b"set"):
    """A message as Redis sends it."""
    parts = (b"pmessage", b"__keyspace@0__:*", channel, event)
    return b">4\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def asked(link, *commands):
    return asyncio.ensure_future(link.ask(*commands))


def test_replies_go_to_whoever_asked_in_order_however_they_are_cut():
    raw = b"+one\r\n" + message(b"key1") + b":2\r\n" + message(b"key2") + b"$5\r\nthree\r\n"

    async def story(link, pushes):
        first, second = asked(link, ("A",), ("B",)), asked(link, ("C",))
        await asyncio.sleep(0)
        for at in range(len(raw)):
            link.data_received(raw[at : at + 1])
        return await first, await second, pushes

    assert with_link(story) == ([b"one", 2], [b"three"], [[b"key1"], [b"key2"]])


def test_messages_of_one_read_come_together_and_confirmations_not_at_all():
    async def story(link, pushes):
        link.data_received(b">3\r\n+psubscribe\r\n+a\r\n:1\r\n" + message(b"key1") * 1000)
        return pushes

    assert with_link(story) == [[b"key1"] * 1000]


def test_a_key_cannot_pass_itself_off_as_two_messages():
    evil = b"a\r\n$3\r\nset\r\n+nobody asked\r\n" + message(b"forged")

    async def story(link, pushes):
        link.data_received(message(evil) + message(b"key1"))
        return pushes, link.lost.done()

    assert with_link(story) == ([[evil, b"key1"]], False)


def test_a_value_that_is_too_long_is_thrown_away_and_the_next_one_read():
    async def story(link, pushes):
        reply = asked(link, ("GET", "a"), ("GET", "b"), ("GET", "c"))
        await asyncio.sleep(0)
        link.data_received(b"$%d\r\n" % (50 * 2**20))
        for _ in range(50):
            link.data_received(b"x" * 2**20)
            assert len(link._rest) == 0
        # One that comes whole is no better.
        long = b"y" * (MAX_VALUE_BYTES + 1)
        link.data_received(b"\r\n$%d\r\n%b\r\n$1\r\nz\r\n" % (len(long), long))
        return await reply

    assert with_link(story) == [TOO_LONG, TOO_LONG, b"z"]


@pytest.mark.parametrize(
    "raw",
    [
        b"+nobody asked\r\n",
        b"hello\r\n",
        b"*1\r\n$%d\r\n%b" % (MAX_REPLY_BYTES * 2, b"x" * (MAX_REPLY_BYTES + 1)),
        b"*1\r\n" * 5000,
        b"x" * (MAX_REPLY_BYTES + 1),
    ],
)
def test_a_server_that_speaks_something_else_is_left(raw):
    async def story(link, pushes):
        link.data_received(raw)
        return link.lost.result(), link._transport.is_over

    why, is_over = with_link(story)
    assert isinstance(why, RedisError)
    assert is_over


def test_an_end_is_told_to_everybody_who_waits_and_to_who_asks_later():
    async def story(link, pushes):
        waiting = asked(link, ("A",))
        await asyncio.sleep(0)
        link.connection_lost(None)
        return await asyncio.gather(waiting, asked(link, ("B",)), return_exceptions=True)

    assert [type(error) for error in with_link(story)] == [RedisError, RedisError]


def test_a_server_that_does_not_answer_is_left(monkeypatch):
    monkeypatch.setattr("flags.resp.TIMEOUT_SECONDS", 0.05)

    async def story(link, pushes):
        with pytest.raises(RedisError, match="no answer within"):
            await link.ask(("A",))
        return link.lost.done(), link._transport.is_over

    assert with_link(story) == (True, True)
