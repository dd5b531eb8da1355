"""
A gate: wait until an address answers as it should, or fail with what it said instead.
"""

import http.client
import time
import urllib.error
import urllib.request

__virtualname__ = "http_ready"

# One try may take this long; a frozen server must not use up the whole time.
TRY_SECONDS = 5


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer, as it is for the balancer: to follow it would say another page is well."""

    def redirect_request(self, *_args):
        return None


# The proxies of the environment are for the way out, not for this host's own services.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)


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
    while (said := _ask(name, max(0.1, min(TRY_SECONDS, timeout_seconds)))) != status:
        if time.monotonic() > deadline:
            comment = f"{name}: {said} after {timeout_seconds} s (want {status}). {hint}"
            return ret | {"result": False, "comment": comment.strip()}
        time.sleep(0.2)
    return ret


def _ask(url, timeout):
    """The status of one GET, or why there was none."""
    try:
        with OPENER.open(url, timeout=timeout) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except urllib.error.URLError as error:
        return f"no answer ({error.reason})"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"no answer ({error or type(error).__name__})"
