"""One GET, as the balancer would send it: what a host's own service answers."""

import http.client
import urllib.error
import urllib.request
from typing import Any


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer, as it is for the balancer: to follow it would say another page is well."""

    def redirect_request(self, *_args: Any) -> None:
        return None


# The proxies of the environment are for the way out, not for this host's own services.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)


def ask(url: str, timeout: float) -> int | str:
    """The status of one GET of `url`, or why there was none; `timeout` in seconds for each wait."""
    try:
        with OPENER.open(url, timeout=timeout) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except urllib.error.URLError as error:
        return f"no answer ({error.reason})"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"no answer ({error or type(error).__name__})"
