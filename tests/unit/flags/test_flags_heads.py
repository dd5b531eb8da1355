"""Heads of requests: what passes is read as an independent reader reads it."""

import string

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from flags.heads import BadRequest, Chunks, Fields, read_line

TOKENS = string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~"
NAMES = some.text(TOKENS, min_size=1, max_size=12)
VALUES = some.text(some.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(str.strip)
PICKED = {"content-length", "transfer-encoding", "host", "connection", "expect", "authorization", "x-api-key"}


def ours(raw):
    """Method, target and fields as the door reads them."""
    line, _, block = raw.removesuffix(b"\r\n").partition(b"\r\n")
    method, target, minor = read_line(line)
    return method, target, Fields(block, minor)


def theirs(raw):
    """The same by h11; None if it refuses."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(raw)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    return event if isinstance(event, h11.Request) else None


@given(fields=some.lists(some.tuples(NAMES, VALUES), max_size=6))
@settings(max_examples=150, deadline=None)
def test_good_heads_are_read_as_another_reader_reads_them(fields):
    rows = [(name, value) for name, value in fields if name.lower() not in PICKED]
    raw = "GET /a?b=c HTTP/1.1\r\nHost: a\r\n" + "".join(f"{name}: {value}\r\n" for name, value in rows)
    raw = raw.encode() + b"\r\n"
    found = theirs(raw)
    method, target, read = ours(raw)
    assert (method, target) == (found.method, found.target)
    joined = {}
    for name, value in found.headers:
        joined[name] = joined[name] + b", " + value if name in joined else value
    assert read.by_name == joined


@given(raw=some.binary(max_size=60), at=some.integers(0, 60))
@settings(max_examples=300, deadline=None)
def test_whatever_passes_passes_elsewhere_too(raw, at):
    base = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-Y: z\r\n\r\n"
    spoilt = base[:at] + raw + base[at:]
    head, found, _ = spoilt.partition(b"\r\n\r\n")
    if not found:
        return
    head += b"\r\n\r\n"
    try:
        method, target, read = ours(head)
    except BadRequest:
        return
    other = theirs(head)
    assert other is not None, head
    assert other.method == method
    assert dict(other.headers).get(b"content-length", b"0") == b"%d" % read.length or read.length == 0


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (b"/a", b"/a"),
        (b"http://h/a?b", b"/a?b"),
        (b"HTTPS://h", b"/"),
        (b"http://h?a", b"/?a"),
        (b"http://h:80/", b"/"),
    ],
)
def test_targets_in_either_form_are_paths(target, wanted):
    assert read_line(b"GET " + target + b" HTTP/1.1")[1] == wanted


def fed(body, step, most=100):
    """A body in chunks as it comes in pieces; what is left after it, or None if it has not ended."""
    chunks, buffer = Chunks(most), b""
    for at in range(0, len(body), step):
        buffer += body[at : at + step]
        end = chunks.take(buffer, 0)
        if end is not None:
            return chunks.body, buffer[end:] + body[at + step :]
        buffer = buffer[chunks.rest :]
    return chunks.body, None


CHUNKED = b"3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\nT: 1\r\n\r\nnext"


@pytest.mark.parametrize("step", range(1, 20))
def test_chunks_are_read_however_they_are_cut(step):
    assert fed(CHUNKED, step) == (b"abc0123456789", b"next")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"g\r\n", 400),
        (b"3\r\nabcd\r\n", 400),
        (b"-3\r\n", 400),
        (b" 3\r\nabc\r\n", 400),
        (b"65\r\n", 413),
        (b"fffffffff\r\n", 400),
        (b"1\r\na\r\n" * 101, 413),
        (b"3" * 2000, 400),
        (b"0\r\n" + b"T: 1\r\n" * 10_000, 431),
    ],
)
def test_chunks_that_are_none_or_too_many_are_refused(body, status):
    with pytest.raises(BadRequest) as caught:
        fed(body, 1000)
    assert caught.value.status == status
