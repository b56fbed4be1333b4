"""What the jitter buffers of a stream of sound have counted."""

from __future__ import annotations

__all__ = ["PlayoutCounts"]


class PlayoutCounts:
    """What a jitter buffer has counted: samples in RTP ticks, and sums of times over them.

    Attributes:
        delay_s: sum over all samples played of the time that they were held (`jitterBufferDelay`).
        target_delay_s: likewise of the target at that time.
        minimum_delay_s: likewise of what the network's jitter alone would have needed.
        emitted: samples played.
        concealed, silent_concealed, concealment_events: samples made up for, those of them that
            were silence, and how often it began.
        removed: samples left out to shorten the delay.
        inserted: samples played while the buffer was dry, as far as none were missing, and those made up
            so that more was held: by so much the delay grew.
        late, discarded: frames that came too late, and all that were never played; without those that
            were left out to shorten the delay.
        malformed: packets that their payload format refused.
        flushes: how often all was dropped because nobody pulled.
        fec_packets, fec_discarded: packets with a copy of sound before theirs (in-band FEC, RED), and
            those of them whose copy was not needed.
    """

    __slots__ = (
        "concealed",
        "concealment_events",
        "delay_s",
        "discarded",
        "emitted",
        "fec_discarded",
        "fec_packets",
        "flushes",
        "inserted",
        "late",
        "malformed",
        "minimum_delay_s",
        "removed",
        "silent_concealed",
        "target_delay_s",
    )

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.target_delay_s = 0.0
        self.minimum_delay_s = 0.0
        self.emitted = 0
        self.concealed = 0
        self.silent_concealed = 0
        self.concealment_events = 0
        self.removed = 0
        self.inserted = 0
        self.late = 0
        self.discarded = 0
        self.malformed = 0
        self.flushes = 0
        self.fec_packets = 0
        self.fec_discarded = 0

    def add(self, other: PlayoutCounts) -> PlayoutCounts:
        """Add what another one has counted.

        Returns:
            Itself.
        """
        for name in PlayoutCounts.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self
