"""What the demo of rolling updates found: the verdict, the table and build/demo-rolling.json."""

from __future__ import annotations

from typing import Any

from lab.demo.report import lines

HOSTS = 5
MUST_BE_ZERO = {
    "failed": "requests failed",
    "lost_writes": "acknowledged writes are gone",
    "logged_out_users": "users were logged out",
}
# The host whose update the master's death cut off; all others are left alone.
REPEATED = 1


def problems(result: dict[str, Any]) -> list[str]:
    """What of the demo's promises was not kept."""
    found = [f"{result[key]} {text} (want 0)" for key, text in MUST_BE_ZERO.items() if result[key]]
    if result["hosts"] != HOSTS:
        found.append(f"the update reached {result['hosts']} hosts (want {HOSTS})")
    touched, repeated = result["bad_version"]["hosts_touched"], result["resume"]["hosts_repeated"]
    if touched != 1:
        found.append(f"the bad version touched {touched} hosts (want 1)")
    if not result["bad_version"]["reverted"]:
        found.append("the host with the bad version was not reverted")
    if repeated > REPEATED:
        found.append(f"resuming repeated {repeated} hosts (want at most {REPEATED})")
    return found


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    bad, resume = result["bad_version"], result["resume"]
    reverted = "reverted" if bad["reverted"] else "NOT REVERTED"
    return lines(
        [
            ("hosts", str(result["hosts"])),
            ("requests", f"{result['requests']}, {result['failed']} failed"),
            ("lost writes", str(result["lost_writes"])),
            ("logged-out users", str(result["logged_out_users"])),
            ("push to last host", f"{result['push_to_last_host_seconds']:.1f} s"),
            ("roll", f"{result['roll_seconds']:.1f} s (a bare batch: {result['bare_batch_seconds']:.1f} s)"),
            ("bad version", f"{bad['hosts_touched']} host touched, {reverted}"),
            (
                "master killed",
                f"{resume['hosts_repeated']} hosts repeated, done {resume['seconds']:.1f} s after resume",
            ),
        ]
    )
