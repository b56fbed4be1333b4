"""GStreamer's webrtcbin as a peer in this process, which is one of the system's Python.

webrtcbin calls from threads of its own: everything here hands over to the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import gi  # type: ignore[import-not-found] # of the system's Python

from tests.support.collector import Collector
from tests.support.media import (
    LISTEN_S,
    LOOK_PICTURES,
    LOOK_S,
    THUMB_HEIGHT,
    THUMB_WIDTH,
    Card,
    Pictures,
    Sound,
    Source,
    Tone,
    Transceiver,
    TransceiverInfo,
    draw_i420,
)
from tests.support.peers import (
    TIMEOUT_S,
    Candidate,
    Channel,
    ChannelOptions,
    Description,
    Peer,
)

__all__ = ["GStreamerPeer"]

for _library in ("Gst", "GstSdp", "GstWebRTC"):
    gi.require_version(_library, "1.0")
Gst = import_module("gi.repository.Gst")
GstSdp = import_module("gi.repository.GstSdp")
GstWebRTC = import_module("gi.repository.GstWebRTC")
GLib = import_module("gi.repository.GLib")

Gst.init(None)

# libnice looks for routers by UPnP, which complains where other peers do so at the same time
for _domain in ("gupnp-context", "gupnp-context-manager"):
    GLib.log_set_handler(_domain, GLib.LogLevelFlags.LEVEL_WARNING, lambda *_: None)

SAMPLE_RATE = 48_000
SAMPLES = SAMPLE_RATE // 50


@dataclass(frozen=True, slots=True)
class Coder:
    """How a codec is sent: the elements from raw media to RTP, and what the SDP calls it."""

    elements: str
    payload_type: int
    clock_rate: int
    parameters: str = ""
    """More fields of the caps that are negotiated; what is sent may say it more exactly."""


VIDEO = {
    "VP8": Coder("vp8enc deadline=1 keyframe-max-dist=60 target-bitrate=400000 ! rtpvp8pay", 96, 90_000),
    "VP9": Coder(
        "vp9enc deadline=1 cpu-used=8 keyframe-max-dist=60 target-bitrate=400000 ! rtpvp9pay", 98, 90_000
    ),
    "H264": Coder(
        "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=60 bitrate=400"
        " ! video/x-h264,profile=constrained-baseline"
        " ! rtph264pay config-interval=-1 aggregate-mode=zero-latency",
        102,
        90_000,
        "packetization-mode=(string)1,profile-level-id=(string)42e01f",
    ),
    "AV1": Coder("av1enc ! rtpav1pay", 45, 90_000),
}
AUDIO = {
    # stereo by name, whatever it carries (RFC 7587, section 7)
    "OPUS": Coder("opusenc ! rtpopuspay", 111, 48_000, "encoding-params=(string)2"),
    "G722": Coder("avenc_g722 ! rtpg722pay", 9, 8000),
    "PCMU": Coder("mulawenc ! rtppcmupay", 0, 8000),
    "PCMA": Coder("alawenc ! rtppcmapay", 8, 8000),
}
DIRECTIONS = ("inactive", "sendonly", "recvonly", "sendrecv")


def available(coder: Coder) -> bool:
    """Whether the elements are installed."""
    names = [part.split()[0] for part in coder.elements.split(" ! ") if "/" not in part.split(",")[0]]
    return all(Gst.ElementFactory.find(name) is not None for name in names)


class Section:
    """What an offer says of one of its media sections."""

    def __init__(self, text: str) -> None:
        self.kind = text.partition(" ")[0]
        self._payload_types = [
            (int(number), name.upper()) for number, name in re.findall(r"a=rtpmap:(\d+) ([^/\s]+)", text)
        ]
        self._parameters = dict(re.findall(r"a=fmtp:(\d+) (\S+)", text))
        found = re.search(r"a=mid:(\S+)", text)
        self.mid = found[1] if found else ""

    @classmethod
    def all(cls, sdp: str) -> list[Section]:
        """Those of a description, in their order."""
        return [cls(part) for part in sdp.split("\r\nm=")[1:]]

    def payload_type(self, codec: str) -> int | None:
        """The payload type of a codec; of H.264 the one that is sent here."""
        numbers = [number for number, name in self._payload_types if name == codec]
        if codec == "H264":
            numbers.sort(key=self._h264_rank)
        return numbers[0] if numbers else None

    def _h264_rank(self, number: int) -> bool:
        """Constrained baseline in fragments first: what is sent here."""
        parameters = self._parameters.get(str(number), "")
        return "packetization-mode=1" not in parameters or "profile-level-id=42e0" not in parameters

    def parameters(self, payload_type: int) -> str:
        """What caps must say to be found equal to this payload type's."""
        pairs = re.findall(
            r"(packetization-mode|profile-level-id)=(\w+)", self._parameters.get(str(payload_type), "")
        )
        return ",".join(f"{name}=(string){value}" for name, value in pairs)

    def first(self, codecs: dict[str, Coder]) -> str | None:
        """The first codec of the section that can be sent here."""
        return next((name for _, name in self._payload_types if name in codecs), None)


class GStreamerTransceiver(Transceiver):
    """A source that is, or will be, linked to webrtcbin, and what comes back in its section."""

    def __init__(self, peer: GStreamerPeer, kind: str, source: Source | None) -> None:
        self._peer = peer
        self.kind = kind
        self.source = source
        self.collector = Collector()
        self.codecs: tuple[str, ...] = ()
        self.line: int | None = None
        self.feed: asyncio.Task[None] | None = None

    @property
    def coders(self) -> dict[str, Coder]:
        """Those of the kind that are installed."""
        all_coders = VIDEO if self.kind == "video" else AUDIO
        return {name: coder for name, coder in all_coders.items() if available(coder)}

    def wanted(self) -> dict[str, Coder]:
        """Those that may be used, the preferred ones if any are."""
        return {name: coder for name, coder in self.coders.items() if not self.codecs or name in self.codecs}

    async def info(self) -> TransceiverInfo:
        found = self._peer.native(self)
        current = DIRECTIONS[int(found.props.current_direction) - 1] if found is not None else None
        return {
            "mid": found.props.mid if found is not None else None,
            "kind": self.kind,
            "direction": DIRECTIONS[int(found.props.direction) - 1] if found is not None else "sendrecv",
            "currentDirection": current,
        }

    async def prefer(self, *codecs: str) -> None:
        self.codecs = tuple(name.upper() for name in codecs)

    async def replace(self, source: Source | None) -> None:
        raise NotImplementedError("webrtcbin has no replaceTrack")

    async def enable(self, enabled: bool) -> None:
        raise NotImplementedError("webrtcbin has no tracks")

    async def turn(self, direction: str) -> None:
        found = self._peer.native(self)
        assert found is not None, "not negotiated yet"
        found.props.direction = GstWebRTC.WebRTCRTPTransceiverDirection(DIRECTIONS.index(direction) + 1)

    async def stop(self) -> None:
        raise NotImplementedError("webrtcbin does not stop transceivers")

    async def look(self, pictures: int = LOOK_PICTURES, timeout_s: float = LOOK_S) -> Pictures:
        return await self.collector.look(pictures, timeout_s)

    async def listen(self, duration_s: float = LISTEN_S, timeout_s: float = LOOK_S) -> Sound:
        return await self.collector.listen(duration_s, timeout_s)


class GStreamerPeer(Peer):
    """A pipeline with one webrtcbin."""

    numbers = itertools.count()

    def __init__(self, **configuration: Any) -> None:
        assert not configuration, "webrtcbin is tested with its defaults"
        self.name = "gstreamer"
        self._loop = asyncio.get_running_loop()
        self._pipeline = Gst.Pipeline.new(f"peer{next(self.numbers)}")
        self._webrtc = Gst.ElementFactory.make("webrtcbin")
        self._webrtc.props.bundle_policy = GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE
        self._webrtc.props.latency = 50
        self._pipeline.add(self._webrtc)
        self._transceivers: list[GStreamerTransceiver] = []
        self._candidates: asyncio.Queue[Candidate | None] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._mids: list[str] = []
        self._connect("on-ice-candidate", self._on_candidate)
        self._connect("notify::ice-gathering-state", self._on_gathering)
        self._connect("notify::connection-state", self._on_state)
        self._webrtc.connect("pad-added", self._on_pad)
        self._pipeline.set_state(Gst.State.PLAYING)

    def _connect(self, signal: str, handler: Callable[..., None]) -> None:
        """Have a signal handled on the loop's thread."""

        def handle(_element: Any, *args: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(handler, *args)

        self._webrtc.connect(signal, handle)

    def _on_candidate(self, line: int, candidate: str) -> None:
        mid = self._mids[line] if line < len(self._mids) else None
        self._candidates.put_nowait({"candidate": candidate, "sdpMid": mid, "sdpMLineIndex": line})

    def _on_gathering(self, _property: Any) -> None:
        if self._webrtc.props.ice_gathering_state == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            self._candidates.put_nowait(None)

    def _on_state(self, _property: Any) -> None:
        self._changed.set()

    # -- what is sent ----------------------------------------------------------------------------------------

    async def send(self, source: Source) -> Transceiver:
        return await self.add_transceiver(source.kind, source)

    async def add_transceiver(
        self,
        kind: str,
        source: Source | None = None,
        *,
        direction: str = "sendrecv",
        layers: Sequence[dict[str, Any]] = (),
    ) -> Transceiver:
        assert direction == "sendrecv", "webrtcbin here always sends and receives"
        assert not layers, "webrtcbin has no simulcast"
        assert source is not None, "webrtcbin here always sends"
        transceiver = GStreamerTransceiver(self, kind, source)
        self._transceivers.append(transceiver)
        return transceiver

    async def transceivers(self) -> list[Transceiver]:
        return list(self._transceivers)

    async def capabilities(self, kind: str) -> list[str]:
        coders = VIDEO if kind == "video" else AUDIO
        return [name for name, coder in coders.items() if available(coder)]

    def native(self, transceiver: GStreamerTransceiver) -> Any:
        """webrtcbin's transceiver, None before it is negotiated."""
        if transceiver.line is None:
            return None
        return self._webrtc.emit("get-transceiver", transceiver.line)

    def _link(
        self, transceiver: GStreamerTransceiver, line: int, codec: str, payload_type: int, parameters: str
    ) -> None:
        """Build the way from a source to a section, and feed it."""
        source, coder = transceiver.source, transceiver.coders[codec]
        if isinstance(source, Card):
            rate = source.frame_rate
            caps = f"video/x-raw,format=I420,width={source.width},height={source.height},framerate={rate}/1"
            raw = "queue ! videoconvert"
        else:
            caps = f"audio/x-raw,format=S16LE,rate={SAMPLE_RATE},channels=1,layout=interleaved"
            raw = "queue ! audioconvert ! audioresample"
        rtp = (
            f"application/x-rtp,media={transceiver.kind},encoding-name={codec},payload={payload_type}"
            f",clock-rate={coder.clock_rate}"
        )
        text = (
            f"appsrc name=source is-live=true format=time caps={caps}"
            f" ! {raw} ! {coder.elements} pt={payload_type} ! capsfilter caps={rtp}"
        )
        part = Gst.parse_bin_from_description(text, True)
        self._pipeline.add(part)
        negotiated = Gst.Caps.from_string(",".join(filter(None, (rtp, parameters))))
        template = self._webrtc.get_pad_template("sink_%u")
        pad = self._webrtc.request_pad(template, f"sink_{line}", negotiated)
        assert pad is not None, f"webrtcbin has no place for {rtp}"
        if transceiver.kind == "audio":
            # before the first packet webrtcbin would offer what the payloader says it might send,
            # which is Opus of one channel too
            pad.props.transceiver.set_property("codec-preferences", negotiated)
        linked = part.get_static_pad("src").link(pad)
        assert linked == Gst.PadLinkReturn.OK, linked
        part.sync_state_with_parent()
        transceiver.line = line
        transceiver.feed = asyncio.create_task(self._feed(part.get_by_name("source"), source))

    async def _feed(self, element: Any, source: Source | None) -> None:
        """Give a source's pictures or samples at their times."""
        began = self._loop.time()
        began_ns = self._pipeline.get_clock().get_time() - self._pipeline.get_base_time()
        for index in itertools.count():
            if isinstance(source, Card):
                data, interval = draw_i420(source, index), 1 / source.frame_rate
            else:
                assert isinstance(source, Tone)
                data, interval = _sine(source, index), 0.02
            buffer = Gst.Buffer.new_wrapped(data)
            buffer.pts = began_ns + round(index * interval * Gst.SECOND)
            element.emit("push-buffer", buffer)
            await asyncio.sleep(began + (index + 1) * interval - self._loop.time())

    # -- what arrives ----------------------------------------------------------------------------------------

    def _on_pad(self, _element: Any, pad: Any) -> None:
        """In a thread of webrtcbin: media begins to arrive."""
        if pad.direction != Gst.PadDirection.SRC:
            return
        caps = pad.get_current_caps().get_structure(0)
        kind = caps.get_string("media")
        line = pad.props.transceiver.props.mlineindex
        decode = Gst.ElementFactory.make("decodebin")
        decode.connect("pad-added", self._on_decoded, kind, line)
        decode.connect("element-added", _ask_for_key_frames)
        self._pipeline.add(decode)
        decode.sync_state_with_parent()
        pad.link(decode.get_static_pad("sink"))

    def _on_decoded(self, _element: Any, pad: Any, kind: str, line: int) -> None:
        if kind == "video":
            size = f"width={THUMB_WIDTH},height={THUMB_HEIGHT}"
            text = (
                "queue ! videoconvert ! videoscale add-borders=false"
                f" ! video/x-raw,format=RGB,{size},pixel-aspect-ratio=1/1"
            )
        else:
            caps = f"audio/x-raw,format=S16LE,rate={SAMPLE_RATE},channels=1"
            text = f"queue ! audioconvert ! audioresample ! {caps}"
        part = Gst.parse_bin_from_description(
            text + " ! appsink name=sink emit-signals=true sync=false", True
        )
        part.get_by_name("sink").connect("new-sample", self._on_sample, pad, kind, line)
        self._pipeline.add(part)
        part.sync_state_with_parent()
        pad.link(part.get_static_pad("sink"))

    def _on_sample(self, sink: Any, pad: Any, kind: str, line: int) -> Any:
        """In a thread of the pipeline: a picture, or samples."""
        buffer = sink.emit("pull-sample").get_buffer()
        data = buffer.extract_dup(0, buffer.get_size())
        with contextlib.suppress(RuntimeError):
            if kind == "video":
                caps = pad.get_current_caps().get_structure(0)
                width, height = caps.get_value("width"), caps.get_value("height")
                self._loop.call_soon_threadsafe(self._picture, line, width, height, data)
            else:
                self._loop.call_soon_threadsafe(self._sound, line, data)
        return Gst.FlowReturn.OK

    def _collector(self, kind: str, line: int) -> Collector | None:
        """Where it belongs. webrtcbin takes what overtakes the answer for the first section's, of
        whatever kind that is."""
        several = [one for one in self._transceivers if one.kind == kind]
        several.sort(key=lambda one: one.line != line)
        return several[0].collector if several else None

    def _picture(self, line: int, width: int, height: int, data: bytes) -> None:
        collector = self._collector("video", line)
        if collector is not None:
            collector.put_picture(width, height, data)

    def _sound(self, line: int, data: bytes) -> None:
        collector = self._collector("audio", line)
        if collector is not None:
            collector.put_sound(SAMPLE_RATE, data)

    # -- negotiation -----------------------------------------------------------------------------------------

    async def _promise(self, signal: str, *args: Any) -> Any:
        """Call webrtcbin and wait for what it promises."""
        future: asyncio.Future[Any] = self._loop.create_future()

        def changed(promise: Any) -> None:
            reply = promise.get_reply()
            self._loop.call_soon_threadsafe(_settle, future, reply)

        self._webrtc.emit(signal, *args, Gst.Promise.new_with_change_func(changed))
        async with asyncio.timeout(TIMEOUT_S):
            return await future

    async def _set(self, signal: str, type_: str, sdp: str) -> None:
        _, message = GstSdp.SDPMessage.new_from_text(sdp)
        kind = GstWebRTC.WebRTCSDPType.OFFER if type_ == "offer" else GstWebRTC.WebRTCSDPType.ANSWER
        await self._promise(signal, GstWebRTC.WebRTCSessionDescription.new(kind, message))

    async def _make(self, type_: str) -> Description:
        reply = await self._promise(f"create-{type_}", None)
        sdp = reply.get_value(type_).sdp.as_text()
        self._mids = [section.mid for section in Section.all(sdp)]
        await self._set("set-local-description", type_, sdp)
        return {"type": type_, "sdp": sdp}

    async def create_offer(self, *, restart: bool = False) -> Description:
        assert not restart, "not with webrtcbin"
        for line, transceiver in enumerate(self._transceivers):
            if transceiver.line is None:
                codec, coder = next(iter(transceiver.wanted().items()))
                self._link(transceiver, line, codec, coder.payload_type, coder.parameters)
        return await self._make("offer")

    async def accept_offer(self, offer: Description) -> Description:
        await self._set("set-remote-description", "offer", offer["sdp"])
        free = [one for one in self._transceivers if one.line is None]
        taken = {one.line for one in self._transceivers}
        for line, section in enumerate(Section.all(offer["sdp"])):
            transceiver = next((one for one in free if one.kind == section.kind), None)
            if line in taken or transceiver is None:
                continue
            free.remove(transceiver)
            codec = section.first(transceiver.wanted())
            assert codec is not None, "no codec in common"
            payload_type = section.payload_type(codec)
            assert payload_type is not None
            parameters = section.parameters(payload_type) or transceiver.coders[codec].parameters
            self._link(transceiver, line, codec, payload_type, parameters)
        return await self._make("answer")

    async def accept_answer(self, answer: Description) -> None:
        await self._set("set-remote-description", "answer", answer["sdp"])

    async def add_candidate(self, candidate: Candidate | None) -> None:
        if candidate is not None:
            line = candidate.get("sdpMLineIndex")
            self._webrtc.emit("add-ice-candidate", line or 0, candidate["candidate"])

    async def next_candidate(self) -> Candidate | None:
        return await self._candidates.get()

    async def connected(self) -> None:
        state = GstWebRTC.WebRTCPeerConnectionState
        async with asyncio.timeout(TIMEOUT_S):
            while self._webrtc.props.connection_state != state.CONNECTED:
                if self._webrtc.props.connection_state in (state.FAILED, state.CLOSED):
                    raise ConnectionError(f"gstreamer: {self._webrtc.props.connection_state.value_nick}")
                self._changed.clear()
                await self._changed.wait()

    async def create_channel(self, options: ChannelOptions) -> Channel:
        raise NotImplementedError("data channels of webrtcbin are not tested")

    async def next_channel(self) -> Channel:
        raise NotImplementedError("data channels of webrtcbin are not tested")

    async def vanish(self) -> None:
        raise NotImplementedError("kill its process")

    async def close(self) -> None:
        for transceiver in self._transceivers:
            if transceiver.feed is not None:
                transceiver.feed.cancel()
        # stopping waits for the pipeline's threads
        await asyncio.to_thread(self._pipeline.set_state, Gst.State.NULL)


def _ask_for_key_frames(_decode: Any, element: Any) -> None:
    """Have a depayloader that has missed the first key frame ask for another; by itself it waits."""
    if element.find_property("request-keyframe") is not None:
        element.set_property("request-keyframe", True)


def _sine(tone: Tone, index: int) -> bytes:
    step = 2 * math.pi * tone.frequency_hz / SAMPLE_RATE
    first = index % 50 * SAMPLES
    wave = (round(32767 * tone.level * math.sin((first + i) * step)) for i in range(SAMPLES))
    return array("h", wave).tobytes()


def _settle(future: asyncio.Future[Any], reply: Any) -> None:
    if future.done():
        return
    if reply is not None and reply.has_field("error"):
        future.set_exception(RuntimeError(f"gstreamer: {reply.get_value('error').message}"))
    else:
        future.set_result(reply)
