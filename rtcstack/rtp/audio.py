"""The jitter buffer of audio: what to play next, pulled at the pace of the playing.

    empty -> filling -> playing -> (nothing came for long) -> filling

A player that can stretch time is asked to play frames in less time than they have, or in more: so the
delay follows what the network needs. What is far too much is left out. The delay also grows when the buffer
runs dry, for what is late is still played once it comes.

For a player that cannot, it grows by frames that are made up where the application wants more of it, and
shrinks by leaving out a frame when more is held than is needed.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from rtcstack.errors import ParseError
from rtcstack.refusals import Refusals
from rtcstack.rtp.capture import HeaderReader
from rtcstack.rtp.delay import DelayTarget
from rtcstack.rtp.frames import AudioDepacketizer, EncodedFrame
from rtcstack.rtp.packet import RtpPacket
from rtcstack.rtp.playoutcounts import PlayoutCounts
from rtcstack.rtp.playoutpace import AS_IT_IS, PlayoutPace, Stretched
from rtcstack.serial import Unwrapper

__all__ = [
    "MAX_EVENTS",
    "MAX_FRAMES",
    "MAX_HELD_S",
    "AudioJitterBuffer",
    "Playout",
    "Pulled",
]

MAX_HELD_S = 6.0
"""How much may be held: the longest delay, and what comes while it settles. When there is more nobody
plays it, and all is dropped."""

MAX_FRAMES = 2400
"""The same in frames, the shortest of which are 2.5 ms."""

MAX_JUMP_S = 5.0
"""A timestamp further than this from its neighbours is a new beginning."""

MAX_PACKET_S = 0.12
"""What comes longer after the packet before it follows a silence: of Opus it is the longest (RFC 6716,
section 3.2.5)."""

MIN_MADE_S = 0.0025
"""What is made up is no shorter, however short packets are: else a single one could have silence made up
sample by sample, for ever. Of Opus it is the shortest packet (RFC 6716, section 2.1.4)."""

MAX_DRY_S = 0.1
"""How long a dry buffer is concealed; after that there is silence until it has filled again."""

MAX_DELAY_S = 4.0
"""Bound of the delay (jitterBufferTarget allows as much)."""

SLACK_S = 0.04
"""How much more than the target may be held before a frame is left out, where time cannot be stretched."""

BACKLOG = 4
MIN_BACKLOG_S = 0.3
"""Where it can, so many times the target may be held, and so much in any case, before frames are left out:
it would take too long to catch up."""

GROW_INTERVAL_S = 0.1
"""Between two frames that are made up to hold more: so half a second more takes two and a half."""

SHRINK_INTERVAL_S = 0.5
"""Between two frames that are left out, unless they are silent."""

TOLERANCE_S = 0.001
"""Players are not more exact than this."""

MAX_EVENTS = 512
"""Numbers of packets without sound that are remembered: a tone of six seconds has 300."""

_SILENT_BYTES = 2
"""Frames this short are the silence that DTX sends."""


class Pulled(Enum):
    """What the player is to do.

    FRAME: play the frame.
    CONCEAL: a frame is missing: make something up for it.
    SILENCE: there is nothing to be played: the sender is silent, or nothing has come yet.
    """

    FRAME = "frame"
    CONCEAL = "conceal"
    SILENCE = "silence"


class Playout(NamedTuple):
    """Answer to one pull.

    Attributes:
        what: what to do.
        frame: with FRAME, what to play. With CONCEAL, the frame that follows the missing one if
            it carries a copy of it (in-band FEC), else None; it will come again as FRAME.
        duration: how much is to be played, in RTP ticks.
        skipped: frames that were left out before this one: fade across.
        stretch: whether the frame is to be played in another time than its own; then
            `AudioJitterBuffer.stretched` is to be told what came of it.
    """

    what: Pulled
    frame: EncodedFrame | None
    duration: int
    skipped: int = 0
    stretch: Stretched = AS_IT_IS


class AudioJitterBuffer(PlayoutCounts):
    """The frames of one audio stream, by timestamp.

    Args:
        clock_rate: of the timestamps, in Hz.

    Attributes:
        min_delay_s: least delay that is wanted (jitterBufferTarget), 0 to 4.
        can_stretch: whether who plays can stretch time.
    """

    __slots__ = (
        "_awaited",
        "_clock_rate",
        "_concealing",
        "_delay",
        "_dry",
        "_duration",
        "_earliest",
        "_events",
        "_fec_used_of",
        "_first_at",
        "_frames",
        "_grown_at",
        "_has_copies",
        "_last_index",
        "_newest",
        "_newest_index",
        "_next",
        "_pace",
        "_playing",
        "_refusals",
        "_shrunk_at",
        "_unwrapper",
        "_waited",
        "_was_silent",
        "can_stretch",
        "min_delay_s",
    )

    def __init__(self, clock_rate: int, refusals: Refusals | None = None) -> None:
        super().__init__()
        self._refusals = refusals if refusals is not None else Refusals()
        self._clock_rate = clock_rate
        self._delay = DelayTarget()
        self._pace = PlayoutPace()
        self._unwrapper = Unwrapper(32)
        self._frames: dict[int, EncodedFrame] = {}
        self._next = 0  # timestamp to play next, while playing
        self._playing = False
        self._newest = -1  # highest timestamp inserted
        self._newest_index = -1  # and the number of its packet
        self._last_index = -1  # number of the packet played last
        self._first_at = 0.0  # when filling began
        self._earliest = 0  # timestamp of what is held while it fills
        self._events: dict[int, None] = {}  # numbers of packets in whose time there is no sound
        self._dry = 0  # ticks made up since the buffer ran dry
        self._concealing = False
        self._was_silent = False
        self._waited = 0  # ticks played since the buffer ran dry
        self._awaited = 0  # and the timestamp that was next then
        self._duration = clock_rate // 50
        self._shrunk_at = 0.0
        self._grown_at = 0.0
        self._has_copies = False  # the newest packet that protects another has copies in full (RED)
        self._fec_used_of = -1  # number of the last packet whose in-band FEC was needed
        self.min_delay_s = 0.0
        self.can_stretch = False

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def target_s(self) -> float:
        """The delay that is aimed at, in seconds."""
        return min(max(self._delay.target_s, self.min_delay_s), MAX_DELAY_S)

    @property
    def level_s(self) -> float:
        """How much is held, from what is to be played next to the end of the newest frame."""
        if not self._frames:
            return 0.0
        first = self._next if self._playing else self._earliest
        return max(0, self._newest + self._duration - first) / self._clock_rate

    def set_clock_rate(self, clock_rate: int) -> None:
        """The codec changed to one with another RTP clock: begin anew."""
        self._clock_rate = clock_rate
        self._duration = clock_rate // 50
        self.reset()

    def reset(self) -> None:
        """Drop all that is held and fill again."""
        self.discarded += len(self._frames)
        self._frames.clear()
        self._events.clear()
        self._playing = False
        self._newest = self._newest_index = self._last_index = -1
        self._dry = self._waited = 0
        self._was_silent = False
        self._unwrapper = Unwrapper(32)
        self._delay.reset()
        self._pace.reset()

    # -- packets in -------------------------------------------------------------------------------

    def insert(
        self, packet: RtpPacket, depacketizer: AudioDepacketizer, reader: HeaderReader, now: float
    ) -> None:
        """Take a packet that has not been taken before, in whatever order."""
        payload = packet.payload
        if not payload:
            return
        try:
            units = depacketizer.split(payload)
        except ParseError as error:
            self.malformed += 1
            self._refusals.add("rtp", error.reason, packet.data)
            return
        index, rate = packet.index, self._clock_rate
        timestamp = self._unwrapper.unwrap(packet.timestamp)
        step = 0
        if self._newest >= 0:
            step = timestamp - self._newest
            is_absurd = abs(step) > MAX_JUMP_S * rate or (step <= 0 and index > self._newest_index)
            if is_absurd and index > self._newest_index:
                self.reset()
                step = 0
                timestamp = self._unwrapper.unwrap(packet.timestamp)
            elif is_absurd:
                self.discarded += 1
                return
        if index > self._newest_index:
            self._delay.arrived(timestamp / rate, now)
        if not self._frames and not self._playing:
            self._first_at = now
            self._earliest = timestamp
        copies = copies_kept = 0
        has_fec = False
        for unit in units:
            at = timestamp + unit.timestamp_offset
            copies += unit.redundant
            has_fec = has_fec or unit.has_fec
            if unit.duration:
                self._duration = min(max(unit.duration, round(MIN_MADE_S * rate)), rate)
            elif index == self._newest_index + 1 and 0 < step <= MAX_PACKET_S * rate and not packet.marker:
                # of sound that was sealed only its time can be read
                self._duration = max(step, round(MIN_MADE_S * rate))
            if at in self._frames and (unit.redundant or not self._frames[at].retransmitted):
                continue
            if self._playing and at < self._next:
                if not unit.redundant:
                    self.late += 1
                    self.discarded += 1
                continue
            if unit.redundant and (at <= timestamp - MAX_JUMP_S * rate or self._is_before_all(at)):
                continue
            self._frames[at] = reader.sound_frame(unit, at, packet, now)
            copies_kept += unit.redundant
            if at > self._newest:
                self._newest = at
            if at < self._earliest:
                self._earliest = at
        self._newest_index = max(self._newest_index, index)
        if copies or has_fec:
            self.fec_packets += 1
            self._has_copies = copies > 0
            self.fec_discarded += copies > 0 and not copies_kept
        if len(self._frames) > MAX_FRAMES or self.level_s > MAX_HELD_S:
            self.flushes += 1
            self.reset()

    def insert_event(self, packet: RtpPacket) -> None:
        """Take a packet that carries no sound but something in its place: a telephone event.

        While it lasts the sender leaves the sound out, and nothing of it is lost.

        Spec: RFC 4733, section 2.5.1.
        """
        if packet.index <= self._last_index:
            return
        events = self._events
        if len(events) >= MAX_EVENTS:
            del events[next(iter(events))]
        events[packet.index] = None

    def _next_sound(self) -> int:
        """The number that the packet after the last that was played has, if nothing is lost."""
        number, events = self._last_index + 1, self._events
        while number in events:
            number += 1
        return number

    def _is_before_all(self, timestamp: int) -> bool:
        """Whether nothing is to be played before this yet: no reason to begin with a copy."""
        return not self._playing and (not self._frames or timestamp < self._earliest)

    # -- the player -------------------------------------------------------------------------------

    def pop(self, now: float) -> Playout:
        """What to play now. To be called whenever the player has played the duration before.

        Args:
            now: monotonic seconds.
        """
        if not self._playing and not self._may_start(now):
            self._concealing = False
            if self._waited:
                self._waited += self._duration
            return Playout(Pulled.SILENCE, None, self._duration)
        if self._grows(now):
            return Playout(Pulled.CONCEAL, None, self._duration)
        removed = self.removed
        skipped = self._shrink(now)
        frame = self._frames.pop(self._next, None)
        if frame is None and self._frames:
            first = min(self._frames)
            if first <= self._next + self._dry or first < self._next:
                # What is missing was made up for while the buffer was dry.
                self._next = first
                frame = self._frames.pop(first)
            else:
                self._next += self._dry
                self._dry = 0
                self._end_waiting(self._next - (self.removed - removed))
                return self._bridge(self._frames[first], first)
        if frame is None:
            return self._run_dry()
        self._dry = 0
        self._concealing = False
        self._end_waiting(frame.timestamp - (self.removed - removed))
        if self._events:
            self._events = {number: None for number in self._events if number > frame.sequence_number}
        if frame.has_fec and not self._has_copies:
            self.fec_discarded += frame.sequence_number != self._fec_used_of
        self._was_silent = len(frame.data) <= _SILENT_BYTES
        duration = frame.duration or self._duration
        stretch = self._stretch(frame, duration, now) if self.can_stretch else AS_IT_IS
        self._next = frame.timestamp + duration
        self._last_index = frame.sequence_number
        self.emitted += duration
        self.delay_s += (now - frame.received_at) * duration
        self.target_delay_s += self.target_s * duration
        self.minimum_delay_s += self._delay.target_s * duration
        return Playout(Pulled.FRAME, frame, duration, skipped, stretch)

    def stretched(self, by: int, now: float) -> None:
        """A frame that was to be stretched has been played.

        Args:
            by: ticks that were put in; negative: that were taken out; 0 where it could not be done.
            now: monotonic seconds.
        """
        self.inserted += max(0, by)
        self.removed += max(0, -by)
        self._pace.done(by / self._clock_rate, now)

    def _stretch(self, frame: EncodedFrame, duration: int, now: float) -> Stretched:
        """Whether this frame is to be played in another time than it has."""
        fastest_s = self._delay.fastest_s
        if fastest_s is None:
            return AS_IT_IS
        # For so long the fastest packets are held.
        excess_s = now - frame.timestamp / self._clock_rate - fastest_s - self.target_s
        if excess_s > 0 and frame.timestamp + duration not in self._frames:
            excess_s = 0.0  # what came is hardly enough for the time that this one has
        return self._pace.next(excess_s, now)

    def _end_waiting(self, timestamp: int) -> None:
        """There is sound again, from here on: what was played without it, and is not missing, was put in."""
        if self._waited:
            missing = max(0, timestamp - self._awaited)
            self.inserted += min(max(0, self._waited - missing), round(MAX_JUMP_S * self._clock_rate))
            self._waited = 0

    def _may_start(self, now: float) -> bool:
        """Whether enough is held to begin."""
        if not self._frames:
            return False
        target_s = self.target_s
        enough_s = target_s + self._duration / self._clock_rate
        if self.level_s < enough_s and now - self._first_at < target_s - TOLERANCE_S:
            return False
        self._next = min(self._frames)
        self._playing = True
        self._dry = 0
        self._shrunk_at = now
        return True

    def _bridge(self, following: EncodedFrame, first: int) -> Playout:
        """What is to be played is not there, but something after it is."""
        duration = min(self._duration, first - self._next)
        if following.sequence_number == self._next_sound():
            # No packet is missing: the sender was silent in between.
            self._next += duration
            self._concealing = False
            return Playout(Pulled.SILENCE, None, duration)
        self._next += duration
        self._conceal(duration)
        has_copy = following.has_fec and first == self._next
        if has_copy:
            self._fec_used_of = following.sequence_number
        return Playout(Pulled.CONCEAL, following if has_copy else None, duration)

    def _run_dry(self) -> Playout:
        """Nothing is held: time goes on, but what is to be played next stays."""
        duration = self._duration
        if not self._waited:
            self._awaited = self._next
        self._waited += duration
        self._dry += duration
        if self._was_silent or self._last_index + 1 in self._events:
            # the sender has said that it will be silent (DTX), or has sent something else: nothing is lost
            self._playing = False
            self._concealing = False
            return Playout(Pulled.SILENCE, None, duration)
        if self._dry > MAX_DRY_S * self._clock_rate:
            self._playing = False
            self._concealing = False
            self.silent_concealed += duration
            self.concealed += duration
            return Playout(Pulled.SILENCE, None, duration)
        self._conceal(duration)
        return Playout(Pulled.CONCEAL, None, duration)

    def _conceal(self, duration: int) -> None:
        self.concealed += duration
        if not self._concealing:
            self._concealing = True
            self.concealment_events += 1

    def _grows(self, now: float) -> bool:
        """Whether to make up for a frame that is not missing: more is to be held than there is.

        Only where the application says so: what jitter asks for comes by itself, when the buffer runs dry.
        """
        wanted_s = min(self.min_delay_s, MAX_DELAY_S)
        if self.can_stretch or wanted_s <= self._delay.target_s or now - self._grown_at < GROW_INTERVAL_S:
            return False
        frame = self._frames.get(self._next)
        if frame is None or now - frame.received_at + SLACK_S > wanted_s or self.level_s + SLACK_S > wanted_s:
            return False
        self._grown_at = now
        self.inserted += self._duration
        return True

    def _shrink(self, now: float) -> int:
        """Leave out a frame when far more is held than is needed; silent ones sooner.

        Returns:
            How many were left out.
        """
        target_s = self.target_s
        excess_s = self.level_s - target_s - self._duration / self._clock_rate
        if excess_s < SLACK_S:
            return 0
        if self.can_stretch and excess_s < max((BACKLOG - 1) * target_s, MIN_BACKLOG_S):
            return 0
        frame = self._frames.get(self._next)
        if frame is None:
            return 0
        silent = len(frame.data) <= _SILENT_BYTES or frame.audio_level == 127
        hurried = excess_s > max(2 * SLACK_S, target_s)
        if not silent and not hurried and now - self._shrunk_at < SHRINK_INTERVAL_S:
            return 0
        self._shrunk_at = now
        left_out = 0
        while frame is not None and excess_s > 0:
            del self._frames[self._next]
            duration = frame.duration or self._duration
            self._next += duration
            self._last_index = frame.sequence_number
            self.removed += duration
            excess_s -= duration / self._clock_rate
            left_out += 1
            if not self.can_stretch:
                break
            # all at once, over what is missing in between: one jump is less than many
            if self._frames and self._next not in self._frames:
                first = min(self._frames)
                excess_s -= max(0, first - self._next) / self._clock_rate
                self._next = first
            frame = self._frames.get(self._next)
        return left_out
