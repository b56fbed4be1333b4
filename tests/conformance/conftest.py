"""Conformance runs on a virtual internet, in virtual time; with ``--network=...`` on this machine's."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support.loops import LoopFactory, loop_factories

REAL = {"test_state_reports.py"}
"""What posts by HTTP: the client makes sockets of its own, on this machine."""


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    network = config.getoption("--network")
    if item.get_closest_marker("virtual"):
        return loop_factories(None)
    return loop_factories("batched" if network is None and item.path.name in REAL else network)
