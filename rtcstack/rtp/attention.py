"""Which of the streams that are received want to be looked after, and when."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from rtcstack.rtp.receive import ReceiveStream

__all__ = ["MAX_DEADLINES", "Attention"]

SERVE_AGAIN_S = 0.001
"""A stream that was looked at and would be looked at again at once waits for so long."""

MAX_DEADLINES = 4096
"""Deadlines that are kept, those that hold no more included; when there are more, these are sorted out."""


class Attention:
    """The streams that miss something or have something to tell: no others are touched.

    Attributes:
        woken: to be looked at now.
        deadlines: when others are, as a heap.
        untold: streams with packets that nobody was told of.
    """

    __slots__ = ("_looks", "deadlines", "untold", "woken")

    def __init__(self) -> None:
        self._looks = 0
        self.woken: dict[ReceiveStream, None] = {}
        self.deadlines: list[tuple[float, int, ReceiveStream]] = []
        self.untold: dict[ReceiveStream, None] = {}

    def wake(self, stream: ReceiveStream) -> None:
        """A stream wants to be looked at."""
        self.woken[stream] = None

    def forget(self, stream: ReceiveStream) -> None:
        """A stream has ended."""
        stream.look_at = None
        self.woken.pop(stream, None)
        self.untold.pop(stream, None)

    def clear(self) -> None:
        """All have."""
        self.woken.clear()
        self.deadlines.clear()
        self.untold.clear()

    def take(self, now: float) -> list[ReceiveStream]:
        """The streams to look at now. Each is to be asked then when it wants that again (`look_again`)."""
        woken, self.woken = self.woken, {}
        deadlines = self.deadlines
        while deadlines and deadlines[0][0] <= now:
            due, _, stream = heappop(deadlines)
            if stream.look_at == due:
                woken[stream] = None
        return list(woken)

    def look_again(self, stream: ReceiveStream, due_at: float | None, now: float) -> None:
        """A stream was looked at, and is to be looked at then."""
        if due_at is not None and due_at <= now:
            due_at = now + SERVE_AGAIN_S
        if due_at is not None and due_at != stream.look_at:
            self._looks += 1
            heappush(self.deadlines, (due_at, self._looks, stream))
            if len(self.deadlines) > MAX_DEADLINES:
                stream.look_at = due_at
                self._tidy()
        stream.look_at = due_at

    def _tidy(self) -> None:
        """Streams whose deadlines move leave the old ones behind."""
        current = {entry[2]: entry for entry in self.deadlines if entry[2].look_at == entry[0]}
        self.deadlines = list(current.values())
        heapify(self.deadlines)

    def next_at(self) -> float | None:
        """When a stream that is not woken is to be looked at."""
        deadlines = self.deadlines
        while deadlines:
            look_at, _, stream = deadlines[0]
            if stream.look_at == look_at:
                return look_at
            heappop(deadlines)  # it has another by now, or none
        return None
