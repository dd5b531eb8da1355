"""The status of a balancer as text."""

import sluice_show

STATUS = {
    "balancer": {"host": "lb-1", "version": "0.1.0", "started_at": "T0", "at": "T9"},
    "config": {"sha256": "abc", "loaded_at": "T1", "error": None},
    "workers": 2,
    "redis": "connected",
    "redis_servers": {"redis-1": {"reads": False}, "redis-2": {"reads": True}},
    "services": {
        "checkbox": {
            "listen": "0.0.0.0:80",
            "hosts": ["a.example", "b.example"],
            "tls": {"listen": "0.0.0.0:443", "error": None},
            "alert": None,
            "lease": None,
            "affinity": None,
            "monitor": {"state": "off", "said": "no limits are set"},
            "tracks": {
                "canary": {
                    "weight_declared": 30,
                    "weight_leased": None,
                    "weight_effective": 0,
                    "backends": {},
                },
                "stable": {
                    "weight_declared": 70,
                    "weight_leased": None,
                    "weight_effective": 100,
                    "backends": {
                        "checkbox-1": {
                            "address": "10.0.0.1:80",
                            "state": "up",
                            "in_flight": 3,
                            "health": "status 200 (want 200)",
                        },
                        "checkbox-10": {
                            "address": "10.0.0.10:80",
                            "state": "ejected",
                            "in_flight": 0,
                            "health": "status 200 (want 200)",
                            "ejected": {"until": "T8", "reason": "5 errors in a row", "times": 2},
                        },
                    },
                },
            },
        }
    },
}


def changed(**told):
    checkbox = {**STATUS["services"]["checkbox"], **told}
    return sluice_show.text({**STATUS, "services": {"checkbox": checkbox}}).splitlines()


def test_it_reads_from_the_balancer_down_to_each_backend():
    assert (
        sluice_show.text(STATUS)
        == """\
lb-1: version 0.1.0, 2 workers, Redis connected (redis-2), file of T1

checkbox at 0.0.0.0:80, https at 0.0.0.0:443, for a.example, b.example
  monitor: off, no limits are set
  stable 100% (declared 70%)
    checkbox-1   10.0.0.1:80   up       3 in flight  status 200 (want 200)
    checkbox-10  10.0.0.10:80  ejected  0 in flight  until T8: 5 errors in a row
  canary 0% (declared 30%)
    no backends"""
    )


def test_what_is_wrong_stands_out():
    alert = {"reason": "too slow", "by": "canary-1", "at": "T5", "door": "http"}
    assert "  ALERT since T5 by canary-1 (http): too slow" in changed(alert=alert)
    refused = sluice_show.text({**STATUS, "config": {"loaded_at": "T1", "error": "sum to 110, want 100"}})
    assert "FILE REFUSED, the last good one is in force: sum to 110, want 100" in refused
    tls = {"listen": "0.0.0.0:443", "error": "expired", "sha256": "ab"}
    assert "  CERTIFICATE REFUSED, the last good one is in force: expired" in changed(tls=tls)
    assert "  CERTIFICATE REFUSED, there is no other: expired" in changed(tls={**tls, "sha256": None})


def test_a_lease_and_an_affinity_are_told():
    lease = {"weights": {"stable": 90, "canary": 10.5}, "by": "admin", "until": "T7"}
    told = changed(lease=lease, affinity={"release": "r1"})
    assert "  lease: canary 10.5%, stable 90% until T7 by admin" in told
    assert "  affinity: release r1" in told


def test_the_status_of_an_older_balancer_is_shown_too():
    tracks = {"stable": {"weight_declared": 100, "weight_effective": 100, "backends": {}}}
    old = {
        "config": {"loaded_at": "T1", "error": None},
        "workers": 1,
        "redis": "off",
        "services": {"checkbox": {"alert": None, "tracks": tracks}},
    }
    said = sluice_show.text(old)
    assert said.startswith("balancer: 1 worker, Redis off, file of T1\n\ncheckbox\n")
    assert "  stable 100% (declared 100%)" in said
