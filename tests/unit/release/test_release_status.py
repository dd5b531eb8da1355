"""The report as text."""

import sluice_status

REPORT = {
    "service": "checkbox",
    "release": None,
    "alert": None,
    "hosts": {
        "canary-1": {"track": "canary", "version": None, "error": None},
        "checkbox-1": {"track": "stable", "version": "v1", "error": None},
        "checkbox-2": {"track": "stable", "version": None, "error": "no answer within 5 s"},
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


def test_failed_release_shows_its_reason():
    release = {
        "id": 3,
        "version": "v2",
        "state": "failed",
        "who": "root",
        "started_at": "10:00",
        "ended_at": "10:01",
    }
    text = sluice_status.text({"checkbox": REPORT | {"release": release | {"reason": "verify: too slow"}}})
    assert "3: v2 failed, by root, started 10:00, ended 10:01: verify: too slow" in text
