"""Operations and their chain: who waits for them, who stops waiting, and what goes wrong in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rtcstack import RTCPeerConnection
from rtcstack.api.operations import Operation, OperationsChain
from rtcstack.errors import InvalidStateError

pytestmark = pytest.mark.asyncio


class Chain:
    """A chain, and what it has told."""

    def __init__(self) -> None:
        self.closed = False
        self.emptied = 0
        self.chain = OperationsChain(lambda: self.closed, self._on_empty)
        self.done: list[str] = []

    def _on_empty(self) -> None:
        self.emptied += 1

    def run(self, name: str) -> Operation[str]:
        def work() -> str:
            self.done.append(name)
            return name

        return self.chain.run(name, work)


def unfinished() -> tuple[asyncio.Future[str], Operation[str]]:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    return future, Operation(future)


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def waits(operation: Operation[str]) -> str:
    return await operation


@pytest.mark.parametrize(
    "begin",
    [
        lambda operation: asyncio.create_task(waits(operation)),
        asyncio.create_task,
        lambda operation: asyncio.create_task(asyncio.wait_for(operation, 60)),
    ],
    ids=["a coroutine that awaits it", "a task of its own", "a time-out around it"],
)
async def test_whoever_stops_waiting_stops_nothing(begin: Callable[[Any], asyncio.Task[str]]) -> None:
    future, operation = unfinished()
    impatient, patient = begin(operation), asyncio.create_task(waits(operation))
    await turns()
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    assert not operation.done()
    assert not patient.done()
    future.set_result("done")
    assert await patient == "done"
    assert await operation == "done"


async def test_an_operation_may_be_several_tasks_at_once() -> None:
    future, operation = unfinished()
    tasks = [asyncio.create_task(operation) for _ in range(3)]
    await turns()
    tasks[1].cancel()
    await turns()
    future.set_result("done")
    assert await tasks[0] == "done"
    assert await tasks[2] == "done"
    assert tasks[1].cancelled()
    assert operation._iterators == {}


async def test_all_who_wait_get_what_it_raises() -> None:
    future, operation = unfinished()
    tasks = [asyncio.create_task(operation), asyncio.create_task(waits(operation))]
    await turns()
    future.set_exception(InvalidStateError("no"))
    assert [type(e) for e in await asyncio.gather(*tasks, return_exceptions=True)] == [InvalidStateError] * 2
    with pytest.raises(InvalidStateError):
        await operation


async def test_an_operation_goes_on_when_its_only_awaiter_is_cancelled() -> None:
    connection = RTCPeerConnection()
    try:
        connection.createDataChannel("x")
        task = asyncio.create_task(connection.setLocalDescription())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await connection.createOffer()  # behind it in the chain
        assert connection.signalingState == "have-local-offer"
    finally:
        await connection.close()


async def test_an_exception_behind_an_operation_does_not_hold_up_the_chain(
    expects_loop_exceptions: list[dict[str, Any]],
) -> None:
    chain = Chain()

    def fail() -> None:
        raise RuntimeError("after the first")

    first = chain.run("first")
    chain.chain.after(fail)
    chain.chain.after(lambda: chain.done.append("the next callback"))
    second, third = chain.run("second"), chain.run("third")
    assert [await first, await second, await third] == ["first", "second", "third"]
    await turns()
    assert chain.done == ["first", "the next callback", "second", "third"]
    assert chain.emptied == 1
    assert chain.chain.is_empty
    assert [str(context["exception"]) for context in expects_loop_exceptions] == ["after the first"]


async def test_what_waits_in_a_chain_ends_with_the_connection() -> None:
    chain = Chain()
    first, second = chain.run("first"), chain.run("second")
    chain.closed = True
    assert await first == "first"
    with pytest.raises(InvalidStateError):
        await second
