"""The description of the admin API is whole."""

import re

from balancer.admin import admin_application, alert_application
from balancer.api import methods_of
from balancer.openapi import description


class Anything:
    """Stands in for the supervisor and the tokens, which the table of handlers does not ask."""

    failures = config = None


def handled(application):
    """(method, path) of every handler but those of the page's own files and login."""
    for rule in application.wildcard_router.rules:
        path = rule.matcher.regex.pattern.rstrip("$").replace("\\", "")
        if path != "/" and not path.startswith("/page/"):
            named = re.sub(r"\(.*?\)", "{service}", path)
            yield from ((method, named) for method in methods_of(rule.target))


def test_every_handler_is_described_and_nothing_else():
    described = {(method.upper(), path) for path, known in description()["paths"].items() for method in known}
    admin = set(handled(admin_application(Anything(), Anything())))
    assert described == admin | {("GET", "/backend/{service}")}
    assert len(described) > 8


def test_the_alert_listener_has_alerts_and_what_a_host_may_with_its_own_backend():
    of_hosts = {("GET", "/backend/{service}"), ("POST", "/drain"), ("POST", "/restore")}
    assert set(handled(alert_application(Anything(), Anything()))) == {("POST", "/alert"), *of_hosts}


def references(told):
    """What `$ref`s point to, however deep."""
    if isinstance(told, dict):
        yield from ([told["$ref"]] if "$ref" in told else [])
    for inner in told.values() if isinstance(told, dict) else told if isinstance(told, list) else ():
        yield from references(inner)


def test_every_schema_is_used_and_there():
    document = description()
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) == known


def test_every_operation_has_a_name_of_its_own():
    names = [told["operationId"] for known in description()["paths"].values() for told in known.values()]
    assert len(set(names)) == len(names)
