"""The fleet of iTrust as a tester sees it: versions, built and declared in pillar, and applied by hand."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from lab import checkout, disks, machines
from lab.demo_rolling.rolls import Rolls
from lab.process import wait_until

APP = Path(__file__).resolve().parents[1] / "apps/itrust"
SERVER, PORT, PLACE = "jenkins-1", 8081, "/srv/versions"
PILLAR = "pillar/lab/itrust.sls"
STATES = ["state.apply", "--state-output=changes", "--state-verbose=False"]


class Rolling:
    """A lab that is up; versions are built by this computer's Maven when they are first asked for."""

    def __init__(self, lab, scratch):
        self.lab, self.scratch, self.rolls = lab, scratch, Rolls(lab)
        self.repository, self.built = scratch / "itrust.git", {}
        subprocess.run([sys.executable, APP / "make_repo.py", self.repository], check=True)
        self.serve()

    def serve(self):
        """The artifacts' server on jenkins-1, until `stop_serving`; one of a run before makes place."""
        machines.exec_in(self.lab, SERVER, ["systemctl", "stop", "versions"])
        self.ok(SERVER, "mkdir", "-p", PLACE)
        serve = ["python3", "-m", "http.server", str(PORT), "--directory", PLACE]
        self.ok(SERVER, "systemd-run", "--quiet", "--collect", "--unit=versions", *serve)
        ask = ["curl", "-sfo", "/dev/null", f"http://127.0.0.1:{PORT}/"]
        wait_until(
            lambda: machines.exec_in(self.lab, SERVER, ask).returncode == 0, "the artifacts' server", 20
        )

    def stop_serving(self):
        self.ok(SERVER, "systemctl", "stop", "versions")

    def ok(self, machine, *words, timeout=120, text=None):
        """Run a command on a machine; what it printed."""
        return machines.check_in(self.lab, machine, list(words), timeout=timeout, input=text)

    def declare(self, version):
        """Pillar names a version, as the first one does on a fleet without a ledger's word."""
        url = f"http://{self.lab.machine(SERVER).address}:{PORT}/{version}.war"
        text = (checkout.CHECKOUT / PILLAR).read_text()
        artifact = (
            f'itrust:\n  artifact: {{version: {version}, url: "{url}", sha256: {self.sha256(version)}}}\n'
        )
        self.ok("master", "tee", f"/srv/sluice/{PILLAR}", text=text.replace("itrust:\n", artifact, 1))

    def apply(self, *more):
        """`salt -b 1 -N itrust state.apply`, as a person would; the finished process."""
        words = ["salt", "-b", "1", *more, "-N", "itrust", *STATES]
        return machines.exec_in(self.lab, "master", words, timeout=500)

    def apply_on(self, host):
        """The states of one host, asked for on it; the finished process."""
        return machines.exec_in(self.lab, host, ["salt-call", "--retcode-passthrough", *STATES], timeout=300)

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
