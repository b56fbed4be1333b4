"""PCMU and PCMA: tables of our own. G.722: through PyAV.

Spec: ITU-T G.711; ITU-T G.722; RFC 3551, sections 4.5.2 and 4.5.14.
"""

from __future__ import annotations

from array import array
from functools import cache

import av

from rtcstack.codecs.coders.audio import AudioSettings, EncodedAudio, SampleCutter, make_frame
from rtcstack.codecs.coders.concealment import Concealment
from rtcstack.errors import OperationError

__all__ = ["G711Decoder", "G711Encoder", "G722Decoder", "G722Encoder"]

_RATE = 8_000
_G722_RATE = 16_000


def _expand_mu(code: int) -> int:
    """A 16-bit sample of a mu-law octet (G.711, table 2a)."""
    code = ~code & 0xFF
    magnitude = ((code & 0x0F) << 3 | 0x84) << (code >> 4 & 7)
    return 0x84 - magnitude if code & 0x80 else magnitude - 0x84


def _expand_a(code: int) -> int:
    """A 16-bit sample of an A-law octet (G.711, table 1a)."""
    code ^= 0x55
    segment = code >> 4 & 7
    magnitude = (code & 0x0F) << 4 | 8
    if segment:
        magnitude = (magnitude | 0x100) << (segment - 1)
    return magnitude if code & 0x80 else -magnitude


@cache
def _expansion(law: str) -> array[int]:
    expand = _expand_mu if law == "pcmu" else _expand_a
    return array("h", [expand(code) for code in range(256)])


@cache
def _compression(law: str) -> bytes:
    """The octet of each 16-bit sample, by the sample's 16 bits read as an unsigned number."""
    levels = sorted((value, code) for code, value in enumerate(_expansion(law)))
    table = bytearray(65_536)
    at = 0
    for sample in range(-32_768, 32_768):
        while at + 1 < len(levels) and abs(levels[at + 1][0] - sample) <= abs(levels[at][0] - sample):
            at += 1
        table[sample & 0xFFFF] = levels[at][1]
    return bytes(table)


class G711Encoder:
    """See `AudioEncoder`.

    Args:
        law: "pcmu" or "pcma".
        settings: how to encode; only ptime counts.
    """

    def __init__(self, law: str, settings: AudioSettings) -> None:
        self._table = _compression(law)
        self._samples = max(1, int(settings.ptime_ms * _RATE / 1000))
        self._cutter = SampleCutter(_RATE, 1, self._samples)
        self._first = True

    @property
    def implementation(self) -> str:
        """ "rtcstack"."""
        return "rtcstack"

    def encode(self, frame: av.AudioFrame) -> list[EncodedAudio]:
        """Encode what is complete; see `AudioEncoder`."""
        out = []
        for at, piece in self._cutter.cut(frame):
            codes = bytes(map(self._table.__getitem__, memoryview(piece).cast("B").cast("H")))
            out.append(EncodedAudio(codes, at, len(codes), self._first))
            self._first = False
        return out

    def set_bitrate(self, bitrate_bps: int | None) -> None:
        """Without effect: it is 64 kbit/s."""

    def set_packet_loss(self, percent: int) -> None:
        """Without effect."""

    def set_packet_time(self, ptime_ms: float) -> None:
        """Put so much sound into each packet; see `AudioEncoder`."""
        self._samples = max(1, int(ptime_ms * _RATE / 1000))
        self._cutter.set_piece(self._samples)

    @property
    def bitrate_bps(self) -> int:
        """The one that it has."""
        return 8 * _RATE

    def close(self) -> None:
        """Nothing to give back."""


class G711Decoder:
    """See `AudioDecoder`. Gives 8 kHz mono.

    Args:
        law: "pcmu" or "pcma".
    """

    def __init__(self, law: str) -> None:
        self._table = _expansion(law)
        self._concealment = Concealment(_RATE, 1)

    @property
    def implementation(self) -> str:
        """ "rtcstack"."""
        return "rtcstack"

    def decode(self, data: bytes) -> av.AudioFrame | None:
        """The sound of one packet; None when it is empty."""
        if not data:
            return None
        return self._concealment.heard(array("h", map(self._table.__getitem__, data)).tobytes())

    def decode_fec(self, data: bytes, duration: int) -> av.AudioFrame | None:
        """None: there is none."""
        return None

    def conceal(self, duration: int) -> av.AudioFrame:
        """Sound in the place of a lost packet; see `AudioDecoder`."""
        return self._concealment.conceal(duration)

    def close(self) -> None:
        """Nothing to give back."""


class G722Encoder:
    """See `AudioEncoder`. Timestamps are of the 8 kHz clock that RFC 3551 gives G.722.

    Args:
        settings: how to encode; only ptime counts.

    Raises:
        OperationError: PyAV has no G.722.
    """

    def __init__(self, settings: AudioSettings) -> None:
        self._samples = max(2, int(settings.ptime_ms * _G722_RATE / 1000) & ~1)
        self._cutter = SampleCutter(_G722_RATE, 1, self._samples)
        self._first = True
        try:
            self._context = av.CodecContext.create("g722", "w")
            self._context.sample_rate = _G722_RATE
            self._context.layout = "mono"
            self._context.format = "s16"
            self._context.open()
        except (av.FFmpegError, ValueError) as exc:
            raise OperationError(f"G722: PyAV cannot encode it: {exc}") from exc

    @property
    def implementation(self) -> str:
        """ "g722"."""
        return "g722"

    def encode(self, frame: av.AudioFrame) -> list[EncodedAudio]:
        """Encode what is complete; see `AudioEncoder`."""
        out = []
        for at, piece in self._cutter.cut(frame):
            whole = make_frame(self._samples, _G722_RATE, 1)
            plane = whole.planes[0]
            plane.update(bytes(piece) + bytes(plane.buffer_size - len(piece)))
            try:
                data = b"".join([bytes(p) for p in self._context.encode(whole)])
            except (av.FFmpegError, ValueError) as exc:
                raise OperationError(f"G722: failed to encode: {exc}") from exc
            if data:
                out.append(EncodedAudio(data, at // 2, len(data), self._first))
                self._first = False
        return out

    def set_bitrate(self, bitrate_bps: int | None) -> None:
        """Without effect: it is 64 kbit/s."""

    def set_packet_loss(self, percent: int) -> None:
        """Without effect."""

    def set_packet_time(self, ptime_ms: float) -> None:
        """Put so much sound into each packet; see `AudioEncoder`."""
        self._samples = max(2, int(ptime_ms * _G722_RATE / 1000) & ~1)
        self._cutter.set_piece(self._samples)

    @property
    def bitrate_bps(self) -> int:
        """The one that it has."""
        return 4 * _G722_RATE

    def close(self) -> None:
        """Nothing to give back before the object goes."""


class G722Decoder:
    """See `AudioDecoder`. Gives 16 kHz mono.

    Raises:
        OperationError: PyAV has no G.722.
    """

    def __init__(self) -> None:
        self._concealment = Concealment(_G722_RATE, 1)
        try:
            self._context = av.CodecContext.create("g722", "r")
            self._context.sample_rate = _G722_RATE
            self._context.layout = "mono"
            self._context.open()
        except (av.FFmpegError, ValueError) as exc:
            raise OperationError(f"G722: PyAV cannot decode it: {exc}") from exc

    @property
    def implementation(self) -> str:
        """ "g722"."""
        return "g722"

    def decode(self, data: bytes) -> av.AudioFrame | None:
        """The sound of one packet; None when it is empty."""
        try:
            frames = self._context.decode(av.Packet(data)) if data else []
        except (av.FFmpegError, ValueError, MemoryError):
            return None
        if not frames:
            return None
        return self._concealment.heard(b"".join([memoryview(f.planes[0])[: f.samples * 2] for f in frames]))

    def decode_fec(self, data: bytes, duration: int) -> av.AudioFrame | None:
        """None: there is none."""
        return None

    def conceal(self, duration: int) -> av.AudioFrame:
        """Sound in the place of a lost packet; `duration` is of the 8 kHz clock."""
        return self._concealment.conceal(2 * duration)

    def close(self) -> None:
        """Nothing to give back before the object goes."""
