"""Settings that all tests share, and the watch around each of them."""

from __future__ import annotations

import asyncio
import logging
import os
import weakref
from collections.abc import Generator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import settings

from rtcstack.ice import FEATURES
from rtcstack.network import Form, SystemNetwork
from rtcstack.platform import Platform, install, uninstall
from rtcstack.platform.current import loops_with_their_own
from rtcstack.testing import invariants
from tests.support import agents, leaks

# `make fuzz`: the same properties with many more examples, for as long as it takes
settings.register_profile("fuzz", max_examples=10_000, deadline=None)
# how long an example takes is the machine's business
settings.register_profile("house", settings.default, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))

collect_ignore = ["frameworks"]  # `make test-frameworks`

WATCH = pytest.StashKey[leaks.Watch]()
FAILED = pytest.StashKey[bool]()


networks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, SystemNetwork] = weakref.WeakKeyDictionary()
"""Of the loops that are on another network than theirs, see ``--network``."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--network",
        choices=[str(form) for form in Form],
        help="the form of this machine's network, in all loops; conformance runs on a virtual one without",
    )
    parser.addoption("--agent", choices=list(FEATURES), help="the ICE agent of all connections")


def pytest_configure(config: pytest.Config) -> None:
    agents.use_agent(config.getoption("--agent"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    agents.expect_failures(items)


invariants.enable()


def pytest_collection_finish() -> None:
    leaks.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop() -> Generator[None, object, object]:
    with leaks.watch_loops():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed or hasattr(report, "wasxfail"):
        item.stash[FAILED] = True
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """When all of the test is over, its loop closed: what has it left?"""
    faults: list[str] = []
    try:
        result = yield
    finally:
        watch = item.stash.get(WATCH, None)
        if watch is not None:
            del item.stash[WATCH]
            faults = watch.end()
    if faults and not item.stash.get(FAILED, False):  # or what is left is the failure's
        pytest.fail("not clean:\n" + "\n".join(faults), pytrace=False)
    return result


@pytest_asyncio.fixture(loop_scope="function")
async def function_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


@pytest_asyncio.fixture(loop_scope="module")
async def module_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


@pytest_asyncio.fixture(loop_scope="session")
async def session_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


@pytest.fixture(autouse=True)
def on_the_network(request: pytest.FixtureRequest) -> Iterator[None]:
    """What ``--network`` asks for; a loop that has a platform of its own keeps that."""
    form = request.config.getoption("--network")
    marker = request.node.get_closest_marker("asyncio")
    if form is None or marker is None:
        yield
        return
    loop = request.getfixturevalue(f"{marker.kwargs.get('loop_scope') or 'function'}_loop")
    if loop in loops_with_their_own:
        yield
        return
    here = networks.setdefault(loop, SystemNetwork(Form(form)))
    install(loop, Platform(network=lambda: here))
    yield
    uninstall(loop)


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[leaks.Watch]:
    """Nothing reaches the event loop's exception handler, and nothing is left open, pending or running."""
    marker = request.node.get_closest_marker("asyncio")
    if marker is None:
        watch = leaks.Watch()
    else:
        scope = marker.kwargs.get("loop_scope") or "function"
        watch = leaks.Watch(request.getfixturevalue(f"{scope}_loop"), shared=scope != "function")
    request.node.stash[WATCH] = watch
    yield watch
    watch.settle()


@pytest.fixture
def expects_loop_exceptions(nothing_is_left: leaks.Watch) -> list[dict[str, Any]]:
    """For tests of what reaches the loop's exception handler: the contexts; there must be one at the end."""
    nothing_is_left.expects_loop_exceptions = True
    return nothing_is_left.reported


@pytest.fixture
def expects_faults(nothing_is_left: leaks.Watch) -> list[logging.LogRecord]:
    """For tests of faults inside the stack: what it has logged of them; there must be one at the end."""
    nothing_is_left.expects_faults = True
    return nothing_is_left.faults
