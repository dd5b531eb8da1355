"""Small servers on the loopback that answer as told, for the tests of the execution modules."""

import contextlib
import socket
import socketserver
import threading
import time

# Generous: a loaded machine with two cores.
PATIENCE = 20.0


def wait_until(is_so, what, seconds=PATIENCE):
    """Wait for a condition; its value."""
    deadline = time.monotonic() + seconds
    while not (value := is_so()):
        assert time.monotonic() < deadline, f"not so after {seconds:g} s: {what}"
        time.sleep(0.01)
    return value


@contextlib.contextmanager
def serving(answer):
    """
    A TCP server that calls `answer(connection)` for each connection; its port.

    The connection is closed when `answer` returns.
    """

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(OSError):
                answer(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def request(connection):
    """The head of the request, and the body as far as it is there with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b""
        data += more
    return data


def response(status=200, body=b"ok", head=b""):
    """The bytes of an HTTP response."""
    lines = b"HTTP/1.1 %d Told\r\nContent-Length: %d\r\n" % (status, len(body))
    return lines + head + b"\r\n" + body


def answering(status=200, body=b"ok", head=b""):
    """For `serving`: the same response to every request."""

    def answer(connection):
        if request(connection):
            connection.sendall(response(status, body, head))

    return answer


@contextlib.contextmanager
def dead_port():
    """A port where nobody listens, and nobody can start to: it is bound."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
