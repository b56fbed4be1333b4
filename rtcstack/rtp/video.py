"""From packets to pictures: what belongs together, what can be decoded, and how long to wait.

A picture is all packets with one timestamp. It is complete when its first and last packet are
known and all between them are there, and it is handed on when it follows what was handed on
before without a gap. Behind a gap the assembler waits as long as retransmission can help, and
asks for a key frame when that takes too long; whichever comes first ends the wait.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from rtcstack.errors import ParseError
from rtcstack.rtp.capture import HeaderReader
from rtcstack.rtp.frames import Depacketizer, EncodedFrame, PayloadInfo
from rtcstack.rtp.packet import RtpPacket
from rtcstack.serial import Unwrapper

__all__ = ["MAX_HELD_PACKETS", "VideoAssembler"]

MAX_HELD_PACKETS = 2048
"""Packets held back for pictures that are not complete or not yet decodable."""

MAX_BLOCKED_S = 3.0
"""After so long behind a gap what is held is too old to be shown; only a key frame helps."""

FIRST_KEY_FRAME_S = 0.2
"""How long a stream may go without its first key frame before one is asked for."""

REORDERING_S = 0.05
"""How long a gap may last where retransmissions are not to be had."""

MIN_WAIT_S, MAX_WAIT_S = 0.2, 1.5
"""Bounds of the wait for retransmissions before a key frame is asked for."""

KEY_FRAME_RETRY_S = 0.3
"""Between two requests for a key frame, a round trip apart from it."""


class _Picture:
    """The packets of one timestamp.

    Attributes:
        start, end: numbers of its first and last packet, -1 while unknown.
        lowest: the lowest number that came.
        parts: payloads by number; None for one without payload.
    """

    __slots__ = (
        "depacketizer",
        "end",
        "first_at",
        "key_frame",
        "lowest",
        "packets",
        "parts",
        "retransmitted",
        "start",
        "timestamp",
    )

    def __init__(self, timestamp: int, depacketizer: Depacketizer, index: int, now: float) -> None:
        self.timestamp = timestamp
        self.depacketizer = depacketizer
        self.start = -1
        self.end = -1
        self.lowest = index
        self.parts: dict[int, PayloadInfo | None] = {}
        self.packets: dict[int, RtpPacket] = {}
        self.key_frame = False
        self.retransmitted = False
        self.first_at = now


class VideoAssembler:
    """Makes frames from the packets of one video stream.

    Args:
        reader: completes the frames from the packets' headers.
        emit: gets each frame, in an order that can be decoded.
        wake: called when `deadline` was None and is not any more.
        missing: numbers of packets that may still come by retransmission.
        asks: whether retransmissions are asked for.
        ssrc, mid, rid: for the frames.

    Attributes:
        asks: as above.
        deadline: when `handle_timeout` wants to be called, or None.
        wants_key_frame: set when a key frame is to be asked for; whoever asks clears it.
        rtt_s: round-trip time.
        frames, key_frames: handed on.
        frames_dropped: complete pictures that were never handed on.
        late_packets: came after their picture's turn.
        malformed: packets and pictures that their payload format refused.
        overflows: how often more was held than may be.
    """

    __slots__ = (
        "_blocked_since",
        "_complete",
        "_emit",
        "_fillers",
        "_last_tl0",
        "_mid",
        "_missing",
        "_next",
        "_pictures",
        "_reader",
        "_rid",
        "_ssrc",
        "_top",
        "_unwrapper",
        "_wake",
        "_where",
        "asks",
        "deadline",
        "frames",
        "frames_dropped",
        "key_frames",
        "late_packets",
        "malformed",
        "overflows",
        "rtt_s",
        "wants_key_frame",
    )

    def __init__(
        self,
        reader: HeaderReader,
        emit: Callable[[EncodedFrame], None],
        *,
        wake: Callable[[], None] = lambda: None,
        missing: Container[int] = (),
        asks: bool = True,
        ssrc: int = 0,
        mid: str | None = None,
        rid: str | None = None,
    ) -> None:
        self._reader = reader
        self._emit = emit
        self._wake = wake
        self._missing = missing
        self.asks = asks
        self._ssrc = ssrc
        self._mid = mid
        self._rid = rid
        self._unwrapper = Unwrapper(32)
        self._next = -1  # number that the next picture starts with; -1 while a key frame is needed
        self._top = -1  # the highest number that came
        self._pictures: dict[int, _Picture] = {}  # those still open, by timestamp on the wire
        self._complete: dict[int, _Picture] = {}  # by the number that they start with
        self._where: dict[int, _Picture] = {}  # every held packet's picture
        self._fillers: set[int] = set()  # packets without payload, between pictures
        self._blocked_since: float | None = None
        self._last_tl0: int | None = None
        self.deadline: float | None = None
        self.wants_key_frame = False
        self.rtt_s = 0.1
        self.frames = 0
        self.key_frames = 0
        self.frames_dropped = 0
        self.late_packets = 0
        self.malformed = 0
        self.overflows = 0

    @property
    def held_packets(self) -> int:
        """How many packets are held back."""
        return len(self._where) + len(self._fillers)

    # -- packets in -------------------------------------------------------------------------------

    def insert(self, packet: RtpPacket, depacketizer: Depacketizer, now: float) -> None:
        """Take a packet that has not been taken before, in whatever order."""
        index = packet.index
        following = self._next
        if index < following:
            self.late_packets += 1
            return
        start = packet.payload_start
        if start == packet.payload_end:
            self._fill(packet, now)
            return
        try:
            part = depacketizer.depacketize(packet.data[start : packet.payload_end])
        except ParseError:
            self.malformed += 1
            self._need_key_frame(now)
            return
        timestamp = packet.timestamp
        picture = self._pictures.get(timestamp)
        if picture is None or 0 <= picture.end < index:
            picture = _Picture(self._unwrapper.unwrap(timestamp), depacketizer, index, now)
            self._pictures[timestamp] = picture
        elif index < picture.lowest:
            picture.lowest = index
        picture.parts[index] = part
        picture.packets[index] = packet
        where = self._where
        where[index] = picture
        if part.key_frame:
            picture.key_frame = True
        if packet.retransmitted:
            picture.retransmitted = True
        # Where pictures meet: by what the format says, else by the change of timestamps.
        before = where.get(index - 1)
        if (
            (part.starts_frame and not part.spatial_id)
            or index == following
            or (before is not None and before is not picture)
            or (before is None and index - 1 in self._fillers)
        ):
            picture.start = index
            if before is not None and before is not picture and before.end < 0:
                before.end = index - 1
                self._check(before, now)
        if packet.marker:
            picture.end = index
        after = where.get(index + 1)
        if after is not None and after is not picture:
            picture.end = index
            if after.start < 0:
                after.start = index + 1
                self._check(after, now)
        if index > self._top:
            self._top = index
        if picture.end >= 0:
            self._check(picture, now)
        if len(where) > MAX_HELD_PACKETS:
            self._overflow(now)
        elif self.deadline is None and (self._next < 0 or self._has_gap):
            self._block(now)

    @property
    def _has_gap(self) -> bool:
        """Whether something is missing before the newest packet."""
        return self._next >= 0 and self._top - self._next + 1 != len(self._where) + len(self._fillers)

    def _fill(self, packet: RtpPacket, now: float) -> None:
        """A packet without payload: it counts only for what it stands between."""
        index = packet.index
        before, after = self._where.get(index - 1), self._where.get(index + 1)
        if before is not None and before.end < 0 and before.timestamp & 0xFFFF_FFFF == packet.timestamp:
            before.parts[index] = None  # padding in the midst of a picture, or at an end that is not told
            self._where[index] = before
            self._top = max(self._top, index)
            self._check(before, now)
            return
        if before is not None and before.end < 0:
            before.end = index - 1
            self._check(before, now)
        if index < self._next:
            return
        self._fillers.add(index)
        self._top = max(self._top, index)
        if after is not None and after.start < 0:
            after.start = index + 1
            self._check(after, now)
        if self._next == index:
            self._advance(now)
        if len(self._fillers) > MAX_HELD_PACKETS:
            self._overflow(now)

    def _check(self, picture: _Picture, now: float) -> None:
        """Hand a picture on, or put it aside, if it has become complete."""
        start, end = picture.start, picture.end
        if end < 0:
            return
        waiting = self._next < 0
        if start < 0 and waiting and picture.key_frame:
            # Formats that do not tell a start: what stands before it may have been lost for good.
            lowest = picture.lowest
            part = picture.parts[lowest]
            if part is not None and not part.continues and lowest - 1 not in self._missing:
                start = picture.start = lowest
        if start < 0 or len(picture.parts) < end - start + 1:
            return
        if waiting:
            if not picture.key_frame:
                self.frames_dropped += 1
                self._forget(picture)
                return
            self._complete[start] = picture
            self._jump(picture)
        else:
            self._complete[start] = picture
        if self._next == start:
            self._advance(now)

    # -- pictures out -----------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        """Hand on whatever follows without a gap."""
        while True:
            following = self._next
            picture = self._complete.pop(following, None)
            if picture is None:
                opened = self._where.get(following)
                if opened is not None and opened.start < 0:
                    opened.start = following
                    if opened.end >= 0 and len(opened.parts) >= opened.end - following + 1:
                        picture = opened
            if picture is not None:
                if not self._hand_on(picture, now):
                    return
            elif following in self._fillers:
                self._fillers.discard(following)
                self._next = following + 1
            else:
                break
        self._blocked_since = self.deadline = None
        if self._has_gap:
            self._block(now)

    def _hand_on(self, picture: _Picture, now: float) -> bool:
        start, end = picture.start, picture.end
        self._forget(picture)
        self._next = end + 1
        try:
            # A sender that ends a picture twice may have left a hole in it: a KeyError.
            numbers = range(start, end + 1)
            parts = [part for part in [picture.parts[i] for i in numbers] if part is not None]
            first = picture.packets[start]
            data = picture.depacketizer.assemble(parts)
        except (ParseError, KeyError):
            self.malformed += 1
            self._need_key_frame(now)
            return False
        head = parts[0]
        last = picture.packets.get(end, first)
        frame = EncodedFrame(
            data,
            picture.timestamp,
            first.payload_type,
            self._ssrc,
            now,
            picture.key_frame,
            self._rid,
            self._mid,
        )
        frame.marker = last.marker
        frame.temporal_id = head.temporal_id
        frame.sequence_number = start
        frame.packet_count = end - start + 1
        frame.retransmitted = picture.retransmitted
        frame.first_received_at = picture.first_at
        for part in parts:
            if part.width is not None:
                frame.width, frame.height = part.width, part.height
            if part.spatial_id > frame.spatial_id:
                frame.spatial_id = part.spatial_id
        self._reader.describe(frame, first, last)
        if head.tl0_pic_idx is not None and not head.temporal_id:
            self._last_tl0 = head.tl0_pic_idx
        self.frames += 1
        if picture.key_frame:
            self.key_frames += 1
            self.wants_key_frame = False
        self._emit(frame)
        return True

    def _forget(self, picture: _Picture) -> None:
        where = self._where
        for index in picture.parts:
            if where.get(index) is picture:
                del where[index]
        wire = picture.timestamp & 0xFFFF_FFFF
        if self._pictures.get(wire) is picture:
            del self._pictures[wire]

    def _jump(self, picture: _Picture) -> None:
        """Go on with this picture; what stands before it is dropped."""
        start = picture.start
        self._next = start
        older = {id(each): each for index, each in self._where.items() if index < start}
        for each in older.values():
            if self._complete.pop(each.start, None) is not None:
                self.frames_dropped += 1
            self._forget(each)
        self._fillers = {index for index in self._fillers if index >= start}

    # -- waiting ----------------------------------------------------------------------------------

    @property
    def _wait_s(self) -> float:
        """How long retransmissions are waited for before a key frame is asked for."""
        if not self.asks:
            return REORDERING_S
        return min(max(6 * self.rtt_s + 0.1, MIN_WAIT_S), MAX_WAIT_S)

    @property
    def _skip_wait_s(self) -> float:
        """How long a gap is waited for when there is something behind it that needs it not."""
        return min(self._wait_s, self.rtt_s + 0.02)

    def _block(self, now: float) -> None:
        self._blocked_since = now
        self._set_deadline(now + (FIRST_KEY_FRAME_S if self._next < 0 else self._skip_wait_s))

    def _set_deadline(self, deadline: float) -> None:
        asleep = self.deadline is None
        self.deadline = deadline
        if asleep:
            self._wake()

    def _need_key_frame(self, now: float) -> None:
        """What comes next cannot be decoded: go on with a key frame only, and ask for it."""
        self._next = -1
        self._blocked_since = now
        self.wants_key_frame = True
        self._set_deadline(now + self.rtt_s + KEY_FRAME_RETRY_S)

    def _overflow(self, now: float) -> None:
        self.overflows += 1
        self.reset(now)

    def reset(self, now: float) -> None:
        """Drop all that is held and go on with a key frame."""
        self.frames_dropped += len(self._complete)
        self._pictures.clear()
        self._complete.clear()
        self._where.clear()
        self._fillers.clear()
        self._need_key_frame(now)

    def decoder_failed(self, now: float) -> None:
        """The decoder could not use what it got: hand on nothing but a key frame next."""
        self._need_key_frame(now)

    def _can_follow(self, picture: _Picture) -> bool:
        """Whether it can be decoded though pictures before it were lost.

        With temporal layers, a picture of the lowest depends on the one of that layer before it
        only, and one marked as a switching point on the newest of that layer.
        """
        head = picture.parts[picture.start]
        if head is None or head.tl0_pic_idx is None or self._last_tl0 is None:
            return False
        if not head.temporal_id:
            return head.tl0_pic_idx == (self._last_tl0 + 1) & 0xFF
        return head.layer_sync and head.tl0_pic_idx == self._last_tl0

    def handle_timeout(self, now: float) -> None:
        """The wait is over, or the next request for a key frame is due."""
        if self.deadline is None or now < self.deadline:
            return
        waiting = self._next < 0
        if not waiting and not self._has_gap:  # it was closed; only the rest of a picture is to come
            self.deadline = self._blocked_since = None
            return
        # Numbers, not arrivals: nothing is handed on out of order.
        for start in sorted(self._complete):
            picture = self._complete[start]
            if picture.key_frame or (not waiting and self._can_follow(picture)):
                self._jump(picture)
                self._advance(now)
                return
        since = self._blocked_since if self._blocked_since is not None else now
        if not waiting and now - since >= MAX_BLOCKED_S:
            self.reset(now)
        elif waiting or now >= since + self._wait_s:
            self.wants_key_frame = True
            self.deadline = now + self.rtt_s + KEY_FRAME_RETRY_S
        else:
            self.deadline = since + self._wait_s
