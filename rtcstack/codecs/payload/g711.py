"""RTP payload format for PCMU and PCMA: one octet for each sample, at 8 kHz.

Spec: RFC 3551, section 4.5.14.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtcstack.errors import ParseError
from rtcstack.rtp.frames import AudioUnit

__all__ = ["OctetDepacketizer", "OctetPacketizer"]


class OctetDepacketizer:
    """Reads payloads of codecs that make one octet in each tick of the RTP clock."""

    __slots__ = ()

    def split(self, payload: bytes) -> Sequence[AudioUnit]:
        """The samples of a payload.

        Raises:
            ParseError: it is empty.
        """
        if not payload:
            raise ParseError("audio payload is empty")
        return (AudioUnit(payload, 0, len(payload)),)


class OctetPacketizer:
    """Makes payloads of encoded samples: they are the same."""

    __slots__ = ()

    def packetize(self, frame: bytes, timestamp: int = 0) -> bytes:
        """The payload of one frame; `timestamp` has no part in it."""
        return frame
