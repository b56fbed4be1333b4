"""Operations and their chain: who waits for them, who stops waiting, and what goes wrong in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rtcstack import RTCPeerConnection
from rtcstack.errors import InvalidStateError
from rtcstack.promises import Operation, OperationsChain, Task, Then, promise, rejected, settled

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

        return self.chain.run(name, lambda: work)


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
    assert sorted(chain.done) == ["first", "second", "the next callback", "third"]
    assert chain.emptied == 1
    assert chain.chain.is_empty
    assert [str(context["exception"]) for context in expects_loop_exceptions] == ["after the first"]


async def test_what_waits_in_a_chain_ends_with_the_connection() -> None:
    chain = Chain()
    first, second = chain.run("first"), chain.run("second")
    chain.closed = True
    for operation in (first, second):
        with pytest.raises(InvalidStateError):
            await operation
    assert chain.done == []


async def test_every_await_gives_the_loop_a_turn() -> None:
    chain, turns_taken = Chain(), 0

    def turn() -> None:
        nonlocal turns_taken
        turns_taken += 1

    for operation in (promise(lambda: lambda: 1), settled(1), chain.run("one"), chain.run("two")):
        for _ in range(2):  # settled already, the second time
            before = turns_taken
            asyncio.get_running_loop().call_soon(turn)
            await operation
            assert turns_taken == before + 1
    operation = rejected(InvalidStateError("no"))
    assert operation.done()
    asyncio.get_running_loop().call_soon(turn)
    with pytest.raises(InvalidStateError):
        await operation
    assert turns_taken == before + 2


async def test_who_awaits_goes_on_with_the_chain_empty_and_before_what_was_put_off() -> None:
    chain = Chain()
    first = chain.run("first")
    chain.chain.after(lambda: chain.done.append("put off"))
    assert chain.done == []
    await first
    assert chain.chain.is_empty
    assert chain.emptied == 1
    assert chain.done == ["first"]
    await turns(1)
    assert chain.done == ["first", "put off"]


async def test_who_awaits_goes_on_before_the_next_task() -> None:
    chain = Chain()
    first, second = chain.run("first"), chain.run("second")
    await first
    assert chain.done == ["first"]
    assert not second.done()
    await second
    assert chain.done == ["first", "second"]


async def test_steps_run_within_the_call_and_their_task_does_not() -> None:
    chain, done = Chain(), list[str]()

    def steps() -> Task[None]:
        done.append("steps")
        return lambda: done.append("task")

    first, second = chain.chain.run("first", steps), chain.chain.run("second", steps)
    assert done == ["steps"]
    await first
    assert done == ["steps", "task", "steps"]
    await second
    assert done == ["steps", "task"] * 2


async def test_parts_of_an_algorithm_are_one_operation() -> None:
    chain, done = Chain(), list[str]()

    def part(number: int) -> Callable[[], Task[str]]:
        def steps() -> Task[str]:
            def task() -> str | Then[str]:
                done.append(f"task {number}")
                return Then(part(number + 1)) if number < 3 else "end"

            if number == 3 and len(done) > 5:
                raise InvalidStateError("the last part may not begin")
            return task

        return steps

    operation, behind = chain.chain.run("several", part(1)), chain.run("behind")
    assert await operation == "end"
    assert done == ["task 1", "task 2", "task 3"]
    assert not behind.done()
    await behind
    done.append("so that")
    with pytest.raises(InvalidStateError):
        await chain.chain.run("several", part(1))


async def test_what_holds_descriptions_lets_go_when_it_is_settled() -> None:
    chain = Chain()
    operation = chain.chain.holding(promise(lambda: lambda: None))
    assert chain.chain.is_held
    await operation
    assert not chain.chain.is_held
    failed = chain.chain.holding(rejected(InvalidStateError("no")))
    assert not chain.chain.is_held
    with pytest.raises(InvalidStateError):
        await failed


async def test_statistics_in_a_loop_do_not_starve_it() -> None:
    async with RTCPeerConnection() as connection:
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, over.set)
        count = 0
        while not over.is_set():
            await connection.getStats()
            count += 1
        assert count
