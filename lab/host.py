"""
What a machine inherits from the computer the lab runs on: package sources, proxies, certificates.

Without these a machine behind a proxy with its own certificate authority could install nothing. Values are
copied, never shown: they may hold credentials.
"""

from __future__ import annotations

import configparser
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import files
from lab.errors import LabError
from lab.process import run

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
LOCAL_AUTHORITIES = Path("/usr/local/share/ca-certificates")
# Settings of pip, npm, git and TLS that are worth having in the machines too, if they are set here.
ENVIRONMENT = re.compile(
    r"(https?|ftp|no|all)_proxy|PIP_[A-Z_]+|npm_config_[a-z_]+|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|SSL_CERT_DIR"
    r"|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|GIT_SSL_CAINFO",
    re.IGNORECASE,
)
# These name places or habits of this computer and would break the same tool in a machine.
NOT_INHERITED = {
    "PIP_FIND_LINKS", "PIP_CACHE_DIR", "PIP_CONFIG_FILE", "PIP_TARGET", "PIP_PREFIX", "PIP_USER",
    "PIP_REQUIRE_VIRTUALENV", "PIP_CONSTRAINT", "PIP_REQUIREMENT", "NPM_CONFIG_PREFIX", "NPM_CONFIG_CACHE",
    "NPM_CONFIG_USERCONFIG", "NPM_CONFIG_GLOBALCONFIG", "NPM_CONFIG_NODEDIR", "NPM_CONFIG_TMP",
}
NOT_INHERITED_NPM = {"prefix", "cache", "userconfig", "globalconfig", "nodedir", "tmp", "shell", "editor"}


@dataclass(frozen=True)
class Inherited:
    """Files for a machine: path in the machine to content."""

    files: Mapping[str, bytes]

    def write(self, root: Path) -> None:
        """Put them into a machine's root directory."""
        for path, content in self.files.items():
            files.write(root / path.lstrip("/"), content)


def inherited(own_addresses: tuple[str, ...] = ()) -> Inherited:
    """
    This computer's apt, pip, npm, Maven and certificate settings as files of a machine.

    own_addresses (tuple of str)
        Names and addresses that must not go through a proxy: the lab's own.
    """
    variables = environment(os.environ, own_addresses)
    npm = npm_settings([Path("/etc/npmrc"), Path("/usr/etc/npmrc"), Path.home() / ".npmrc"])
    pip = pip_settings(pip_files())
    maven = maven_settings([Path.home() / ".m2/settings.xml", Path("/etc/maven/settings.xml")])
    made = {
        "/etc/apt/sources.list": "\n".join(debian_sources()) + "\n",
        "/etc/apt/apt.conf.d/90inherited": apt_settings(),
        "/etc/pip.conf": pip,
        "/etc/npmrc": npm,
        "/etc/environment": "".join(f'{key}="{value}"\n' for key, value in variables.items()),
        "/etc/systemd/system.conf.d/inherited.conf": manager_settings(variables),
    }
    named = [*variables.values(),
             *re.findall(r"^\s*(?:cert|client-cert|cafile)\s*=\s*(\S+)", pip + npm, re.M)]
    made |= {"/etc/maven/settings.xml": maven} if maven else {}
    return Inherited({**copies(named), **{path: text.encode() for path, text in made.items()}})


def copies(named: list[str]) -> dict[str, bytes]:
    """The certificate bundle, local authorities, and every certificate file that a setting names."""
    paths = [Path(CA_BUNDLE), *sorted(LOCAL_AUTHORITIES.glob("*.crt"))]
    paths += [Path(value) for value in named if value.startswith("/") and value.endswith((".crt", ".pem"))]
    return {str(path): path.read_bytes() for path in paths if path.is_file()}


def debian_sources() -> list[str]:
    """`deb URI SUITE COMPONENTS` for each Debian suite that this computer's apt uses, the main one first."""
    text = run(["apt-get", "indextargets", "--format", "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)",
                "Created-By: Packages"])
    return sources_of(text)


def sources_of(targets: str) -> list[str]:
    """The source lines of Debian 12 in the output of `apt-get indextargets`."""
    suites: dict[tuple[str, str], list[str]] = {}
    for line in targets.splitlines():
        uri, release, component, origin = (line.split("|") + [""] * 4)[:4]
        if origin == "Debian" and release.startswith("bookworm"):
            parts = suites.setdefault((release, uri), [])
            if component not in parts:
                parts.append(component)
    lines = [f"deb {uri} {release} {' '.join(parts)}" for (release, uri), parts in sorted(suites.items())]
    if not lines or lines[0].split()[2] != "bookworm":
        raise LabError("apt here knows no Debian 12 (bookworm) archive: run `apt-get update` and try again")
    return lines


def apt_settings() -> str:
    """apt's proxies, certificates and the like."""
    lines = run(["apt-config", "dump"]).splitlines()
    kept = [line for line in lines
            if line.startswith("Acquire::") and not line.startswith("Acquire::IndexTargets")]
    return "\n".join(kept) + "\n"


def environment(env: Mapping[str, str], own_addresses: tuple[str, ...] = ()) -> dict[str, str]:
    """The settings of ENVIRONMENT that are set here; with a proxy, the lab's own addresses go past it."""
    found = {
        key: value for key, value in sorted(env.items())
        if ENVIRONMENT.fullmatch(key) and key.upper() not in NOT_INHERITED and "\n" not in value
    }
    if any(key.lower() in ("http_proxy", "https_proxy", "all_proxy") for key in found):
        for key in ("no_proxy", "NO_PROXY"):
            found[key] = ",".join([*filter(None, [found.get(key)]), "localhost", "127.0.0.1", *own_addresses])
    return found


def manager_settings(variables: Mapping[str, str]) -> str:
    """The same variables for every service of a machine, in systemd's quoting."""
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'

    words = " ".join(quoted(f"{key}={value}") for key, value in variables.items())
    return f"[Manager]\nDefaultEnvironment={words}\n"


def pip_files() -> list[Path]:
    """Where pip reads its settings, in its order."""
    home = Path.home()
    found = [Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"), home / ".pip/pip.conf",
             home / ".config/pip/pip.conf"]
    named = os.environ.get("PIP_CONFIG_FILE")
    return [*found, *([Path(named)] if named else [])]


def pip_settings(paths: list[Path]) -> str:
    """pip's settings of this computer, with the image's wheelhouse in place of its own link pages."""
    merged = configparser.RawConfigParser(strict=False)
    for path in paths:
        try:
            merged.read(path)
        except (configparser.Error, UnicodeDecodeError) as error:
            raise LabError(f"{path}: {type(error).__name__}; pip cannot read it either") from error
    if not merged.has_section("global"):
        merged.add_section("global")
    for section in merged.sections():
        merged.remove_option(section, "find-links")
    merged.set("global", "find-links", "/opt/wheelhouse")
    text = io.StringIO()
    merged.write(text)
    return text.getvalue()


def npm_settings(paths: list[Path], env: Mapping[str, str] = os.environ) -> str:
    """npm's settings of this computer: registry, credentials, proxies, certificates."""
    lines = [line.strip() for path in paths if path.is_file()
             for line in path.read_text(errors="replace").splitlines()]
    kept = [re.sub(r"\$\{(\w+)\}", lambda found: env.get(found.group(1), ""), line) for line in lines
            if "=" in line and not line.startswith(("#", ";")) and npm_key(line) not in NOT_INHERITED_NPM]
    if not any(npm_key(line) == "cafile" for line in kept):
        kept.append(f"cafile={CA_BUNDLE}")
    return "\n".join(kept) + "\n"


def npm_key(line: str) -> str:
    return line.partition("=")[0].strip()


def maven_settings(paths: list[Path]) -> str:
    """Maven's mirrors, proxies and credentials: of the first file that is there, without its place here."""
    for path in paths:
        if path.is_file():
            text = path.read_text(errors="replace")
            return re.sub(r"<localRepository>.*?</localRepository>", "", text, flags=re.DOTALL)
    return ""


def resolver(paths: tuple[str, ...] = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")) -> str:
    """
    The resolv.conf of a machine: this computer's, if its name servers can be reached from a machine.

    A name server on this computer's loopback cannot: then the list behind systemd-resolved is taken, and
    without one the file is empty (a machine that cannot resolve fails at once instead of waiting).
    """
    for path in paths:
        text = Path(path).read_text() if Path(path).is_file() else ""
        servers = re.findall(r"^\s*nameserver\s+(\S+)", text, re.M)
        if servers and not any(server.startswith("127.") or server == "::1" for server in servers):
            return text
    return ""
