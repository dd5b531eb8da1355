"""What the demo found: the verdict, the table and build/demo.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Protocol

from lab.settings import CHECKOUT

SHARE_POINTS = 3.0
MIN_SHARE_REQUESTS = 5000


def problems(result: dict[str, Any]) -> list[str]:
    """What of the demo's promises was not kept."""
    found = []
    if result["failed"]:
        found.append(f"{result['failed']} of {result['requests']} requests failed: {result['failures'][:3]}")
    off = abs(result["canary_share_before"] - result["canary_share_target"])
    if off > SHARE_POINTS:
        found.append(f"the canary's share was {off:.1f} points off its target (want at most {SHARE_POINTS})")
    if result["share_requests"] < MIN_SHARE_REQUESTS:
        found.append(
            f"the share was measured over {result['share_requests']} requests (want {MIN_SHARE_REQUESTS})"
        )
    if result["canary_requests_after_zero"]:
        found.append(
            f"{result['canary_requests_after_zero']} canary requests after an alert was in force (want 0)"
        )
    return found


def write(result: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    rows = [
        ("requests", f"{result['requests']} in {result['seconds']:.0f} s"),
        ("failed", str(result["failed"])),
        (
            "canary share",
            f"{result['canary_share_before']:.2f} % of {result['share_requests']} "
            f"(target {result['canary_share_target']:g} %)",
        ),
    ]
    for door, told in result["alert"].items():
        rounds = ", ".join(f"{ms:.1f}" for ms in told["rounds_ms"])
        rows.append(
            (f"alert by {door}", f"last canary answer {told['to_zero_ms']:.1f} ms after the knock ({rounds})")
        )
    rows.append(("canary requests after zero", str(result["canary_requests_after_zero"])))
    rows.append(("ratio edit to effect", f"{result['ratio_edit_to_effect_ms']:.0f} ms after the save"))
    rows.append(("set-up", f"{result['setup_seconds']:.0f} s"))
    return lines(rows)


def lines(rows: list[tuple[str, str]]) -> str:
    """Rows of a name and a value, as text in two columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)


class Report(Protocol):
    """What a demo knows of its result."""

    def table(self, result: dict[str, Any], /) -> str: ...

    def problems(self, result: dict[str, Any], /) -> list[str]: ...


def tell(result: dict[str, Any], file: str, report: Report, kept: str) -> int:
    """Write the result to a file in build/, print the table and the verdict; 1 if a promise was not kept."""
    path = CHECKOUT / "build" / file
    write(result, path)
    print(report.table(result))
    print(f"  written to {path.relative_to(CHECKOUT)}")
    found = report.problems(result)
    for problem in found:
        print(f"  NOT KEPT: {problem}")
    if not found:
        print(f"  {kept}")
    sys.stdout.flush()
    return 1 if found else 0
