"""libdatachannel, through its Node binding, as a host of peers."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.host import StdioHost

__all__ = ["node_available", "start_node"]

DIRECTORY = Path(__file__).with_name("node")


def node_available() -> bool:
    """Whether Node and the binding are installed (`make install` does it)."""
    return shutil.which("node") is not None and (DIRECTORY / "node_modules" / "node-datachannel").is_dir()


async def start_node() -> StdioHost:
    """Start Node with our script."""
    program = shutil.which("node")
    assert program is not None
    return await StdioHost.start("node", program, str(DIRECTORY / "peer.mjs"))
