"""The daily copy of the ledger: its units as the state writes them, and what they call."""

import inspect
import shlex
import subprocess

import pytest
import salt.loader
import salt.utils.args
import sluice_ledger_orders
from sluice_ledger import Ledger
from states_support import REPO


@pytest.fixture
def units(machine, tmp_path):
    """units(**backup): the text of the service and of the timer."""

    def made(**backup):
        one = machine("master", extra_pillar={"master": {"backup": backup}})
        low = {chunk["__id__"]: chunk for chunk in one.modules["state.show_lowstate"]()}
        assert {"file": "master-backup-timer"} in low["master-backup-scheduled"]["watch"]
        texts = []
        for kind in ("service", "timer"):
            place = tmp_path / f"sluice-ledger-backup.{kind}"
            chunk = low[f"master-backup-{kind}"] | {"name": str(place)}
            ret = one.call({key: value for key, value in chunk.items() if key != "require"})
            assert ret["result"] is True, ret
            texts.append(place.read_text())
        return texts

    return made


def called(service):
    """The words after `ExecStart=salt-run`."""
    (line,) = (one for one in service.splitlines() if one.startswith("ExecStart="))
    command, *words = shlex.split(line.removeprefix("ExecStart="))
    assert command == "salt-run"
    return words


def test_copy_is_made_daily_and_fourteen_are_kept(units):
    service, timer = units()
    assert called(service) == ["release.backup", "directory=/var/backups/sluice/ledger", "keep=14"]
    assert "OnCalendar=*-*-* 02:15:00" in timer.splitlines() and "Persistent=true" in timer.splitlines()


def test_what_the_unit_calls_is_a_function_of_the_runner_and_makes_a_copy(units, tmp_path):
    function, *words = called(units(directory=str(tmp_path / "my copies"), keep=2)[0])
    args, kwargs = salt.utils.args.parse_input(words, condition=False)
    name = function.removeprefix("release.")
    runner = salt.loader.LazyLoader(
        [str(REPO / "_runners")], {"extension_modules": "", "optimization_order": [0]}, tag="runners"
    )
    assert set(kwargs) <= set(inspect.signature(runner[f"release.{name}"]).parameters) and not args
    assert str(tmp_path / "my copies") in sluice_ledger_orders.backup(
        Ledger(str(tmp_path / "ledger.db")), **kwargs
    )
    assert len(list((tmp_path / "my copies").glob("ledger-*.db"))) == 1


def test_systemd_takes_the_units_and_the_calendar(units, tmp_path):
    _, timer = units()
    calendar = timer.partition("OnCalendar=")[2].splitlines()[0]
    when = subprocess.run(
        ["systemd-analyze", "calendar", calendar], capture_output=True, text=True, timeout=30
    )
    assert when.returncode == 0 and "02:15:00" in when.stdout, when
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "sluice-ledger-backup.timer")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    # Where the tests run there is no salt-run on systemd's path; all else has to be good.
    told = [line for line in verified.stderr.splitlines() if "sluice-ledger" in line]
    assert not [line for line in told if "salt-run" not in line], verified.stderr
