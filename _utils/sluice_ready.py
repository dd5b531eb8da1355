"""Everything that must be so before a release may touch anything."""

import sluice_balancers
import sluice_git
from sluice_config import checked_version
from sluice_errors import RefusedError, ReleaseError
from sluice_fleet import PING_SECONDS
from sluice_ledger import refuse_second
from sluice_redis import RedisError, alert_key
from sluice_redis_servers import at_master
from sluice_service import REDIS_SECONDS, ServiceView


def check(view: ServiceView, wanted: object) -> str:
    """
    A line that says what is ready for a release of version `wanted`; changes nothing.

    Raises RefusedError with the first thing that is not: the cheap and the telling ones are asked first.
    """
    version = checked_version(wanted)
    try:
        return _checked(view, version)
    except ReleaseError as error:
        raise RefusedError(f"{view.name} {version} was refused, nothing was changed. {error}") from error


def _checked(view: ServiceView, version: str) -> str:
    current = view.ledger.open_release(view.name)
    if current:
        refuse_second(current, version)
    canaries, balancers = view.canaries(), view.balancers()
    view.fleet.ask(canaries, "test.ping", timeout=PING_SECONDS)
    check_redis(view)
    _check_needs(view, canaries)
    _check_balancers(view, canaries)
    commit = sluice_git.check_version(view.service.source, version)
    ready = [*balancers, "redis", "git source", *(need.name for need in view.service.needs)]
    return f"{view.name} {version} ({commit[:12]}) can go to {', '.join(canaries)}; ready: {', '.join(ready)}"


def check_redis(view: ServiceView) -> None:
    """ReleaseError if Redis does not answer, or keeps an alert for the service."""
    try:
        with at_master(view.settings.redis, REDIS_SECONDS) as redis:
            kept = redis.call("GET", alert_key(view.name))
    except RedisError as error:
        raise ReleaseError(
            f"{error}. Without Redis an alert has one door less; start it and try again."
        ) from error
    if kept is not None:
        alert = sluice_balancers.kept_alert(str(kept))
        raise ReleaseError(sluice_balancers.alert_text(view.name, alert, "redis"))


def _check_needs(view: ServiceView, canaries: list[str]) -> None:
    for need in view.service.needs:
        for id_, why in view.fleet.ask(canaries, "probe.need", need.kind, need.host, need.port).items():
            if why:
                raise ReleaseError(
                    f"{need.name} at {need.host}:{need.port} does not answer {id_} ({why}). "
                    f"{view.name} cannot run without it; start it and try again."
                )


def _check_balancers(view: ServiceView, canaries: list[str]) -> None:
    for balancer, status in view.statuses().items():
        if status.get("redis") == "disconnected":
            raise ReleaseError(f"{balancer} is not connected to Redis, so an alert there would not reach it.")
        share = view.share(balancer)
        why = sluice_balancers.not_ready(status, view.name, canaries, share, balancer)
        if why:
            raise ReleaseError(why)
