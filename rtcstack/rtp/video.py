"""From packets to pictures: what belongs together, what can be decoded, and how long to wait.

A picture is all packets with one timestamp. It is complete when its first and last packet are
known and all between them are there, and it is handed on when it follows what was handed on
before without a gap. The marker ends a picture at once for as long as a stream's markers prove
right; where they stand in a picture's midst, or nowhere, the next timestamp ends it, or silence.
Parameter sets that come with a timestamp of their own go with the picture behind them.

Behind a gap the assembler waits as long as retransmission can help, and asks for a key frame when
that takes too long; whichever comes first ends the wait. While a key frame is awaited what comes is
held, for packets overtake each other: it may follow the key frame.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from rtcstack.errors import ParseError
from rtcstack.refusals import Refusals
from rtcstack.rtp.capture import HeaderReader
from rtcstack.rtp.frames import Depacketizer, EncodedFrame, PayloadInfo
from rtcstack.rtp.packet import RtpPacket
from rtcstack.serial import Unwrapper

__all__ = ["MAX_HELD_PACKETS", "VideoAssembler"]

MAX_HELD_PACKETS = 2048
"""Packets held back for pictures that are not complete or not yet decodable. When a key frame is
awaited the older half gives way, else all."""

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

MIN_QUIET_S, MAX_QUIET_S = 0.05, 0.4
"""Silence after which a picture is over in a stream whose markers say nothing; longer each time that
more of it came nevertheless."""

TRUST_AFTER = 8
"""Pictures in a row whose markers were right, after which a stream's markers are believed again."""

MAX_LEADING_BYTES = 64 * 1024
"""Parameter sets with timestamps of their own that wait for their picture; else they are dropped."""


class _Picture:
    """The packets of one timestamp.

    Attributes:
        start, end: numbers of its first and last packet, -1 while unknown.
        lowest: the lowest number that came.
        parts: payloads by number; None for one without payload.
        is_marked: only a marker says where it ends.
        is_picture: it holds some of a picture, not parameter sets alone.
        is_rest: of one that was handed on too early.
        layer_count: spatial layers that it may have.
        markers: markers on parts of its picture.
        doubtful: number of a packet whose marker is not believed yet, -1 for none.
        has_bare_unit: a unit of it ended without a marker: markers do not end units.
    """

    __slots__ = (
        "depacketizer",
        "doubtful",
        "end",
        "first_at",
        "has_bare_unit",
        "has_key_part",
        "is_marked",
        "is_picture",
        "is_rest",
        "layer_count",
        "lowest",
        "markers",
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
        self.doubtful = -1
        self.has_bare_unit = False
        self.has_key_part = False
        self.is_marked = False
        self.is_picture = False
        self.is_rest = False
        self.layer_count = 1
        self.markers = 0
        self.retransmitted = False
        self.first_at = now

    @property
    def key_frame(self) -> bool:
        """Whether decoding can begin with it."""
        return self.has_key_part and self.is_picture


class VideoAssembler:
    """Makes frames from the packets of one video stream.

    Args:
        reader: completes the frames from the packets' headers.
        emit: gets each frame, in an order that can be decoded.
        wake: called when `deadline` is nearer than before, and when a key frame is wanted.
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
        "_due",
        "_emit",
        "_fillers",
        "_last_at",
        "_last_tl0",
        "_last_wire",
        "_leading",
        "_markers_lie",
        "_markers_right",
        "_mid",
        "_missing",
        "_next",
        "_pictures",
        "_quiet_due",
        "_quiet_s",
        "_reader",
        "_refusals",
        "_rid",
        "_ssrc",
        "_top",
        "_unwrapper",
        "_waiting",
        "_wake",
        "_where",
        "asks",
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
        refusals: Refusals | None = None,
    ) -> None:
        self._refusals = refusals if refusals is not None else Refusals()
        self._reader = reader
        self._emit = emit
        self._wake = wake
        self._missing = missing
        self.asks = asks
        self._ssrc = ssrc
        self._mid = mid
        self._rid = rid
        self._unwrapper = Unwrapper(32)
        self._next = 0  # number that the next picture starts with; nothing before it is taken
        self._waiting = True  # for a key frame, wherever it starts
        self._top = -1  # the highest number that came
        self._pictures: dict[int, _Picture] = {}  # those still open, by timestamp on the wire
        self._complete: dict[int, _Picture] = {}  # by the number that they start with
        self._where: dict[int, _Picture] = {}  # every held packet's picture
        self._fillers: dict[int, int] = {}  # timestamps of packets without payload, between pictures
        self._blocked_since: float | None = None
        self._last_tl0: int | None = None
        self._last_wire = -1  # timestamp of the last picture handed on
        self._leading = b""  # parameter sets for the next picture
        self._markers_lie = False
        self._markers_right = 0  # pictures in a row
        self._last_at = 0.0  # when the newest packet came
        self._quiet_s = MIN_QUIET_S
        self._quiet_due: float | None = None
        self._due: float | None = None
        self.wants_key_frame = False
        self.rtt_s = 0.1
        self.frames = 0
        self.key_frames = 0
        self.frames_dropped = 0
        self.late_packets = 0
        self.malformed = 0
        self.overflows = 0

    @property
    def deadline(self) -> float | None:
        """When `handle_timeout` wants to be called."""
        due, quiet = self._due, self._quiet_due
        return due if quiet is None or (due is not None and due < quiet) else quiet

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
        except ParseError as error:
            self.malformed += 1
            self._refusals.add("rtp", error.reason, packet.data)
            self._start_again(now)
            return
        timestamp = packet.timestamp
        picture = self._pictures.get(timestamp)
        if picture is not None and 0 <= picture.end < index and picture.is_marked and _goes_on(part):
            self._markers_were_wrong()
        if picture is None or 0 <= picture.end < index:
            picture = _Picture(self._unwrapper.unwrap(timestamp), depacketizer, index, now)
            self._pictures[timestamp] = picture
            if timestamp == self._last_wire and part.is_picture and _goes_on(part):
                self._cut_short(picture)
        elif index < picture.lowest:
            picture.lowest = index
        picture.parts[index] = part
        picture.packets[index] = packet
        where = self._where
        where[index] = picture
        if part.key_frame:
            picture.has_key_part = True
        if part.layer_count > picture.layer_count:
            picture.layer_count = part.layer_count
        if part.is_picture:
            picture.is_picture = True
        if packet.retransmitted:
            picture.retransmitted = True
        # Where pictures meet: by what the format says, else by the change of timestamps.
        before = where.get(index - 1)
        if (part.starts_frame and not part.spatial_id) or index == following:
            picture.start = index
        if before is None:
            wire = self._fillers.get(index - 1)
            if wire is not None and wire != timestamp:
                picture.start = index
        elif before is not picture:
            picture.start = index
            if before.end < 0:
                before.end = index - 1
                self._check(before, now)
        after = where.get(index + 1)
        if packet.marker:
            self._mark(picture, part, index, after)
        elif not part.continued:
            picture.has_bare_unit = True
        if picture.doubtful >= 0:
            self._judge(picture, part, index)
        if after is not None and after is not picture:
            picture.end = index
        elif after is None and picture.end < 0 and index + 1 in self._fillers:
            after = self._absorb(picture, index + 1)
        if index > self._top:
            self._top = index
            self._last_at = now
            if picture.end < 0 and (self._markers_lie or not self.frames):
                self._listen(now)
        if picture.end >= 0:
            self._check(picture, now)
        if after is not None and after is not picture and after.start < 0:
            self._starts_behind(after, picture, now)
        if len(where) > MAX_HELD_PACKETS:
            self._overflow(now)
        elif self._due is None and (self._waiting or self._has_gap):
            self._block(now)

    def _starts_behind(self, picture: _Picture, before: _Picture, now: float) -> None:
        """The picture before this one ended: now it is known where this one starts."""
        start = before.end + 1
        if self._where.get(start) is picture:  # and was not handed on with the one before
            picture.start = start
            self._check(picture, now)

    @property
    def _has_gap(self) -> bool:
        """Whether something is missing before the newest packet, or nothing will come of it."""
        following = self._next
        if self._waiting or self._top < following:
            return False
        if self._top - following + 1 != len(self._where) + len(self._fillers):
            return True
        # All is there. But a picture that ended and was not handed on contradicts itself.
        opened = self._where.get(following)
        return opened is None or opened.end >= 0

    # -- packets without payload ------------------------------------------------------------------
    #
    # They count only for what they stand between. One with the timestamp of the picture before it
    # belongs to that one unless its end is known: it is in its midst, or at an end that is not told.

    def _fill(self, packet: RtpPacket, now: float) -> None:
        index = packet.index
        self._fillers[index] = packet.timestamp
        if index > self._top:
            self._top = index
        before, after = self._where.get(index - 1), self._where.get(index + 1)
        if before is not None and before.end < 0:
            after = self._absorb(before, index)
            if before.end >= 0:
                self._check(before, now)
            if after is not None and after is not before and after.start < 0:
                self._starts_behind(after, before, now)
        elif after is not None and after.start < 0 and after.timestamp & 0xFFFF_FFFF != packet.timestamp:
            after.start = index + 1
            self._check(after, now)
        if len(self._fillers) > MAX_HELD_PACKETS:
            self._overflow(now)
        elif self._next == index and not self._waiting:
            self._advance(now)
        elif self._due is None and self._has_gap:
            self._block(now)

    def _absorb(self, picture: _Picture, index: int) -> _Picture | None:
        """Take the packets without payload from this one on into the picture before them.

        Returns:
            The picture that stands behind them, if there is one.
        """
        fillers, where = self._fillers, self._where
        wire = picture.timestamp & 0xFFFF_FFFF
        while fillers.get(index) == wire:
            del fillers[index]
            picture.parts[index] = None
            where[index] = picture
            index += 1
        after = where.get(index)
        if index in fillers or (after is not None and after is not picture):
            picture.end = index - 1
        return after

    # -- markers --------------------------------------------------------------------------------------
    #
    # They are hints (RFC 6184, section 5.1): some senders put one on every unit, or none at all.

    def _mark(self, picture: _Picture, part: PayloadInfo, index: int, after: _Picture | None) -> None:
        """A packet carries the marker."""
        if not part.is_picture:
            # no picture ends here, so this stream's markers may end units
            self._markers_lie = self._markers_lie or not self._markers_right
            return
        picture.markers += 1
        if self._markers_lie:
            return
        if after is picture and _goes_on(picture.parts[index + 1]):
            self._markers_were_wrong()
            return
        is_slice = part.starts_frame is None and part.key_frame and not part.starts_sequence
        if not self.frames and (is_slice or part.spatial_id + 1 < picture.layer_count):
            # nothing is known of the stream: is it the picture's end, or only a slice's, or a layer's?
            picture.doubtful = index
            return
        picture.end = index
        picture.is_marked = True

    def _judge(self, picture: _Picture, part: PayloadInfo, index: int) -> None:
        """Believe the marker of the stream's first picture, or not."""
        if index > picture.doubtful and _goes_on(part):
            self._markers_were_wrong()
        elif self._markers_lie:
            picture.doubtful = -1
        elif picture.has_bare_unit:
            picture.end, picture.doubtful = picture.doubtful, -1
            picture.is_marked = True

    def _markers_were_wrong(self) -> None:
        """One stood in the midst of a picture: what they alone have ended is open again."""
        self._markers_lie = True
        self._markers_right = 0
        where, fillers = self._where, self._fillers
        for picture in self._pictures.values():
            end = picture.end
            if picture.is_marked and end >= 0 and end + 1 not in fillers:
                after = where.get(end + 1)
                if after is None or after is picture:
                    picture.end = -1
                    self._complete.pop(picture.start, None)
            picture.is_marked = False
            picture.doubtful = -1

    def _cut_short(self, picture: _Picture) -> None:
        """This is the rest of the picture that was handed on: it is of no use any more."""
        picture.is_rest = True
        self.malformed += 1
        self.wants_key_frame = True
        if self._markers_lie:
            self._quiet_s = min(2 * self._quiet_s, MAX_QUIET_S)
        else:
            self._markers_were_wrong()

    def _learn(self, picture: _Picture, end: int) -> None:
        """What a picture's markers were like."""
        parts = picture.parts
        while end > picture.start and parts[end] is None:
            end -= 1
        last = picture.packets.get(end)
        if picture.markers == 1 and last is not None and last.marker:
            self._markers_right += 1
            if self._markers_right >= TRUST_AFTER:
                self._markers_lie = False
        else:
            self._markers_right = 0
            self._markers_lie = True

    def _listen(self, now: float) -> None:
        """Silence may end the newest picture, for markers do not, or none was seen to."""
        due = now + self._silence_s
        if self._quiet_due is None or due < self._quiet_due:
            before = self.deadline
            self._quiet_due = due
            if before is None or due < before:
                self._wake()

    @property
    def _silence_s(self) -> float:
        return self._quiet_s if self.frames else MAX_QUIET_S / 2

    def _be_quiet(self, now: float) -> None:
        """Nothing came for a while: the newest picture is over if nothing of it is missing."""
        picture = self._where.get(self._top)
        believed = self.frames and not self._markers_lie
        if picture is None or picture.end >= 0 or (believed and not picture.markers):
            self._quiet_due = None
            return
        due = self._last_at + self._silence_s
        if now < due:
            self._quiet_due = due
            return
        self._quiet_due = None
        last = picture.parts[self._top]
        if picture.is_picture and (last is None or not last.continued):
            picture.end = self._top
            self._check(picture, now)
            held = self._where.get(self._top) is picture
            if held and self._complete.get(picture.start) is not picture:
                picture.end = -1  # something of it is missing

    # -- pictures that are complete ---------------------------------------------------------------

    def _check(self, picture: _Picture, now: float) -> None:
        """Hand a picture on, or put it aside, if it has become complete."""
        end = picture.end
        if end < 0:
            return
        if picture.start < 0:
            if not (self._waiting and picture.key_frame):
                return
            # Nothing tells where it starts. With what decoding can begin with is good enough.
            part = picture.parts[picture.lowest]
            if part is None or not part.starts_sequence:
                return
            picture.start = picture.lowest
        start = picture.start
        if not 0 <= end - start < len(picture.parts):
            return
        last = picture.parts.get(end)
        if last is not None and last.has_sets and picture.is_picture and not last.is_picture:
            self._split(picture)
        self._complete[start] = picture
        if self._waiting:
            if not picture.key_frame:
                return
            self._jump(picture)
            self._advance(now)
        elif self._next == start:
            self._advance(now)

    def _split(self, picture: _Picture) -> None:
        """Parameter sets behind a picture with its timestamp belong to the next (H.264, 7.4.1.2.3)."""
        start, end, parts = picture.start, picture.end, picture.parts
        at = end
        while at > start and ((part := parts.get(at - 1)) is None or not part.is_picture):
            at -= 1
        if at == start:
            return
        sets = _Picture(picture.timestamp, picture.depacketizer, at, picture.first_at)
        sets.start, sets.end = at, end
        sets.retransmitted = picture.retransmitted
        for index in range(at, end + 1):
            sets.parts[index] = parts.pop(index, None)
            if (packet := picture.packets.pop(index, None)) is not None:
                sets.packets[index] = packet
            self._where[index] = sets
        picture.end = at - 1
        picture.has_key_part = any(part is not None and part.key_frame for part in parts.values())
        self._complete[at] = sets

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
                    if 0 <= opened.end - following < len(opened.parts):
                        picture = opened
            if picture is not None:
                if not self._hand_on(picture, now) and not self._skip_to_key_frame():
                    return
            elif following in self._fillers:
                del self._fillers[following]
                self._next = following + 1
            else:
                break
        self._blocked_since = self._due = None
        if self._has_gap:
            self._block(now)

    def _skip_to_key_frame(self) -> bool:
        """Go on with a key frame that is there already; whether there is one."""
        for start in sorted(self._complete):
            if self._complete[start].key_frame:
                self._jump(self._complete[start])
                return True
        return False

    def _hand_on(self, picture: _Picture, now: float) -> bool:
        start, end = picture.start, picture.end
        self._forget(picture)
        self._next = end + 1
        if picture.is_rest:
            return True
        try:
            # A sender that ends a picture twice may have left a hole in it, or nothing of it.
            numbers = range(start, end + 1)
            parts = [part for part in [picture.parts[i] for i in numbers] if part is not None]
            first = picture.packets[start]
            head = parts[0]
            data = picture.depacketizer.assemble(parts)
        except (ParseError, LookupError) as error:
            self.malformed += 1
            self._refusals.add("rtp", f"a picture that cannot be put together: {error}")
            self._leading = b""
            self._need_key_frame(now)
            return False
        leading = self._leading
        if not picture.is_picture:
            self._leading = leading + data if len(leading) + len(data) <= MAX_LEADING_BYTES else b""
            return True
        if leading:
            data = leading + data
            self._leading = b""
        self._learn(picture, end)
        self._last_wire = picture.timestamp & 0xFFFF_FFFF
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
        frame.has_sets = bool(leading)
        for part in parts:
            if part.has_sets:
                frame.has_sets = True
            if part.width is not None:
                frame.width, frame.height = part.width, part.height
            if part.spatial_id > frame.spatial_id:
                frame.spatial_id = part.spatial_id
        self._reader.describe(frame, first, last)
        if head.tl0_pic_idx is not None and not head.temporal_id:
            self._last_tl0 = head.tl0_pic_idx
        self.frames += 1
        if not self._markers_lie and self._top <= end:
            self._quiet_due = None
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
        """Go on with this picture, and the parameter sets before it; what else stands there is dropped."""
        first = picture
        if (earlier := self._unmarked_before(picture.start)) is not None:
            first = earlier  # what may have stood before it would have come by now
            first.start = first.lowest
            self._complete[first.start] = first
        while True:
            before = self._where.get(first.start - 1)
            if before is None or before.is_picture or before.end != first.start - 1:
                break
            if before.start < 0:
                before.start = before.lowest
            if not 0 <= before.end - before.start < len(before.parts):
                break
            self._complete[before.start] = before
            first = before
        self._leading = b""
        self._drop_before(first.start)
        self._waiting = False

    def _drop_before(self, index: int) -> None:
        """Drop the pictures that begin before this packet, and take none such any more."""
        older = {id(each): each for number, each in self._where.items() if number < index}
        for each in older.values():
            if each.start != index:
                if self._complete.pop(each.start, None) is not None:
                    self.frames_dropped += each.is_picture
                self._forget(each)
        for number in [number for number in self._fillers if number < index]:
            del self._fillers[number]
        self._next = index

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
        self._set_deadline(now + (FIRST_KEY_FRAME_S if self._waiting else self._skip_wait_s))

    def _set_deadline(self, deadline: float) -> None:
        before = self.deadline
        self._due = deadline
        if before is None or deadline < before or self.wants_key_frame:
            self._wake()

    def _need_key_frame(self, now: float) -> None:
        """What comes next cannot be decoded: go on with a key frame only, and ask for it."""
        self._waiting = True
        self._blocked_since = now
        self.wants_key_frame = True
        self._set_deadline(now + self.rtt_s + KEY_FRAME_RETRY_S)

    def _start_again(self, now: float) -> None:
        """Go on with a key frame: one that is held, or one that is asked for."""
        self._need_key_frame(now)
        if self._skip_to_key_frame():
            self._advance(now)

    def _overflow(self, now: float) -> None:
        self.overflows += 1
        if self._waiting:
            numbers = sorted([*self._where, *self._fillers])
            self._drop_before(numbers[len(numbers) // 2])
            self._need_key_frame(now)
        else:
            self.reset(now)

    def reset(self, now: float) -> None:
        """Drop all that is held and go on with a key frame."""
        self.frames_dropped += len(self._complete)
        self._pictures.clear()
        self._complete.clear()
        self._where.clear()
        self._fillers.clear()
        self._next = max(self._next, self._top + 1)
        self._need_key_frame(now)

    def decoder_failed(self, now: float) -> None:
        """The decoder could not use what it got: hand on nothing but a key frame next."""
        self._start_again(now)

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
        if self._quiet_due is not None and now >= self._quiet_due:
            self._be_quiet(now)
        if self._due is None or now < self._due:
            return
        waiting = self._waiting
        if not waiting and not self._has_gap:  # it was closed; only the rest of a picture is to come
            self._due = self._blocked_since = None
            return
        # Numbers, not arrivals: nothing is handed on out of order.
        for start in sorted(self._complete):
            picture = self._complete[start]
            if picture.key_frame or (not waiting and self._can_follow(picture)):
                self._jump(picture)
                self._advance(now)
                return
        if self._start_unmarked(now):
            return
        since = self._blocked_since if self._blocked_since is not None else now
        if not waiting and now - since >= MAX_BLOCKED_S:
            self.reset(now)
        elif waiting or now >= since + self._wait_s:
            self.wants_key_frame = True
            self._due = now + self.rtt_s + KEY_FRAME_RETRY_S
        else:
            self._due = since + self._wait_s

    def _start_unmarked(self, now: float) -> bool:
        """Take a key frame whose start nothing tells, now that what may stand before it had its time.

        Some senders of H.264 give parameter sets in the description only; and the packet that told where
        the picture before it ends may be lost for good.

        Returns:
            Whether there was one.
        """
        picture = self._unmarked_before(self._top + 1)
        if picture is None:
            return False
        picture.start = picture.lowest
        self._complete[picture.start] = picture
        self._jump(picture)
        self._advance(now)
        return True

    def _unmarked_before(self, index: int) -> _Picture | None:
        """The first whole key frame before a packet whose start nothing tells, or None."""
        found: _Picture | None = None
        for picture in self._pictures.values():
            lowest = picture.lowest
            part = picture.parts[lowest]
            if (
                lowest < index
                and picture.key_frame
                and picture.start < 0
                and 0 <= picture.end - lowest < len(picture.parts)
                and part is not None
                and part.starts_frame is None
                and not _goes_on(part)
                and (part.starts_sequence or lowest - 1 not in self._missing)
                and (found is None or lowest < found.lowest)
            ):
                found = picture
        return found


def _goes_on(part: PayloadInfo | None) -> bool:
    """Whether the format says that a payload is not the first of its picture."""
    return part is not None and (part.starts_frame is False or part.continues or part.later_slice)
