"""Sending video: a picture goes to the encoder of each layer, what comes out into packets.

    track -> [encoder on a thread, newest picture first] -> (transform) -> packets -> pacer

Spec: webrtc-pc, section 5.2 (encodings); RFC 8853 (simulcast).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import av

from rtcstack.clock import monotonic
from rtcstack.codecs.pool import CoderPool
from rtcstack.errors import ParseError
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.frames import Frame
from rtcstack.media.pipeline.outbound import Layer, Outbound
from rtcstack.media.pipeline.transport import MediaTransport
from rtcstack.media.pipeline.video_layer import VideoLayer
from rtcstack.rtp.extensions import Extension
from rtcstack.rtp.send import SendStream

__all__ = ["VideoLayer", "VideoOutbound"]


class VideoOutbound(Outbound):
    """Sends a video track.

    Args:
        transport: it goes over this.
        pool: where encoders run.
        layers: the encodings.
        on_error: see `Outbound`.

    Raises:
        OperationError: a codec has no payload format here.
    """

    def __init__(
        self,
        transport: MediaTransport,
        pool: CoderPool,
        layers: Sequence[Layer],
        on_error: Callable[[Exception], None],
    ) -> None:
        super().__init__(transport, on_error)
        self.pool = pool
        self.on_key_frame_requested: Callable[[], None] = lambda: None
        """Told whenever the peer asks for one, of any layer."""
        made: dict[int, VideoLayer] = {}
        # the smallest first: it is served first when bits are scarce
        for index in sorted(range(len(layers)), key=lambda i: layers[i].rank):
            stream = transport.session.add_send_stream(layers[index].send)
            transport.session.set_active(stream, False)
            layer = made[index] = VideoLayer(self, layers[index], stream)
            transport.senders[stream.ssrc] = layer
        self.layers = [made[index] for index in range(len(layers))]

    @property
    def content_hint(self) -> str:
        """Of the track."""
        return "" if self.track is None else self.track.contentHint

    @property
    def streams(self) -> list[SendStream]:
        """One for each layer."""
        return [each.stream for each in self.layers]

    def update(self, layers: Sequence[Layer]) -> None:
        """What is to be sent has changed; the number of layers has not."""
        session = self.transport.session
        for each, layer in zip(self.layers, layers, strict=True):
            bound = each.stream.parameters.max_bitrate_bps
            session.update_send_stream(each.stream, replace(layer.send, max_bitrate_bps=bound))
            each.update(layer)
            active = self._sending and layer.active
            if each.stream.active is not active:
                session.set_active(each.stream, active)

    def told_of_layers(self, layer: VideoLayer, frame: EncodedMedia) -> list[tuple[Extension, bytes]]:
        """What is told of the layers with a frame of one stream, if that was agreed."""
        name = Extension.VIDEO_LAYERS_ALLOCATION
        if name not in layer.stream.extension_ids.by_name or frame.spatial_id:
            return []
        now = monotonic()
        streams = [each.as_sent(now) for each in self.layers]
        value = layer.teller.next(self.layers.index(layer), streams, key_frame=frame.key_frame)
        return [(name, value)] if value else []

    def bound(self, layer: VideoLayer, max_bitrate_bps: int | None) -> None:
        """How much a layer can use has changed."""
        parameters = replace(layer.stream.parameters, max_bitrate_bps=max_bitrate_bps)
        self.transport.session.update_send_stream(layer.stream, parameters)

    def deliver(self, frame: Frame | EncodedMedia) -> None:
        """A picture, or an encoded frame, of the track."""
        now = monotonic()
        if self.meter is not None:
            self.meter.frame_rate.count(now)
        if isinstance(frame, EncodedMedia):
            for each in self.layers:
                each.pass_on(frame, now)
        elif isinstance(frame, av.VideoFrame):
            for each in self.layers:
                each.encode(frame, now)

    def generate_key_frame(self, rid: str | None = None) -> int:
        """Make the next picture of a layer, or of all, a key frame.

        Returns:
            How many layers there are of that name.
        """
        found = [each for each in self.layers if rid is None or each.layer.send.rid == rid]
        for each in found:
            each.make_key_frame()
        return len(found)

    def mismatched(self, frame: EncodedMedia) -> None:
        """An encoded frame is of a codec that was not agreed."""
        self.frames_mismatched += 1
        agreed = self.layers[0].layer.mime_type
        self.tell_error(ParseError(f"the track brings {frame.codec}, but {agreed} was negotiated"))

    def release(self) -> None:
        """Close the encoders."""
        for each in self.layers:
            each.release()

    def _is_active(self, stream: SendStream) -> bool:
        return any(each.stream is stream and each.layer.active for each in self.layers)

    def _source_changed(self) -> None:
        for each in self.layers:
            each.restart()
        if self._attached is None:
            self.release()
