"""Stands in for _modules/balancer.py: the same functions, spoken to the fake balancer of the tests."""

import json
import urllib.error
import urllib.request

from salt.exceptions import CommandExecutionError


def _call(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    port = __opts__["fake_balancer_port"]  # noqa: F821 - put here by Salt's loader
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.loads(response.read())
    except urllib.error.URLError as error:
        raise CommandExecutionError(f"balancer does not answer: {error.reason}") from error


def status():
    return _call("/status")


def clear(service):
    return _call("/clear", {"service": service})


def drain(service, backend, deadline_seconds=30):
    return _call("/drain", {"service": service, "backend": backend, "deadline_seconds": deadline_seconds})


def restore(service, backend):
    return _call("/restore", {"service": service, "backend": backend})
