"""One question: how do the packets of a file become frames that can be sent as they are?

Containers wrap codecs in their own way: H.264 in mp4 has lengths in place of start codes, and its parameter
sets in a record beside it; sound of a WAV file comes in pieces of any size.

Spec: ISO/IEC 14496-15, sections 5.3.3 (AVCDecoderConfigurationRecord) and 8.3.3 (HEVC's).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
from av.stream import Stream

from rtcstack.codecs.payload.annexb import START_CODE, nal_units
from rtcstack.codecs.payload.parametersets import ParameterSets
from rtcstack.errors import NotSupportedError, ParseError

__all__ = ["Unwrapper", "configuration", "unwrapper"]

_CODECS = {
    "h264": "video/H264",
    "hevc": "video/H265",
    "vp8": "video/VP8",
    "vp9": "video/VP9",
    "av1": "video/AV1",
    "libdav1d": "video/AV1",
    "opus": "audio/opus",
    "pcm_mulaw": "audio/PCMU",
    "pcm_alaw": "audio/PCMA",
}
"""MIME types by FFmpeg's names."""

_G711_BYTES = 160
"""20 ms."""


class Unwrapper:
    """Of codecs whose packets are frames as they are.

    Args:
        codec: MIME type.
    """

    __slots__ = ("codec",)

    def __init__(self, codec: str) -> None:
        self.codec = codec

    def unwrap(self, packet: av.Packet[Any]) -> Iterator[tuple[float, bytes]]:
        """Frames, each with the seconds by which it is later than the packet.

        Raises:
            ParseError: the packet is damaged.
        """
        yield 0.0, bytes(packet)


class _G711(Unwrapper):
    """Pieces of any size become such of 20 ms; what is less at the end of the file is left out."""

    __slots__ = ("_rest",)

    def __init__(self, codec: str) -> None:
        super().__init__(codec)
        self._rest = b""

    def unwrap(self, packet: av.Packet[Any]) -> Iterator[tuple[float, bytes]]:
        early = len(self._rest)
        data = self._rest + bytes(packet)
        whole = len(data) - len(data) % _G711_BYTES
        self._rest = data[whole:]
        for at in range(0, whole, _G711_BYTES):
            yield (at - early) / 8000, data[at : at + _G711_BYTES]


class _AnnexB(Unwrapper):
    """H.264 and H.265: with start codes, and with parameter sets before each key frame.

    Args:
        codec: MIME type.
        extradata: of the stream.
    """

    __slots__ = ("_length_size", "_sets")

    def __init__(self, codec: str, extradata: bytes) -> None:
        super().__init__(codec)
        name = codec.partition("/")[2].lower()
        self._length_size, units = configuration(name, extradata)
        self._sets = ParameterSets(name)
        self._sets.learn(units)

    def unwrap(self, packet: av.Packet[Any]) -> Iterator[tuple[float, bytes]]:
        data = bytes(packet)
        if self._length_size:
            data = START_CODE + START_CODE.join(_by_lengths(data, self._length_size))
        has_sets = not self._sets.begins_with_picture(data)
        yield 0.0, self._sets.complete(data, key_frame=packet.is_keyframe, has_sets=has_sets)


def configuration(codec: str, extradata: bytes) -> tuple[int, list[bytes]]:
    """What a container says beside an H.264 or H.265 stream.

    Args:
        codec: "h264" or "h265".
        extradata: a decoder configuration record, or parameter sets with start codes, or nothing.

    Returns:
        How many octets the length before each NAL unit has, 0 where there are start codes; and the parameter
        sets.

    Raises:
        ParseError: it is cut short.
    """
    if not extradata or extradata[0] == 0:
        try:
            return 0, nal_units(extradata) if extradata else []
        except ParseError:
            return 0, []
    at = 5 if codec == "h264" else 22
    if len(extradata) <= at:
        raise ParseError("decoder configuration is cut short")
    if codec == "h264":
        length_size = (extradata[4] & 3) + 1
        at, sets = _units(extradata, 6, extradata[5] & 0x1F)
        if at < len(extradata):
            at, more = _units(extradata, at + 1, extradata[at])
            sets += more
        return length_size, sets
    length_size = (extradata[21] & 3) + 1
    count, at = extradata[22], 23
    found: list[bytes] = []
    for _ in range(count):
        if at + 3 > len(extradata):
            raise ParseError("decoder configuration is cut short")
        at, sets = _units(extradata, at + 3, int.from_bytes(extradata[at + 1 : at + 3], "big"))
        found += sets
    return length_size, found


def _units(data: bytes, at: int, count: int) -> tuple[int, list[bytes]]:
    """So many NAL units, each behind two octets of its length; and where they end."""
    found = []
    for _ in range(count):
        size = int.from_bytes(data[at : at + 2], "big")
        unit = data[at + 2 : at + 2 + size]
        if not unit or len(unit) < size:
            raise ParseError("decoder configuration is cut short")
        found.append(unit)
        at += 2 + size
    return at, found


def _by_lengths(data: bytes, length_size: int) -> list[bytes]:
    units, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + length_size], "big")
        at += length_size
        if size > len(data) - at:
            raise ParseError("a NAL unit is longer than its packet")
        if size:
            units.append(data[at : at + size])
        at += size
    if not units:
        raise ParseError("a packet holds no NAL unit")
    return units


def unwrapper(stream: Stream) -> Unwrapper:
    """What makes frames of a stream's packets.

    Raises:
        NotSupportedError: it cannot be sent as it is; says why.
    """
    context: Any = stream.codec_context
    name = "unknown" if context is None else str(context.name)
    codec = _CODECS.get(name)
    if context is None or codec is None:
        known = ", ".join(dict.fromkeys(each.partition("/")[2] for each in _CODECS.values()))
        raise NotSupportedError(f"{name.upper()} cannot be sent without encoding it anew; {known} can")
    if isinstance(stream, av.VideoStream):
        if context.has_b_frames:
            raise NotSupportedError(
                f"{codec} with B-frames cannot be sent as it is: receivers would show its pictures in the "
                "order of decoding; encode it without (x264: bframes=0)"
            )
        if name in ("h264", "hevc"):
            try:
                return _AnnexB(codec, bytes(context.extradata or b""))
            except ParseError as exc:
                raise NotSupportedError(f"{codec} cannot be sent as it is: {exc}") from None
        return Unwrapper(codec)
    channels, rate = context.layout.nb_channels, context.sample_rate
    if codec == "audio/opus":
        if channels > 2:
            raise NotSupportedError(f"{codec} of {channels} channels cannot be sent as it is")
        return Unwrapper(codec)
    if (channels, rate) != (1, 8000):
        raise NotSupportedError(
            f"{codec} of {channels} channel(s) at {rate} Hz cannot be sent as it is; one at 8000 Hz can"
        )
    return _G711(codec)
