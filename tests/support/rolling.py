"""The fleet of iTrust as a tester sees it: versions, built and declared in pillar, and applied by hand."""

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

from lab import checkout, disks, machines
from lab.demo_rolling.rolls import Rolls
from lab.process import wait_until

APP = Path(__file__).resolve().parents[1] / "apps/itrust"
# Beside what Jenkins publishes on that machine, on port 8081.
SERVER, PORT, PLACE = "jenkins-1", 8082, "/srv/versions"
PILLAR = "pillar/lab/itrust.sls"
STATES = ["state.apply", "--state-output=changes", "--state-verbose=False"]
ADD = """\
import sys
sys.path.insert(0, "/srv/sluice/_utils")
from sluice_ledger import Artifact, Ledger
Ledger("/var/lib/sluice/ledger.db").add_artifact(Artifact("itrust", *sys.argv[1:]))
"""


class Rolling:
    """A lab that is up; versions are built by this computer's Maven when they are first asked for."""

    def __init__(self, lab, scratch):
        self.lab, self.scratch, self.rolls = lab, scratch, Rolls(lab)
        self.repository, self.built = scratch / "itrust.git", {}
        subprocess.run([sys.executable, APP / "make_repo.py", self.repository], check=True)
        self.serve()

    def serve(self):
        """Start the server of these versions; one of a run before makes place."""
        machines.exec_in(self.lab, SERVER, ["systemctl", "stop", "versions"])
        self.ok(SERVER, "mkdir", "-p", PLACE)
        serve = ["python3", "-m", "http.server", str(PORT), "--directory", PLACE]
        self.ok(SERVER, "systemd-run", "--quiet", "--collect", "--unit=versions", *serve)
        ask = ["curl", "-sfo", "/dev/null", f"http://127.0.0.1:{PORT}/"]
        wait_until(
            lambda: machines.exec_in(self.lab, SERVER, ask).returncode == 0, "the artifacts' server", 20
        )

    def ok(self, machine, *words, text=None):
        """Run a command on a machine; what it printed."""
        return machines.check_in(self.lab, machine, list(words), input=text)

    def declare(self, version):
        """Pillar names a version, as the first one does on a fleet without a ledger's word."""
        text = (checkout.CHECKOUT / PILLAR).read_text()
        artifact = {"version": version, "url": self.url(version), "sha256": self.sha256(version)}
        told = f"itrust:\n  artifact: {json.dumps(artifact)}\n"
        self.ok("master", "tee", f"/srv/sluice/{PILLAR}", text=text.replace("itrust:\n", told, 1))

    def apply(self):
        """`salt -b 1 -N itrust state.apply`, as a person would; the finished process."""
        words = ["salt", "-b", "1", "-N", "itrust", *STATES]
        return machines.exec_in(self.lab, "master", words, timeout=500)

    def publish(self, version):
        """The ledger knows the version's artifact, as after the report of a build."""
        words = ["/opt/salt/bin/python3", "-c", ADD, version, self.url(version), self.sha256(version)]
        self.ok("master", *words)

    def roll(self, version):
        """`salt-run state.orchestrate rolling` of a version; the finished process."""
        return self.run(*self._order(version))

    def begin(self, version):
        """The same as a job of its own, as a push begins one."""
        self.ok("master", "systemd-run", "--quiet", "--collect", "salt-run", *self._order(version))

    def _order(self, version):
        self.publish(version)
        order = json.dumps({"service": "itrust", "version": version})
        return ["state.orchestrate", "rolling", f"pillar={order}"]

    def run(self, *words):
        """`salt-run …`; the finished process."""
        return machines.exec_in(self.lab, "master", ["salt-run", *words], timeout=600)

    def drains(self):
        """How many hosts have drained themselves at the balancer until now."""
        return self.ok("lb-1", "journalctl", "--no-pager", '--grep=audit: .*"what": "drain"').count("\n")

    def url(self, version):
        return f"http://{self.lab.machine(SERVER).address}:{PORT}/{version}.war"

    def sha256(self, version):
        """The hash of a version's artifact, which lies on the artifacts' server then."""
        if version not in self.built:
            war = self.build(version)
            self.built[version] = hashlib.sha256(war.read_bytes()).hexdigest()
            target = disks.root(self.lab, SERVER) / PLACE.lstrip("/") / f"{version}.war"
            target.write_bytes(war.read_bytes())
        return self.built[version]

    def build(self, version):
        """A version's WAR with its SQL inside, as the build job publishes it."""
        work = self.scratch / version
        subprocess.run(
            ["git", "clone", "-q", "-b", version, "-c", "advice.detachedHead=false", self.repository, work],
            check=True,
        )
        project = work / "iTrust"
        words = ["mvn", "-B", "-q", "-Dexec.skip=true", "-DskipTests", "package"]
        subprocess.run(words, cwd=project, check=True, timeout=300, capture_output=True)
        war = project / "target/iTrust-23.0.0.war"
        with zipfile.ZipFile(war, "a") as packed:
            for file in sorted((project / "sql").rglob("*")):
                if file.is_file():
                    # Without the file's time: the same version has the same hash whenever it is built.
                    packed.writestr(
                        zipfile.ZipInfo(f"WEB-INF/sql/{file.relative_to(project / 'sql')}"), file.read_bytes()
                    )
        return war
