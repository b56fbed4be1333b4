"""Which streams are sent, and which numbers those of before have used.

Spec: RFC 3550, section 8 (SSRCs); RFC 3711, section 9.1 (what SRTP's numbers may not be used for twice).
"""

from __future__ import annotations

import random

from rtcstack.rtp.extensions import ExtensionIds
from rtcstack.rtp.pacer import Pacer
from rtcstack.rtp.parameters import SendParameters
from rtcstack.rtp.send import SendStream

__all__ = ["MAX_USED_SSRCS", "SentStreams"]

MAX_USED_SSRCS = 65_536
"""SSRCs of streams that were sent and are not any more, remembered so that none uses its numbers again;
the oldest are forgotten."""


class SentStreams:
    """The streams that are sent on one transport.

    Args:
        pacer: where their packets wait.
        rng: for what must not be guessed.
        ntp_offset_s: NTP time in seconds minus the engine's monotonic time.

    Attributes:
        by_ssrc: all, by the SSRCs of their media and of their retransmissions, in the order in which
            they were added.
    """

    __slots__ = ("_ntp_offset_s", "_numbers", "_pacer", "_rng", "by_ssrc")

    def __init__(self, pacer: Pacer, *, rng: random.Random, ntp_offset_s: float) -> None:
        self._pacer = pacer
        self._rng = rng
        self._ntp_offset_s = ntp_offset_s
        self._numbers: dict[int, int] = {}
        self.by_ssrc: dict[int, SendStream] = {}

    @property
    def streams(self) -> list[SendStream]:
        """Each once, in the order in which they were added."""
        return list(dict.fromkeys(self.by_ssrc.values()))

    @property
    def has_video(self) -> bool:
        """Whether pictures are sent."""
        return any(stream.parameters.kind == "video" for stream in self.by_ssrc.values())

    @property
    def reduced_size(self) -> bool:
        """Whether all agreed on RTCP of reduced size."""
        return all(stream.parameters.reduced_size for stream in self.by_ssrc.values())

    def add(self, parameters: SendParameters, rtt_s: float) -> SendStream:
        """Send a stream.

        Raises:
            ValueError: if its SSRC, or that of its retransmissions, is in use.
        """
        if parameters.ssrc in self.by_ssrc or parameters.rtx_ssrc in self.by_ssrc:
            raise ValueError("the SSRC is in use")
        stream = SendStream(
            parameters,
            ExtensionIds(parameters.extensions),
            self._pacer,
            rng=self._rng,
            ntp_offset_s=self._ntp_offset_s,
            rtt_s=rtt_s,
            numbers=self._numbers,
        )
        self._place(stream)
        return stream

    def _place(self, stream: SendStream) -> None:
        self.by_ssrc[stream.ssrc] = stream
        if stream.parameters.rtx_ssrc is not None:
            self.by_ssrc[stream.parameters.rtx_ssrc] = stream

    def update(self, stream: SendStream, parameters: SendParameters) -> None:
        """Change what is agreed for a stream; it keeps its place among the others.

        Raises:
            ValueError: if the SSRC of its media is another, or that of its retransmissions in use.
        """
        if parameters.ssrc != stream.ssrc:
            raise ValueError("a stream keeps its SSRC")
        if self.by_ssrc.get(parameters.rtx_ssrc or 0, stream) is not stream:
            raise ValueError("the SSRC is in use")
        stream.update(parameters, ExtensionIds(parameters.extensions))
        streams = self.streams
        self.by_ssrc.clear()
        for each in streams:
            self._place(each)

    def set_active(self, stream: SendStream, active: bool) -> None:
        """Let a stream send, or not; what waits of it is dropped then."""
        stream.active = active
        if not active:
            self._pacer.drop([stream.counts])

    def remove(self, stream: SendStream) -> list[int]:
        """Send a stream no more.

        Returns:
            The SSRCs that end; none if it is not sent.
        """
        if self.by_ssrc.get(stream.ssrc) is not stream:
            return []
        stream.note_numbers()
        while len(self._numbers) > MAX_USED_SSRCS:
            del self._numbers[next(iter(self._numbers))]
        gone = [ssrc for ssrc, each in self.by_ssrc.items() if each is stream]
        for ssrc in gone:
            del self.by_ssrc[ssrc]
        self.set_active(stream, False)
        return gone

    def clear(self) -> None:
        """Send none any more, nor what waits."""
        self._pacer.drop([stream.counts for stream in self.streams])
        self.by_ssrc.clear()
