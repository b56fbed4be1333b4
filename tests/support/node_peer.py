"""Stacks that run in Node, each as a host of peers: libdatachannel, and werift."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.host import StdioHost

__all__ = ["node_available", "start_node", "start_werift", "werift_available"]

DIRECTORY = Path(__file__).with_name("node")


def _available(package: str) -> bool:
    return shutil.which("node") is not None and (DIRECTORY / "node_modules" / package).is_dir()


def node_available() -> bool:
    """Whether Node and libdatachannel's binding are installed (`make install` does it)."""
    return _available("node-datachannel")


def werift_available() -> bool:
    """Whether Node and werift are installed."""
    return _available("werift")


async def _start(name: str, script: str) -> StdioHost:
    program = shutil.which("node")
    assert program is not None
    return await StdioHost.start(name, program, str(DIRECTORY / script))


async def start_node() -> StdioHost:
    """Start Node with libdatachannel."""
    return await _start("node", "peer.mjs")


async def start_werift() -> StdioHost:
    """Start Node with werift."""
    return await _start("werift", "werift.mjs")
