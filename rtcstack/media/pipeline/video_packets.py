"""From encoded frames to the packets of a stream: payloads, and what their headers say of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rtcstack.codecs.layers import SINGLE_LAYER, LayerPlace, scalability_mode
from rtcstack.codecs.payload.base import Packetizer
from rtcstack.codecs.registry import video_packetizer
from rtcstack.entropy import entropy
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.pipeline.dependencies import Dependencies, FrameDependencies
from rtcstack.rtp.extensions import Extension
from rtcstack.rtp.protection import PARITY_ROOM_BYTES
from rtcstack.rtp.send import SendStream

__all__ = ["OutgoingFrame", "VideoPackets"]


@dataclass(slots=True)
class OutgoingFrame(EncodedMedia):
    """A frame of our own encoder on its way to packets.

    Attributes:
        place: where it stands among the layers; None without layers.
        described: what its dependency descriptor says, or None.
    """

    place: LayerPlace | None = None
    described: FrameDependencies | None = None


class VideoPackets:
    """Puts one stream's frames into packets.

    Args:
        codec: encoding name in lower case.
        parameters: of the format.

    Raises:
        OperationError: the codec has no payload format here.
    """

    __slots__ = ("_dependencies", "_packetizer")

    def __init__(self, codec: str, parameters: Mapping[str, str]) -> None:
        self._packetizer: Packetizer = video_packetizer(codec, parameters)
        self._dependencies = Dependencies(entropy().random.getrandbits(15))

    def set_format(self, codec: str, parameters: Mapping[str, str]) -> None:
        """Another payload format from now on; frames are numbered on."""
        self._packetizer = video_packetizer(codec, parameters)

    def describe(self, place: LayerPlace | None, *, key_frame: bool) -> FrameDependencies | None:
        """Number the next frame that was encoded, and say what it depends on.

        Args:
            place: among the layers; None for a stream without.
            key_frame: it needs no other.

        Returns:
            None before the first key frame.
        """
        return self._dependencies.next(_lone(key_frame) if place is None else place)

    def send(
        self,
        stream: SendStream,
        frame: EncodedMedia,
        timestamp: int,
        now: float,
        *,
        captured_at: float,
        max_payload_bytes: int,
        extensions: Sequence[tuple[Extension, bytes]] = (),
    ) -> bool:
        """Queue a frame.

        Args:
            stream: it goes there.
            frame: one of our encoder's, or one that came encoded.
            timestamp: in RTP ticks.
            now: monotonic seconds.
            captured_at: monotonic seconds.
            max_payload_bytes: of a packet.
            extensions: further header extensions.

        Returns:
            Whether there was room.

        Raises:
            ParseError: it is not of the codec's form.
        """
        if stream.protection.overhead:
            max_payload_bytes -= PARITY_ROOM_BYTES
        place = described = None
        if isinstance(frame, OutgoingFrame):
            place = frame.place
            if stream.extension_ids.dependency_descriptor:
                described = frame.described
        first_descriptor = b""
        if described is not None:
            first_descriptor = described.write(first=True, last=False)
            # a structure is long: its packet stays within the path's limits
            max_payload_bytes -= len(first_descriptor)
        payloads = self._packetizer.packetize(
            frame.data,
            key_frame=frame.key_frame,
            max_payload_bytes=max_payload_bytes,
            place=place,
            discardable=frame.discardable,
        )
        descriptors: list[bytes] = []
        if described is not None:
            if len(payloads) == 1:
                descriptors = [described.write(first=True, last=True)]
            else:
                between = described.write(first=False, last=False)
                descriptors = [first_descriptor, *[between] * (len(payloads) - 2)]
                descriptors.append(described.write(first=False, last=True))
        return stream.send(
            payloads,
            timestamp,
            now,
            marker=place is None or place.is_last,
            key_frame=frame.key_frame,
            captured_at=captured_at,
            extensions=extensions,
            descriptors=descriptors,
        )


def _lone(key_frame: bool) -> LayerPlace:
    mode = scalability_mode(SINGLE_LAYER)
    assert mode is not None
    return LayerPlace(mode, key_picture=key_frame)
