"""A checkout of iTrust's repository outside the project: what its build needs, and pushes of it."""

import re
import subprocess

# iTrust v23 was made for Java 8: its build looks into the JDK, and a package of Java EE is gone from there.
ANNOTATIONS = "javax.annotation:javax.annotation-api:1.3.2"
OPENED = [
    "java.base/java.util",
    "java.base/java.lang.reflect",
    "java.base/java.text",
    "java.desktop/java.awt.font",
]
REPOSITORY = "/var/lib/jenkins/.m2/repository/javax/annotation/javax.annotation-api/1.3.2"
# Its own tests drop and reload the database that they are configured for, which a build server has none of.
BUILD = [
    "mvn", "-B", "-q", "-DskipTests", "-Dexec.skip=true", "-Djacoco.skip=true", "-Dmaven.compiler.fork=true",
    "package",
]  # fmt: skip
GENERATOR = "iTrust/src/test/java/edu/ncsu/csc/itrust/unit/datagenerators/TestDataGenerator.java"
PAGE = "iTrust/WebRoot/login.jsp"
CALL = re.compile(r'executeSQLFile\(DIR \+ "/([^"]+)"\)|\b(\w+)\(\)\s*;')
METHOD = re.compile(r"public\s+\w+\s+(\w+)\s*\([^)]*\)[^{]*\{")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)


class Source:
    """A clone of `url` in an empty directory."""

    def __init__(self, url, directory):
        self.directory = directory
        subprocess.run(["git", "clone", "-q", "--", url, directory], check=True)

    def job(self):
        """What pillar says of its build, as `jenkins:job`."""
        get = ["mvn", "-B", "-q", "dependency:get", f"-Dartifact={ANNOTATIONS}"]
        classes = f"-Xbootclasspath/a:{REPOSITORY}/javax.annotation-api-1.3.2.jar"
        options = " ".join(f"--add-opens={one}=ALL-UNNAMED" for one in OPENED)
        return {
            "subdir": "iTrust",
            "prepare": [get],
            "build": BUILD,
            "environment": {"MAVEN_OPTS": options, "JDK_JAVAC_OPTIONS": classes},
            "sql": "sql",
            "manifest": self.sql_files(),
        }

    def sql_files(self):
        """The SQL files of an empty database with iTrust's standard data, in its own generator's order."""
        methods = bodies((self.directory / GENERATOR).read_text())
        return ["createTables.sql", *(f"data/{name}" for name in called(methods, "standardData"))]

    def change(self, text):
        """Commit a change that shows on the log-in page."""
        page = self.directory / PAGE
        page.write_text(f"{page.read_text()}\n<!-- {text} -->\n")
        author = ["-c", "user.name=Developer", "-c", "user.email=developer@example.com"]
        self._git(*author, "commit", "-q", "-a", "-m", text)

    def push(self, server):
        """Push what is checked out to the lab's repository, as a developer does."""
        self._git("push", "-q", "--force", f"git://{server}/itrust", "HEAD:main")

    def _git(self, *words):
        subprocess.run(["git", "-C", self.directory, *words], check=True)


def bodies(java):
    """The text of each public method of a class, by name."""
    java = COMMENT.sub("", java)
    found = {}
    for match in METHOD.finditer(java):
        depth, end = 1, match.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(java[end], 0)
            end += 1
        found[match.group(1)] = java[match.end() : end]
    return found


def called(methods, name):
    """The SQL files that a method runs, and the methods that it calls, in their order."""
    for file, other in CALL.findall(methods[name]):
        if file:
            yield file
        elif other in methods and other != name:
            yield from called(methods, other)
