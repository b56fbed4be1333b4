"""Frames of sound out of packets, handed on as they arrive to who takes them encoded.

Spec: RFC 3550, section 5.1; RFC 2198 (what earlier packets carried is in later ones, too).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from rtcstack.errors import ParseError
from rtcstack.refusals import Refusals
from rtcstack.rtp.capture import HeaderReader
from rtcstack.rtp.frames import AudioDepacketizer, EncodedFrame
from rtcstack.rtp.packet import RtpPacket
from rtcstack.serial import serial_gt

__all__ = ["MAX_REMEMBERED", "ArrivingSound"]

MAX_REMEMBERED = 32
"""Copies remembered, whose originals may still come: no packet of RED carries more than nine."""


class ArrivingSound:
    """The frames of a stream's packets, each once.

    A copy takes the place of an original that has not come, as long as no later frame was handed on.

    Args:
        refusals: told of packets that are dropped.
    """

    __slots__ = ("_copied", "_newest", "_refusals")

    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals
        self._newest: int | None = None
        self._copied: deque[int] = deque(maxlen=MAX_REMEMBERED)

    def frames(
        self, packet: RtpPacket, depacketizer: AudioDepacketizer, reader: HeaderReader, now: float
    ) -> Sequence[EncodedFrame]:
        """What a packet brings that was not there, oldest first; its timestamps have 32 bits."""
        try:
            units = depacketizer.split(packet.payload)
        except ParseError as error:
            self._refusals.add("rtp", error.reason, packet.data)
            return ()
        found: list[EncodedFrame] = []
        for unit in units:
            at = (packet.timestamp + unit.timestamp_offset) & 0xFFFF_FFFF
            is_next = self._newest is not None and serial_gt(at, self._newest, 32)
            if unit.redundant:
                if not is_next:
                    continue
                self._copied.append(at)
            elif at in self._copied:
                continue
            if is_next or self._newest is None:
                self._newest = at
            found.append(reader.sound_frame(unit, at, packet, now))
        return found

    def reset(self) -> None:
        """The stream begins anew."""
        self._newest = None
        self._copied.clear()
