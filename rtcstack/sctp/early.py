"""Messages of streams whose OPEN has not come yet.

Spec: RFC 8832, section 6: data may overtake the OPEN on unordered and partially reliable channels.
"""

from __future__ import annotations

from collections.abc import Set

from rtcstack.sctp.events import StreamMessage

__all__ = ["MAX_EARLY_BYTES", "EarlyMessages"]

MAX_EARLY_BYTES = 64 * 1024
"""Data held, of all streams together."""

EARLY_OVERHEAD_BYTES = 64
"""What each message is charged beside its data."""


class EarlyMessages:
    """What is held by stream, within a bound.

    Attributes:
        held_bytes: data and charges.
    """

    __slots__ = ("_by_stream", "held_bytes")

    def __init__(self) -> None:
        self._by_stream: dict[int, list[StreamMessage]] = {}
        self.held_bytes = 0

    @property
    def streams(self) -> Set[int]:
        """The streams that something is held of."""
        return self._by_stream.keys()

    def keep(self, message: StreamMessage) -> bool:
        """Hold a message. Returns False where there is no room for it."""
        size_bytes = len(message.data) + EARLY_OVERHEAD_BYTES
        if self.held_bytes + size_bytes > MAX_EARLY_BYTES:
            return False
        self.held_bytes += size_bytes
        self._by_stream.setdefault(message.stream_id, []).append(message)
        return True

    def take(self, stream_id: int) -> list[StreamMessage]:
        """What came on a stream, which is known now or will never be."""
        messages = self._by_stream.pop(stream_id, [])
        for message in messages:
            self.held_bytes -= len(message.data) + EARLY_OVERHEAD_BYTES
        return messages
