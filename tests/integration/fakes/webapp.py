"""Stands in for _modules/webapp.py: what a host of `web` runs lies in a folder of the tests."""

from pathlib import Path


def version(service):
    home = Path(__opts__["fake_web"], __opts__["id"])  # noqa: F821 - put here by Salt's loader
    left = _text(home / "half_way")
    half_way = left and {"version": left, "from": None, "step": "verify", "reason": "503 from /health"}
    return {"version": _text(home / "version"), "half_way": half_way}


def _text(path):
    return path.read_text().strip() if path.exists() else None
