"""The flags and the people that every contender gets. Pure; the peers import it in their own environment."""

from __future__ import annotations

import json
from typing import Any

COUNT = 350
NAMES = [f"flag-{number:03}" for number in range(COUNT)]
# The two that are asked where one is enough: on for everybody, and on by a rule.
ON_OFF, RULED = NAMES[0], NAMES[1]
COUNTRIES = ["DE", "AT"]
LEAST_AGE = 18
PERCENTAGE = 50
# Of three countries and ages from 10 to 89, so many are let in.
EXPECTED_SHARE = 2 / 3 * 72 / 80 * PERCENTAGE / 100

Context = dict[str, Any]


def is_ruled(name: str) -> bool:
    """True for every second flag."""
    return int(name.rpartition("-")[2]) % 2 == 1


def contexts(count: int) -> list[Context]:
    """People, all different: no engine may live on remembering the last one."""
    return [
        {"targetingKey": f"user-{number}", "country": ("DE", "AT", "US")[number % 3], "age": 10 + number % 80}
        for number in range(count)
    ]


def sluice_document(name: str) -> dict[str, Any]:
    """A percentage and two conditions, or nothing."""
    if not is_ruled(name):
        return {}
    country = {"attribute": "country", "in": COUNTRIES}
    age = {"attribute": "age", "at_least": LEAST_AGE}
    return {"rules": {"match": [{"if": {"all": [country, age]}, "percentage": PERCENTAGE}]}}


def flagd_flags() -> dict[str, Any]:
    """The same in the format of flagd, https://flagd.dev/reference/flag-definitions."""
    plain = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"}
    holds = {"and": [{"in": [{"var": "country"}, COUNTRIES]}, {">=": [{"var": "age"}, LEAST_AGE]}]}
    portions = {"fractional": [["on", PERCENTAGE], ["off", 100 - PERCENTAGE]]}
    ruled = {**plain, "defaultVariant": "off", "targeting": {"if": [holds, portions, "off"]}}
    return {"flags": {name: ruled if is_ruled(name) else plain for name in NAMES}}


if __name__ == "__main__":
    print(json.dumps(flagd_flags()))
