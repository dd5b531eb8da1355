"""Start the build of a job by its trigger URL, without a log-in: the job's own token lets it."""

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from sluice_errors import ReleaseError
from sluice_http import NoRedirect

# Jenkins answers slowly while it loads its jobs; a forge gives its webhook 10 s, but waits for no build.
TRY_SECONDS = 10
# Queued: 201; 302 by an older server of the family.
QUEUED = (200, 201, 302)


def start(url: str, token: str, cause: str) -> None:
    """
    Ask for a build. ReleaseError, without the token, if it is not queued.

    url (str)
        `http://jenkins:8080/job/<name>/build`
    cause (str)
        What the build's page gives as its reason.
    """
    # A crumb is good for the session that it was asked for in, so the cookies are kept.
    cookies = urllib.request.HTTPCookieProcessor()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect, cookies)
    base = url.partition("/job/")[0]
    try:
        crumb = _crumb(opener, base)
        query = urllib.parse.urlencode({"token": token, "cause": cause})
        request = urllib.request.Request(f"{url}?{query}", b"", crumb, method="POST")
        with opener.open(request, timeout=TRY_SECONDS) as answer:
            status = int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        status = error.code
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise ReleaseError(f"{base} does not answer ({why}), so no build was started") from error
    if status not in QUEUED:
        raise ReleaseError(f"{url} answered {status} (want 201){_hint(status)}; no build was started")


def _crumb(opener: urllib.request.OpenerDirector, base: str) -> dict[str, str]:
    """The header that a POST needs; none where the server gives none."""
    try:
        with opener.open(f"{base}/crumbIssuer/api/json", timeout=TRY_SECONDS) as answer:
            told: Any = json.loads(answer.read(10_000))
            return {str(told["crumbRequestField"]): str(told["crumb"])}
    except urllib.error.HTTPError as error:
        error.close()
        return {}
    except (LookupError, TypeError) as error:
        raise ValueError("its crumb cannot be read; is that a Jenkins?") from error


def _hint(status: int) -> str:
    return {
        403: ": compare push:trigger:token with jenkins:job:trigger_token",
        404: ": there is no such job, or nobody but its users may see it (jenkins:anonymous_read)",
    }.get(status, "")
