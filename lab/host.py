"""What a machine inherits from the computer the lab runs on: package sources, proxies, certificates.

Without these a machine behind a proxy with its own certificate authority could install nothing.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from lab.errors import LabError
from lab.process import run

CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
# Settings of pip, npm and TLS that are worth having in the machines too, if they are set here.
ENVIRONMENT = re.compile(r"(https?|no|all)_proxy|PIP_[A-Z_]+|npm_config_[a-z_]+|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE",
                         re.IGNORECASE)
NOT_INHERITED = {"PIP_FIND_LINKS"}


def debian_sources() -> list[str]:
    """`deb URI SUITE COMPONENTS` for each Debian suite that this computer's apt uses, the main one first."""
    text = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)",
                "Created-By: Packages"])
    return sources_of(text)


def sources_of(targets: str) -> list[str]:
    """The source lines of Debian 12 in the output of `apt-get indextargets`."""
    suites: dict[tuple[str, str], list[str]] = {}
    for line in targets.splitlines():
        uri, release, component, *origin = line.split()
        if origin == ["Debian"] and release.startswith("bookworm"):
            suites.setdefault((release, uri), []).append(component)
    lines = [f"deb {uri} {release} {' '.join(parts)}" for (release, uri), parts in sorted(suites.items())]
    if not lines or lines[0].split()[2] != "bookworm":
        raise LabError("apt here knows no Debian 12 (bookworm) archive: run `apt-get update` and try again")
    return lines


def inherit(root: Path) -> None:
    """Give an image this computer's apt, pip, npm and certificate settings."""
    (root / "etc/apt/sources.list").write_text("\n".join(debian_sources()) + "\n")
    acquire = [line for line in run(["apt-config", "dump"]).splitlines()
               if line.startswith("Acquire::") and not line.startswith("Acquire::IndexTargets")]
    (root / "etc/apt/apt.conf.d/90inherited").write_text("\n".join(acquire) + "\n")
    if CA_BUNDLE.exists():
        shutil.copy(CA_BUNDLE, root / "etc/ssl/certs/ca-certificates.crt")
    inherit_pip(root)
    inherit_npm(root)
    (root / "etc/environment").write_text("".join(f'{k}="{v}"\n' for k, v in environment().items()))
    defaults = root / "etc/systemd/system.conf.d"
    defaults.mkdir(parents=True, exist_ok=True)
    words = " ".join(f'"{k}={v}"' for k, v in environment().items())
    (defaults / "inherited.conf").write_text(f"[Manager]\nDefaultEnvironment={words}\n" if words else "")


def environment() -> dict[str, str]:
    """The settings of ENVIRONMENT that are set here."""
    return {k: v for k, v in sorted(os.environ.items()) if ENVIRONMENT.fullmatch(k) and k not in NOT_INHERITED}


def inherit_pip(root: Path) -> None:
    """pip's settings of this computer, plus the image's wheelhouse."""
    found = [Path("/etc/pip.conf"), Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf"]
    lines = [line for path in found if path.exists() for line in path.read_text().splitlines()]
    settings = [line for line in lines if "=" in line and not line.strip().startswith(("find-links", "#"))]
    settings.append("find-links = /opt/wheelhouse")
    (root / "etc/pip.conf").write_text("[global]\n" + "\n".join(settings) + "\n")


def inherit_npm(root: Path) -> None:
    """npm's settings of this computer: registry, proxies, certificates."""
    npmrc = Path.home() / ".npmrc"
    if npmrc.exists():
        target = root / "etc/npmrc"
        shutil.copy(npmrc, target)
        target.chmod(0o644)
