"""What the admin API and the doors of the network take and answer, as OpenAPI 3.1. Served at /openapi.json.

A handler without a description, or the other way round, fails tests/unit/balancer/test_balancer_described.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from balancer import __version__
from balancer.alerts import MAX_REASON
from balancer.gate import KEY_HEADER
from balancer.history import FIELDS
from balancer.leases import LEAST_SECONDS, MOST_SECONDS
from balancer.monitor import STATES
from balancer.tls import VERSIONS

Json = dict[str, Any]

NAME: Json = {"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,30}$", "examples": ["checkbox"]}
BACKEND: Json = {
    "type": "string",
    "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
    "examples": ["checkbox-1"],
}
PERCENT: Json = {"type": "number", "minimum": 0, "maximum": 100}
COUNT: Json = {"type": "integer", "minimum": 0}
TEXT: Json = {"type": "string"}
TIME: Json = {"type": "string", "format": "date-time"}
YES_NO: Json = {"type": "boolean"}
STATE: Json = {"enum": ["up", "down", "drained", "ejected"]}


def record(fields: Mapping[str, Json], optional: tuple[str, ...] = (), more: bool = True) -> Json:
    """An object with these fields; `more` allows others, which a client ignores."""
    required = [name for name in fields if name not in optional]
    return {
        "type": "object",
        "properties": dict(fields),
        "required": required,
        **({} if more else {"additionalProperties": False}),
    }


def by_name(values: Json) -> Json:
    return {"type": "object", "additionalProperties": values}


def or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


SCHEMAS: Json = {
    "Error": record({"error": TEXT, "mistakes": {"type": "array", "items": TEXT}}, optional=("mistakes",)),
    "Alert": record(
        {
            "reason": {"type": "string", "minLength": 1, "maxLength": MAX_REASON},
            "by": TEXT,
            "at": TIME,
            "door": {"enum": ["http", "redis", "monitor", "state"]},
        }
    ),
    "Lease": record(
        {
            "weights": by_name(PERCENT),
            "by": TEXT,
            "since": TIME,
            "until": TIME,
            "seconds_left": {"type": "number", "minimum": 0},
        }
    ),
    "Backend": record(
        {
            "address": TEXT,
            "state": STATE,
            "in_flight": COUNT,
            "health": TEXT,
            "ejected": or_null(record({"until": TIME, "reason": TEXT, "times": COUNT})),
            "ejections": COUNT,
        }
    ),
    "Track": record(
        {
            "weight_declared": PERCENT,
            "weight_leased": or_null(PERCENT),
            "weight_effective": PERCENT,
            "min_available": COUNT,
            "backends": by_name(ref("Backend")),
        }
    ),
    "Tls": record(
        {
            "listen": TEXT,
            "redirect": YES_NO,
            "min_version": {"enum": list(VERSIONS)},
            "expires_at": or_null(TEXT),
            "sha256": or_null(TEXT),
            "error": or_null(TEXT),
        }
    ),
    "Service": record(
        {
            "listen": TEXT,
            "hosts": {"type": "array", "items": TEXT},
            "tls": or_null(ref("Tls")),
            "proxy_protocol": or_null({"type": "array", "items": TEXT}),
            "alert": or_null(ref("Alert")),
            "lease": or_null(ref("Lease")),
            "affinity": or_null(record({"release": TEXT})),
            "monitor": record({"state": {"enum": list(STATES)}, "said": TEXT}),
            "tracks": by_name(ref("Track")),
        }
    ),
    "RedisServer": record(
        {
            "role": or_null({"enum": ["master", "replica"]}),
            "term": or_null(COUNT),
            "reads": YES_NO,
            "writes": YES_NO,
            "error": or_null(TEXT),
        }
    ),
    "Status": record(
        {
            "balancer": record(
                {"host": TEXT, "version": TEXT, "compiled": YES_NO, "started_at": TIME, "at": TIME}
            ),
            "config": record({"sha256": TEXT, "loaded_at": TIME, "error": or_null(TEXT)}),
            "workers": COUNT,
            "redis": {"enum": ["connected", "disconnected", "off"]},
            "redis_servers": by_name(ref("RedisServer")),
            "services": by_name(ref("Service")),
        }
    ),
    "Weights": record(
        {
            "declared": by_name(PERCENT),
            "lease": or_null(ref("Lease")),
            "effective": by_name(PERCENT),
            "ended": YES_NO,
        },
        optional=("ended",),
    ),
    "History": record(
        {
            "seconds": {"type": "number"},
            "samples": COUNT,
            "next": COUNT,
            "services": by_name(
                by_name(
                    record(
                        dict.fromkeys(FIELDS, {"type": "array", "items": or_null({"type": "number"})}),
                    )
                )
            ),
        }
    ),
}

# Status to why; all have the body `Error`.
EVERYWHERE = {"401": "no valid token", "421": "not a name of this balancer", "429": "too many wrong tokens"}
OF_ADMIN = {**EVERYWHERE, "403": "this token may not do that, or the order comes from another page"}
OF_BODY = {"400": "the body has a mistake"}
UNKNOWN = {"404": "no such service or backend"}
UNWRITTEN = {"500": "what must outlive a restart could not be written"}
WHERE = {"service": NAME, "backend": BACKEND}


def operation(
    name: str,
    summary: str,
    answer: Json,
    errors: Mapping[str, str],
    body: Json | None = None,
    parameters: tuple[Json, ...] = (),
    media: str = "application/json",
    is_open: bool = False,
) -> Json:
    """One operation; `answer` is the schema of its 200."""
    told = {status: {"description": why, **content(ref("Error"))} for status, why in sorted(errors.items())}
    if "429" in told:
        told["429"]["headers"] = {"Retry-After": {"schema": COUNT, "required": True}}
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": "done", **content(answer, media)}, **told},
        **({"requestBody": {"required": True, **content(body)}} if body is not None else {}),
        **({"parameters": list(parameters)} if parameters else {}),
        **({"security": []} if is_open else {}),
    }


def content(schema: Json, media: str = "application/json") -> Json:
    return {"content": {media: {"schema": schema}}}


def in_path(name: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def reading() -> dict[str, Json]:
    """The paths that change nothing."""
    since = {"type": "integer", "minimum": -1, "maximum": 10**15 - 1, "default": -1}
    free = {"421": EVERYWHERE["421"]}
    return {
        "/status": {"get": operation("status", "What the balancer is doing", ref("Status"), OF_ADMIN)},
        "/history": {
            "get": operation(
                "history",
                "The last ten minutes of each track; after sample `since` only",
                ref("History"),
                {**OF_ADMIN, "400": "`since` is not the number of a sample"},
                parameters=({"name": "since", "in": "query", "schema": since},),
            )
        },
        "/metrics": {
            "get": operation("metrics", "For Prometheus", TEXT, free, media="text/plain", is_open=True)
        },
        "/health": {
            "get": operation(
                "health", "Whether it answers", record({"status": {"const": "ok"}}), free, is_open=True
            )
        },
        "/openapi.json": {
            "get": operation("openapi", "This description", {"type": "object"}, free, is_open=True)
        },
    }


def of_hosts() -> dict[str, Json]:
    """What there is at the alert listener alone."""
    own = {
        "service": NAME,
        "backend": BACKEND,
        "track": TEXT,
        "state": STATE,
        "in_flight": COUNT,
        "health": TEXT,
        "up": COUNT,
        "min_available": COUNT,
        "weight_declared": PERCENT,
        "weight_effective": PERCENT,
        "alert": or_null(TEXT),
    }
    errors = {**EVERYWHERE, **UNKNOWN, "403": "this is no token of a host"}
    del errors["421"]
    return {
        "/backend/{service}": {
            "get": operation(
                "own_backend",
                "At the alert listener: a host's own backend, and how many of its track are up",
                record(own),
                errors,
                parameters=(in_path("service", NAME),),
            )
        }
    }


def alerting() -> dict[str, Json]:
    """Alerts, raised and cleared. A field that is not known is no reason to refuse an alert."""
    body = record({"service": NAME, "reason": TEXT}, optional=("reason",))
    errors = {**EVERYWHERE, **OF_BODY, **UNKNOWN, **UNWRITTEN}
    return {
        "/alert": {
            "post": operation(
                "raise_alert",
                "Raise the alert of a service; any token may, also at the alert listener",
                record({"alert": ref("Alert")}),
                {**errors, "403": OF_ADMIN["403"]},
                body,
            )
        },
        "/alert/{service}": {
            "delete": operation(
                "clear_alert",
                "Clear it, at this balancer",
                record({"cleared": YES_NO}),
                {**OF_ADMIN, **UNKNOWN, **UNWRITTEN},
                parameters=(in_path("service", NAME),),
            )
        },
    }


def ordering() -> dict[str, Json]:
    """Orders of an operator."""
    errors = {**OF_ADMIN, **OF_BODY, **UNKNOWN, **UNWRITTEN}
    deadline = {"type": "number", "minimum": 0, "maximum": 3600, "default": 30}
    drain = {**WHERE, "deadline_seconds": deadline, "force": {**YES_NO, "default": False}}
    lease = {"type": "number", "minimum": LEAST_SECONDS, "maximum": MOST_SECONDS, "examples": [60]}
    # One for each track, and they sum to 100.
    weights = {
        **record({"stable": PERCENT, "canary": PERCENT}, optional=("canary",), more=False),
        "examples": [{"stable": 90, "canary": 10}],
    }
    return {
        "/drain": {
            "post": operation(
                "drain",
                "Send no new request to a backend; answers when none is in flight. "
                "At the alert listener a host may do so with its own, without `force`",
                record({"in_flight": {"const": 0}, "cut": COUNT}),
                {**errors, "409": "the track would be left with too few backends; `force` is not asked"},
                record(drain, optional=("deadline_seconds", "force"), more=False),
            )
        },
        "/restore": {
            "post": operation(
                "restore",
                "Put a drained backend back into service. At the alert listener a host may with its own",
                record({"restored": YES_NO}),
                errors,
                record(WHERE, more=False),
            )
        },
        "/weights": {
            "post": operation(
                "set_weights",
                "Other weights for a while",
                ref("Weights"),
                errors,
                record({"service": NAME, "weights": weights, "lease_seconds": lease}, more=False),
            )
        },
        "/weights/{service}": {
            "delete": operation(
                "end_lease",
                "The declared weights again",
                ref("Weights"),
                {**OF_ADMIN, **UNKNOWN, **UNWRITTEN},
                parameters=(in_path("service", NAME),),
            )
        },
        "/reload": {
            "post": operation(
                "reload",
                "Take over the file and the tokens now",
                ref("Status"),
                {**OF_ADMIN, "400": "they are refused, the last good ones stay in force"},
            )
        },
    }


def description() -> Json:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Balancer",
            "version": __version__,
            "description": "The admin API of one balancer. All orders are safe to repeat.",
        },
        "paths": {**reading(), **of_hosts(), **alerting(), **ordering()},
        "security": [{"token": []}, {"session": [], "key": []}],
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "sluice_session",
                    "description": "of the page, with the port in its name",
                },
                "key": {"type": "apiKey", "in": "header", "name": KEY_HEADER},
            },
        },
    }
