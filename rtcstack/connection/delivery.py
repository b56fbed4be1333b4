"""The messages of a channel that have come and that the application has not taken: early ones, for whoever
listens first, and those that are held for a reader.

What a channel with handlers only does not hear is gone; `docs/decisions/slow-readers.md` says why.
"""

from __future__ import annotations

from collections import deque

from rtcstack.connection.channels import ChannelSet
from rtcstack.errors import RTCError
from rtcstack.sctp.channel import Channel
from rtcstack.sctp.holdings import Holding

__all__ = [
    "MAX_EARLY_BYTES",
    "MAX_EARLY_MESSAGES",
    "MAX_EARLY_TOTAL_BYTES",
    "MESSAGE_OVERHEAD_BYTES",
    "Delivery",
]

MAX_EARLY_MESSAGES = 1024
"""Messages kept for a channel to which nobody listens yet; later ones are dropped, as the W3C's
event model drops all of them."""

MAX_EARLY_BYTES = 1 << 20
"""The same in bytes."""

MAX_EARLY_TOTAL_BYTES = 4 << 20
"""The same for all channels of a connection. A channel whose message exceeds it is closed, with an
error: what nobody has listened for by then is no oversight of a moment."""

MESSAGE_OVERHEAD_BYTES = 64
"""What a message that waits for the application is charged beside its data."""


def _size(data: str | bytes) -> int:
    """What a message that waits is charged: a flood of empty ones must not be free."""
    return MESSAGE_OVERHEAD_BYTES + (len(data) if isinstance(data, bytes) else len(data.encode()))


class Delivery:
    """What waits of one channel.

    Args:
        channels: of the connection.
        channel: whose messages they are.

    Attributes:
        channel: whose messages they are.
        lost: why what was held for a reader is gone, until it has heard of it.
        unheard: messages that were lost because nobody listened for them, or their reader took nothing.
        early_bytes: what early messages are charged.
    """

    __slots__ = (
        "_budget",
        "_channels",
        "_early",
        "_has_taken",
        "_holding",
        "_idle_ticks",
        "_inbox",
        "_overflowed",
        "channel",
        "early_bytes",
        "lost",
        "unheard",
    )

    def __init__(self, channels: ChannelSet, channel: Channel) -> None:
        self.channel = channel
        self._channels = channels
        self._budget = channels.early_budget
        self._early: list[str | bytes] | None = []
        self.early_bytes = 0
        self._overflowed = False
        self._inbox: deque[str | bytes | RTCError] | None = None
        self._holding: Holding | None = None
        self.lost: RTCError | None = None
        self._has_taken = True
        self._idle_ticks = 0
        self.unheard = 0

    def __del__(self) -> None:
        # Who has never listened may still do so while the object lives, also after "close".
        if self.early_bytes:
            self._budget.held_bytes -= self.early_bytes

    # -- early messages ---------------------------------------------------------------------------

    @property
    def is_early(self) -> bool:
        """Whether nobody has listened yet."""
        return self._early is not None

    @property
    def has_early(self) -> bool:
        """Whether messages wait for whoever listens first."""
        return bool(self._early)

    def take_early(self) -> list[str | bytes]:
        """These messages, for handlers; from here on somebody listens."""
        self._overflowed = False
        return self._take_early()

    def _take_early(self) -> list[str | bytes]:
        early, self._early = self._early or [], None
        self._budget.held_bytes -= self.early_bytes
        self.early_bytes = 0
        return early

    def keep(self, data: str | bytes) -> None:
        """Keep a message for whoever listens first, if there is room, and none was lost before it: what is
        kept has no holes."""
        early = self._early
        size = _size(data)
        if (
            early is None
            or self._overflowed
            or len(early) >= MAX_EARLY_MESSAGES
            or self.early_bytes + size > MAX_EARLY_BYTES
        ):
            self._overflowed = early is not None
            self._drop()
        elif self._budget.held_bytes + size > MAX_EARLY_TOTAL_BYTES:
            self._take_early()
            self._drop()
            self._channels.refuse(self.channel, "too many messages that nobody listens for")
        else:
            early.append(data)
            self.early_bytes += size
            self._budget.held_bytes += size

    def _drop(self) -> None:
        """A message that nobody listens for is gone: that is said once."""
        self.unheard += 1
        if self.unheard == 1:
            self._channels.warn(
                "unheard",
                "messages on the channel %r are lost: nobody listens for them, or too many came before"
                " somebody did",
                self.channel.label,
            )

    # -- a reader ---------------------------------------------------------------------------------

    @property
    def is_read(self) -> bool:
        """Whether messages are held for a reader."""
        return self._inbox is not None

    def begin(self) -> None:
        """Hold messages for a reader from here on, if that has not begun.

        Raises:
            RTCError: what was held was let go; reading may go on behind the gap.
        """
        lost, self.lost = self.lost, None
        if lost is not None:
            raise lost
        if self._inbox is not None:
            return
        early = self._take_early()
        self._inbox = deque(early)
        if self._overflowed:
            self._overflowed = False
            self._inbox.append(
                RTCError(
                    "data-channel-failure",
                    f"{self.unheard} messages on the channel {self.channel.label!r} were lost: they came"
                    " before anybody read",
                )
            )
        holding = self._holding = self._channels.begin_reading(self)
        for data in early:
            holding.hold(_size(data))
        if early:
            self._channels.watch_readers()

    def put(self, data: str | bytes) -> None:
        """Hold a message."""
        inbox, holding = self._inbox, self._holding
        if inbox is None or holding is None:  # the connection was closed by a handler of what came before
            return
        if not holding.held_bytes:
            self._has_taken = True  # nothing has waited until now
            self._channels.watch_readers()
        inbox.append(data)
        holding.hold(_size(data))

    def take(self, *, is_over: bool) -> str | bytes | None:
        """The next message, or None when none waits.

        Args:
            is_over: no more will come.

        Raises:
            RTCError: messages were lost here.
        """
        self.begin()
        inbox = self._inbox
        if not inbox:
            if is_over:
                self.end()
            return None
        data = inbox.popleft()
        if isinstance(data, RTCError):
            raise data
        self._has_taken = True
        if self._holding is not None:
            self._holding.take(_size(data))
            if not inbox and is_over:
                self.end()
            self._channels.tell_window()
        return data

    def close(self) -> None:
        """No more will come; what waits may be taken still."""
        if not self._inbox:
            self.end()

    def end(self) -> None:
        """Nothing is held any more."""
        if self._holding is not None:
            self._holding.end()
            self._holding = None
            self._channels.end_reading(self)

    def look(self, idle_ticks: int, hopeless: Holding | None) -> bool:
        """Look, at every tick of a clock, whether the reader moves; let go of what it holds if not.

        Args:
            idle_ticks: whole intervals between two ticks that it may take nothing in.
            hopeless: what is held for a reader that is too slow.

        Returns:
            Whether anything waits for it still.
        """
        inbox, holding = self._inbox, self._holding
        if inbox is None or holding is None or not holding.held_bytes:
            return False
        if holding is not hopeless:
            if self._has_taken:
                self._has_taken = False
                self._idle_ticks = 0
                return True
            self._idle_ticks += 1
            if self._idle_ticks < idle_ticks:
                return True
        count = sum(not isinstance(each, RTCError) for each in inbox)
        self._inbox = None
        self.end()
        self.unheard += count
        took = "too little" if holding is hopeless else "none"
        text = (
            f"{count} messages on the channel {self.channel.label!r} were lost: its reader took {took} for"
            " too long"
        )
        self.lost = RTCError("data-channel-failure", text)
        self._channels.warn("stalled", "%s", text)
        return False
