"""Hudson 3.3.2 on loopback, a real server of Jenkins' family, and what it does otherwise than Jenkins."""

import hashlib
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from pathlib import Path

import sluice_jenkins

from tests.support.ports import free_port

WAR = "org.eclipse.hudson:hudson-war:3.3.2:war"
SHA256 = "29db3f39025edbd547f445a9d46b9a9eff9ddf1411cde2adc8b52b3503f9536c"
USER, PASSWORD = "sluice", "hudson-user-secret"
OPENED = ("java.base/java.util", "java.base/java.text", "java.base/java.lang.reflect",
          "java.desktop/java.awt.font")  # fmt: skip
# Who is logged in may do everything, and nobody else more than read; no agents.
SECURITY = """\
<hudsonSecurityManager>
  <useSecurity>true</useSecurity>
  <authorizationStrategy class="hudson.security.FullControlOnceLoggedInAuthorizationStrategy"/>
  <securityRealm class="hudson.security.HudsonPrivateSecurityRealm"/>
  <slaveAgentPort>-1</slaveAgentPort>
</hudsonSecurityManager>
"""
KNOWN = """\
<user>
  <fullName>sluice</fullName>
  <properties>
    <hudson.security.HudsonPrivateSecurityRealm_-Details>
      <passwordHash>salt:{}</passwordHash>
    </hudson.security.HudsonPrivateSecurityRealm_-Details>
  </properties>
</user>
"""
# What Jenkins has not.
OWN = ("project-properties", "creationTime", "cascadingChildrenNames", "cleanWorkspaceRequired")
# Ready in 8 s on a quiet machine.
START_SECONDS = 120


def fetched(folder):
    """Its WAR, by Maven as the machine is set up."""
    words = ["mvn", "-B", "-q", "dependency:copy", f"-Dartifact={WAR}", f"-DoutputDirectory={folder}"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout
    war = folder / "hudson-war-3.3.2.war"
    assert hashlib.sha256(war.read_bytes()).hexdigest() == SHA256
    return war


class HudsonServer:
    """One server with its home in a folder. To be closed."""

    def __init__(self, folder):
        self.home, self.log = folder / "home", folder / "log"
        self._settle(folder)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        # Told a port that is held, it does not announce itself to the network.
        self.held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.held.bind(("127.0.0.1", 0))
        words = ["java", *(f"--add-opens={name}=ALL-UNNAMED" for name in OPENED), "-Xmx256m",
                 "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true", f"-Djava.io.tmpdir={folder}",
                 f"-Dhudson.udp={self.held.getsockname()[1]}", "-cp", fetched(folder),
                 Path(__file__).with_name("Hudson.java"), "--skipInitSetup",
                 "--httpListenAddress=127.0.0.1", f"--httpPort={port}"]  # fmt: skip
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                words, env=os.environ | {"HUDSON_HOME": str(self.home)}, cwd=folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def _settle(self, folder):
        user = self.home / "users" / USER
        user.mkdir(parents=True)
        (self.home / "hudson-security.xml").write_text(SECURITY)
        digest = hashlib.sha256(f"{PASSWORD}{{salt}}".encode()).hexdigest()
        (user / "config.xml").write_text(KNOWN.format(digest))

    def wait_ready(self):
        deadline = time.monotonic() + START_SECONDS
        while ask(f"{self.url}/api/json")[0] != 200:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.2)

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.held.close()


class Hudson(sluice_jenkins.Jenkins):
    """
    As a Jenkins, but for two things.

    A job that Hudson has written by itself has another layout. A trigger tells no queue item, so the next
    build's number is asked for before it.
    """

    def config(self, name):
        told = super().config(name)
        return None if told is None else plain(told)

    def written_anew(self, name):
        """Let Hudson write the job from what it has understood: until then it tells what it was sent."""
        for order in ("disable", "enable"):
            self._post(f"/job/{name}/{order}")
        return super().config(name)

    def build(self, name, seconds):
        number = self.next_number(name)
        self._post(f"/job/{name}/build?delay=0sec")
        return number, self.ended(name, number, seconds)["result"]

    def next_number(self, name):
        return self._json(f"/job/{name}/api/json")["nextBuildNumber"]

    def ended(self, name, number, seconds=30):
        """The build's JSON once it has ended."""
        deadline = time.monotonic() + seconds
        while True:
            told = self._json(f"/job/{name}/{number}/api/json") if self.next_number(name) > number else {}
            if told.get("result") and not told["building"]:
                return told
            assert time.monotonic() < deadline, told
            time.sleep(0.1)


def plain(xml):
    """A job of Hudson in the layout of Jenkins, which has no project-properties."""
    root = ET.fromstring(xml)
    kept = root.find("project-properties")
    if kept is None:
        return xml
    for name in OWN:
        root.remove(root.find(name))
    publishers = ET.SubElement(root, "publishers")
    for entry in kept:
        name, value = entry.findtext("string"), entry.find("*/originalValue")
        if name.startswith("hudson-tasks-"):
            value.tag = value.get("class")
            publishers.append(value)
        elif name != "scm":  # it stands in the usual place as well
            value.tag = name
            root.append(value)
    for part, extra in (("builders/*", "disabled"), ("publishers/*", "autoValidateFileMask")):
        for one in root.findall(part):
            for child in one.findall(extra):
                assert child.text == "false"
                one.remove(child)
    return ET.tostring(root, encoding="unicode")


def ask(url, data=None):
    """(code, bytes) of a request of nobody; 0 while there is no answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, data), timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""
