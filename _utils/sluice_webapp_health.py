"""Whether a web application is well: its health page, then the pages that warm it up."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import sluice_http

# A frozen database must not use up the whole time with one try.
TRY_SECONDS = 5.0
# The first call of a page compiles it: several seconds on a busy host.
WARM_UP_SECONDS = 30.0
# Tomcat answers only when all applications are started, or have failed to. So an answer other than 200 and
# 503 ("not yet", "no database") is final, but for an application that goes on by itself after its start.
FINAL_SECONDS = 5.0


@dataclass(frozen=True)
class Health:
    """Where the application is asked, and how long."""

    base: str
    path: str
    timeout_seconds: float
    warm_up_paths: tuple[str, ...] = ()


def said(health: Health) -> str | None:
    """None if the application is well now, else its answer."""
    found = sluice_http.ask(health.base + health.path, TRY_SECONDS)
    return None if found == 200 else f"{found} from {health.path} (want 200)"


def trouble(health: Health, is_running: Callable[[], bool]) -> str | None:
    """Wait until the application is well and its pages are warm; None, or what is wrong."""
    return _not_well(health, is_running) or _not_warm(health)


def _not_well(health: Health, is_running: Callable[[], bool]) -> str | None:
    begin = time.monotonic()
    other_since = 0.0
    while (found := sluice_http.ask(health.base + health.path, TRY_SECONDS)) != 200:
        now = time.monotonic()
        told = f"{found} from {health.path} after {now - begin:.0f} s (want 200)"
        if now - begin > health.timeout_seconds:
            return told
        is_answer = isinstance(found, int) and found != 503
        other_since = (other_since or now) if is_answer else 0.0
        if is_answer and now - other_since > FINAL_SECONDS:
            return told
        if not is_answer and not is_running():
            return f"it has ended ({told})"
        time.sleep(0.1)
    return None


def _not_warm(health: Health) -> str | None:
    for path in health.warm_up_paths:
        found = sluice_http.ask(health.base + path, WARM_UP_SECONDS)
        # A page that wants a log-in answers 302 or 401 and is well.
        if not isinstance(found, int) or found >= 500 or found == 404:
            return f"{found} from {path}, a page of warm_up_paths"
    return None
