"""Conformance runs on a virtual internet, in virtual time; with ``--network=system`` on this machine's."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support.loops import LoopFactory, loop_factories


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    return loop_factories(config.getoption("--network") or "virtual")
