"""webapp.running with a real Tomcat: its files rendered, switched, verified, reverted."""

import getpass
import grp
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from states_support import REPO

from tests.support.ports import free_port

HOME = Path("/usr/share/tomcat10")
WEB = '<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="5.0">{}</web-app>'
# Tomcat does not start an application whose listener is not there.
BROKEN = "<listener><listener-class>no.such.Listener</listener-class></listener>"
CONTEXT = '<Context docBase="{{ base }}" />\n<!-- {{ note }} -->\n'


class Host:
    """One machine: the unit is a Tomcat of its own, the balancers are a list of what they were asked."""

    def __init__(self, folder, loaded):
        self.folder, self.loaded, self.port = folder, loaded, free_port()
        self.base, self.home = folder / "tomcat", folder / "srv"
        for name in ("conf/Catalina/localhost", "logs", "temp", "work/Catalina", "none"):
            (self.base / name).mkdir(parents=True)
        for name in ("web.xml", "catalina.properties"):
            shutil.copy(HOME / "etc" / name, self.base / "conf" / name)
        self.process, self.enabled, self.did, self.refusal = None, False, [], None
        for number, web in enumerate(("", "", BROKEN), 1):
            self.release(f"v{number}", web)
        (folder / "files").mkdir()
        (folder / "files/context.xml").write_text(CONTEXT)
        self.note = "one"

    def release(self, version, web):
        place = self.home / "artifacts" / f"{version}-0123456789ab"
        (place / "WEB-INF").mkdir(parents=True)
        (place / "WEB-INF/web.xml").write_text(WEB.format(web))
        (place / "login.jsp").write_text(f"<%= 1 + 1 %> {version} <%= request.getRemoteAddr() %>")
        # As artifacts of one build have it: a page that looks no newer than the compiled one.
        os.utime(place / "login.jsp", (1_000_000_000, 1_000_000_000))

    def start(self, _unit):
        self.did.append("start")
        jars = f"{HOME}/bin/bootstrap.jar:{HOME}/bin/tomcat-juli.jar"
        options = [f"-Dcatalina.home={HOME}", f"-Dcatalina.base={self.base}", "-XX:TieredStopAtLevel=1"]
        words = ["java", "-Xmx128m", *options, "-cp", jars, "org.apache.catalina.startup.Bootstrap", "start"]
        with (self.folder / "out").open("ab") as out:
            self.process = subprocess.Popen(words, stdout=out, stderr=out, cwd=self.folder)
        return True

    def stop(self, _unit="tomcat10"):
        self.did.append("stop")
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
            self.process = None
        return True

    def status(self, _unit):
        return self.process is not None and self.process.poll() is None

    def enable(self, _unit):
        self.enabled = True
        return True

    def balancer(self, what):
        def run(name, service, balancers, **_more):
            test = self.loaded.opts["test"]
            ret = {"name": name, "changes": {name: what}, "result": None if test else True, "comment": ""}
            if self.refusal:
                return ret | {"result": False, "changes": {}, "comment": self.refusal}
            assert (service, balancers) == ("itrust", {"lb-1": "192.0.2.1"})
            if not test:
                self.did.append(what)
            return ret

        return run

    def run(self, version="v1", test=False, **more):
        functions = {
            "service.start": self.start,
            "service.stop": self.stop,
            "service.status": self.status,
            "service.enabled": lambda _unit: self.enabled,
            "service.enable": self.enable,
            "service.systemctl_reload": lambda: True,
        }
        self.loaded.modules._dict.update(functions)
        states = {"balancer.drained": self.balancer("drain"), "balancer.in_service": self.balancer("restore")}
        self.loaded.states._dict.update(states)
        mine = {"user": getpass.getuser(), "group": grp.getgrgid(os.getegid()).gr_name}
        defaults = yaml.safe_load((REPO / "salt/tomcat/defaults.yaml").read_text())
        settings = defaults | {"port": self.port, "heap_megabytes": 128}
        context = {"base": str(self.home / "current"), "note": self.note}
        arguments = {
            "name": "itrust",
            "release": f"{version}-0123456789ab",
            "home": str(self.home),
            "health": {"port": self.port, "path": "/iTrust/login.jsp", "timeout_seconds": 40},
            "balancers": {"lb-1": "192.0.2.1"},
            "clear": [str(self.base / "work/Catalina")],
            "files": [
                {
                    "name": str(self.base / "conf/server.xml"),
                    "source": "salt://tomcat/files/server.xml",
                    "context": {"tomcat": settings, "proxies": ["127.0.0.1", "10.0.0.1"]},
                    **mine,
                },
                {
                    "name": str(self.base / "conf/Catalina/localhost/iTrust.xml"),
                    "source": str(self.folder / "files/context.xml"),
                    "context": context,
                    "mode": "0600",
                    "secret": True,
                    **mine,
                },
            ],
        }
        return self.loaded.apply("webapp.running", test=test, **(arguments | more))

    def page(self, path="/iTrust/login.jsp?j_password=swordfish", client="203.0.113.7"):
        words = ["curl", "-s", "-w", " %{http_code}", "-H", f"X-Forwarded-For: {client}"]
        address = f"http://127.0.0.1:{self.port}{path}"
        return subprocess.run([*words, address], capture_output=True, text=True, timeout=30).stdout


@pytest.fixture(scope="module")
def loaded(machine_of_module):
    return machine_of_module("git-1")


@pytest.fixture
def host(tmp_path, loaded):
    made = Host(tmp_path, loaded)
    yield made
    made.stop()


UPDATE = ["drain", "stop", "start", "restore"]


def test_a_host_is_installed_updated_and_left_alone(host):
    planned = host.run(test=True)
    assert planned["result"] is None
    first = host.run()
    assert first["result"] is True, first
    assert first["changes"] == planned["changes"]
    host.did.clear()
    # A run with nothing to do touches nobody.
    begin = time.monotonic()
    assert host.run()["changes"] == {}
    assert time.monotonic() - begin < 1
    assert host.run(test=True)["result"] is True
    assert host.did == []
    assert host.page() == "2 v1 203.0.113.7 200"

    planned = host.run("v2", test=True)
    assert (planned["result"], host.did) == (None, [])
    second = host.run("v2")
    assert (second["result"], second["changes"]) == (True, {"version": {"old": "v1", "new": "v2"}})
    assert second["changes"] == planned["changes"]
    assert host.did == UPDATE
    # Compiled pages of the old version are not served, though the new file is no newer.
    assert host.page() == "2 v2 203.0.113.7 200"
    assert host.loaded.modules["webapp.version"]("itrust", str(host.home)) == {
        "version": "v2",
        "half_way": None,
    }
    # Nothing else is served.
    assert host.page("/").endswith(" 404")
    # Tomcat writes its log in blocks.
    host.stop()
    log = "".join(path.read_text() for path in (host.base / "logs").glob("access*"))
    assert "/iTrust/login.jsp" in log
    assert "swordfish" not in log
    assert log.count("203.0.113.7 - - ") == 3


def test_a_changed_file_is_an_update_and_its_secrets_are_not_shown(host):
    assert host.run()["result"] is True
    host.did.clear()
    host.note = "hidden-word"
    planned = host.run(test=True)
    done = host.run()
    assert planned["result"] is None
    assert done["result"] is True
    assert host.did == UPDATE
    assert list(done["changes"]) == ["files"]
    assert "hidden-word" not in str([planned, done])
    assert "not shown" in str(done)


def test_a_war_that_never_starts_is_reverted_and_the_run_fails(host):
    assert host.run()["result"] is True
    host.did.clear()
    bad = host.run("v3")
    assert (bad["result"], bad["changes"]) == (False, {})
    assert "v3 failed: 404 from /iTrust/login.jsp" in bad["comment"]
    assert "Reverted: v1 runs, was verified and is in service again." in bad["comment"]
    assert host.did == ["drain", "stop", "start", "stop", "start", "restore"]
    assert host.page() == "2 v1 203.0.113.7 200"
    assert host.run()["changes"] == {}


def test_a_host_that_cannot_be_spared_is_not_touched_and_test_mode_says_so(host):
    assert host.run()["result"] is True
    host.did.clear()
    host.refusal = "lb-1: 2 of stable would be left up, min_available wants 3"
    for test in (True, False):
        ret = host.run("v2", test=test)
        assert ret["result"] is False
        assert "min_available wants 3" in ret["comment"]
    assert host.did == []
    assert host.page() == "2 v1 203.0.113.7 200"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"on_failure": "explode"}, "want revert or stay"),
        ({"health": {"path": "/x"}}, "health is not as it must be"),
        ({"files": [{"name": "/x", "source": "salt://no/such/file"}]}, "salt://no/such/file cannot be made"),
    ],
)
def test_what_cannot_be_meant_is_one_line(host, more, said):
    ret = host.run(**more)
    assert ret["result"] is False
    assert said in ret["comment"]
    assert "\n" not in ret["comment"]
    assert host.did == []


def test_without_a_known_balancer_a_running_host_is_not_touched(host):
    assert host.run()["result"] is True
    host.did.clear()
    ret = host.run("v2", balancers={})
    assert ret["result"] is False
    assert "no balancer is known here" in ret["comment"]
    assert host.did == []


def test_with_a_database_that_is_down_a_running_host_is_not_touched_and_test_mode_says_so(host):
    assert host.run()["result"] is True
    host.did.clear()
    one = {
        "name": "itrust",
        "host": "127.0.0.1",
        "port": free_port(),
        "user": "itrust",
        "password": "db:word",
    }
    pillar = host.loaded.states.pack["__pillar__"]
    pillar["db"] = {"word": "hidden-word"}
    for test in (True, False):
        ret = host.run("v2", test=test, database=one)
        assert ret["result"] is False
        assert "Can't connect" in ret["comment"]
        assert "hidden-word" not in str(ret)
    assert host.did == []
    assert host.page() == "2 v1 203.0.113.7 200"
