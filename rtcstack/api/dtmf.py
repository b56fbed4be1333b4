"""RTCDTMFSender: telephone tones beside the sound.

Spec: webrtc-pc, section 7; RFC 4733.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from rtcstack.api.home import Home, Resident, at_home
from rtcstack.clock import monotonic
from rtcstack.codecs.payload.telephone_event import DtmfPacket, tone_packets
from rtcstack.connection.sending import Sender
from rtcstack.errors import InvalidCharacterError, InvalidStateError
from rtcstack.events import Event, EventTarget, HandlerAttribute
from rtcstack.media.pipeline.audio_out import AudioOutbound

__all__ = ["RTCDTMFSender", "RTCDTMFToneChangeEvent", "end_tones"]

TONES = "0123456789ABCD#*,"
MIN_DURATION_MS, MAX_DURATION_MS = 40, 6000
MIN_GAP_MS, MAX_GAP_MS = 30, 6000
COMMA_MS = 2000

EARLY_S = 0.001
"""Timers ring this much early at most."""

MAX_TONES = 4096
"""Tones that wait."""


@dataclass(slots=True)
class _Tone:
    """A tone that is being sent.

    Attributes:
        outbound: beside whose sound.
        payload_type: of the events.
        timestamp: of the tone's beginning, on the stream's clock.
        ticks_per_tick: of the stream's clock, for one of the events'.
        began_at: monotonic seconds.
        packets: what is still to be sent.
    """

    outbound: AudioOutbound
    payload_type: int
    timestamp: int
    ticks_per_tick: float
    began_at: float
    packets: deque[DtmfPacket]


class RTCDTMFToneChangeEvent(Event):
    """A tone begins, or the last one has ended.

    Attributes:
        tone: its character; "" at the end.

    Spec: webrtc-pc, section 7.3.
    """

    __slots__ = ("tone",)

    def __init__(self, type: str, tone: str = "") -> None:  # noqa: A002 - the W3C's name
        super().__init__(type)
        self.tone = tone


class RTCDTMFSender(Resident, EventTarget):
    """Sends tones for one audio sender. Sound is left out while a tone lasts.

    Events: tonechange.

    Spec: webrtc-pc, section 7.2.
    """

    ontonechange = HandlerAttribute("tonechange")

    def __init__(self, sender: Sender, home: Home, is_connected: Callable[[], bool]) -> None:
        super().__init__()
        self._sender = sender
        self._home = home
        self._is_connected = is_connected
        self._tones = ""
        self._duration_ms = 100
        self._gap_ms = 70
        self._timer: asyncio.TimerHandle | None = None
        self._playing: _Tone | None = None
        self._packet_timer: asyncio.TimerHandle | None = None

    @property
    def canInsertDTMF(self) -> bool:
        """Whether the connection stands, the sender has a track and may send it, and telephone events were
        negotiated."""
        sender = self._sender
        return (
            self._is_connected()
            and not sender.stopped
            and sender.track is not None
            and sender.encodings[0].active
            and sender.telephone_event is not None
        )

    @property
    def toneBuffer(self) -> str:
        """Tones that wait."""
        return self._tones

    @at_home
    def insertDTMF(self, tones: str, duration: int = 100, interToneGap: int = 70) -> None:
        """Send tones; what waits from before is replaced, "" ends it after the tone that plays.

        Args:
            tones: 0 to 9, A to D, #, * and ',', which is a pause of two seconds; lower case too.
            duration: of each tone in milliseconds; brought into 40 to 6000.
            interToneGap: silence after each, in milliseconds; brought into 30 to 6000.

        Raises:
            InvalidStateError: `canInsertDTMF` is False.
            InvalidCharacterError: one is no tone.
        """
        if not self.canInsertDTMF:
            raise InvalidStateError(
                "insertDTMF needs a sender that sends and a peer that takes telephone events"
            )
        wanted = tones.upper()
        if any(tone not in TONES for tone in wanted):
            raise InvalidCharacterError(f"insertDTMF: {tones[:40]!r} has characters that are no tones")
        self._tones = wanted[:MAX_TONES]
        self._duration_ms = min(max(int(duration), MIN_DURATION_MS), MAX_DURATION_MS)
        self._gap_ms = min(max(int(interToneGap), MIN_GAP_MS), MAX_GAP_MS)
        if self._tones and self._timer is None:
            self._after(0, self._next)

    def _after(self, delay_ms: float, callback: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(delay_ms / 1000, callback)

    def _next(self) -> None:
        """The playout task of webrtc-pc, section 7.2, insertDTMF, step 9."""
        self._timer = None
        found = self._sender.telephone_event
        outbound = self._sender.audio_outbound
        if not self.canInsertDTMF or found is None or outbound is None:
            return
        if not self._tones:
            self.dispatchEvent(RTCDTMFToneChangeEvent("tonechange"))
            return
        tone, self._tones = self._tones[0], self._tones[1:]
        if tone == ",":
            self._after(COMMA_MS, self._next)
        else:
            self._play(tone, *found, outbound)
            self._after(self._duration_ms + self._gap_ms, self._next)
        self.dispatchEvent(RTCDTMFToneChangeEvent("tonechange", tone))

    def _play(self, tone: str, payload_type: int, clock_rate: int, outbound: AudioOutbound) -> None:
        now = monotonic()
        outbound.tones_until = now + (self._duration_ms + self._gap_ms / 2) / 1000
        self._playing = _Tone(
            outbound,
            payload_type,
            outbound.rtp_time(now),
            outbound.layer.send.clock_rate / clock_rate,
            now,
            deque(tone_packets(tone, self._duration_ms, clock_rate)),
        )
        self._send_due()

    def _send_due(self) -> None:
        """Send the tone's packets whose time has come, and wait for the next."""
        self._packet_timer = None
        playing = self._playing
        if playing is None:
            return
        now = monotonic()
        outbound, packets = playing.outbound, playing.packets
        while packets and playing.began_at + packets[0].at_ms / 1000 <= now + EARLY_S:
            packet = packets.popleft()
            outbound.stream.send(
                (packet.payload,),
                playing.timestamp + round(packet.timestamp_offset * playing.ticks_per_tick),
                now,
                marker=packet.marker,
                payload_type=playing.payload_type,
                tells_time=False,
            )
        outbound.transport.wake()
        if packets:
            due = playing.began_at + packets[0].at_ms / 1000
            self._packet_timer = asyncio.get_running_loop().call_later(due - now, self._send_due)
        else:
            self._playing = None

    def _end(self) -> None:
        self._tones = ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._playing = None
        if self._packet_timer is not None:
            self._packet_timer.cancel()
            self._packet_timer = None


def end_tones(sender: RTCDTMFSender) -> None:
    """What it belongs to is stopped."""
    sender._end()
