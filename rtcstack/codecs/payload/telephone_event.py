"""RTP payload format for telephone events: DTMF.

Spec: RFC 4733; webrtc-pc, section 7.2 (the tones and their limits).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rtcstack.errors import ParseError

__all__ = ["TONES", "DtmfDetector", "DtmfPacket", "DtmfTone", "TelephoneEvent", "tone_packets"]

TONES = "0123456789*#ABCD"
"""The tones, each at its event's number (RFC 4733, section 3.2)."""

# The payload (RFC 4733, section 2.3):
#
#      0                   1                   2                   3
#      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
#     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
#     |     event     |E|R| volume    |          duration             |
#     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
_E, _R, _VOLUME = 0x80, 0x40, 0x3F
_MAX_DURATION = 0xFFFF

_END_COPIES = 3
"""The last packet of an event is sent this often (RFC 4733, section 2.5.1.4)."""

MIN_DURATION_MS, MAX_DURATION_MS = 40, 6000
DEFAULT_VOLUME = 10
"""-10 dBm0, as browsers send."""


class TelephoneEvent(NamedTuple):
    """One payload, read.

    Attributes:
        event: its number; 0 to 15 are the tones.
        ended: whether this is the event's end.
        volume: 0 (loudest) to 63, in -dBm0.
        duration: so far, in RTP ticks.
    """

    event: int
    ended: bool
    volume: int
    duration: int

    @classmethod
    def parse(cls, payload: bytes) -> TelephoneEvent:
        """Read a payload; what follows the first event is passed over.

        Raises:
            ParseError: it is cut short.
        """
        if len(payload) < 4:
            raise ParseError("telephone event is cut short")
        second = payload[1]
        return cls(payload[0], bool(second & _E), second & _VOLUME, payload[2] << 8 | payload[3])

    def to_bytes(self) -> bytes:
        """The payload."""
        second = (_E if self.ended else 0) | self.volume & _VOLUME
        return bytes((self.event & 0xFF, second, self.duration >> 8 & 0xFF, self.duration & 0xFF))


class DtmfPacket(NamedTuple):
    """A packet of a tone.

    Attributes:
        at_ms: when it is to be sent, from the tone's beginning.
        timestamp_offset: of its RTP timestamp, from the tone's beginning, in ticks.
        payload: what it carries.
        marker: the RTP marker: the first of a tone.
    """

    at_ms: int
    timestamp_offset: int
    payload: bytes
    marker: bool


def tone_packets(
    tone: str,
    duration_ms: int,
    clock_rate: int,
    *,
    interval_ms: int = 20,
    volume: int = DEFAULT_VOLUME,
) -> list[DtmfPacket]:
    """The packets of one tone.

    All have the timestamp of its beginning. A tone longer than the 16 bits of the duration can tell
    goes on in a further segment with a timestamp of its own (RFC 4733, section 2.5.1.3).

    Args:
        tone: one of `TONES`, also in lower case.
        duration_ms: 40 to 6000.
        clock_rate: of the RTP clock, in Hz: 8000, or 48000 beside Opus.
        interval_ms: between packets; that of the audio.
        volume: in -dBm0, 0 to 63.

    Raises:
        ValueError: another tone or duration.
    """
    event = TONES.find(tone.upper()) if len(tone) == 1 else -1
    if event < 0:
        raise ValueError(f"{tone!r} is none of the tones {TONES}")
    if not MIN_DURATION_MS <= duration_ms <= MAX_DURATION_MS:
        raise ValueError(f"a tone lasts {MIN_DURATION_MS} to {MAX_DURATION_MS} ms, not {duration_ms}")
    total = duration_ms * clock_rate // 1000
    packets: list[DtmfPacket] = []
    base = 0
    for at_ms in range(interval_ms, duration_ms, interval_ms):
        now = at_ms * clock_rate // 1000
        if now - base > _MAX_DURATION:
            whole = TelephoneEvent(event, False, volume, _MAX_DURATION)
            packets.append(DtmfPacket(at_ms, base, whole.to_bytes(), False))
            base += _MAX_DURATION
        payload = TelephoneEvent(event, False, volume, now - base).to_bytes()
        packets.append(DtmfPacket(at_ms, base, payload, not packets))
    if total - base > _MAX_DURATION:
        whole = TelephoneEvent(event, False, volume, _MAX_DURATION)
        packets.append(DtmfPacket(duration_ms, base, whole.to_bytes(), False))
        base += _MAX_DURATION
    last = TelephoneEvent(event, True, volume, total - base).to_bytes()
    for copy in range(_END_COPIES):
        packets.append(DtmfPacket(duration_ms + copy * interval_ms, base, last, not packets))
    return packets


@dataclass(frozen=True, slots=True)
class DtmfTone:
    """A tone that was received.

    Attributes:
        tone: one of `TONES`.
        timestamp: RTP timestamp of its beginning.
        duration: in RTP ticks.
    """

    tone: str
    timestamp: int
    duration: int


class DtmfDetector:
    """Makes tones of the packets of one stream: each tone once, however often its end is sent.

    A tone whose end is lost counts when the next begins.
    """

    __slots__ = ("_done", "_duration", "_event", "_segment", "_timestamp")

    def __init__(self) -> None:
        self._event: int | None = None
        self._timestamp = 0
        self._segment = 0
        self._duration = 0
        self._done: int | None = None

    def receive(self, payload: bytes, timestamp: int) -> list[DtmfTone]:
        """Take a packet.

        Args:
            payload: of it.
            timestamp: of it, unwrapped.

        Returns:
            The tones that ended with it: mostly none, seldom two.

        Raises:
            ParseError: it is cut short.
        """
        event = TelephoneEvent.parse(payload)
        if event.event >= len(TONES) or (self._done is not None and timestamp <= self._done):
            return []
        tones: list[DtmfTone] = []
        if self._event is not None and timestamp < self._segment:
            return []  # late, of a segment or tone before
        if event.event == self._event and timestamp == self._segment:
            self._duration = max(self._duration, event.duration)
        elif event.event == self._event and timestamp == self._segment + _MAX_DURATION:
            self._segment, self._duration = timestamp, event.duration
        else:
            if self._event is not None:
                tones.append(self._finish())
            self._event = event.event
            self._timestamp = self._segment = timestamp
            self._duration = event.duration
        if event.ended:
            tones.append(self._finish())
        return tones

    def _finish(self) -> DtmfTone:
        assert self._event is not None
        tone = TONES[self._event]
        self._event = None
        self._done = self._segment
        return DtmfTone(tone, self._timestamp, self._segment + self._duration - self._timestamp)
