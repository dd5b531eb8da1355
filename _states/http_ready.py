"""
A gate: wait until an address answers as it should, or fail with what it said instead.
"""

import time

import sluice_http

__virtualname__ = "http_ready"

# One try may take this long; a frozen server must not use up the whole time.
TRY_SECONDS = 5


def __virtual__():
    return __virtualname__


def answering(name, status=200, timeout_seconds=30, hint=""):
    """
    Wait until GET `name` answers with a status.

    .. code-block:: yaml

        checkbox-healthy:
          http_ready.answering:
            - name: http://127.0.0.1/health

    name (str)
        The URL.
    status (int)
        The wanted HTTP status, 100-599. Default 200.
    timeout_seconds (float)
        How long to try. Default 30.
    hint (str)
        Where to look when it fails; becomes part of the comment.

    Changes nothing: `changes` is always empty. In test mode the address is not asked.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{name} answers {status}"}
    if __opts__["test"]:
        return ret | {"comment": f"{name} would be asked for a {status}"}
    deadline = time.monotonic() + timeout_seconds
    while (said := sluice_http.ask(name, max(0.1, min(TRY_SECONDS, timeout_seconds)))) != status:
        if time.monotonic() > deadline:
            comment = f"{name}: {said} after {timeout_seconds} s (want {status}). {hint}"
            return ret | {"result": False, "comment": comment.strip()}
        time.sleep(0.2)
    return ret
