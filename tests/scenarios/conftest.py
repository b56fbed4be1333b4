"""Scenarios run on a virtual internet, in virtual time: an hour takes seconds."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support.loops import LoopFactory, loop_factories


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    return loop_factories(None)
