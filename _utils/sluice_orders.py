"""What an operator can order about a release: abort it, clear its alert."""

import sluice_balancers
from sluice_errors import ReleaseError
from sluice_redis import RedisError, alert_key
from sluice_redis_servers import at_master
from sluice_service import REDIS_SECONDS, ServiceView


def abort(view: ServiceView, who: str) -> str:
    """End the open release, if any, and keep all traffic off the canary. Safe to repeat."""
    release = view.ledger.open_release(view.name)
    if release:
        # First in the ledger, so that an orchestration under way sees it and does not admit the canary again.
        view.ledger.end(release, "aborted", f"aborted by {who}")
    try:
        done = view.drain_everywhere()
    except ReleaseError as error:
        raise ReleaseError(
            f"{error}. The canary may still get traffic there; repeat: salt-run release.abort {view.name}"
        ) from error
    ended = f"release {release.id} of {release.version} aborted" if release else "no release was open"
    return f"{view.name}: {ended}; {done}"


def clear(view: ServiceView) -> str:
    """
    End the alert: in Redis first, else it would come back, then at every balancer; then read back.

    Two rounds: a balancer may have raised it once more from what it had just read in Redis.
    """
    stood = any(sluice_balancers.alert(status, view.name) for status in view.statuses().values())
    stands = ""
    for _ in range(2):
        stood = _delete_key(view) or stood
        view.fleet.ask(view.balancers(), "balancer.clear", view.name)
        stands = _stands(view)
        if not stands:
            return f"{view.name}: {'the alert is cleared' if stood else 'no alert stood'}"
    raise ReleaseError(
        f"The alert for {view.name} came back at once at {stands}: something still raises it. Find out what "
        f"with 'salt-run release.status {view.name}', stop it, then clear again."
    )


def _delete_key(view: ServiceView) -> bool:
    try:
        with at_master(view.settings.redis, REDIS_SECONDS) as redis:
            return bool(redis.call("DEL", alert_key(view.name)))
    except RedisError as error:
        raise ReleaseError(
            f"The alert for {view.name} was not cleared: {error}, and it would come back from there. "
            "Start Redis, then clear again."
        ) from error


def _stands(view: ServiceView) -> str:
    places = [id_ for id_, status in view.statuses().items() if sluice_balancers.alert(status, view.name)]
    with at_master(view.settings.redis, REDIS_SECONDS) as redis:
        return ", ".join(places + (["redis"] if redis.call("EXISTS", alert_key(view.name)) else []))
