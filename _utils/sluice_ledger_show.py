"""What the ledger knows of releases: as data for programs, and as text for people."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sluice_config import Settings, shown
from sluice_errors import RefusedError
from sluice_ledger import Ledger, Release
from sluice_text import printable

# More than anyone reads; a year of ten releases a day is 3650.
MOST_SHOWN = 10_000
Told = dict[str, Any]


def history(settings: Settings, service: object = None, limit: object = 20) -> list[Told]:
    """The latest releases of one service, or of all, newest first; each as `told` gives it."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_SHOWN:
        raise RefusedError(f"limit {shown(limit)} is not a number of releases (want 1 to {MOST_SHOWN})")
    name = settings.service(service).name if service is not None else None
    return [told(release) for release in Ledger(settings.ledger).history(name, limit)]


def show(ledger: Ledger, id_: object) -> Told:
    """One release as `told` gives it, with its `steps`, its `hosts`, and its `artifact` or None."""
    release = ledger.release(id_)
    artifact = ledger.artifact(release.service, release.version)
    return told(release) | {
        "steps": ledger.steps(release),
        "hosts": [asdict(row) for row in ledger.hosts(release)],
        "artifact": asdict(artifact) if artifact else None,
    }


def told(release: Release, now: datetime | None = None) -> Told:
    """
    A release, with `seconds` it took or has taken so far (None for one that waits for its turn), and
    `interrupted`: True if it should be running, and its process is gone.
    """
    until = datetime.fromisoformat(release.ended_at) if release.ended_at else now or datetime.now(UTC)
    took = (until - datetime.fromisoformat(release.started_at)).total_seconds()
    interrupted = release.state == "running" and not (release.held_elsewhere or release.held_here)
    return asdict(release) | {
        "seconds": None if release.state == "queued" else max(0, round(took)),
        "interrupted": interrupted,
    }


def history_text(rows: list[Told]) -> str:
    """Releases as an operator reads them: a line each, and one for the reason."""
    if not rows:
        return "no release yet"
    lines = _columns(
        [
            (str(row["id"]), row["service"], row["kind"], row["version"], state_text(row), row["started_at"],
             took_text(row["seconds"]), by_text(row))
            for row in rows
        ]
    )  # fmt: skip
    return "\n".join(
        f"{line}\n      {printable(row['reason'])}" if row["reason"] else line
        for line, row in zip(lines, rows, strict=True)
    )


def show_text(row: Told) -> str:
    """A release, its steps and hosts, as an operator reads them."""
    return "\n".join(_show_lines(row))


def _show_lines(row: Told) -> Iterator[str]:
    yield f"release {row['id']} of {row['service']}: {row['kind']}, {row['version']}, {state_text(row)}"
    facts = {
        "before": row["previous"] or "no version",
        "by": by_text(row),
        "began": row["started_at"],
        "took": took_text(row["seconds"]),
        "reason": row["reason"],
    }
    if row["artifact"]:
        facts |= {"artifact": row["artifact"]["url"], "sha256": row["artifact"]["sha256"]}
    yield from (f"  {name:<9}{printable(value)}" for name, value in facts.items() if value)
    yield from _columns([("  step", one["name"], one["at"], one["note"]) for one in row["steps"]])
    yield from _columns(
        [
            ("  host", one["host"], f"batch {one['batch']}", one["state"], f"before {one['before'] or '-'}",
             one["at"], one["note"])
            for one in row["hosts"]
        ]
    )  # fmt: skip


def state_text(row: Told) -> str:
    """The state, and whether it is still true."""
    return f"{row['state']}, interrupted" if row["interrupted"] else str(row["state"])


def by_text(row: Told) -> str:
    """Who, and what asked for it, if that is not the same."""
    same = row["trigger"] in ("", f"operator {row['who']}")
    return str(row["who"]) if same else f"{row['who']}, {row['trigger']}"


def took_text(seconds: int | None) -> str:
    """How long, in the two largest units."""
    if seconds is None:
        return "-"
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def _columns(rows: list[tuple[str, ...]]) -> Iterable[str]:
    """Rows with their cells below each other, as printable text."""
    cells = [tuple(printable(cell) for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
