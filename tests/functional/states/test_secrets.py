"""Secrets: where they land, who may read them there, and what an empty one gets."""

import getpass
import hashlib
import json
import os
from pathlib import Path

import pytest
from states_support import FLEET

# Every secret of the lab starts so.
FAKE = "lab-fake-"
REQUISITES = {"require", "require_in", "watch", "watch_in", "onchanges", "order", "failhard"}
REDIS_USERS = [
    "admin",
    "balancer",
    "operator",
    "probe",
    "reader",
    "release",
    "replication",
    "sentinel",
    "writer",
]
# The keys of pillar/prod that hold no secret yet, by the minion whose role needs them, or by the role.
EMPTY = {
    "master": [
        "redis:users:admin:password",
        "redis:users:release:password",
        "redis:users:writer:password",
        "release_settings:alert_token",
        "salt_api:users:jenkins:password",
    ],
    "lb-1": [
        "balancer:admin_token",
        "balancer:alert_tokens:canary-1",
        "balancer:alert_tokens:master",
        *(f"balancer:host_tokens:itrust-{number}" for number in range(1, 6)),
        "redis:users:balancer:password",
    ],
    "redis-1": [f"redis:users:{name}:password" for name in REDIS_USERS],
    "checkbox-1": ["mongodb:users:checkbox:password"],
    "itrust-1": ["mariadb:users:itrust:password", "mariadb:users:itrust_schema:password"],
    "flags": ["flags:tokens:checkbox", "redis:users:reader:password"],
    "checkbox-2": [
        "checkbox:env:MAIL_PASSWORD",
        "checkbox:env:MONGO_PASSWORD",
        "redis:users:reader:password",
    ],
    "canary-1": [
        "checkbox:env:ALERT_TOKEN",
        "checkbox:env:MAIL_PASSWORD",
        "checkbox:env:MONGO_PASSWORD",
        "redis:users:reader:password",
    ],
}
# What the flag service reads.
FLAGS = {"flags.tokens.json", "flags.redis.password"}


def secrets_of(value):
    """Every secret in a pillar, and what a password file may hold in its stead."""
    if isinstance(value, dict):
        return {found for one in value.values() for found in secrets_of(one)}
    if isinstance(value, str) and value.startswith(FAKE):
        return {value, hashlib.sha256(value.encode()).hexdigest()}
    return set()


def holds(text, secrets):
    return any(secret in text for secret in secrets)


def rendered(one, chunk):
    """The template of a file state with what it is given; empty if it has none."""
    if not str(chunk.get("source", "")).startswith("salt://"):
        return ""
    dest = Path(one.opts["cachedir"]) / "rendered"
    if chunk.get("template"):
        arguments = {"template": chunk["template"], "context": chunk.get("context", {})}
        one.modules["cp.get_template"](chunk["source"], str(dest), **arguments)
    else:
        one.modules["cp.get_file"](chunk["source"], str(dest))
    return dest.read_text(errors="replace")


def file_states(one):
    """The file states of a machine that hold a secret, in what they are given or in what becomes of it."""
    secrets = secrets_of(one.pillar)
    chunks = one.modules["state.show_lowstate"]()
    return [
        chunk
        for chunk in chunks
        if holds(json.dumps(chunk), secrets)
        or (chunk["state"] == "file" and chunk["fun"] == "managed" and holds(rendered(one, chunk), secrets))
    ]


@pytest.mark.parametrize(
    ("minion_id", "files"),
    [
        ("master", {"release.json", "api.users"}),
        ("lb-1", {"admin.token", "redis.password", "alert.tokens.json", "host.tokens.json"}),
        ("redis-1", set()),
        ("redis-2", set()),
        ("git-1", set()),
        ("checkbox-1", {"mongodb-users.json", "checkbox.env", *FLAGS}),
        ("checkbox-2", {"checkbox.env", *FLAGS}),
        ("canary-1", FLAGS),
    ],
)
def test_secrets_land_in_files_that_their_reader_alone_can_read(machine, minion_id, files):
    chunks = file_states(machine(minion_id))
    assert {Path(chunk["name"]).name for chunk in chunks} == files
    for chunk in chunks:
        assert (chunk["state"], chunk["fun"]) in (("file", "managed"), ("file", "serialize")), chunk["__id__"]
        assert chunk["show_changes"] is False, chunk["__id__"]
        assert chunk["mode"] in ("0400", "0600", "0640"), chunk["__id__"]
        assert FAKE not in chunk["name"] + chunk["__id__"]


@pytest.mark.parametrize("minion_id", ["master", "lb-1", "checkbox-1"])
def test_no_return_of_a_state_holds_a_secret(machine, minion_id, tmp_path):
    one = machine(minion_id)
    secrets = secrets_of(one.pillar)

    def run(chunk, target, test=False):
        mine = {"name": str(target), "user": getpass.getuser(), "group": os.getegid()}
        return one.call({key: value for key, value in chunk.items() if key not in REQUISITES} | mine, test)

    for number, chunk in enumerate(file_states(one)):
        target = tmp_path / str(number)
        planned = run(chunk, target, test=True)
        assert planned["result"] is None, planned
        assert not target.exists()
        made = run(chunk, target)
        assert made["result"] is True, made
        assert holds(target.read_text(), secrets)
        assert f"{os.stat(target).st_mode & 0o7777:04o}" == chunk["mode"]
        target.write_text(f"{FAKE}old")
        replaced = run(chunk, target)
        assert replaced["changes"]
        assert run(chunk, target)["changes"] == {}
        assert not holds(json.dumps([planned, made, replaced]), secrets | {FAKE})


def low_of(one, sls):
    """The states of a file, in the order they run, with the machine's extra pillar."""
    low = one.modules["state.show_low_sls"](sls, pillar=one.opts["pillar_override"])
    assert all(isinstance(chunk, dict) for chunk in low), low
    return sorted(low, key=lambda chunk: chunk["order"])


@pytest.mark.parametrize(
    ("minion_id", "sls"),
    [
        ("master", "master"),
        ("lb-1", "balancer"),
        ("redis-1", "redis"),
        ("checkbox-1", "mongodb"),
        ("checkbox-2", "checkbox"),
        ("canary-1", "checkbox"),
        ("checkbox-2", "flags"),
    ],
)
def test_the_first_state_of_a_role_refuses_its_empty_secrets(machine, minion_id, sls):
    first = low_of(machine(minion_id, "prod"), sls)[0]
    keys = EMPTY.get(sls, EMPTY[minion_id])
    verb = "is" if len(keys) == 1 else "are"
    assert (first["state"], first["fun"], first["failhard"]) == ("refuse", "because", True)
    assert first["name"] == (
        f"pillar {', '.join(keys)} {verb} empty; put a secret of your own there, see docs/reference/pillar.md"
    )


def test_a_run_with_an_empty_secret_ends_before_it_begins(machine, tmp_path):
    witness = tmp_path / "witness"
    (tmp_path / "files").mkdir()
    (tmp_path / "files/role.sls").write_text(
        f"role-first:\n  file.touch:\n    - name: {witness}\n    - order: 1\n"
        '{%- from "secrets.jinja" import required %}\n'
        '{{ required("role", {"role:token": pillar.token}) }}\n'
    )
    one = machine("git-1")
    one.opts["file_roots"]["base"].append(str(tmp_path / "files"))
    refused = one.modules["state.sls"]("role", pillar={"token": ""})
    assert [ret["result"] for ret in refused.values()] == [False]
    assert "pillar role:token is empty" in next(iter(refused.values()))["comment"]
    assert not witness.exists()
    assert [ret["result"] for ret in one.modules["state.sls"]("role", pillar={"token": "x"}).values()] == [
        True
    ]
    assert witness.exists()


def test_secrets_that_are_there_are_not_asked_for(machine):
    for minion_id in FLEET:
        low = machine(minion_id).modules["state.show_lowstate"]()
        assert [chunk for chunk in low if chunk["state"] == "refuse"] == []


def refusals(one, sls):
    low = low_of(one, sls)
    return low, [chunk["name"] for chunk in low if chunk["state"] == "refuse"]


def test_a_variable_without_value_is_an_empty_secret(machine):
    env = {"MONGO_PASSWORD": "x", "MAIL_PASSWORD": None, "FLAG": 0}
    _, said = refusals(machine("checkbox-2", extra_pillar={"checkbox": {"env": env}}), "checkbox")
    assert len(said) == 1
    assert "pillar checkbox:env:MAIL_PASSWORD is empty" in said[0]


SECRET = {"mongodb": {"users": {"checkbox": {"password": "a-secret"}}}}


@pytest.mark.parametrize(
    ("environment", "told", "said"),
    [
        ("prod", {"provider": "secantus"}, "mongodb:provider secantus is for the lab"),
        ("lab", {"provider": "secantus", "lab": False}, "mongodb:provider secantus is for the lab"),
        (
            "lab",
            {"provider": "mysql"},
            "mongodb:provider is mysql; want mongodb_org, secantus (lab) or external",
        ),
        ("lab", {"provider": None}, "mongodb:provider is None; want"),
        ("lab", {"provider": "../x"}, "mongodb:provider is ../x; want"),
        ("prod", {}, "pillar mongodb:key_sha256 is empty; put the sha256 of https://pgp.mongodb.com/"),
    ],
)
def test_a_database_that_cannot_be_meant_is_refused_and_nothing_else_is_done(
    machine, environment, told, said
):
    pillar = {"mongodb": SECRET["mongodb"] | told}
    one = machine("checkbox-1", environment, extra_pillar=pillar)
    low, refused = refusals(one, "mongodb")
    assert len(low) == len(refused) == 1
    assert said in refused[0]


@pytest.mark.parametrize(
    ("environment", "told", "service"),
    [
        ("lab", {}, "secantus"),
        ("prod", {"key_sha256": "0" * 64}, "mongod"),
        ("prod", {"provider": "external"}, None),
    ],
)
def test_each_database_provider_is_installed(machine, environment, told, service):
    pillar = {"mongodb": SECRET["mongodb"] | told}
    low, refused = refusals(machine("checkbox-1", environment, extra_pillar=pillar), "mongodb")
    assert refused == []
    assert [chunk["name"] for chunk in low if chunk["state"] == "service"] == ([service] if service else [])


def test_an_external_database_needs_no_password_here(machine):
    pillar = {"mongodb": {"provider": "external"}}
    assert refusals(machine("checkbox-1", "prod", extra_pillar=pillar), "mongodb")[1] == []
