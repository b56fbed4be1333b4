"""Pion (Go's WebRTC stack), as a host of peers. What it is sent it sends back: it has no codecs."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.host import StdioHost

__all__ = ["pion_available", "start_pion"]

PROGRAM = Path(sys.prefix) / "peers" / "pion"
"""Where `make install` builds it."""


def pion_available() -> bool:
    """Whether the program was built."""
    return PROGRAM.is_file()


async def start_pion() -> StdioHost:
    """Start our program."""
    return await StdioHost.start("pion", str(PROGRAM))
