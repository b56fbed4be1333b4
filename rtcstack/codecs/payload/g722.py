"""RTP payload format for G.722: 16 kHz audio in one octet for each two samples.

The RTP clock is 8 kHz all the same, by an old mistake that stays for compatibility: an octet is
one tick, as in G.711.

Spec: RFC 3551, section 4.5.2.
"""

from __future__ import annotations

from rtcstack.codecs.payload.g711 import OctetDepacketizer, OctetPacketizer

__all__ = ["SAMPLES_PER_TICK", "G722Depacketizer", "G722Packetizer"]

SAMPLES_PER_TICK = 2
"""Audio samples for each tick of the RTP clock."""

G722Depacketizer = OctetDepacketizer
G722Packetizer = OctetPacketizer
