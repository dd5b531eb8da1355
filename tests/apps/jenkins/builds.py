"""The builds of the stand-in: a queue with a quiet period, and one executor."""

import glob
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import xml.etree.ElementTree as ET
from pathlib import Path


class Builds:
    """Runs the jobs that were queued, one after the other, in a thread of its own."""

    def __init__(self, jobs, url, quiet_seconds):
        self.jobs, self.url, self.quiet_seconds = jobs, url, quiet_seconds
        # Numbers of before a restart are not given out again.
        self.next_item = int(time.time()) % 100_000_000
        self.items, self.waiting = {}, []
        self.changed = threading.Condition()
        self.closing, self.process = False, None
        self._end_what_a_stop_left()
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _end_what_a_stop_left(self):
        for path in self.jobs.root.glob("*/builds/*/build.json"):
            told = json.loads(path.read_text())
            if told["building"]:
                self._tell(path.parent, told | {"building": False, "result": "ABORTED"})

    def queue(self, name, cause):
        """Queue a build; its item. A job that waits already is not queued twice."""
        with self.changed:
            for item, job, _, _ in self.waiting:
                if job == name:
                    return item
            self.next_item += 1
            self.waiting.append((self.next_item, name, cause, time.monotonic() + self.quiet_seconds))
            self.items[self.next_item] = {"id": self.next_item, "task": {"name": name}, "cancelled": False}
            self.changed.notify_all()
            return self.next_item

    def item(self, number):
        with self.changed:
            return dict(self.items.get(number) or {})

    def last(self, name):
        root = self.jobs.root / name / "builds"
        return max((int(path.parent.name) for path in root.glob("*/build.json")), default=0)

    def of_job(self, name):
        last, queued = self.last(name), any(job == name for _, job, _, _ in self.waiting)
        return {
            "name": name,
            "buildable": not self.jobs.job(name).disabled,
            "inQueue": queued,
            "nextBuildNumber": last + 1,
            "lastBuild": {"number": last, "url": f"{self.url}/job/{name}/{last}/"} if last else None,
        }

    def close(self):
        with self.changed:
            self.closing = True
            if self.process:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.changed.notify_all()
        self.thread.join()

    def _work(self):
        while (taken := self._take()) is not None:
            self._build(*taken)

    def _take(self):
        """The next that has been quiet long enough; None to end."""
        with self.changed:
            while not self.closing:
                now = time.monotonic()
                due = [one for one in self.waiting if one[3] <= now]
                if due:
                    self.waiting.remove(due[0])
                    item, name, cause, _ = due[0]
                    if name in self.jobs.names() and not self.jobs.job(name).disabled:
                        return item, name, cause
                    self.items[item]["cancelled"] = True
                    continue
                soonest = min((one[3] for one in self.waiting), default=None)
                self.changed.wait(None if soonest is None else max(0.0, soonest - now))
            return None

    def _build(self, item, name, cause):
        job, number = self.jobs.job(name), self.last(name) + 1
        place = self.jobs.build_place(name, number)
        workspace = self.jobs.root / name / "workspace"
        for folder in (place, workspace):
            folder.mkdir(parents=True, exist_ok=True)
        told = {
            "number": number, "url": f"{self.url}/job/{name}/{number}/", "building": True, "result": None,
            "timestamp": int(time.time() * 1000), "actions": [{"causes": [{"shortDescription": cause}]}],
            "artifacts": [],
        }  # fmt: skip
        self._tell(place, told)
        with self.changed:
            self.items[item]["executable"] = {"number": number, "url": told["url"]}
        with (place / "log").open("wb") as log:
            result = self._run(job, name, told, workspace, log)
            if job.reports:
                result = self._judged(workspace, job.reports, result, log)
            # As Jenkins does, whatever became of the build: a job must clean up by itself.
            told["artifacts"] = self._archive(workspace, job.artifacts, place / "archive")
            log.write(f"Finished: {result}\n".encode())
        self._tell(place, told | {"building": False, "result": result})
        self._discard(name, job.keep)

    def _run(self, job, name, told, workspace, log):
        env = os.environ | {
            "WORKSPACE": str(workspace), "JOB_NAME": name, "BUILD_NUMBER": str(told["number"]),
            "BUILD_URL": told["url"], "JENKINS_URL": f"{self.url}/",
        }  # fmt: skip
        for command in job.commands:
            script = workspace.parent / "command.sh"
            script.write_text(command)
            with self.changed:
                if self.closing:
                    return "ABORTED"
                self.process = subprocess.Popen(
                    ["/bin/sh", "-xe", str(script)], cwd=workspace, env=env, stdin=subprocess.DEVNULL,
                    stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                    preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, set()),
                )  # fmt: skip
            code = self.process.wait()
            with self.changed:
                self.process = None
            if code != 0:
                return "ABORTED" if self.closing else "FAILURE"
        return "SUCCESS"

    def _judged(self, workspace, pattern, result, log):
        """UNSTABLE if a test failed in a build that went well."""
        counts = [ET.parse(path).getroot() for path in found(workspace, pattern)]
        tests, bad = (
            sum(int(one.get(key, 0)) for one in counts for key in keys)
            for keys in (("tests",), ("failures", "errors"))
        )
        log.write(f"Recording test results: {tests} tests, {bad} failed\n".encode())
        return "UNSTABLE" if bad and result == "SUCCESS" else result

    def _archive(self, workspace, pattern, archive):
        names = []
        for path in found(workspace, pattern) if pattern else []:
            target = archive / path.relative_to(workspace)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            relative = str(path.relative_to(workspace))
            names.append({"fileName": path.name, "relativePath": relative, "displayPath": relative})
        return names

    def _tell(self, place, told):
        scratch = place / "build.new"
        scratch.write_text(json.dumps(told))
        os.replace(scratch, place / "build.json")

    def _discard(self, name, keep):
        if keep > 0:
            numbers = sorted(int(path.name) for path in (self.jobs.root / name / "builds").iterdir())
            for number in numbers[:-keep]:
                shutil.rmtree(self.jobs.build_place(name, number))


def found(workspace, pattern):
    """The files of a workspace that one or more patterns of Ant name, parted by commas."""
    names = {
        one
        for part in pattern.split(",")
        for one in glob.glob(part.strip(), root_dir=workspace, recursive=True)
    }
    return [path for path in (Path(workspace) / name for name in sorted(names)) if path.is_file()]
