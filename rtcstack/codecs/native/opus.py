"""Opus with libopus itself: in-band FEC and concealment for what is lost, and no copies between.

Spec: libopus's opus.h and opus_defines.h.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_void_p
from enum import IntEnum
from functools import cache

from rtcstack.codecs.native.library import load
from rtcstack.errors import OperationError, ParseError

__all__ = ["Application", "NativeOpusDecoder", "NativeOpusEncoder", "available"]

_MAX_PACKET_BYTES = 1500
"""Larger than any packet of 120 ms at the bit rates that are allowed here."""

MAX_DECODED_SAMPLES = 5760
"""Of one channel: 120 ms at 48 kHz, the longest packet."""

# opus_defines.h
_SET_BITRATE = 4002
_SET_VBR = 4006
_SET_COMPLEXITY = 4010
_SET_INBAND_FEC = 4012
_SET_PACKET_LOSS_PERC = 4014
_SET_DTX = 4016
_SET_MAX_BANDWIDTH = 4004
_RESET_STATE = 4028


class Application(IntEnum):
    """What an encoder is tuned for."""

    VOIP = 2048
    AUDIO = 2049
    LOW_DELAY = 2051


@cache
def _library() -> ctypes.CDLL | None:
    lib = load("opus")
    if lib is None:
        return None
    try:
        lib.opus_encoder_create.argtypes = [c_int32, c_int, c_int, POINTER(c_int)]
        lib.opus_encoder_create.restype = c_void_p
        lib.opus_encoder_destroy.argtypes = [c_void_p]
        lib.opus_encoder_ctl.argtypes = [c_void_p, c_int]  # variadic: the third is passed as is
        lib.opus_encode.argtypes = [c_void_p, c_void_p, c_int, c_void_p, c_int32]
        lib.opus_decoder_create.argtypes = [c_int32, c_int, POINTER(c_int)]
        lib.opus_decoder_create.restype = c_void_p
        lib.opus_decoder_destroy.argtypes = [c_void_p]
        lib.opus_decoder_ctl.argtypes = [c_void_p, c_int]
        lib.opus_decode.argtypes = [c_void_p, c_char_p, c_int32, c_void_p, c_int, c_int]
        lib.opus_strerror.argtypes = [c_int]
        lib.opus_strerror.restype = c_char_p
    except AttributeError:
        return None
    return lib


def available() -> bool:
    """Whether libopus can be called here."""
    return _library() is not None


def _require() -> ctypes.CDLL:
    lib = _library()
    if lib is None:
        raise OperationError("Opus: libopus is not there")
    return lib


def _error(lib: ctypes.CDLL, code: int) -> str:
    text: bytes | None = lib.opus_strerror(code)
    return text.decode(errors="replace") if text else f"error {code}"


class NativeOpusEncoder:
    """One running encoder; used by one thread at a time.

    Args:
        sample_rate: 8000, 12000, 16000, 24000 or 48000 Hz.
        channels: 1 or 2.
        application: what it is tuned for.

    Raises:
        OperationError: libopus is not there, or refuses.
    """

    __slots__ = ("_encoder", "_lib", "_out")

    def __init__(self, sample_rate: int, channels: int, application: Application) -> None:
        self._encoder: int | None = None
        self._lib = _require()
        error = c_int()
        encoder = self._lib.opus_encoder_create(sample_rate, channels, application, byref(error))
        if not encoder:
            raise OperationError(f"Opus: libopus refuses an encoder: {_error(self._lib, error.value)}")
        self._encoder = encoder
        self._out = ctypes.create_string_buffer(_MAX_PACKET_BYTES)

    def _control(self, request: int, value: int) -> None:
        result = self._lib.opus_encoder_ctl(self._encoder, request, c_int32(value))
        if result < 0:
            raise OperationError(f"Opus: libopus refuses a setting: {_error(self._lib, result)}")

    def set_bitrate(self, bitrate_bps: int) -> None:
        """500 to 512000 bits a second."""
        self._control(_SET_BITRATE, bitrate_bps)

    def set_complexity(self, complexity: int) -> None:
        """0 (cheapest) to 10 (best)."""
        self._control(_SET_COMPLEXITY, complexity)

    def set_variable_bitrate(self, variable: bool) -> None:
        """Whether the bit rate follows the sound."""
        self._control(_SET_VBR, int(variable))

    def set_in_band_fec(self, enabled: bool, packet_loss_percent: int) -> None:
        """Whether packets carry a copy of the one before, and how much loss to prepare for."""
        self._control(_SET_INBAND_FEC, int(enabled))
        self._control(_SET_PACKET_LOSS_PERC, packet_loss_percent)

    def set_dtx(self, enabled: bool) -> None:
        """Whether silence is not sent: packets of two bytes or less need no sending."""
        self._control(_SET_DTX, int(enabled))

    def set_max_playback_rate(self, sample_rate: int) -> None:
        """Send no frequencies that a receiver playing at this rate cannot give."""
        for limit, bandwidth in ((8_000, 1101), (12_000, 1102), (16_000, 1103), (24_000, 1104)):
            if sample_rate <= limit:
                self._control(_SET_MAX_BANDWIDTH, bandwidth)
                return

    def encode(self, pcm: bytes | int, samples: int) -> bytes:
        """Encode one frame.

        Args:
            pcm: 16-bit samples, channels interleaved: bytes, or their address.
            samples: of one channel: 2.5, 5, 10, 20, 40, 60, 80, 100 or 120 ms of them.

        Raises:
            OperationError: libopus refuses.
        """
        size = self._lib.opus_encode(self._encoder, pcm, samples, self._out, _MAX_PACKET_BYTES)
        if size < 0:
            raise OperationError(f"Opus: libopus failed to encode: {_error(self._lib, size)}")
        return ctypes.string_at(self._out, size)

    def close(self) -> None:
        """Give the memory back; nothing may be encoded afterwards."""
        if self._encoder is not None:
            self._lib.opus_encoder_destroy(self._encoder)
            self._encoder = None

    def __del__(self) -> None:
        self.close()


class NativeOpusDecoder:
    """One running decoder; used by one thread at a time.

    Args:
        sample_rate: of the output, as for the encoder.
        channels: of the output, 1 or 2; what arrives may have the other number.

    Raises:
        OperationError: libopus is not there, or refuses.
    """

    __slots__ = ("_decoder", "_lib")

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._decoder: int | None = None
        self._lib = _require()
        error = c_int()
        decoder = self._lib.opus_decoder_create(sample_rate, channels, byref(error))
        if not decoder:
            raise OperationError(f"Opus: libopus refuses a decoder: {_error(self._lib, error.value)}")
        self._decoder = decoder

    def decode(self, packet: bytes | None, out: int, samples: int, *, fec: bool = False) -> int:
        """Decode one packet, or conceal one.

        Args:
            packet: None when it was lost and must be concealed.
            out: address of room for `samples` samples of each channel, 16 bits, interleaved.
            samples: room for a packet; exactly what is missing for concealment and for `fec`.
            fec: read the copy of the packet before, which `packet` carries.

        Returns:
            Samples of each channel.

        Raises:
            ParseError: the packet is damaged.
        """
        size = 0 if packet is None else len(packet)
        result: int = self._lib.opus_decode(self._decoder, packet, size, out, samples, int(fec))
        if result < 0:
            raise ParseError(f"Opus packet cannot be decoded: {_error(self._lib, result)}")
        return result

    def reset(self) -> None:
        """Forget what was decoded."""
        self._lib.opus_decoder_ctl(self._decoder, _RESET_STATE)

    def close(self) -> None:
        """Give the memory back; nothing may be decoded afterwards."""
        if self._decoder is not None:
            self._lib.opus_decoder_destroy(self._decoder)
            self._decoder = None

    def __del__(self) -> None:
        self.close()
