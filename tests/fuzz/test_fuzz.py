"""A while of coverage-guided fuzzing: a minute in CI, a few seconds elsewhere."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "tests" / "functional" / "balancer"
UNITS = ROOT / "tests" / "unit" / "balancer"
CI = os.environ.get("CI") == "true"
SECONDS = 60 if CI else 5
# Inputs longer than this are slow and say nothing new.
LONGEST = 4096
# Far below what a loaded machine does; a fuzzer that stands still has found nothing.
FEWEST_RUNS_A_SECOND = 100

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None and not CI, reason="atheris is not installed"
)


def fuzz(script, directory, seeds, seconds=SECONDS):
    """Run a fuzzer on a corpus of these seeds; what it said, which tells the input if it found something."""
    corpus = directory / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)
    words = [sys.executable, str(ROOT / "tests" / "fuzz" / script), str(corpus)]
    words += [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-artifact_prefix={directory}/"]
    paths = os.pathsep.join([str(ROOT), str(TABLES)])
    ended = subprocess.run(
        words,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds + 120,
    )
    said = ended.stdout.decode(errors="backslashreplace")
    assert ended.returncode == 0, said[-5000:]
    runs = re.search(r"Done (\d+) runs", said)
    assert runs, said[-5000:]
    assert int(runs.group(1)) >= FEWEST_RUNS_A_SECOND * seconds, said[-5000:]
    return said


def seeds_of_parsing():
    """The tables, each request at once and in pieces."""
    sys.path.insert(0, str(TABLES))
    try:
        from parsing_cases import PASSED, REFUSED, REFUSED_AFTER_A_GOOD_ONE
    finally:
        sys.path.remove(str(TABLES))
    raws = [*REFUSED.values(), *(raw for raw, _ in PASSED.values())]
    raws += [good + after for good, after in REFUSED_AFTER_A_GOOD_ONE.values()]
    short = [raw for raw in raws if len(raw) < LONGEST]
    return [bytes([way]) + raw for raw in short for way in (0, 200)]


def test_no_bytes_are_read_otherwise_than_an_independent_parser_reads_them(tmp_path):
    fuzz("fuzz_parsing.py", tmp_path, seeds_of_parsing())


def test_no_story_of_tables_and_failures_sends_a_request_where_it_must_not_go(tmp_path):
    seeds = [
        bytes([n % 256 for n in range(start, start + 200, step)]) for start in (0, 90) for step in (1, 3, 7)
    ]
    fuzz("fuzz_routing.py", tmp_path, seeds)


def seeds_of_doors():
    """The table of headers, and some hosts."""
    sys.path.insert(0, str(UNITS))
    try:
        from test_balancer_hosts import FOUND
        from test_balancer_proxy_protocol import BAD, GOOD
    finally:
        sys.path.remove(str(UNITS))
    headers = [*BAD.values(), *(header for header, _ in GOOD.values())]
    seeds = [b"\0" + header for header in headers] + [b"\xff" + host for host in FOUND]
    return [seed for seed in seeds if len(seed) < LONGEST]


def test_no_header_of_a_proxy_and_no_host_is_read_in_two_ways(tmp_path):
    # Two small parsers: what there is to find is found in seconds.
    fuzz("fuzz_doors.py", tmp_path, seeds_of_doors(), seconds=SECONDS // 3)
