"""The report as text."""

import sluice_status

REPORT = {
    "service": "checkbox",
    "release": None,
    "roll": None,
    "queued": None,
    "pin": None,
    "alert": None,
    "hosts": {
        "canary-1": {"track": "canary", "version": None, "half_way": "", "error": None},
        "checkbox-1": {"track": "stable", "version": "v1", "half_way": "", "error": None},
        "checkbox-2": {"track": "stable", "version": None, "half_way": "", "error": "no answer within 5 s"},
    },
    "balancers": {
        "lb-1": {
            "alert": None,
            "declared": {"canary": 30, "stable": 70},
            "effective": {"canary": 0, "stable": 100},
            "backends": {"canary-1": "drained"},
            "error": None,
        },
        "lb-2": {
            "alert": None,
            "declared": {},
            "effective": {},
            "backends": {},
            "error": "no answer within 5 s",
        },
    },
    "problems": ["lb-2: no answer within 5 s", "checkbox-2: no answer within 5 s"],
}


def test_report_reads_well():
    assert sluice_status.text({"checkbox": REPORT}).splitlines() == [
        "checkbox",
        "  release  none yet",
        "  alert    none found",
        "  host     canary-1         canary  nothing installed",
        "  host     checkbox-1       stable  v1",
        "  host     checkbox-2       stable  does not answer",
        "  weights  lb-1             canary 0 (declared 30), stable 100 (declared 70)  [canary-1 drained]",
        "  weights  lb-2             does not answer",
        "  PROBLEM  lb-2: no answer within 5 s",
        "  PROBLEM  checkbox-2: no answer within 5 s",
    ]


RELEASE = {
    "id": 3,
    "version": "v2",
    "state": "failed",
    "who": "root",
    "trigger": "",
    "started_at": "10:00",
    "ended_at": "10:01",
    "reason": "verify: too slow",
    "interrupted": False,
}


def test_failed_release_shows_its_reason():
    text = sluice_status.text({"checkbox": REPORT | {"release": RELEASE}})
    assert "3: v2 failed, by root, started 10:00, ended 10:01: verify: too slow" in text


def test_roll_tells_its_hosts_what_waits_and_the_pin():
    hosts = [{"state": "verified"}, {"state": "updating"}]
    roll = RELEASE | {"state": "running", "interrupted": True, "ended_at": None, "reason": "", "hosts": hosts}
    waits = RELEASE | {"id": 4, "version": "v3", "trigger": "push 1a2b3c4"}
    pin = {"service": "checkbox", "version": "v1", "who": "root", "reason": "bad\x1b", "at": "09:00"}
    text = sluice_status.text({"checkbox": REPORT | {"roll": roll, "queued": waits, "pin": pin}})
    assert text.splitlines()[1:5] == [
        "  roll     3: v2 running, interrupted, by root, started 10:00",
        "           1 of 2 hosts verified",
        "  queued   4: v3, by root, push 1a2b3c4, since 10:00",
        "  PINNED   checkbox is pinned to v1 by root since 09:00: bad?",
    ]


def test_update_that_was_left_half_way_is_told():
    host = {"track": "stable", "version": "v1", "half_way": "an update to v2 ended at switch", "error": None}
    text = sluice_status.text({"checkbox": REPORT | {"hosts": {"web-1": host}}})
    assert "web-1            stable  v1, an update to v2 ended at switch" in text
