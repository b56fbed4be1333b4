"""What may be shown next of a stream of pictures: order, gaps, key frames, and how long to wait.

A picture is handed on when it follows what was handed on before without a gap; where pictures begin and
end is `rtcstack.rtp.pictures`'s question. Parameter sets that come with a timestamp of their own go with
the picture behind them.

Behind a gap the assembler waits as long as retransmission can help, and asks for a key frame when
that takes too long; whichever comes first ends the wait. While a key frame is awaited what comes is
held, for packets overtake each other: it may follow the key frame.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from rtcstack.errors import ParseError
from rtcstack.refusals import Refusals
from rtcstack.rtp.capture import HeaderReader
from rtcstack.rtp.frames import Depacketizer, EncodedFrame
from rtcstack.rtp.packet import RtpPacket
from rtcstack.rtp.pictures import Picture, Pictures

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

MAX_LEADING_BYTES = 64 * 1024
"""Parameter sets with timestamps of their own that wait for their picture; else they are dropped."""


class _Wait:
    """Nothing can be shown before something comes: a packet, or a key frame.

    Attributes:
        since: when that began.
        due: when to do something about it.
    """

    __slots__ = ("due", "since")

    def __init__(self, since: float, due: float) -> None:
        self.since = since
        self.due = due


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
        has_parity: packets of parity may stand between pictures.
        skipped: number of a packet before which nothing is needed any more; whoever reads it clears it.
        rtt_s: round-trip time.
        frames, key_frames: handed on.
        frames_dropped: complete pictures that were never handed on.
        late_packets: came after their picture's turn.
        malformed: packets and pictures that their payload format refused.
        overflows: how often more was held than may be.
    """

    __slots__ = (
        "_emit",
        "_is_after_gap",
        "_last_number",
        "_last_tl0",
        "_leading",
        "_mid",
        "_pictures",
        "_reader",
        "_refusals",
        "_rid",
        "_ssrc",
        "_wait",
        "_wake",
        "asks",
        "frames",
        "frames_dropped",
        "has_parity",
        "key_frames",
        "late_packets",
        "malformed",
        "overflows",
        "rtt_s",
        "skipped",
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
        self.asks = asks
        self._ssrc = ssrc
        self._mid = mid
        self._rid = rid
        self._pictures = Pictures(self._on_whole, self._on_cut_short, wake, missing)
        self._wait: _Wait | None = None
        self._is_after_gap = False
        self._last_tl0: int | None = None
        self._last_number: tuple[int, int] | None = None  # of the last picture, and its width in bits
        self._leading = b""  # parameter sets for the next picture
        self.wants_key_frame = False
        self.has_parity = False
        self.skipped = 0
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
        wait, quiet = self._wait, self._pictures.quiet_due
        if wait is None:
            return quiet
        return wait.due if quiet is None or wait.due < quiet else quiet

    @property
    def held_packets(self) -> int:
        """How many packets are held back."""
        return self._pictures.held_packets

    # -- packets in -------------------------------------------------------------------------------

    def insert(self, packet: RtpPacket, depacketizer: Depacketizer, now: float) -> None:
        """Take a packet that has not been taken before, in whatever order."""
        pictures = self._pictures
        if packet.index < pictures.following:
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
        may_have_gap = pictures.add(packet, part, depacketizer, now)
        if len(pictures.where) > MAX_HELD_PACKETS:
            self._overflow(now)
        elif self._wait is None and (pictures.awaits_key_frame or (may_have_gap and pictures.has_gap)):
            self._block(now)

    def _fill(self, packet: RtpPacket, now: float) -> None:
        """Take a packet without payload."""
        pictures = self._pictures
        pictures.fill(packet, now)
        if len(pictures.fillers) > MAX_HELD_PACKETS:
            self._overflow(now)
        elif pictures.following == packet.index and not pictures.awaits_key_frame:
            self._advance(now)
        elif self._wait is None and pictures.has_gap:
            self._block(now)

    def _is_next(self, picture: Picture) -> bool:
        """Whether it follows the last one though there is a gap between them: what is missing was parity.

        Packets of parity have numbers of their own, and are not sent again. Pictures that are numbered,
        too, tell that none is missing (RFC 7741 and RFC 9628, section 4.2).
        """
        head, number = picture.parts.get(picture.start), self._last_number
        if not self.has_parity or head is None or number is None or picture.layer_count > 1:
            return False
        if head.picture_id is None or head.picture_id_bits != number[1] or head.spatial_id:
            return False
        return head.picture_id == (number[0] + 1) & ((1 << number[1]) - 1)

    def _take_next(self) -> Picture | None:
        """The picture that can be handed on now, or None."""
        pictures = self._pictures
        picture = pictures.take_following()
        if picture is None and self.has_parity:
            found = next((each for each in pictures.whole.values() if self._is_next(each)), None)
            if found is not None:
                self._jump(found, misses=False)
                self.skipped = found.start
                picture = pictures.take_following()
        return picture

    def _on_whole(self, picture: Picture, now: float) -> None:
        """Hand a picture on, if that is possible now."""
        if self._pictures.awaits_key_frame:
            if picture.key_frame:
                self._jump(picture)
                self._advance(now)
        elif self._pictures.following == picture.start or self._is_next(picture):
            self._advance(now)

    def _on_cut_short(self) -> None:
        """A picture was handed on too early."""
        self.malformed += 1
        self.wants_key_frame = True

    # -- pictures out -----------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        """Hand on whatever follows without a gap."""
        pictures = self._pictures
        while (picture := self._take_next()) is not None:
            if not self._hand_on(picture, now) and not self._skip_to_key_frame():
                return
        self._wait = None
        if pictures.has_gap:
            self._block(now)

    def _skip_to_key_frame(self) -> bool:
        """Go on with a key frame that is there already; whether there is one."""
        whole = self._pictures.whole
        for start in sorted(whole):
            if whole[start].key_frame:
                self._jump(whole[start])
                return True
        return False

    def _hand_on(self, picture: Picture, now: float) -> bool:
        start, end = picture.start, picture.end
        self._pictures.release(picture)
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
        self._pictures.shown(picture)
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
        frame.is_after_gap, self._is_after_gap = self._is_after_gap, False
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
        self._last_number = None
        if head.picture_id is not None and not any(part.spatial_id for part in parts):
            self._last_number = head.picture_id, head.picture_id_bits
        if head.tl0_pic_idx is not None and not head.temporal_id:
            self._last_tl0 = head.tl0_pic_idx
        self.frames += 1
        if picture.key_frame:
            self.key_frames += 1
            self.wants_key_frame = False
        self._emit(frame)
        return True

    def _jump(self, picture: Picture, *, misses: bool = True) -> None:
        """Go on with this picture, and the parameter sets before it; what else stands there is dropped.

        Args:
            picture: to go on with.
            misses: some picture before it may be missing.
        """
        pictures = self._pictures
        self._is_after_gap = self._is_after_gap or misses
        self._leading = b""
        self.frames_dropped += pictures.drop_before(pictures.begin_of(picture).start)
        pictures.awaits_key_frame = False

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
        wait_s = FIRST_KEY_FRAME_S if self._pictures.awaits_key_frame else self._skip_wait_s
        self._begin_to_wait(now, now + wait_s)

    def _begin_to_wait(self, now: float, due: float) -> None:
        before = self.deadline
        self._wait = _Wait(now, due)
        if before is None or due < before or self.wants_key_frame:
            self._wake()

    def _need_key_frame(self, now: float) -> None:
        """What comes next cannot be decoded: go on with a key frame only, and ask for it."""
        self._pictures.awaits_key_frame = True
        self.wants_key_frame = True
        self._begin_to_wait(now, now + self.rtt_s + KEY_FRAME_RETRY_S)

    def _start_again(self, now: float) -> None:
        """Go on with a key frame: one that is held, or one that is asked for."""
        self._need_key_frame(now)
        if self._skip_to_key_frame():
            self._advance(now)

    def _overflow(self, now: float) -> None:
        self.overflows += 1
        if self._pictures.awaits_key_frame:
            self.frames_dropped += self._pictures.drop_older_half()
            self._need_key_frame(now)
        else:
            self.reset(now)

    def reset(self, now: float) -> None:
        """Drop all that is held and go on with a key frame."""
        self.frames_dropped += len(self._pictures.whole)
        self._pictures.clear()
        self._need_key_frame(now)

    def decoder_failed(self, now: float) -> None:
        """The decoder could not use what it got: hand on nothing but a key frame next."""
        self._start_again(now)

    def _can_follow(self, picture: Picture) -> bool:
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
        pictures = self._pictures
        if pictures.quiet_due is not None and now >= pictures.quiet_due:
            pictures.be_quiet(now)
        wait = self._wait
        if wait is None or now < wait.due:
            return
        awaits_key_frame = pictures.awaits_key_frame
        if not awaits_key_frame and not pictures.has_gap:
            self._wait = None  # it was closed; only the rest of a picture is to come
            return
        # Numbers, not arrivals: nothing is handed on out of order.
        for start in sorted(pictures.whole):
            picture = pictures.whole[start]
            if picture.key_frame or (not awaits_key_frame and self._can_follow(picture)):
                self._jump(picture)
                self._advance(now)
                return
        unmarked = pictures.begin_unmarked(now)
        if unmarked is not None:
            self._jump(unmarked)
            self._advance(now)
        elif not awaits_key_frame and now - wait.since >= MAX_BLOCKED_S:
            self.reset(now)
        elif awaits_key_frame or now >= wait.since + self._wait_s:
            self.wants_key_frame = True
            wait.due = now + self.rtt_s + KEY_FRAME_RETRY_S
        else:
            wait.due = wait.since + self._wait_s
