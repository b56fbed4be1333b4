"""The operations chain, and what its operations return.

Spec: webrtc-pc, section 4.4.1.2 (chain an operation).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from rtcstack.errors import InvalidStateError, OperationError

__all__ = ["MAX_CHAINED_OPERATIONS", "Operation", "OperationsChain"]

T = TypeVar("T")

MAX_CHAINED_OPERATIONS = 1000
"""Operations that may wait; an application that never lets the loop run gets an OperationError."""


class _Settled(Generic[T]):
    """What a future that has its result is, without a loop."""

    __slots__ = ("_result",)

    def __init__(self, result: T) -> None:
        self._result = result

    def __await__(self) -> Generator[Any, None, T]:
        return self._result
        yield  # what makes it a generator

    @staticmethod
    def done() -> bool:
        """Always."""
        return True


class Operation(Coroutine[Any, Any, T], Generic[T]):
    """The W3C's promise: it has begun when you get it, and may be awaited, any number of times.

    Whoever stops waiting for it, by a time-out or by being cancelled, stops nothing: the operation goes
    on, and all others that wait get what it comes to.

    It also passes for a coroutine, so that ``asyncio.create_task`` and ``asyncio.run`` take it; of any
    number of tasks at the same time.
    """

    __slots__ = ("_future", "_iterators")

    def __init__(self, future: asyncio.Future[T] | _Settled[T]) -> None:
        self._future = future
        self._iterators: dict[asyncio.Task[Any] | None, Generator[Any, None, T]] | None = None

    @classmethod
    def of(cls, function: Callable[[], T]) -> Operation[T]:
        """An operation outside of the chain: done at once; what it raises, the awaiter gets."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        _settle(future, function)
        return cls(future)

    @classmethod
    def settled(cls, result: T) -> Operation[T]:
        """An operation that has ended; it takes no loop."""
        return cls(_Settled(result))

    def __await__(self) -> Generator[Any, None, T]:
        future = self._future
        if isinstance(future, _Settled):
            return future.__await__()
        # a task that is cancelled cancels what it waits for: that must not be what others wait for
        return (future if future.done() else asyncio.shield(future)).__await__()

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


def _settle(future: asyncio.Future[T], function: Callable[[], T]) -> None:
    """Run the function; the future gets what it gives or raises, unless it was cancelled."""
    try:
        result = function()
    except Exception as exc:
        if not future.done():
            future.set_exception(exc)
    else:
        if not future.done():
            future.set_result(result)


class OperationsChain:
    """Runs operations one after the other, in the order in which they were asked for.

    The first starts at once, within the call that chains it. An operation counts as running until
    the loop has had a turn after it, so that what its caller awaits comes before the next.

    Args:
        is_closed: whether the connection is closed; then nothing more runs.
        on_empty: called when the last operation of a run has ended.
    """

    __slots__ = ("_after", "_is_closed", "_on_empty", "_queue", "_running")

    def __init__(self, is_closed: Callable[[], bool], on_empty: Callable[[], None]) -> None:
        self._is_closed = is_closed
        self._on_empty = on_empty
        self._queue: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._running = False
        self._after: list[Callable[[], None]] = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing runs or waits."""
        return not self._running

    def run(self, name: str, operation: Callable[[], T]) -> Operation[T]:
        """Chain an operation.

        Args:
            name: for error messages.
            operation: does it all without awaiting; what it raises, the awaiter gets.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._is_closed():
            future.set_exception(InvalidStateError(f"{name}: the connection is closed"))
        elif len(self._queue) >= MAX_CHAINED_OPERATIONS:
            future.set_exception(OperationError(f"{name}: {len(self._queue)} operations are waiting already"))
        elif self._running:
            self._queue.append((operation, future))
        else:
            self._running = True
            self._execute(operation, future)
        return Operation(future)

    def after(self, callback: Callable[[], None]) -> None:
        """Run something once whoever awaits the operation in progress has had a turn."""
        self._after.append(callback)

    def _execute(self, operation: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        _settle(future, operation)
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        after, self._after = self._after, []
        for callback in after:
            try:
                callback()
            except Exception as exc:  # what waits in the chain has done nothing wrong
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "exception after an operation of a connection", "exception": exc}
                )
        if self._is_closed():
            # Spec: the promises of a closed connection never settle; here they end, so that no
            # task waits for ever.
            while self._queue:
                _, future = self._queue.pop(0)
                if not future.done():
                    future.set_exception(InvalidStateError("the connection was closed"))
            self._running = False
        elif self._queue:
            self._execute(*self._queue.pop(0))
        else:
            self._running = False
            self._on_empty()
