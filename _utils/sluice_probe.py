"""Judge what the probes of a canary brought back. Pure: the probing itself is done by _modules/probe.py."""

from typing import Any

from sluice_config import Probe

# One field per line of evidence: enough to start looking, short enough to read.
EXAMPLES = 3


def problem(result: dict[str, Any], limits: Probe, version: str) -> str | None:
    """
    What is not good enough in `result` of probe.http, in one line, or None if the canary is good.

    A result with too few requests is no evidence and counts as bad.
    """
    requests = int(result.get("requests", 0))
    if requests < limits.count:
        return f"only {requests} of {limits.count} probe requests were made"
    ratio = int(result["errors"]) / requests
    if ratio > limits.max_error_ratio:
        examples = "; ".join(str(line) for line in result.get("failures", [])[:EXAMPLES])
        return (
            f"{result['errors']} of {requests} probe requests failed ({ratio:.1%}, want at most "
            f"{limits.max_error_ratio:.1%}): {examples}"
        )
    if float(result["p95_ms"]) > limits.max_p95_ms:
        return (
            f"p95 of {requests} probe requests is {result['p95_ms']:.0f} ms, "
            f"want at most {limits.max_p95_ms:g} ms"
        )
    return _wrong_version(result, limits, version)


def _wrong_version(result: dict[str, Any], limits: Probe, version: str) -> str | None:
    seen = [value for value in result.get("versions", []) if value]
    if limits.version_header and seen != [version]:
        answers = ", ".join(seen) or "unknown"
        return f"it answers as version {answers} ({limits.version_header}), want {version}"
    return None


def summary(result: dict[str, Any]) -> str:
    """One line for the ledger and the screen."""
    return f"{result['requests']} requests, {result['errors']} errors, p95 {result['p95_ms']:.0f} ms"
