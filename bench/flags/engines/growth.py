"""GrowthBook's client, with its features at hand."""

from growthbook import GrowthBook

from bench.flags.engines.timing import run
from bench.flags.flagset import COUNTRIES, LEAST_AGE, NAMES, PERCENTAGE, Context, is_ruled

RULE = {
    "condition": {"country": {"$in": COUNTRIES}, "age": {"$gte": LEAST_AGE}},
    "force": True,
    "coverage": PERCENTAGE / 100,
    "hashAttribute": "id",
}
FEATURES = {
    name: {"defaultValue": False, "rules": [RULE]} if is_ruled(name) else {"defaultValue": True}
    for name in NAMES
}
CLIENT = GrowthBook(features=FEATURES)


def ask(name: str, attributes: Context) -> bool:
    CLIENT.set_attributes(attributes)
    return bool(CLIENT.is_on(name))


if __name__ == "__main__":
    run(ask, lambda context: {**context, "id": context["targetingKey"]})
