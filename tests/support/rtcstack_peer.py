"""A peer of rtcstack in this process: the local side of every interop test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from fractions import Fraction
from typing import Any

import av

import rtcstack
from rtcstack.media.testsources import TimedSource
from tests.support.media import Card, Source, Tone
from tests.support.w3c_media import (
    SAMPLE_RATE,
    SAMPLES,
    MediaKit,
    card_frame,
    codec_name,
    sine,
    thumbnail,
    to_sound,
)
from tests.support.w3c_peer import W3CPeer

__all__ = ["RtcstackPeer"]


class CardSource(TimedSource):
    """A card."""

    def __init__(self, card: Card) -> None:
        super().__init__("video", "card", Fraction(1, card.frame_rate))
        self._card = card

    def make(self, index: int) -> av.VideoFrame:
        frame = card_frame(self._card, index)
        frame.pts = index * 90_000 // self._card.frame_rate
        frame.time_base = Fraction(1, 90_000)
        return frame


class SineSource(TimedSource):
    """A tone."""

    def __init__(self, tone: Tone) -> None:
        super().__init__("audio", "tone", Fraction(1, 50))
        self._tone = tone

    def make(self, index: int) -> av.AudioFrame:
        frame = av.AudioFrame("s16", "mono", SAMPLES)
        frame.planes[0].update(sine(self._tone, index))
        frame.sample_rate = SAMPLE_RATE
        frame.pts = index * SAMPLES
        frame.time_base = Fraction(1, SAMPLE_RATE)
        return frame


class RtcstackKit(MediaKit):
    """rtcstack has PyAV's frames."""

    def __init__(self, pc: rtcstack.RTCPeerConnection) -> None:
        self._pc = pc

    async def reports(self, transceiver: Any) -> list[Any]:
        found: dict[str, Any] = {}
        for side in (transceiver.sender, transceiver.receiver):
            found |= dict((await self._pc.getStats(side)).items())
        return list(found.values())

    def make_track(self, source: Source) -> Any:
        return (CardSource(source) if isinstance(source, Card) else SineSource(source)).track()

    async def frames(self, track: Any) -> AsyncIterator[Any]:
        async for frame in track:
            yield frame

    async def picture(self, frame: Any) -> tuple[int, int, bytes]:
        return frame.width, frame.height, thumbnail(frame)

    def sound(self, frame: Any) -> tuple[int, bytes]:
        return to_sound(frame)

    def capabilities(self, kind: str) -> list[Any]:
        sent = rtcstack.RTCRtpSender.getCapabilities(kind)
        received = rtcstack.RTCRtpReceiver.getCapabilities(kind)
        assert sent is not None
        assert received is not None
        names = {codec_name(codec) for codec in sent.codecs}
        return [codec for codec in received.codecs if codec_name(codec) in names]

    def add_transceiver(self, pc: Any, what: Any, direction: str, layers: list[dict[str, Any]]) -> Any:
        encodings = [rtcstack.RTCRtpEncodingParameters(**layer) for layer in layers]
        return pc.addTransceiver(what, direction=direction, sendEncodings=encodings)


class RtcstackPeer(W3CPeer):
    """A peer connection of rtcstack."""

    def __init__(self, **configuration: Any) -> None:
        pc = rtcstack.RTCPeerConnection(rtcstack.RTCConfiguration(**configuration))
        super().__init__(
            "rtcstack",
            pc,
            RtcstackKit(pc),
            lambda value: rtcstack.RTCSessionDescription(**value),
            lambda value: rtcstack.RTCIceCandidate(**value),
        )
