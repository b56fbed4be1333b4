"""One question: where do the pictures of a stream begin and end?

A picture is all packets with one timestamp. It is whole when its first and last packet are known and all
between them are there. The marker ends a picture at once for as long as a stream's markers prove right;
where they stand in a picture's midst, or nowhere, the next timestamp ends it, or silence. What may be shown
of whole pictures, and when, is `rtcstack.rtp.video`'s question.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from rtcstack.rtp.frames import Depacketizer, PayloadInfo
from rtcstack.rtp.packet import RtpPacket
from rtcstack.serial import Unwrapper

__all__ = ["MAX_QUIET_S", "MIN_QUIET_S", "TRUST_AFTER", "Picture", "Pictures"]

MIN_QUIET_S, MAX_QUIET_S = 0.05, 0.4
"""Silence after which a picture is over in a stream whose markers say nothing; longer each time that
more of it came nevertheless."""

TRUST_AFTER = 8
"""Pictures in a row whose markers were right, after which a stream's markers are believed again."""


class Picture:
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


class Pictures:
    """The packets that are held, by picture.

    Args:
        on_whole: told of a picture of which nothing is missing; it stands in `whole` then.
        on_cut_short: told when more comes of a picture that was handed on.
        wake: called when `quiet_due` is nearer than before.
        missing: numbers of packets that may still come by retransmission.

    Attributes:
        following: number that the next picture starts with; nothing before it is taken.
        awaits_key_frame: the next picture is a key frame, wherever it starts. The owner's to set.
        top: the highest number that came.
        where: every held packet's picture.
        fillers: timestamps of packets without payload, between pictures.
        whole: pictures of which nothing is missing, by the number that they start with.
        quiet_due: when silence may end a picture, or None.
    """

    __slots__ = (
        "_has_shown",
        "_last_at",
        "_last_wire",
        "_markers_lie",
        "_markers_right",
        "_missing",
        "_on_cut_short",
        "_on_whole",
        "_open",
        "_quiet_s",
        "_unwrapper",
        "_wake",
        "awaits_key_frame",
        "fillers",
        "following",
        "quiet_due",
        "top",
        "where",
        "whole",
    )

    def __init__(
        self,
        on_whole: Callable[[Picture, float], None],
        on_cut_short: Callable[[], None],
        wake: Callable[[], None],
        missing: Container[int] = (),
    ) -> None:
        self._on_whole = on_whole
        self._on_cut_short = on_cut_short
        self._wake = wake
        self._missing = missing
        self._unwrapper = Unwrapper(32)
        self._open: dict[int, Picture] = {}  # those that may get more, by timestamp on the wire
        self._has_shown = False  # a picture was handed on: something is known of the stream
        self._last_wire = -1  # timestamp of the last picture handed on
        self._markers_lie = False
        self._markers_right = 0  # pictures in a row
        self._last_at = 0.0  # when the newest packet came
        self._quiet_s = MIN_QUIET_S
        self.following = 0
        self.awaits_key_frame = True
        self.top = -1
        self.where: dict[int, Picture] = {}
        self.fillers: dict[int, int] = {}
        self.whole: dict[int, Picture] = {}
        self.quiet_due: float | None = None

    @property
    def held_packets(self) -> int:
        """How many packets are held."""
        return len(self.where) + len(self.fillers)

    @property
    def has_gap(self) -> bool:
        """Whether something is missing before the newest packet, or nothing will come of it."""
        following = self.following
        if self.awaits_key_frame or self.top < following:
            return False
        if self.top - following + 1 != len(self.where) + len(self.fillers):
            return True
        # All is there. But a picture that ended and was not handed on contradicts itself.
        opened = self.where.get(following)
        return opened is None or opened.end >= 0

    # -- packets in -------------------------------------------------------------------------------

    def add(self, packet: RtpPacket, part: PayloadInfo, depacketizer: Depacketizer, now: float) -> bool:
        """Take a packet, what its payload holds, and who read that.

        Returns:
            False for one in order in a picture's midst: where there was no gap before, there is none now.
        """
        index = packet.index
        following = self.following
        timestamp = packet.timestamp
        picture = self._open.get(timestamp)
        if picture is not None and 0 <= picture.end < index and picture.is_marked and _goes_on(part):
            self._markers_were_wrong()
        if picture is None or 0 <= picture.end < index:
            picture = Picture(self._unwrapper.unwrap(timestamp), depacketizer, index, now)
            self._open[timestamp] = picture
            if timestamp == self._last_wire and part.is_picture and _goes_on(part):
                self._cut_short(picture)
        elif index < picture.lowest:
            picture.lowest = index
        picture.parts[index] = part
        picture.packets[index] = packet
        where = self.where
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
            wire = self.fillers.get(index - 1)
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
        elif after is None and picture.end < 0 and index + 1 in self.fillers:
            after = self._absorb(picture, index + 1)
        top = self.top
        if index > top:
            self.top = index
            self._last_at = now
            if picture.end < 0 and (self._markers_lie or not self._has_shown):
                self._listen(now)
        if picture.end >= 0:
            self._check(picture, now)
        if after is not None and after is not picture and after.start < 0:
            self._starts_behind(after, picture, now)
        return before is not picture or index != top + 1 or picture.end >= 0

    def _starts_behind(self, picture: Picture, before: Picture, now: float) -> None:
        """The picture before this one ended: now it is known where this one starts."""
        start = before.end + 1
        if self.where.get(start) is picture:  # and was not handed on with the one before
            picture.start = start
            self._check(picture, now)

    # -- packets without payload ------------------------------------------------------------------
    #
    # They count only for what they stand between. One with the timestamp of the picture before it
    # belongs to that one unless its end is known: it is in its midst, or at an end that is not told.

    def fill(self, packet: RtpPacket, now: float) -> None:
        """Take a packet without payload."""
        index = packet.index
        self.fillers[index] = packet.timestamp
        if index > self.top:
            self.top = index
        before, after = self.where.get(index - 1), self.where.get(index + 1)
        if before is not None and before.end < 0:
            after = self._absorb(before, index)
            if before.end >= 0:
                self._check(before, now)
            if after is not None and after is not before and after.start < 0:
                self._starts_behind(after, before, now)
        elif after is not None and after.start < 0 and after.timestamp & 0xFFFF_FFFF != packet.timestamp:
            after.start = index + 1
            self._check(after, now)

    def _absorb(self, picture: Picture, index: int) -> Picture | None:
        """Take the packets without payload from this one on into the picture before them.

        Returns:
            The picture that stands behind them, if there is one.
        """
        fillers, where = self.fillers, self.where
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

    def _mark(self, picture: Picture, part: PayloadInfo, index: int, after: Picture | None) -> None:
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
        if not self._has_shown and (is_slice or part.spatial_id + 1 < picture.layer_count):
            # nothing is known of the stream: is it the picture's end, or only a slice's, or a layer's?
            picture.doubtful = index
            return
        picture.end = index
        picture.is_marked = True

    def _judge(self, picture: Picture, part: PayloadInfo, index: int) -> None:
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
        where, fillers = self.where, self.fillers
        for picture in self._open.values():
            end = picture.end
            if picture.is_marked and end >= 0 and end + 1 not in fillers:
                after = where.get(end + 1)
                if after is None or after is picture:
                    picture.end = -1
                    self.whole.pop(picture.start, None)
            picture.is_marked = False
            picture.doubtful = -1

    def _cut_short(self, picture: Picture) -> None:
        """This is the rest of the picture that was handed on: it is of no use any more."""
        picture.is_rest = True
        self._on_cut_short()
        if self._markers_lie:
            self._quiet_s = min(2 * self._quiet_s, MAX_QUIET_S)
        else:
            self._markers_were_wrong()

    def _learn(self, picture: Picture, end: int) -> None:
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
        if self.quiet_due is None or due < self.quiet_due:
            self.quiet_due = due
            self._wake()

    @property
    def _silence_s(self) -> float:
        return self._quiet_s if self._has_shown else MAX_QUIET_S / 2

    def be_quiet(self, now: float) -> None:
        """Nothing came for a while: the newest picture is over if nothing of it is missing."""
        picture = self.where.get(self.top)
        if picture is None or picture.end >= 0 or not self._silence_ends(picture):
            self.quiet_due = None
            return
        due = self._last_at + self._silence_s
        if now < due:
            self.quiet_due = due
            return
        self.quiet_due = None
        if self._may_be_over(picture):
            picture.end = self.top
            self._check(picture, now)
            held = self.where.get(self.top) is picture
            if held and self.whole.get(picture.start) is not picture:
                picture.end = -1  # something of it is missing

    def _silence_ends(self, picture: Picture) -> bool:
        """Whether a picture's end may be told by nothing else."""
        return not self._has_shown or self._markers_lie or picture.markers > 0

    def _may_be_over(self, picture: Picture) -> bool:
        """Whether the newest packet may be the last one of its picture."""
        last = picture.parts[self.top]
        return picture.is_picture and (last is None or not last.continued)

    # -- pictures that are whole ------------------------------------------------------------------

    def _check(self, picture: Picture, now: float) -> None:
        """Tell of a picture, if it has become whole."""
        end = picture.end
        if end < 0:
            return
        if picture.start < 0:
            if not (self.awaits_key_frame and picture.key_frame):
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
        self.whole[start] = picture
        self._on_whole(picture, now)

    def _split(self, picture: Picture) -> None:
        """Parameter sets behind a picture with its timestamp belong to the next (H.264, 7.4.1.2.3)."""
        start, end, parts = picture.start, picture.end, picture.parts
        at = end
        while at > start and ((part := parts.get(at - 1)) is None or not part.is_picture):
            at -= 1
        if at == start:
            return
        sets = Picture(picture.timestamp, picture.depacketizer, at, picture.first_at)
        sets.start, sets.end = at, end
        sets.retransmitted = picture.retransmitted
        for index in range(at, end + 1):
            sets.parts[index] = parts.pop(index, None)
            if (packet := picture.packets.pop(index, None)) is not None:
                sets.packets[index] = packet
            self.where[index] = sets
        picture.end = at - 1
        picture.has_key_part = any(part is not None and part.key_frame for part in parts.values())
        self.whole[at] = sets

    def take_following(self) -> Picture | None:
        """The whole picture that starts where the last one ended, if it is there."""
        while True:
            following = self.following
            picture = self.whole.pop(following, None)
            if picture is not None:
                return picture
            opened = self.where.get(following)
            if opened is not None and opened.start < 0:
                opened.start = following
                if 0 <= opened.end - following < len(opened.parts):
                    return opened
            if following not in self.fillers:
                return None
            del self.fillers[following]
            self.following = following + 1

    def release(self, picture: Picture) -> None:
        """A picture was taken: what comes next stands behind it."""
        self._forget(picture)
        self.following = picture.end + 1

    def shown(self, picture: Picture) -> None:
        """A picture could be handed on: what its markers were like is learned."""
        self._learn(picture, picture.end)
        self._last_wire = picture.timestamp & 0xFFFF_FFFF
        self._has_shown = True
        if not self._markers_lie and self.top <= picture.end:
            self.quiet_due = None

    def _forget(self, picture: Picture) -> None:
        where = self.where
        for index in picture.parts:
            if where.get(index) is picture:
                del where[index]
        wire = picture.timestamp & 0xFFFF_FFFF
        if self._open.get(wire) is picture:
            del self._open[wire]

    def begin_of(self, picture: Picture) -> Picture:
        """The picture to go on with, so that this one has the parameter sets before it."""
        first = picture
        if (earlier := self._unmarked_before(picture.start)) is not None:
            first = earlier  # what may have stood before it would have come by now
            first.start = first.lowest
            self.whole[first.start] = first
        while True:
            before = self.where.get(first.start - 1)
            if before is None or before.is_picture or before.end != first.start - 1:
                break
            if before.start < 0:
                before.start = before.lowest
            if not 0 <= before.end - before.start < len(before.parts):
                break
            self.whole[before.start] = before
            first = before
        return first

    def drop_before(self, index: int) -> int:
        """Drop the pictures that begin before this packet, and take none such any more.

        Returns:
            How many of them were whole.
        """
        dropped = 0
        older = {id(each): each for number, each in self.where.items() if number < index}
        for each in older.values():
            if each.start != index:
                if self.whole.pop(each.start, None) is not None:
                    dropped += each.is_picture
                self._forget(each)
        for number in [number for number in self.fillers if number < index]:
            del self.fillers[number]
        self.following = index
        return dropped

    def drop_older_half(self) -> int:
        """Make room; see `drop_before`."""
        numbers = sorted([*self.where, *self.fillers])
        return self.drop_before(numbers[len(numbers) // 2])

    def clear(self) -> None:
        """Drop all, and take nothing any more that stands before the newest packet."""
        self._open.clear()
        self.whole.clear()
        self.where.clear()
        self.fillers.clear()
        self.following = max(self.following, self.top + 1)

    def begin_unmarked(self, now: float) -> Picture | None:
        """A whole key frame whose start nothing tells, now that what may stand before it had its time.

        Some senders of H.264 give parameter sets in the description only; and the packet that told where
        the picture before it ends may be lost for good. If it is the newest, silence may tell its end.
        """
        newest = self.where.get(self.top)
        ended = (
            newest is not None
            and newest.end < 0
            and now >= self._last_at + self._silence_s
            and self._silence_ends(newest)
            and self._may_be_over(newest)
        )
        if newest is not None and ended:
            newest.end = self.top
        picture = self._unmarked_before(self.top + 1)
        if picture is not None:
            picture.start = picture.lowest
            self.whole[picture.start] = picture
        if newest is not None and ended and picture is not newest:
            newest.end = -1
        return picture

    def _unmarked_before(self, index: int) -> Picture | None:
        """The first whole key frame before a packet whose start nothing tells, or None."""
        found: Picture | None = None
        for picture in self._open.values():
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
