"""Unleash's engine, in Rust, which its Python client asks in process."""

import json
from typing import Any

from yggdrasil_engine.engine import UnleashEngine

from bench.flags.engines.timing import run
from bench.flags.flagset import COUNTRIES, LEAST_AGE, NAMES, PERCENTAGE, Context, is_ruled


def feature(name: str) -> dict[str, Any]:
    """A feature in the format of Unleash's client API."""
    strategy: dict[str, Any] = {"name": "default", "parameters": {}}
    if is_ruled(name):
        strategy = {
            "name": "flexibleRollout",
            "parameters": {"rollout": str(PERCENTAGE), "stickiness": "userId", "groupId": name},
            "constraints": [
                {"contextName": "country", "operator": "IN", "values": COUNTRIES},
                {"contextName": "age", "operator": "NUM_GTE", "value": str(LEAST_AGE)},
            ],
        }
    return {"name": name, "enabled": True, "strategies": [strategy]}


ENGINE = UnleashEngine()
ENGINE.take_state(json.dumps({"version": 2, "features": [feature(name) for name in NAMES]}))


def ask(name: str, context: Context) -> bool:
    return bool(ENGINE.is_enabled(name, context).is_enabled)


def prepare(context: Context) -> Context:
    properties = {"country": context["country"], "age": str(context["age"])}
    return {"userId": context["targetingKey"], "properties": properties}


if __name__ == "__main__":
    run(ask, prepare)
