"""The balancer's unit: a restart, and even a crash, costs no user a request; and it may do little else."""

import re

from lab.process import wait_until

UNIT = "sluice-balancer"


def main_pid(fleet):
    return fleet.ok("lb-1", "systemctl", "show", "--property=MainPID", "--value", UNIT).strip()


def wait_for_another(fleet, before):
    """Wait until another process serves."""
    wait_until(lambda: main_pid(fleet) not in ("0", before), "another balancer starts", 30)
    # It waits for the start that is under way.
    fleet.ok("lb-1", "systemctl", "start", UNIT)
    assert fleet.weights()["stable"] > 0


def test_restart_fails_no_request(fleet, users):
    before = main_pid(fleet)
    fleet.ok("lb-1", "systemctl", "restart", UNIT)
    wait_for_another(fleet, before)


def test_crash_fails_no_request(fleet, users):
    before = main_pid(fleet)
    fleet.ok("lb-1", "kill", "-KILL", before)
    wait_for_another(fleet, before)


def test_systemd_knows_how_it_goes(fleet):
    said = fleet.ok("lb-1", "systemctl", "show", "--property=StatusText,WatchdogUSec", UNIT)
    assert "StatusText=2 of 2 workers; 1 services" in said
    assert "WatchdogUSec=30s" in said


def test_unit_is_exposed_to_little(fleet):
    said = fleet.ok("lb-1", "systemd-analyze", "security", "--no-pager", UNIT)
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert float(exposure[1]) < 2.5, said


def test_machine_runs_the_compiled_balancer(fleet):
    said = fleet.ok("lb-1", "/opt/sluice/balancer/venv/bin/python", "-m", "balancer", "--version")
    assert "compiled" in said
