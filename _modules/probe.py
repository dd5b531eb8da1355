"""
Try a service from where its users' requests will come from: the balancers.

:depends: nothing but the Python standard library
"""

import http.client
import logging
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from salt.exceptions import CommandExecutionError, SaltInvocationError

log = logging.getLogger(__name__)

# Four at a time is more than one slow request can hide, and still nothing for a service that is any good.
WORKERS = 4
# How much of a body is read: enough for any page a probe should ask for.
MAX_BODY_BYTES = 10_000_000
# The wire message `{hello: 1, $db: "admin"}` as OP_MSG, which every MongoDB since 3.6 answers without log-in.
# https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/#op_msg
_HELLO_BSON = b"\x10hello\x00\x01\x00\x00\x00\x02$db\x00\x06\x00\x00\x00admin\x00\x00"
_HELLO_BODY = b"\x00\x00\x00\x00\x00" + (len(_HELLO_BSON) + 4).to_bytes(4, "little") + _HELLO_BSON
MONGODB_HELLO = (
    (16 + len(_HELLO_BODY)).to_bytes(4, "little")
    + (1).to_bytes(4, "little")
    + (0).to_bytes(4, "little")
    + (2013).to_bytes(4, "little")
    + _HELLO_BODY
)


def http_(address, port, paths, count=60, request_timeout=2.0, version_header=""):
    """
    Send GET requests to a service and report how many failed and how long they took.

    CLI Example:

    .. code-block:: bash

        salt 'lb*' probe.http 10.57.0.31 80 '["/health", "/getPic"]' count=60

    address (str), port (int)
        Where the service listens.

    paths (list of str, or one str)
        What to ask for, in turn.

    count (int, 1-10000)
        How many requests to send in all. Default 60.

    request_timeout (float, seconds)
        When a request counts as failed, 0.01-60: by then the whole answer must be there. Default 2.

    version_header (str)
        A response header whose values are reported in `versions`. Default: none.

    Returns `{"requests", "errors", "p50_ms", "p95_ms", "failures": [first few], "versions": [...]}`.
    A response with a status of 400 or more is an error, and so is half of one, or none at all.

    Raises SaltInvocationError if there is nothing to ask for, or a number is none or out of its range.
    """
    paths = [paths] if isinstance(paths, str) else paths
    if not isinstance(paths, list) or not paths:
        raise SaltInvocationError(f"probe: paths is {paths!r}: want at least one")
    count, port = _number("count", count, 1, 10_000, int), _number("port", port, 1, 65535, int)
    timeout = _number("request_timeout", request_timeout, 0.01, 60)
    turns = [str(paths[i % len(paths)]) for i in range(count)]
    with ThreadPoolExecutor(WORKERS) as pool:
        return summarise(
            list(pool.map(lambda path: _get(address, port, path, timeout, version_header), turns))
        )


def wait(address, port, path, seconds=60, request_timeout=2.0):
    """
    Wait until a health route answers 200.

    CLI Example:

    .. code-block:: bash

        salt 'lb*' probe.wait 10.57.0.31 80 /health seconds=30

    address (str), port (int), path (str)
        What to ask.

    seconds (float)
        How long to wait, 0-3600. Default 60.

    request_timeout (float, seconds)
        How long to wait for one answer, 0.01-60. Default 2.

    Returns None once it is healthy, else the last answer in a few words.

    Raises SaltInvocationError if a number is none or out of its range.
    """
    seconds, port = _number("seconds", seconds, 0, 3600), _number("port", port, 1, 65535, int)
    timeout = _number("request_timeout", request_timeout, 0.01, 60)
    deadline = time.monotonic() + seconds
    while True:
        result = _get(address, port, str(path), timeout, "")
        if result["status"] == 200 and not result["error"]:
            return None
        if time.monotonic() > deadline:
            return f"{result['error'] or result['status']} for {seconds:g} s"
        time.sleep(0.25)


def need(kind, host, port, timeout=2.0):
    """
    Find out whether something this host needs is there.

    CLI Example:

    .. code-block:: bash

        salt canary-1 probe.need mongodb 10.57.0.21 27017

    kind (str)
        `mongodb`: it must answer `hello`. `tcp`: it must accept a connection.

    host (str), port (int)
        Where it should be.

    timeout (float, seconds)
        How long to wait, 0.01-60. Default 2.

    Returns None if it is there, else why not in a few words.

    Raises SaltInvocationError for another kind, or if a number is none or out of its range.
    """
    if kind not in ("mongodb", "tcp"):
        raise SaltInvocationError(f"probe: unknown kind {kind!r} (want mongodb or tcp)")
    port, timeout = _number("port", port, 1, 65535, int), _number("timeout", timeout, 0.01, 60)
    try:
        with socket.create_connection((host, port), timeout) as connection:
            return _not_mongodb(connection) if kind == "mongodb" else None
    except (OSError, UnicodeError) as error:
        return str(error) or type(error).__name__


def version(link):
    """
    The version a host runs: the last part of where the link `current` of a service points to.

    CLI Example:

    .. code-block:: bash

        salt 'checkbox*' probe.version /srv/checkbox/current

    link (str)
        Path of the symbolic link.

    Returns the version, or None if nothing is installed.

    Raises CommandExecutionError if something else than a link is there.
    """
    try:
        return os.path.basename(os.readlink(link))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CommandExecutionError(f"{link} is no link to a version: {error.strerror}") from error


def _number(name, value, low, high, kind=float):
    """`value` as a number of this kind and range, whatever the command line made of it."""
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or isinstance(value, bool) or not low <= number <= high:
        raise SaltInvocationError(f"probe: {name} is {value!r}: want a number, {low} to {high}")
    return number


def _not_mongodb(connection):
    """None if a MongoDB answers on this connection, else what it does instead."""
    connection.sendall(MONGODB_HELLO)
    head = b""
    while len(head) < 16:
        more = connection.recv(16 - len(head))
        if not more:
            return "it closes the connection: it is no MongoDB"
        head += more
    # The head of a reply repeats our request id (1) in bytes 8-11.
    return None if head[8:12] == b"\x01\x00\x00\x00" else "it is no MongoDB"


def _get(address, port, path, timeout, version_header):
    """One request on a fresh connection: status, ms, error, version."""
    begin = time.monotonic()
    result = {"path": path, "status": 0, "error": "", "version": ""}
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Connection": "close", "User-Agent": "sluice-probe"})
        response = connection.getresponse()
        result["status"] = response.status
        result["version"] = response.getheader(version_header, "") if version_header else ""
        result["error"] = _read(response, begin + timeout)
    except TimeoutError:
        result["error"] = "no answer in time"
    # A ValueError is a path that cannot stand in a request.
    except (OSError, http.client.HTTPException, ValueError) as error:
        result["error"] = str(error) or type(error).__name__
    finally:
        connection.close()
    result["ms"] = (time.monotonic() - begin) * 1000
    return result


def _read(response, deadline):
    """Read a body; what is wrong with it, or nothing. By pieces: a socket's timeout is for one of them."""
    got = 0
    while piece := response.read1(65536):
        got += len(piece)
        if time.monotonic() > deadline:
            return "not all of the answer in time"
        if got >= MAX_BODY_BYTES:
            return ""
    # What is left of the announced length; None if none was announced.
    return f"the last {response.length} bytes are missing" if response.length else ""


def summarise(tries):
    """
    Put the results of single requests together. The percentiles are nearest-rank
    (https://en.wikipedia.org/wiki/Percentile#The_nearest-rank_method), over failed requests as well.
    """
    failed = [one for one in tries if one["error"] or one["status"] >= 400]
    times = sorted(one["ms"] for one in tries)
    return {
        "requests": len(tries),
        "errors": len(failed),
        "p50_ms": round(_percentile(times, 50), 1),
        "p95_ms": round(_percentile(times, 95), 1),
        "failures": [f"GET {one['path']}: {one['error'] or one['status']}" for one in failed[:5]],
        "versions": sorted({one["version"] for one in tries if one["version"]}),
    }


def _percentile(ordered, percent):
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


__func_alias__ = {"http_": "http"}
