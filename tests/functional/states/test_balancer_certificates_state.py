"""Certificates in pillar become files that the balancer alone can read, and nothing else shows them."""

import json

PEM = "-----BEGIN CERTIFICATE-----\nlab-fake\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nlab-fake-key\n-----END PRIVATE KEY-----\n"
LISTEN = {"listen": "0.0.0.0:443", "redirect": True}


def low(machine, tls, environment="lab"):
    extra = {"balancer": {"services": {"checkbox": {"tls": tls}}}}
    one = machine("lb-1", environment, extra_pillar=extra)
    return one.modules["state.show_low_sls"]("balancer", pillar=one.opts["pillar_override"])


def settings(chunks):
    (configured,) = [chunk for chunk in chunks if chunk["__id__"] == "balancer-config"]
    return configured["settings"]["services"]["checkbox"]["tls"]


def test_a_pair_of_pillar_lands_in_files_of_the_balancer_alone(machine):
    chunks = low(machine, {**LISTEN, "certificate": PEM, "key": KEY})
    pairs = {chunk["name"]: chunk for chunk in chunks if chunk["__id__"].startswith("balancer-tls-checkbox")}
    assert {name: chunk["contents"] for name, chunk in pairs.items()} == {
        "/etc/sluice/tls/checkbox.pem": PEM,
        "/etc/sluice/tls/checkbox.key": KEY,
    }
    for chunk in pairs.values():
        assert (chunk["user"], chunk["mode"], chunk["show_changes"]) == ("sluice", "0400", False)
        assert {"balancer": "balancer-config"} in chunk["require_in"]
    assert settings(chunks) == {
        **LISTEN,
        "certificate_file": "/etc/sluice/tls/checkbox.pem",
        "key_file": "/etc/sluice/tls/checkbox.key",
    }
    assert "lab-fake-key" not in json.dumps([chunk for chunk in chunks if chunk["name"] not in pairs])


def test_files_that_are_there_are_named_and_not_touched(machine):
    files = {"certificate_file": "/etc/pki/a.pem", "key_file": "/etc/pki/a.key"}
    chunks = low(machine, {**LISTEN, **files})
    assert settings(chunks) == {**LISTEN, **files}
    assert [chunk for chunk in chunks if "tls" in chunk["__id__"]] == []


def test_an_empty_key_is_refused_before_anything_is_touched(machine):
    chunks = low(machine, {**LISTEN, "certificate": PEM, "key": ""})
    first = min(chunks, key=lambda chunk: chunk["order"])
    assert first["fun"] == "because"
    assert first["name"].startswith("pillar balancer:services:checkbox:tls:key is empty")


def test_without_tls_there_are_no_such_files(machine):
    one = machine("lb-1")
    assert [c for c in one.modules["state.show_low_sls"]("balancer") if "tls" in c["__id__"]] == []
