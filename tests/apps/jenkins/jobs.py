"""The jobs of the stand-in: freestyle jobs as XML on disk."""

import dataclasses
import os
import re
import shutil
import xml.etree.ElementTree as ET

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SHELL, ARCHIVER = "hudson.tasks.Shell", "hudson.tasks.ArtifactArchiver"
JUNIT = "hudson.tasks.junit.JUnitResultArchiver"


class BadJob(Exception):
    """A job that Jenkins would not take."""


@dataclasses.dataclass
class Job:
    """What the stand-in does of a job."""

    commands: list[str]
    artifacts: str
    reports: str
    token: str
    keep: int
    disabled: bool


def read(xml):
    """The job in some XML. Raises BadJob for what is no job, or asks for what the stand-in has not."""
    try:
        root = ET.fromstring(xml)
    except ET.ParseError as error:
        raise BadJob(f"no XML: {error}") from error
    if root.tag != "project":
        raise BadJob(f"<{root.tag}> is no freestyle project")
    steps, after = root.find("builders"), root.find("publishers")
    steps, after = ([] if found is None else list(found) for found in (steps, after))
    odd = [one.tag for one in steps if one.tag != SHELL]
    odd += [one.tag for one in after if one.tag not in (ARCHIVER, JUNIT)]
    if odd:
        raise BadJob(f"no such step here: {', '.join(odd)}")
    return Job(
        commands=[one.findtext("command") or "" for one in steps],
        artifacts=root.findtext(f"publishers/{ARCHIVER}/artifacts") or "",
        reports=root.findtext(f"publishers/{JUNIT}/testResults") or "",
        token=root.findtext("authToken") or "",
        keep=int(root.findtext("logRotator/numToKeep") or -1),
        disabled=root.findtext("disabled") == "true",
    )


class Jobs:
    """home/jobs/NAME/{config.xml, builds/N/, workspace/}"""

    def __init__(self, home):
        self.root = home / "jobs"
        self.root.mkdir(parents=True, exist_ok=True)

    def names(self):
        return sorted(path.parent.name for path in self.root.glob("*/config.xml"))

    def xml(self, name):
        return (self.root / name / "config.xml").read_bytes()

    def job(self, name):
        return read(self.xml(name))

    def build_place(self, name, number):
        return self.root / name / "builds" / str(number)

    def create(self, name, xml):
        if not NAME.fullmatch(name) or name in self.names():
            raise BadJob(f"{name!r} is there already, or no name of a job")
        self.update(name, xml)

    def update(self, name, xml):
        """Keep a job as Jenkins does: parsed and written anew."""
        read(xml)
        root = ET.fromstring(xml)
        ET.indent(root)
        place = self.root / name / "config.xml"
        place.parent.mkdir(exist_ok=True)
        scratch = place.with_suffix(".new")
        scratch.write_bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))
        os.replace(scratch, place)

    def delete(self, name):
        shutil.rmtree(self.root / name)
