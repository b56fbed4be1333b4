"""Tasks and the operations chain.

Spec: webrtc-pc, section 4.4.1.2 (chain an asynchronous operation); HTML, section 8.1.7 (queue a task).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.model.errors import RefusedError

__all__ = ["Chain", "Operation", "Step", "Tasks"]


class Tasks:
    """What is queued."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def queue(self, task: Callable[[], None]) -> None:
        """Queue a task."""
        self._waiting.append(task)

    def run(self) -> None:
        """Run all that there is."""
        while self._waiting:
            self._waiting.popleft()()


Step = Callable[[], Any]
"""A part of an algorithm. One that is queued gives another one to go on with, or what the promise is
fulfilled with."""


@dataclass(slots=True)
class Operation:
    """An operation and its promise.

    Attributes:
        name: for messages.
        steps: run when its turn comes; they give the task, or reject.
        outcome: name of the error, "" when it is fulfilled; None before.
        made: the texts that the implementation made for it, in order; see `Peer.create`.
        may_be_refused: the error that the implementation may reject it with, by rules of RFC 9429 that the
            model does not follow; None while it may not.
        on_settled: called then.
        shown: what the connection shows of itself then.
    """

    name: str
    steps: Callable[[Operation], Step]
    outcome: str | None = None
    made: list[str] = field(default_factory=list)
    may_be_refused: str | None = None
    on_settled: Callable[[], None] | None = None
    shown: dict[str, Any] | None = None

    def settle(self, outcome: str) -> None:
        """Fulfil or reject the promise."""
        self.outcome = outcome
        if self.on_settled is not None:
            self.on_settled()


class Chain:
    """[[Operations]] and [[UpdateNegotiationNeededFlagOnEmptyChain]]."""

    def __init__(
        self, tasks: Tasks, is_closed: Callable[[], bool], update_needed: Callable[[], None]
    ) -> None:
        self._tasks = tasks
        self._is_closed = is_closed
        self._update_needed = update_needed
        self.operations: list[Operation] = []
        self.update_on_empty = False

    def chain(self, operation: Operation) -> None:
        """To chain an operation."""
        # 2. A closed connection rejects.
        if self._is_closed():
            operation.settle("InvalidStateError")
            return
        # 5. and 6.
        self.operations.append(operation)
        if len(self.operations) == 1:
            self._execute(operation)

    def _execute(self, operation: Operation) -> None:
        self._begin(operation, lambda: operation.steps(operation))

    def _begin(self, operation: Operation, steps: Step) -> None:
        try:
            task = steps()
        except RefusedError as error:
            name = error.name
            self._tasks.queue(lambda: self._settle(operation, name))
        else:
            self._tasks.queue(lambda: self._run(operation, task))

    def _run(self, operation: Operation, task: Step) -> None:
        if self._is_closed():
            # The promises of a closed connection never settle; docs/decisions/promises.md: here they end.
            for each in self.operations:
                each.settle("InvalidStateError")
            self.operations.clear()
            return
        try:
            further = task()
        except RefusedError as error:
            self._settle(operation, error.name)
        else:
            if further is None:
                self._settle(operation, "")
            else:
                self._begin(operation, further)

    def _settle(self, operation: Operation, outcome: str) -> None:
        operation.settle(outcome)
        if self._is_closed():
            self.operations.remove(operation)
            self._run(operation, lambda: None)
            return
        # 8.2. to 8.6.
        self.operations.pop(0)
        if self.operations:
            self._execute(self.operations[0])
        elif self.update_on_empty:
            self.update_on_empty = False
            self._update_needed()
