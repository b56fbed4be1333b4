"""The watch around every test: a run with tests that leave something behind fails, each with its reason."""

from __future__ import annotations

import fnmatch
import re
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets are seen in /proc")

ROOT = Path(__file__).parents[2]

HEAD = """
import asyncio, gc, logging, socket, threading
import pytest, rtcstack

kept = []

async def fail():
    raise ValueError("mine")

async def sleep():
    await asyncio.sleep(60)
"""

LEAKS = {
    # name: (the test, a pattern of what its failure says)
    "handler": (
        """
async def test():
    asyncio.get_running_loop().call_exception_handler({"message": "bad", "exception": ValueError("mine")})
""",
        "an exception reached the loop: bad: ValueError('mine')",
    ),
    "handler_of_its_own": (
        """
async def test():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    loop.call_soon(lambda: 1 / 0)
""",
        "an exception reached the loop: Exception in callback *ZeroDivisionError",
    ),
    "task": (
        """
async def test():
    task = asyncio.ensure_future(fail())
    await asyncio.sleep(0.001)
""",
        "an exception reached the loop: Task exception was never retrieved: ValueError('mine')",
    ),
    "task_in_a_cycle": (
        """
class Owner:
    pass

async def test():
    owner = Owner()
    owner.owner = owner
    owner.task = asyncio.ensure_future(fail())
    await asyncio.sleep(0.001)
    for _ in range(3):
        gc.collect(1)
""",
        "an exception reached the loop: Task exception was never retrieved: ValueError('mine')",
    ),
    "future": (
        """
async def test():
    asyncio.get_running_loop().create_future().set_exception(ValueError("mine"))
""",
        "an exception reached the loop: Future exception was never retrieved: ValueError('mine')",
    ),
    "virtual_socket": (
        """
def test():
    from rtcstack.testing import run
    async def main():
        loop = asyncio.get_running_loop()
        kept.append(await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 5000)))
    run(main())
""",
        "a virtual socket is open on host: UDP 127.0.0.1 5000",
    ),
    "virtual_connection": (
        """
def test():
    from rtcstack.testing import run
    async def main():
        server = await asyncio.start_server(lambda r, w: kept.append(w), "127.0.0.1", 7)
        kept.append(await asyncio.open_connection("127.0.0.1", 7))
        await asyncio.sleep(1)
        server.close()
    run(main())
""",
        "a virtual connection is open on host: ('127.0.0.1', *",
    ),
    "another_loop": (
        """
def test():
    async def main():
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0.001)
    asyncio.run(main())
""",
        "an exception reached the loop: Exception in callback *ZeroDivisionError",
    ),
    "task_in_a_cycle_of_another_loop": (
        """
def test():
    class Owner:
        pass
    async def main():
        owner = Owner()
        owner.owner = owner
        owner.task = asyncio.ensure_future(fail())
        await asyncio.sleep(0.001)
    asyncio.run(main())
""",
        "an exception reached the loop: Task exception was never retrieved: ValueError('mine')",
    ),
    "teardown": (
        """
@pytest.fixture
async def late():
    yield
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)

async def test(late):
    pass
""",
        "an exception reached the loop: Exception in callback *ZeroDivisionError",
    ),
    "unraisable": (
        """
class Bad:
    def __del__(self):
        raise ValueError("mine")

def test():
    Bad()
""",
        "ValueError: mine",
    ),
    "unraisable_in_a_cycle": (
        """
class Bad:
    def __del__(self):
        raise ValueError("mine")

async def test():
    bad = Bad()
    bad.bad = bad
""",
        "ValueError: mine",
    ),
    "thread_that_raises": (
        """
def test():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
""",
        "ZeroDivisionError: division by zero",
    ),
    "coroutine": (
        """
def test():
    fail()
""",
        "coroutine 'fail' was never awaited",
    ),
    "socket": (
        """
def test():
    kept.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    kept[-1].bind(("127.0.0.1", 0))
""",
        "a socket is open: socket:*AF_INET SOCK_DGRAM ('127.0.0.1', ",
    ),
    "socket_that_is_collected": (
        """
def test():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
""",
        "ResourceWarning: unclosed <socket.socket ",
    ),
    "transport": (
        """
async def test():
    loop = asyncio.get_running_loop()
    kept.extend(await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)))
""",
        "a socket is open: socket:*AF_INET SOCK_DGRAM ('127.0.0.1', ",
    ),
    "connection": (
        """
async def test():
    kept.append(rtcstack.RTCPeerConnection())
    kept[-1].createDataChannel("x")
    await kept[-1].setLocalDescription()
    await kept[-1].gathered()
""",
        "a socket is open: socket:*AF_INET SOCK_DGRAM ",
    ),
    "pending": (
        """
async def test():
    asyncio.ensure_future(sleep())
""",
        "a task is pending: <Task pending * coro=<sleep() ",
    ),
    "pending_in_a_fixture": (
        """
@pytest.fixture
async def sleeper():
    asyncio.ensure_future(sleep())

async def test(sleeper):
    pass
""",
        "a task is pending: <Task pending * coro=<sleep() ",
    ),
    "pending_in_a_shared_loop": (
        """
@pytest.mark.asyncio(loop_scope="session")
async def test():
    kept.append(asyncio.ensure_future(sleep()))
""",
        "a task is pending: <Task pending * coro=<sleep() ",
    ),
    "timer": (
        """
async def test():
    asyncio.get_running_loop().call_later(60, print)
""",
        "a timer is left: <TimerHandle ",
    ),
    "timer_of_another_loop": (
        """
def test():
    async def main():
        asyncio.get_running_loop().call_later(60, print)
    asyncio.run(main())
""",
        "a timer is left: <TimerHandle ",
    ),
    "loop": (
        """
def test():
    kept.append(asyncio.new_event_loop())
""",
        "a socket is open: socket:",
    ),
    "thread": (
        """
def test():
    end = threading.Event()
    kept.append(end)
    threading.Thread(target=end.wait, args=(60,), daemon=True, name="mine").start()
""",
        "a thread runs: <Thread(mine, started daemon ",
    ),
    "fault": (
        """
def test():
    try:
        1 / 0
    except ZeroDivisionError as exc:
        logging.getLogger("rtcstack.ice").error("a fault in %s", "ICE", exc_info=exc)
""",
        "the stack has a fault: a fault in ICE: ZeroDivisionError('division by zero')",
    ),
    "nothing_reported": (
        """
async def test(expects_loop_exceptions):
    pass
""",
        "no exception reached the loop, and the test expects one",
    ),
    "no_fault": (
        """
def test(expects_faults):
    pass
""",
        "the stack has logged no fault, and the test expects one",
    ),
}

CLEAN = """
from tests.support.leaks import lasting

async def test_what_is_reported_is_handed_out(expects_loop_exceptions):
    assert expects_loop_exceptions == []
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0.001)
    assert isinstance(expects_loop_exceptions[0]["exception"], ZeroDivisionError)

async def test_the_loops_own_handler_is_called(expects_loop_exceptions):
    loop = asyncio.get_running_loop()
    told = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    loop.call_exception_handler({"message": "one"})
    assert told == expects_loop_exceptions == [{"message": "one"}]

def test_a_fault_is_handed_out(expects_faults):
    try:
        1 / 0
    except ZeroDivisionError as exc:
        logging.getLogger("rtcstack.ice").error("a fault in %s", "ICE", exc_info=exc)
    assert [record.getMessage() for record in expects_faults] == ["a fault in ICE"]

async def test_what_is_closed_in_the_next_turn_is_closed():
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    transport.close()
    asyncio.ensure_future(sleep()).cancel()
    loop.call_later(60, print).cancel()
    await asyncio.to_thread(print)

@pytest.fixture
async def late():
    task = asyncio.ensure_future(sleep())
    yield
    task.cancel()

async def test_a_fixture_clears_up(late):
    pass

@pytest.mark.asyncio(loop_scope="session")
async def test_what_is_to_last():
    with lasting():
        kept.append(asyncio.ensure_future(sleep()))
        kept.append(socket.create_server(("127.0.0.1", 0)))

@pytest.mark.asyncio(loop_scope="session")
async def test_who_connects_to_what_lasts():
    with socket.create_connection(kept[1].getsockname()):
        kept.append(kept[1].accept()[0])

@pytest.mark.asyncio(loop_scope="session")
async def test_what_was_there_before():
    kept[0].cancel()
    kept[1].close()
    kept[2].close()

def test_a_thread_that_is_ending():
    threading.Thread(target=print).start()
"""


SECTION = re.compile(r"^_+ (?:ERROR at \w+ of )?(test_\w+) _+$", re.MULTILINE)
"""What pytest writes above the report of a test that failed."""


def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, text: str) -> pytest.RunResult:
    """Run tests with this project's settings, in a process of their own."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makefile(".toml", pyproject=(ROOT / "pyproject.toml").read_text())
    pytester.makeconftest((ROOT / "tests/conftest.py").read_text())
    pytester.makepyfile(HEAD + text)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "--tb=short", ".")


def test_each_test_that_leaves_something_behind_fails_with_the_reason(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = [text.replace("def test(", f"def test_{name}(") for name, (text, _) in LEAKS.items()]
    result = run(pytester, monkeypatch, "".join(tests))
    _, *reports = SECTION.split(result.stdout.str())
    said = dict(zip(reports[::2], reports[1::2], strict=True))
    assert said.keys() == {f"test_{name}" for name in LEAKS}
    for name, (_, reason) in LEAKS.items():
        lines = said[f"test_{name}"].splitlines()
        assert any(fnmatch.fnmatchcase(line, f"*{reason}*") for line in lines), (name, lines)


def test_what_clears_up_after_itself_passes(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(pytester, monkeypatch, CLEAN).assert_outcomes(passed=9)
