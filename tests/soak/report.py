"""What a soak found: numbers, a table for people and build/soak.json."""

import json
from collections import defaultdict

from tests.soak import gauges

# Of a run's memory samples, the first part is warm-up: caches and pools fill.
WARM_UP = 0.25
# Between what freed memory moves up and down (TLS leaves holes that are given back once a minute) and a leak:
# one of 300 bytes a request is 1.7 MB a minute in a worker with 100 requests a second.
MAX_MB_PER_MINUTE = 1.0
# A slope says something only of a process that was watched for so long.
SLOPE_SECONDS = 240
MAX_GROWTH_MB = 8.0
# Of a process that was watched for less nothing can be said.
MIN_SECONDS = 10


def quantiles(seconds):
    """p50, p99, p99.9 and the longest, in milliseconds."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    picked = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    told = {name: ordered[min(int(q * len(ordered)), len(ordered) - 1)] for name, q in picked.items()}
    return {name: round(1000 * value, 1) for name, value in {**told, "max": ordered[-1]}.items()}


def latency(asked, quiet):
    """By kind, over the whole run; and over the moments without trouble."""
    kinds = defaultdict(list)
    calm = []
    for one in asked:
        if not one.problem:
            kinds[one.kind].append(one.ended - one.began)
            if one.kind == "keep-alive" and any(since < one.began < upto for since, upto in quiet):
                calm.append(one.ended - one.began)
    told = {kind: quantiles(seconds) for kind, seconds in sorted(kinds.items())}
    return {**told, "keep-alive, no trouble": quantiles(calm)}


def memory(samples):
    """By process: first and last size after the warm-up, slope, seconds watched."""
    told = {}
    for (name, _), rows in samples.items():
        kept = rows[int(len(rows) * WARM_UP) :]
        if kept[-1][0] - kept[0][0] >= MIN_SECONDS:
            told[name] = {
                "seconds": round(kept[-1][0] - kept[0][0]),
                "first_mb": round(kept[0][1], 1),
                "last_mb": round(kept[-1][1], 1),
                "max_mb": round(max(mb for _, mb in kept), 1),
                "mb_per_minute": round(gauges.slope(kept), 3),
            }
    return told


def growing(told):
    """What is wrong with the memory."""
    wrong = []
    for name, row in told.items():
        grown = row["last_mb"] - row["first_mb"]
        if row["seconds"] >= SLOPE_SECONDS and row["mb_per_minute"] > MAX_MB_PER_MINUTE:
            wrong.append(f"{name} grows by {row['mb_per_minute']} MB a minute, want {MAX_MB_PER_MINUTE}")
        elif row["seconds"] < SLOPE_SECONDS and grown > MAX_GROWTH_MB:
            wrong.append(f"{name} grew by {grown:.1f} MB in {row['seconds']} s, want {MAX_GROWTH_MB}")
    return wrong


def write(result, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")


def table(result):
    """The result for people."""
    rows = [
        ("requests", f"{result['requests']} in {result['seconds']} s ({result['per_second']} a second)"),
        ("failed without an excuse", str(result["failed"])),
        ("failed with an excuse", listed(result["excused"]) or "0"),
        ("answered 500 as told (bad canary)", str(result["bad_on_purpose"])),
        ("left early by the user", str(result["left_early"])),
        ("idle connections that ended", str(result["lost_idle"])),
        ("trouble", listed(result["trouble"])),
    ]
    for share in result["shares"]:
        rows.append((f"share, target {share['target']} %", f"{share['share']} % of {share['requests']}"))
    for what, told in result["measured_ms"].items():
        rows.append((f"{what} (ms)", listed(told)))
    for kind, told in result["latency_ms"].items():
        rows.append((f"latency (ms), {kind}", listed(told)))
    for name, told in result["memory"].items():
        grown = f"{told['first_mb']} -> {told['last_mb']} MB, {told['mb_per_minute']} MB a minute"
        rows.append((f"memory, {name}", f"{grown}, {told['seconds']} s"))
    for name, told in result["files"].items():
        rows.append((f"open files, {name}", f"{told['before']} -> {told['after']}"))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)


def listed(numbers):
    return ", ".join(f"{name} {value}" for name, value in numbers.items())
