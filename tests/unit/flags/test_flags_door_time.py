"""Connections that take too long, with a clock of the tests."""

from types import SimpleNamespace

import pytest

from flags.door import IDLE_SECONDS, LINGER_SECONDS, REQUEST_SECONDS, Clock, Connection


class Transport:
    """Takes down what is done to it."""

    def __init__(self):
        self.written, self.done, self.buffered = b"", [], 0

    def get_extra_info(self, name):
        return ("192.0.2.1", 1)

    def set_write_buffer_limits(self, high):
        return

    def write(self, data):
        self.written += data

    def get_write_buffer_size(self):
        return self.buffered

    def is_closing(self):
        return False

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.done.append("end")

    def abort(self):
        self.done.append("abort")


@pytest.fixture
def line():
    now = [0.0]
    limits = SimpleNamespace(body_bytes=1000)
    service = SimpleNamespace(
        now=lambda: now[0],
        clock=Clock(),
        config=SimpleNamespace(limits=limits),
        enter=lambda connection: True,
        refused=lambda connection, status: None,
        is_stopping=False,
    )
    made = Connection(service, lambda connection: None)
    made.connection_made(Transport())
    made.now = now
    return made


def after(line, seconds):
    line.now[0] += seconds
    line.check_time(line.now[0])
    return line.transport.done


@pytest.mark.parametrize(
    "part", [b"P", b"POST /", b"POST / HTTP/1.1\r\nContent-Length: 9\r\nHost: a\r\n\r\nab"]
)
def test_a_request_that_never_ends_is_given_up(line, part):
    line.data_received(part)
    assert after(line, REQUEST_SECONDS - 1) == []
    # More of it gives it no more time.
    line.data_received(b"O")
    assert after(line, 2) == ["end"]
    assert line.transport.written.startswith(b"HTTP/1.1 408 ")
    assert after(line, LINGER_SECONDS + 1) == ["end", "abort"]


def test_an_idle_connection_is_closed_without_a_word(line):
    assert after(line, IDLE_SECONDS - 1) == []
    assert after(line, 2) == ["end"]
    assert line.transport.written == b""


def test_a_client_that_does_not_take_its_answer_is_cut_off(line):
    line.pause_writing()
    line.transport.buffered = 1000
    assert after(line, IDLE_SECONDS - 1) == []
    assert after(line, 2) == ["abort"]
