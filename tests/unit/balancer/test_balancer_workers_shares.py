"""The share holds over any 1,000 requests in a row, however the connections fall to the workers."""

import random

import pytest

from balancer.config import MAX_WORKERS
from balancer.policy import Shares

WINDOW = 1000
REQUESTS = 3000


def choices(weight):
    """What one worker chooses, request after request: 1 for the canary."""
    shares = Shares()
    weights = {"stable": 100 - weight, "canary": weight}
    return [int(shares.choose(weights) == "canary") for _ in range(REQUESTS)]


def by_chance(chance, places, sequence):
    return chance.randrange(len(places))


def by_load(chance, places, sequence):
    """The first worker has the busy connections, each next one half as many."""
    return min(int(chance.expovariate(0.7)), len(places) - 1)


def by_turns(chance, places, sequence):
    return sum(places) % len(places)


def at_worst(chance, places, sequence):
    """For 1,000 requests a worker that will choose the canary if there is one, and then one that will not."""
    wanted = int(sum(places) // WINDOW % 2 == 0)
    return next((n for n, place in enumerate(places) if sequence[place] == wanted), 0)


@pytest.mark.parametrize("interleaving", [by_chance, by_load, by_turns, at_worst])
@pytest.mark.parametrize("weight", [0.1, 1, 5, 12.5, 30, 33.3, 50, 99])
def test_any_thousand_requests_in_a_row_are_within_one_per_worker(interleaving, weight):
    sequence = choices(weight)
    chance = random.Random(f"{interleaving.__name__} {weight}")
    for workers in range(1, MAX_WORKERS + 1):
        places = [0] * workers
        canaries = [0]
        for _ in range(REQUESTS):
            worker = interleaving(chance, places, sequence)
            canaries.append(canaries[-1] + sequence[places[worker]])
            places[worker] += 1
        every = [after - before for before, after in zip(canaries, canaries[WINDOW:], strict=False)]
        off = max(abs(count - WINDOW * weight / 100) for count in every)
        assert off <= workers + 1e-6, workers
