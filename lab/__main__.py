"""`python3 -m lab`."""

from lab.cli import main

raise SystemExit(main())
