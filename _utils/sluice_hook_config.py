"""Whose webhooks count for a service, and what they start: `push` of its settings in release.json. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Where a push webhook may come from; each signs in its own way, see sluice_webhook.
FORGES = ("github", "gitlab", "gitea")
# A shorter secret can be found by trying, once somebody has one signed message.
LEAST_SECRET = 16
BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}\Z")


@dataclass(frozen=True)
class PushSettings:
    """The secrets of the webhooks, and how a build is asked for."""

    # Forge to the secret that its webhook was given.
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    # The address that starts the build job, without its token; empty if no webhook starts one.
    trigger_url: str = ""
    trigger_token: str = field(default="", repr=False)


def read(raw: Mapping[str, Any]) -> PushSettings:
    """The settings in `raw`, each checked. ValueError with the key and what it wants, never with a secret."""
    unknown = sorted(set(raw) - {*FORGES, "trigger"})
    if unknown:
        raise ValueError(f"push: {', '.join(unknown)} is not a key (known: {', '.join(FORGES)}, trigger)")
    secrets = {forge: secret(raw[forge], f"push:{forge}") for forge in FORGES if raw.get(forge)}
    trigger = raw.get("trigger") or {}
    url = str(trigger.get("url") or "")
    if url and not re.match(r"https?://[^/\s@?#]+/[^\s?#]*\Z", url):
        raise ValueError("push:trigger:url (want an http or https address without log-in, ? or #)")
    if secrets and not url:
        raise ValueError("push:trigger:url is empty (want the address that starts the build job)")
    return PushSettings(secrets, url, str(trigger.get("token") or ""))


def branch(value: object) -> str:
    """The branch that is built; ValueError if its name has what a shell or git may take for an order."""
    if not isinstance(value, str) or not BRANCH.match(value) or ".." in value:
        raise ValueError(f"branch {str(value)[:60]!a} (want letters, digits, '.', '_', '-', '/')")
    return value


def secret(value: object, key: str) -> str:
    """`value` if it is a text of at least LEAST_SECRET characters; else ValueError."""
    if not isinstance(value, str) or len(value) < LEAST_SECRET or not value.isprintable():
        raise ValueError(f"{key} (want a secret of {LEAST_SECRET} printable characters or more)")
    return value
