"""A soak of the balancer: mixed traffic and all kinds of trouble at once, and what must hold all the while.

`python -m tests.soak --help`; what is measured and what may fail is told in docs/howto/soak.md.
"""

import sys
from pathlib import Path

# The balancer as a process and Redis are started as the functional tests start them.
for folder in ("tests/functional/balancer", "_utils"):
    sys.path.insert(0, str(Path(__file__).parents[2] / folder))
