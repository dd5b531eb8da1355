"""The metrics are what Prometheus takes: by its own checker where it is at hand, by its parser everywhere."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from misbehaving import Backend
from prometheus_client.parser import text_string_to_metric_families
from running import Balancer, ask

# Where `make promtool` puts it.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice-tools"
PROMTOOL = shutil.which("promtool") or shutil.which("promtool", path=CACHE)
TYPES = {
    "sluice_requests": "counter",
    "sluice_request_seconds": "histogram",
    "sluice_in_flight_requests": "gauge",
    "sluice_weight_declared_percent": "gauge",
    "sluice_weight_effective_percent": "gauge",
    "sluice_alert": "gauge",
    "sluice_ejections": "counter",
    "sluice_retries": "counter",
    "sluice_reloads": "counter",
    "sluice_auth_failures": "counter",
}


@pytest.fixture(scope="module")
def told(loop, tmp_path_factory):
    """What a balancer tells after some traffic."""
    backends = [Backend(loop, name).start() for name in ("stable-1", "canary-1")]
    tracks = {"stable": backends[:1], "canary": backends[1:]}
    shop = Balancer(tmp_path_factory.mktemp("metrics"), tracks, {"stable": 70, "canary": 30}).start()
    shop.wait_for_backends().served_by(10)
    shop.get("/status?code=500")
    yield ask(shop.admin_port, "GET", "/metrics")
    shop.stop()
    for one in backends:
        one.stop()


def test_the_parser_of_prometheus_takes_them_and_each_has_a_help_text(told):
    assert told.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(told.body.decode())}
    assert {name: families[name].type for name in TYPES} == TYPES
    assert [name for name, family in families.items() if not family.documentation] == []
    assert all(name.startswith("sluice_") for name in families)
    assert sum(sample.value for sample in families["sluice_requests"].samples) == 11


def test_histograms_grow_from_bucket_to_bucket_and_end_in_their_count(told):
    families = {family.name: family for family in text_string_to_metric_families(told.body.decode())}
    rows = {}
    for sample in families["sluice_request_seconds"].samples:
        who = tuple(sorted((key, value) for key, value in sample.labels.items() if key != "le"))
        rows.setdefault(who, {}).setdefault(sample.name.rpartition("_")[2], []).append(sample)
    for row in rows.values():
        counts = [sample.value for sample in row["bucket"]]
        assert counts == sorted(counts)
        assert row["bucket"][-1].labels["le"] == "+Inf"
        assert counts[-1] == row["count"][0].value


@pytest.mark.skipif(
    PROMTOOL is None, reason="no promtool here; `make promtool` builds it where Go is at hand"
)
def test_promtool_has_nothing_to_say(told):
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=told.body, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
