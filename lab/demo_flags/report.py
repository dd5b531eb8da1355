"""What the demo of flags found: the verdict, the table and build/demo-flags.json."""

from __future__ import annotations

from typing import Any

from lab.demo.report import lines

FLIPS = 200
MUST_BE_ZERO = {
    "wrong_answers": "answers showed neither the picture nor NULL, or the old value after the bound",
    "reads_failed": "requests got no answer",
    "lost_writes": "acknowledged writes are gone",
}


def percentiles(took: list[tuple[float, float]]) -> dict[str, dict[str, float]]:
    """p50, p99 and the longest, in milliseconds, from the SET's start and from its OK to the new answer."""
    return {
        name: {"p50": _rank(values, 0.50), "p99": _rank(values, 0.99), "max": _rank(values, 1.0)}
        for name, values in (("from_start", [one for one, _ in took]), ("from_ok", [one for _, one in took]))
    }


def _rank(values: list[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value that a share of them does not exceed."""
    ordered = sorted(values)
    return round(ordered[max(0, -int(-share * len(ordered) // 1) - 1)], 2)


def problems(result: dict[str, Any]) -> list[str]:
    """What of the demo's promises was not kept."""
    found: list[str] = [f"{result[key]} {text} (want 0)" for key, text in MUST_BE_ZERO.items() if result[key]]
    if not result["replica_write_refused"]:
        found.append("a write on a replica was not refused")
    if result["flips"] != FLIPS:
        found.append(f"{result['flips']} flips (want {FLIPS})")
    return [*found, *result["examples"]]


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    late = 1000 * result["late_seconds"]
    rows = [
        ("flips", str(result["flips"])),
        ("reads", f"{result['reads']}, {result['reads_failed']} failed"),
        ("wrong answers", f"{result['wrong_answers']} (neither, or old {late:g} ms after the SET's OK)"),
        ("writes", f"{result['writes']} acknowledged, {result['lost_writes']} lost"),
        ("write on a replica", "refused" if result["replica_write_refused"] else "NOT REFUSED"),
        ("master dead to first write", f"{result['failover_ms']} ms"),
        ("replica healed", f"{result['healed_ms']} ms after the cut ended"),
        ("SET to changed answer", _told(result["propagation_ms"], None)),
    ]
    for phase, told in result["phases"].items():
        rows.append((f"  {phase}", _told(told["from_start"], told["from_ok"])))
    for id_, told in result["hosts"].items():
        shown = ", ".join(f"{what} {count}" for what, count in told["shown"].items())
        sources = ", ".join(f"{source} {count}" for source, count in sorted(told["sources"].items()))
        rows.append((id_, f"shows {told['shows_last']}; {shown}; by {sources}"))
        rows.append(("", _told(told["propagation_ms"]["from_start"], told["propagation_ms"]["from_ok"])))
    rows.append(("set-up", f"{result['setup_seconds']:.0f} s"))
    return lines(rows)


def _told(from_start: dict[str, float], from_ok: dict[str, float] | None) -> str:
    text = "p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {max:.1f} ms".format(**from_start)
    return text + (" (from its OK: {p50:.1f}, {p99:.1f}, {max:.1f})".format(**from_ok) if from_ok else "")
