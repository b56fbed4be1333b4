"""The command line: ``python -m rtcstack`` or ``rtcstack``."""

from __future__ import annotations

import sys

from rtcstack.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
