"""What is done about a push and about a build: checked, written down, and then the next one begins."""

import json

import sluice_artifact
import sluice_hook_key
import sluice_jenkins_trigger
import sluice_roll_orders
import sluice_webhook
import sluice_webhook_built
import sluice_webhook_push
from sluice_config import Service, Settings
from sluice_errors import RefusedError, ReleaseError
from sluice_ledger import Artifact, Ledger, Release
from sluice_service import ServiceView
from sluice_webhook import BUILT, Order
from sluice_webhook_built import Build

# What a build may leave, and how long the artifact server has to hand it over for its hash.
MAX_ARTIFACT_BYTES = 1_000_000_000
ARTIFACT_SECONDS = 120.0
# Older releases than these are not looked through for one of the same version.
HISTORY = 500


def opened(event: object, settings: Settings) -> Order:
    """The order in an event; EventRefused if it does not come from the master's own door."""
    return sluice_webhook.opened(event, sluice_hook_key.known(settings.ledger), settings)


def by_hand(service: Service, told: dict[str, object], who: str) -> Order:
    """A build that an operator reports, because the build server could not."""
    report = told | {"branch": service.branch, "result": "SUCCESS"}
    return Order(service.name, BUILT, who, "", json.dumps(report))


def pushed(order: Order, service: Service, ledger: Ledger) -> str:
    """
    Have a push built: a line about it.

    RefusedError with the reason, which is in the ledger then, if it is no push of the branch, came before, or
    the build server does not take it.
    """
    who = order.by
    try:
        push = sluice_webhook_push.read(order, service)
        who = push.who
        _start_build(order, push.commit, who, service, ledger)
    except ReleaseError as error:
        name = sluice_webhook_push.named(order)
        raise _refused(ledger, service.name, name, who, f"push {name[:7]}", error) from error
    return f"{service.name}: the build of {push.commit[:12]} was asked for, pushed by {push.who}"


def _start_build(order: Order, commit: str, who: str, service: Service, ledger: Ledger) -> None:
    before = ledger.take_delivery(service.name, order.digest, commit)
    if before:
        raise RefusedError(
            f"this very webhook came before, at {before}; to build again, start the job by hand"
        )
    try:
        sluice_jenkins_trigger.start(
            service.push.trigger_url, service.push.trigger_token, f"push {commit[:12]} by {who}"
        )
    except ReleaseError:
        # So that it counts when the forge, or somebody there, sends it again.
        ledger.forget_delivery(service.name, order.digest)
        raise


def built(order: Order, view: ServiceView) -> str:
    """
    Let what was built be rolled: a line about it. The roll is a job of its own and goes on after this.

    RefusedError with the reason, which is in the ledger then, if the build failed, is not of the service's
    branch and artifacts, is not what the artifact server serves, was reported before, or the service is
    pinned to another version.
    """
    name = "unknown"
    trigger = "build"
    try:
        build = sluice_webhook_built.read(order, view.service)
        name, trigger = build.version, f"push {build.commit[:7]}"
        _check(build, view.name, view.ledger)
        view.ledger.add_artifact(
            Artifact(view.name, build.version, build.url, build.sha256, build.commit, build.page or order.by)
        )
    except ReleaseError as error:
        name = getattr(error, "version", name)
        raise _refused(view.ledger, view.name, name, order.by, trigger, error) from error
    view.ledger.queue(view.name, build.version, order.by, trigger)
    begun = sluice_roll_orders.begin_queued(view)
    return f"{view.name}: {build.version} {'is rolled now' if begun else 'waits for its turn'}"


def _check(build: Build, service: str, ledger: Ledger) -> None:
    pin = ledger.pinned(service)
    if pin:
        pin.refuse(build.version)
    known = ledger.artifact(service, build.version)
    if known and known.sha256 != build.sha256:
        raise RefusedError(
            f"it is in the ledger with the sha256 {known.sha256[:12]}... and now has "
            f"{build.sha256[:12]}...: a version never changes"
        )
    _refuse_released(build.version, ledger.history(service, HISTORY))
    served = sluice_artifact.served(build.url, MAX_ARTIFACT_BYTES, ARTIFACT_SECONDS)
    if served != build.sha256:
        raise RefusedError(
            f"{build.url} has the sha256 {served[:12]}..., the report said {build.sha256[:12]}..."
        )


def _refuse_released(version: str, history: list[Release]) -> None:
    for one in history:
        if one.kind == "rolling" and one.version == version and one.state != "refused":
            raise RefusedError(f"it was reported before: release {one.id} of it is {one.state}")


def _refused(
    ledger: Ledger, service: str, version: str, who: str, trigger: str, error: ReleaseError
) -> RefusedError:
    """The refusal, after it was written down."""
    release = ledger.refuse(service, version, who, trigger, str(error))
    return RefusedError(f"{service}: nothing was rolled ({release.id} in the ledger): {error}")
