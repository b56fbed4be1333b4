"""The W3C's promises, the tasks that settle them, and the operations chain.

An algorithm of the W3C checks what it can within the call, works in parallel, and then queues a task that
changes state, fires events and settles the promise. Here, too: what an algorithm does within the call are its
*steps*, and they give the task, which the loop runs in a turn of its own.

Spec: webrtc-pc, section 4.4.1.2 (chain an asynchronous operation); HTML, section 8.1.7 (queue a task).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rtcstack.errors import InvalidStateError, OperationError
from rtcstack.events import call_handler

__all__ = [
    "MAX_CHAINED_OPERATIONS",
    "Operation",
    "OperationsChain",
    "Steps",
    "Task",
    "Then",
    "promise",
    "rejected",
    "settled",
    "upon",
]

T = TypeVar("T")

MAX_CHAINED_OPERATIONS = 1000
"""Operations that may wait; an application that never lets the loop run gets an OperationError."""


@dataclass(frozen=True, slots=True)
class Then(Generic[T]):
    """What a task gives that ends a part of an algorithm only: further steps, of the same promise.

    Attributes:
        steps: run at once, in the task's turn.
    """

    steps: Steps[T]


Task = Callable[[], T | Then[T]]
"""Runs in a turn of its own; what it gives or raises settles the promise."""

Steps = Callable[[], Task[T]]
"""Run within the call; what they raise rejects the promise."""


class Operation(Coroutine[Any, Any, T], Generic[T]):
    """The W3C's promise: it has begun when you get it, and may be awaited, any number of times.

    Whoever awaits it lets the loop have a turn at least, also when it is settled already. Whoever stops
    waiting for it, by a time-out or by being cancelled, stops nothing: the operation goes on, and all
    others that wait get what it comes to.

    It also passes for a coroutine, so that ``asyncio.create_task`` and ``asyncio.run`` take it; of any
    number of tasks at the same time.

    Args:
        future: what it comes to.
    """

    __slots__ = ("_future", "_iterators", "_waiters")

    def __init__(self, future: asyncio.Future[T] | _Settled[T]) -> None:
        self._future = future
        self._iterators: dict[asyncio.Task[Any] | None, Generator[Any, None, T]] | None = None
        self._waiters: list[asyncio.Future[None]] = []
        if isinstance(future, asyncio.Future):
            future.add_done_callback(self._wake)

    def _wake(self, _future: object = None) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def __await__(self) -> Generator[Any, None, T]:
        future = self._future
        if future.done():
            yield  # to the loop, for a turn
        else:
            # One of its own for each: a task that is cancelled cancels what it waits for.
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                yield from waiter
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
        return future.result()

    def done(self) -> bool:
        """Whether the operation has ended."""
        return self._future.done()

    def _drive(self, step: Callable[[Generator[Any, None, T]], Any]) -> Any:
        """One step of the task that runs now; each has its own place in the wait."""
        iterators = self._iterators
        if iterators is None:
            iterators = self._iterators = {}
        task = asyncio.current_task()
        iterator = iterators.get(task)
        if iterator is None:
            iterator = iterators[task] = self.__await__()
        try:
            return step(iterator)
        except BaseException:
            del iterators[task]
            raise

    def send(self, value: None, /) -> Any:
        """The coroutine protocol, for the loop."""
        return self._drive(lambda iterator: iterator.send(value))

    def throw(self, *args: Any) -> Any:
        """The coroutine protocol, for the loop."""
        return self._drive(lambda iterator: iterator.throw(*args))

    def close(self) -> None:
        """The coroutine protocol, for the loop."""
        iterators, self._iterators = self._iterators, None
        for iterator in (iterators or {}).values():
            iterator.close()


class _Settled(Generic[T]):
    """What a future that has its result is, without a loop."""

    __slots__ = ("_result",)

    def __init__(self, result: T) -> None:
        self._result = result

    def result(self) -> T:
        """What it has come to."""
        return self._result

    @staticmethod
    def done() -> bool:
        """Always."""
        return True


def settled(result: T) -> Operation[T]:
    """An operation that has ended; it takes no loop."""
    return Operation(_Settled(result))


def rejected(error: Exception) -> Operation[Any]:
    """An operation that has failed before it began."""
    operation = _pending()
    _settle(operation, None, error)
    return operation


def promise(steps: Steps[T]) -> Operation[T]:
    """An operation outside of the chain.

    Args:
        steps: run at once.
    """
    try:
        task = steps()
    except Exception as exc:  # the caller's or ours: whoever awaits the operation gets it
        return rejected(exc)
    operation: Operation[T] = _pending()

    def run() -> None:
        try:
            result = task()
        except Exception as exc:  # the caller's or ours: whoever awaits the operation gets it
            _settle(operation, None, exc)
        else:
            assert not isinstance(result, Then)
            _settle(operation, result, None)

    asyncio.get_running_loop().call_soon(run)
    return operation


def _pending() -> Operation[Any]:
    return Operation(asyncio.get_running_loop().create_future())


def _settle(operation: Operation[Any], result: object, error: Exception | None) -> None:
    """Whoever waits goes on in the loop's next turn, before anything that is queued from here on."""
    future = operation._future
    if not isinstance(future, asyncio.Future) or future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
    operation._wake()


def upon(
    operation: Operation[T], fulfilled: Callable[[T], object], failed: Callable[[BaseException], object]
) -> None:
    """Call a function with what an operation comes to, in a turn of the loop after that.

    What a function raises, the loop's exception handler is told; a coroutine function is run as a task.

    Args:
        operation: what is waited for.
        fulfilled: called with its result.
        failed: called with its error.
    """
    future = operation._future
    if not isinstance(future, asyncio.Future):
        asyncio.get_running_loop().call_soon(call_handler, fulfilled, future.result())
        return

    def ended(future: asyncio.Future[T]) -> None:
        error = future.exception()
        if error is None:
            call_handler(fulfilled, future.result())
        else:
            call_handler(failed, error)

    future.add_done_callback(ended)


class OperationsChain:
    """Runs operations one after the other, in the order in which they were asked for.

    The steps of the first run within the call that chains it. It has left the chain when whoever awaits
    it goes on.

    Args:
        is_closed: whether the connection is closed; then nothing more runs.
        on_empty: called when the last operation has left.
    """

    __slots__ = ("_after", "_holds", "_is_closed", "_on_empty", "_operations")

    def __init__(self, is_closed: Callable[[], bool], on_empty: Callable[[], None]) -> None:
        self._is_closed = is_closed
        self._on_empty = on_empty
        self._operations: deque[tuple[Steps[Any], Operation[Any]]] = deque()
        self._after: list[Callable[[], None]] = []
        self._holds = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing runs or waits ([[Operations]])."""
        return not self._operations

    @property
    def is_held(self) -> bool:
        """Whether a promise outside of the chain is to be settled before a description counts."""
        return self._holds > 0

    def holding(self, operation: Operation[T]) -> Operation[T]:
        """Let descriptions wait for a promise (setParameters; webrtc-pc, section 4.4.1.5)."""
        if not operation.done():
            self._holds += 1
            future = operation._future
            assert isinstance(future, asyncio.Future)
            future.add_done_callback(self._let_go)
        return operation

    def _let_go(self, _future: object) -> None:
        self._holds -= 1

    def run(self, name: str, steps: Steps[T]) -> Operation[T]:
        """Chain an operation.

        Args:
            name: for error messages.
            steps: of the operation.
        """
        if self._is_closed():
            return rejected(InvalidStateError(f"{name}: the connection is closed"))
        if len(self._operations) > MAX_CHAINED_OPERATIONS:
            waiting = len(self._operations) - 1
            return rejected(OperationError(f"{name}: {waiting} operations are waiting already"))
        operation: Operation[T] = _pending()
        self._operations.append((steps, operation))
        if len(self._operations) == 1:
            self._begin(steps)
        return operation

    def after(self, callback: Callable[[], None]) -> None:
        """Run something once whoever awaits the operation in progress has had a turn."""
        self._after.append(callback)

    def _begin(self, steps: Steps[Any]) -> None:
        loop = asyncio.get_running_loop()
        try:
            task = steps()
        except Exception as exc:  # the caller's or ours: whoever awaits the operation gets it
            loop.call_soon(self._end, None, exc)
        else:
            loop.call_soon(self._run, task)

    def _run(self, task: Task[Any]) -> None:
        if self._is_closed():
            self._end_all()
            return
        try:
            result = task()
        except Exception as exc:  # the caller's or ours: whoever awaits the operation gets it
            self._end(None, exc)
        else:
            if isinstance(result, Then):
                self._begin(result.steps)
            else:
                self._end(result, None)

    def _end(self, result: object, error: Exception | None) -> None:
        """The first operation has ended."""
        _, operation = self._operations.popleft()
        _settle(operation, result, error)
        if self._after:
            after, self._after = self._after, []
            asyncio.get_running_loop().call_soon(_run_all, after)
        if self._is_closed():
            self._end_all()
        elif self._operations:
            self._begin(self._operations[0][0])
        else:
            self._on_empty()

    def _end_all(self) -> None:
        """The connection is closed.

        Spec: the promises of a closed connection never settle; here they end, so that no task waits for
        ever. Nobody is told off for not looking at them.
        """
        while self._operations:
            _, operation = self._operations.popleft()
            _settle(operation, None, InvalidStateError("the connection was closed"))
            if isinstance(operation._future, asyncio.Future):
                operation._future.exception()


def _run_all(callbacks: list[Callable[[], None]]) -> None:
    for callback in callbacks:
        try:
            callback()
        except Exception as exc:  # what waits in the chain has done nothing wrong
            asyncio.get_running_loop().call_exception_handler(
                {"message": "exception after an operation of a connection", "exception": exc}
            )
