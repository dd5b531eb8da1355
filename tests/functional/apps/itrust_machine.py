"""A MariaDB and Tomcats of Debian on loopback, with the stand-in iTrust as a host of a fleet has it."""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import jinja2

from lab.process import wait_until
from tests.support.ports import free_port

REPO = Path(__file__).resolve().parents[3]
HOME = Path("/usr/share/tomcat10")
SERVER = """<Server port="-1"><Service name="Catalina"><Connector port="{port}" address="127.0.0.1"/>
<Engine name="Catalina" defaultHost="localhost"><Host name="localhost" appBase="none" autoDeploy="false"/>
</Engine></Service></Server>
"""
SESSIONS = """CREATE TABLE tomcat_sessions(id varchar(100) PRIMARY KEY, valid char(1) NOT NULL,
max_inactive int NOT NULL, last_access bigint NOT NULL, app varchar(255), data mediumblob, KEY (app))"""


class Process:
    """A server of the test's own, ended by its pid."""

    def __init__(self, words, folder, **env):
        self.log = folder / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, **env})

    def end(self, how=signal.SIGTERM):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(how)
        self.process.wait(30)


class MariaDB:
    """A database `itrust` with the tables of the stand-in."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.socket, self.data = folder / "socket", folder / "data"
        folder.mkdir()
        common = ["--no-defaults", f"--datadir={self.data}", "--user=root", "--lower-case-table-names=1"]
        install = ["mariadb-install-db", *common, "--auth-root-authentication-method=normal"]
        subprocess.run([*install, "--skip-test-db"], check=True, capture_output=True, timeout=60)
        self.words = [
            "/usr/sbin/mariadbd",
            *common,
            f"--socket={self.socket}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
        ]
        self.start()
        self.tell(
            "CREATE DATABASE itrust; CREATE USER itrust@'127.0.0.1' IDENTIFIED BY 'lab-fake-db';"
            "GRANT SELECT, INSERT, UPDATE, DELETE ON itrust.* TO itrust@'127.0.0.1'",
            "",
        )
        self.tell(SESSIONS)

    def start(self):
        self.server = Process(self.words, self.folder)
        ping = ["mariadb-admin", "--no-defaults", f"--socket={self.socket}", "ping"]
        wait_until(lambda: subprocess.run(ping, capture_output=True).returncode == 0, "MariaDB", 30)

    def end(self):
        self.server.end()

    def tell(self, orders, database="itrust"):
        """Run SQL as root; the rows, as MariaDB prints them."""
        words = ["mariadb", "--no-defaults", "-N", f"--socket={self.socket}", "-uroot", database]
        done = subprocess.run(list(filter(None, words)), input=orders, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.split("\n")[:-1]

    def load(self, sql):
        """The files of MANIFEST in their order, as the first host of a fleet loads them."""
        for name in (sql / "MANIFEST").read_text().split():
            self.tell((sql / name).read_text())


class Tomcat:
    """One host: its Tomcat with the application unpacked, and the context of salt/itrust."""

    def __init__(self, folder, application, database):
        self.port = free_port()
        self.base = folder
        for name in ("conf/Catalina/localhost", "logs", "temp", "work", "none", "lib"):
            (folder / name).mkdir(parents=True)
        (folder / "conf/server.xml").write_text(SERVER.format(port=self.port))
        shutil.copy("/etc/tomcat10/web.xml", folder / "conf/web.xml")
        (folder / "lib/driver.jar").symlink_to("/usr/share/java/mariadb-java-client.jar")
        (folder / "conf/catalina.properties").write_text(
            Path("/etc/tomcat10/catalina.properties").read_text()
            + '\ncommon.loader="${catalina.base}/lib/*.jar","${catalina.home}/lib/*.jar"\n'
        )
        (folder / "conf/Catalina/localhost/iTrust.xml").write_text(context(application, database))
        self.server = None

    def start(self):
        self.server = Process(
            [HOME / "bin/catalina.sh", "run"],
            self.base,
            CATALINA_HOME=str(HOME),
            CATALINA_BASE=str(self.base),
            JAVA_OPTS="-Xmx256m -XX:TieredStopAtLevel=1",
        )

    def end(self, how=signal.SIGTERM):
        if self.server:
            self.server.end(how)


def context(application, database):
    """The context file as the state makes it."""
    db = {"host": "127.0.0.1", "port": database.port, "name": "itrust", "user": "itrust", "connections": 8}
    env = jinja2.Environment(undefined=jinja2.StrictUndefined)
    text = env.from_string((REPO / "salt/itrust/files/context.xml").read_text())
    return text.render(base=str(application), db=db, pillar={"itrust": {"db": {"password": "lab-fake-db"}}})
