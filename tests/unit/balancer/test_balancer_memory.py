"""What was freed goes back to the system."""

import re
import subprocess
import sys

import pytest

from balancer import memory

# Frees 40 MB but for a little in between, and tells its size before and after.
HOLES = """
import re
from balancer import memory
def size():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
parts = [b"x" * 60_000 if n % 2 else b"x" * 600 for n in range(1400)]
kept = parts[::2]
del parts
before = size()
memory.give_back()
print(before, size())
"""


@pytest.mark.skipif(memory.MALLOC_TRIM is None, reason="needs glibc's malloc_trim")
def test_freed_memory_between_small_things_that_stay_is_given_back():
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    before, after = map(int, re.findall(r"\d+", done.stdout))
    assert after < before - 10_000
