"""Who looks on notices passes that leave something undone, or do the same without end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtcstack.sctp.channels import DataChannels
from rtcstack.testing import Internet, Trace, VirtualLoop, run
from rtcstack.testing.invariants import InvariantError, LooksOn, are_enabled, enable
from rtcstack.transport.transport import Transport
from tests.unit.testing.calls import Call, until


def looks_on() -> LooksOn:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop.looks_on


async def connected(internet: Internet) -> Call:
    call = Call(internet.host("alice"), internet.host("bob"))
    with call.alice.host:
        call.alice.keep(call.alice.connection.createDataChannel("chat"))
    await call.connect()
    await until(lambda: call.alice.channels[0].readyState == "open")
    return call


def test_tests_look_on() -> None:
    assert are_enabled()
    internet = Internet()

    async def main() -> None:
        call = await connected(internet)
        assert looks_on().passes > 10
        await call.close()

    run(main(), internet=internet)


def test_users_do_not() -> None:
    enable(False)
    try:
        assert not VirtualLoopOf().checks
    finally:
        enable()
    assert VirtualLoopOf().checks


class VirtualLoopOf:
    """Whether a new loop looks on."""

    def __init__(self) -> None:
        loop = VirtualLoop()
        self.checks = loop.looks_on.checks
        loop.close()


@pytest.mark.parametrize(
    ("broken", "gives", "text", "wait_s", "said"),
    [
        pytest.param("_flush", False, "stays", 0.001, "'SCTP': 1", id="unsent"),
        pytest.param("_tell", None, "arrives", 0.1, "untold", id="untold"),
    ],
)
def test_what_a_pass_leaves_behind_is_noticed(
    broken: str,
    gives: bool | None,
    text: str,
    wait_s: float,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    expects_loop_exceptions: list[dict[str, Any]],
) -> None:
    internet = Internet()

    async def main() -> None:
        call = await connected(internet)
        with monkeypatch.context() as patch:
            patch.setattr(Transport, broken, lambda self, now: gives)
            call.alice.channels[0].send(text)
            await asyncio.sleep(wait_s)
        await call.close()

    run(main(), internet=internet)
    error = expects_loop_exceptions[0]["exception"]
    assert isinstance(error, InvariantError)
    assert said in str(error)


def test_a_deadline_that_is_asked_for_again_and_again_is_noticed(
    monkeypatch: pytest.MonkeyPatch, expects_loop_exceptions: list[dict[str, Any]]
) -> None:
    internet = Internet()

    async def main() -> None:
        call = await connected(internet)
        due = internet.now + 0.01
        asked = 0
        really = DataChannels.next_timeout

        def next_timeout(self: DataChannels) -> float | None:
            nonlocal asked
            asked += internet.now >= due
            return due if asked < 20 else really(self)

        with monkeypatch.context() as patch:
            patch.setattr(DataChannels, "next_timeout", next_timeout)
            call.alice.channels[0].send("wakes")
            await asyncio.sleep(0.02)
        await call.close()

    run(main(), internet=internet)
    error = expects_loop_exceptions[0]["exception"]
    assert isinstance(error, InvariantError)
    assert "SCTP asks for" in str(error)


def test_a_trace_has_what_was_inside() -> None:
    internet = Internet()
    internet.trace = Trace()

    async def main() -> None:
        call = await connected(internet)
        await call.close()

    run(main(), internet=internet)
    plain = [entry for entry in internet.trace.entries if entry[2][0] == "plain"]
    assert plain
    assert all(len(contents) == 8 for *_, contents in plain)
    bare = Internet()
    bare.trace = Trace(keeps=False, has_contents=False)
    run(connected_and_closed(bare), internet=bare)
    assert bare.trace.entries == []
    assert bare.trace.count == internet.trace.count - len(plain)


async def connected_and_closed(internet: Internet) -> None:
    call = await connected(internet)
    await call.close()
