"""A peer of aiortc in this process.

aiortc puts its candidates into the description; here they are taken out and handed over one by
one, so that whoever is tested against it has to trickle.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from fractions import Fraction
from typing import Any

import av
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import candidate_from_sdp

from tests.support.media import Card, Source, Tone
from tests.support.peers import Candidate, Description, Message
from tests.support.w3c_media import SAMPLE_RATE, SAMPLES, MediaKit, card_frame, sine, thumbnail, to_sound
from tests.support.w3c_peer import W3CChannel, W3CPeer

__all__ = ["AiortcPeer"]


class AiortcChannel(W3CChannel):
    """aiortc's events carry the payload itself."""

    def _data(self, event: Any) -> Message:
        data: Message = event
        return data


class SourceTrack(MediaStreamTrack):
    """A card or a tone."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.kind = source.kind
        self._source = source
        self._index = 0
        self._began = asyncio.get_running_loop().time()

    async def recv(self) -> av.VideoFrame | av.AudioFrame:
        index = self._index
        self._index += 1
        rate = self._source.frame_rate if isinstance(self._source, Card) else 50
        await asyncio.sleep(self._began + index / rate - asyncio.get_running_loop().time())
        if isinstance(self._source, Card):
            picture = card_frame(self._source, index)
            picture.pts = index * 90_000 // rate
            picture.time_base = Fraction(1, 90_000)
            return picture
        frame = av.AudioFrame("s16", "mono", SAMPLES)
        frame.planes[0].update(sine(self._source, index))
        frame.sample_rate = SAMPLE_RATE
        frame.pts = index * SAMPLES
        frame.time_base = Fraction(1, SAMPLE_RATE)
        return frame


class AiortcKit(MediaKit):
    """aiortc has PyAV's frames."""

    def make_track(self, source: Source) -> Any:
        assert isinstance(source, Card | Tone)
        return SourceTrack(source)

    async def frames(self, track: Any) -> AsyncIterator[Any]:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            yield frame

    async def picture(self, frame: Any) -> tuple[int, int, bytes]:
        return frame.width, frame.height, thumbnail(frame)

    def sound(self, frame: Any) -> tuple[int, bytes]:
        return to_sound(frame)

    def capabilities(self, kind: str) -> list[Any]:
        found = RTCRtpReceiver.getCapabilities(kind)
        return [] if found is None else list(found.codecs)

    def add_transceiver(self, pc: Any, what: Any, direction: str, layers: list[dict[str, Any]]) -> Any:
        assert not layers, "aiortc has no simulcast"
        return pc.addTransceiver(what, direction=direction)


class AiortcPeer(W3CPeer):
    """A peer connection of aiortc."""

    make_channel = AiortcChannel

    def __init__(self, **configuration: Any) -> None:
        assert not configuration, "aiortc is tested with its defaults"
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        super().__init__(
            "aiortc",
            pc,
            AiortcKit(),
            lambda value: RTCSessionDescription(value["sdp"], value["type"]),
            self._parse,
        )
        # what arrives waits without bounds until it is read
        pc.on("track", self._on_track)

    def _on_track(self, track: Any) -> None:
        for one in self.pc.getTransceivers():
            if one.receiver.track is track:
                self.transceiver(one).watch(track)

    @staticmethod
    def _parse(value: Candidate) -> Any:
        candidate = candidate_from_sdp(value["candidate"].partition(":")[2])
        candidate.sdpMid = value.get("sdpMid")
        candidate.sdpMLineIndex = value.get("sdpMLineIndex")
        return candidate

    def _on_channel(self, event: Any) -> None:
        self._channels.put_nowait(AiortcChannel(event))

    def _local(self) -> Description:
        local = self.pc.localDescription
        kept = []
        index = -1
        for line in local.sdp.splitlines():
            if line.startswith("m="):
                index += 1
            if line.startswith("a=candidate:"):
                # the other side bundles: the first section's are all it needs
                if index == 0:
                    self._candidates.put_nowait({"candidate": line[2:], "sdpMid": "0", "sdpMLineIndex": 0})
            elif line != "a=end-of-candidates":
                kept.append(line)
        self._candidates.put_nowait(None)
        return {"type": local.type, "sdp": "\r\n".join(kept) + "\r\n"}
