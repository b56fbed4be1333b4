"""VP8 and VP9 encoding with libvpx itself.

What FFmpeg's wrapper lacks: a bit rate and a resolution that change in the running encoder, without
a key frame for the rate, and frames that are read where they lie.

Spec: libvpx's vpx_encoder.h, vpx_image.h and vp8cx.h.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, byref, c_int, c_int64, c_long, c_uint, c_ulong, c_void_p
from functools import cache
from typing import NamedTuple

from rtcstack.codecs.layers import SINGLE_LAYER, LayerPlace, ScalabilityMode
from rtcstack.codecs.native.library import load
from rtcstack.codecs.native.vpx_layers import (
    SvcLayerId,
    inter_layer_control,
    picture_flags,
    set_bitrates,
    set_layers,
    svc_parameters,
)
from rtcstack.codecs.native.vpx_structures import VpxConfig, VpxImage, VpxPacketHead
from rtcstack.codecs.payload.superframe import superframe_frames
from rtcstack.errors import OperationError

__all__ = ["Vpx", "VpxPacket", "available"]

_CONTEXT_BYTES = 512
# The structure is smaller; the rest is room for what later releases append.

_ABI_VERSIONS = range(20, 64)
"""Numbers that are tried: each release of libvpx refuses all but its own."""

_ABI_MISMATCH = 3
_FORMAT_I420 = 0x102
_FORCE_KEY_FRAME = 1
_FRAME_PACKET = 0
_PACKET_IS_KEY = 1
_PACKET_IS_DROPPABLE = 2
_DEADLINE_REALTIME = 1
_CBR = 1
_KEY_FRAMES_DISABLED = 0
_TICKS = 90_000
_NEVER = 2**31 - 1

# vp8cx.h, enum vp8e_enc_control_id
_SET_CPU_USED = 13
_SET_NOISE_SENSITIVITY = 15
_SET_STATIC_THRESHOLD = 17
_SET_TOKEN_PARTITIONS = 18
_GET_LAST_QUANTIZER_64 = 20
_SET_MAX_INTRA_BITRATE_PCT = 26
_SET_SCREEN_CONTENT_MODE = 31
_SET_TILE_COLUMNS = 33
_SET_FRAME_PARALLEL_DECODING = 35
_SET_AQ_MODE = 36
_SET_TEMPORAL_LAYER_ID = 30
_SET_SVC = 39
_SET_SVC_PARAMETERS = 41
_SET_TUNE_CONTENT = 43
_GET_SVC_LAYER_ID = 44
_SET_ROW_MT = 55
_SET_SVC_INTER_LAYER_PRED = 60

_MIN_QUANTIZER, _MAX_QUANTIZER = 2, 56


class _Library(NamedTuple):
    """libvpx, checked."""

    lib: ctypes.CDLL
    abi: int
    interfaces: dict[str, c_void_p]


@cache
def _library() -> _Library | None:
    """libvpx with its ABI number; None when it is absent or laid out otherwise."""
    lib = load("vpx")
    if lib is None or sys.byteorder != "little":
        return None
    try:
        for name in ("vpx_codec_vp8_cx", "vpx_codec_vp9_cx"):
            getattr(lib, name).restype = c_void_p
        lib.vpx_codec_enc_config_default.argtypes = [c_void_p, POINTER(VpxConfig), c_uint]
        lib.vpx_codec_enc_init_ver.argtypes = [c_void_p, c_void_p, POINTER(VpxConfig), c_long, c_int]
        lib.vpx_codec_enc_config_set.argtypes = [c_void_p, POINTER(VpxConfig)]
        lib.vpx_codec_control_.argtypes = [c_void_p, c_int]  # variadic: the third is passed as is
        lib.vpx_codec_encode.argtypes = [c_void_p, c_void_p, c_int64, c_ulong, c_long, c_ulong]
        lib.vpx_codec_get_cx_data.argtypes = [c_void_p, POINTER(c_void_p)]
        lib.vpx_codec_get_cx_data.restype = POINTER(VpxPacketHead)
        lib.vpx_codec_destroy.argtypes = [c_void_p]
        lib.vpx_codec_error_detail.argtypes = [c_void_p]
        lib.vpx_codec_error_detail.restype = ctypes.c_char_p
        interfaces = {
            "vp8": c_void_p(lib.vpx_codec_vp8_cx()),
            "vp9": c_void_p(lib.vpx_codec_vp9_cx()),
        }
        config = VpxConfig()
        abi = 0
        for interface in interfaces.values():
            if lib.vpx_codec_enc_config_default(interface, byref(config), 0) or not _as_known(config):
                return None
            abi = _abi_of(lib, interface, config)
            if not abi:
                return None
    except (AttributeError, TypeError):
        return None
    return _Library(lib, abi, interfaces)


def _as_known(config: VpxConfig) -> bool:
    """Whether libvpx's documented defaults stand where we look for them."""
    return (
        (config.g_w, config.g_h) == (320, 240)
        and (config.g_timebase.num, config.g_timebase.den) == (1, 30)
        and config.rc_target_bitrate == 256
        and config.rc_max_quantizer == 63
        and config.rc_buf_sz == 6000
        and (config.rc_buf_initial_sz, config.rc_buf_optimal_sz) == (4000, 5000)
        and config.kf_min_dist == 0
        and (config.ss_number_layers, config.ts_number_layers) == (1, 1)
        and not any(config.layer_target_bitrate)
    )


def _abi_of(lib: ctypes.CDLL, interface: c_void_p, config: VpxConfig) -> int:
    for version in _ABI_VERSIONS:
        context = ctypes.create_string_buffer(_CONTEXT_BYTES)
        result = lib.vpx_codec_enc_init_ver(context, interface, byref(config), 0, version)
        if result == 0:
            lib.vpx_codec_destroy(context)
            return version
        if result != _ABI_MISMATCH:
            return 0
    return 0


def available() -> bool:
    """Whether libvpx can be called here."""
    return _library() is not None


class VpxPacket(NamedTuple):
    """One encoded frame.

    Attributes:
        data: the frame.
        key_frame: needs no other.
        discardable: no later frame refers to it.
        place: where it stands among the layers; None without layers.
    """

    data: bytes
    key_frame: bool
    discardable: bool
    place: LayerPlace | None = None


class Vpx:
    """One running encoder; used by one thread at a time.

    Args:
        codec: "vp8" or "vp9".
        width, height: of the frames, in pixels.
        bitrate_bps: to aim at.
        threads: that libvpx may use.
        speed: VP8: 1 (best) to 16, negative as in libvpx's realtime mode; VP9: 5 to 9.
        screen: the content is a screen.
        denoise: noise reduction before encoding, 0 (off) to 4; costs time. VP8 only.
        mode: which layers to make; VP8 makes temporal ones only.

    Raises:
        OperationError: libvpx is not there, or refuses.
    """

    __slots__ = (
        "_codec",
        "_config",
        "_context",
        "_image",
        "_is_svc",
        "_lib",
        "_max_height",
        "_max_width",
        "_mode",
        "_position",
    )

    def __init__(
        self,
        codec: str,
        width: int,
        height: int,
        *,
        bitrate_bps: int,
        threads: int = 1,
        speed: int,
        screen: bool = False,
        denoise: int = 0,
        mode: ScalabilityMode | None = None,
    ) -> None:
        self._context: ctypes.Array[ctypes.c_char] | None = None
        library = _library()
        if library is None:
            raise OperationError(f"{codec.upper()}: libvpx is not there, or of an unknown layout")
        self._lib = library.lib
        self._codec = codec
        config = self._config = VpxConfig()
        self._lib.vpx_codec_enc_config_default(library.interfaces[codec], byref(config), 0)
        config.g_w, config.g_h = width, height
        config.g_threads = threads
        if codec == "vp8":
            # Bilinear prediction and the simple loop filter (RFC 6386, section 9.1): a fifth less to
            # encode, a quarter less to decode, at the same quality; every decoder knows it.
            config.g_profile = 1
        config.g_timebase.num, config.g_timebase.den = 1, _TICKS
        config.g_error_resilient = 0
        self._mode = None if mode is None or mode.name == SINGLE_LAYER else mode
        self._is_svc = self._mode is not None and codec == "vp9"
        self._position = -1
        config.g_lag_in_frames = 0
        config.rc_end_usage = _CBR
        config.rc_target_bitrate = max(1, bitrate_bps // 1000)
        config.rc_min_quantizer = _MIN_QUANTIZER
        config.rc_max_quantizer = _MAX_QUANTIZER
        config.rc_undershoot_pct = 100 if codec == "vp8" else 50
        config.rc_overshoot_pct = 15 if codec == "vp8" else 50
        config.rc_buf_sz, config.rc_buf_initial_sz, config.rc_buf_optimal_sz = 1000, 750, 833
        config.rc_dropframe_thresh = 0
        config.rc_resize_allowed = 0
        config.kf_mode = _KEY_FRAMES_DISABLED
        config.kf_max_dist = _NEVER
        if self._mode is not None:
            if self._is_svc:
                # what a frame leaves for the entropy coder may be another layer's
                config.g_error_resilient = 1
            set_layers(config, self._mode)
            set_bitrates(config, self._mode, config.rc_target_bitrate)
        context = ctypes.create_string_buffer(_CONTEXT_BYTES)
        result = self._lib.vpx_codec_enc_init_ver(
            context, library.interfaces[codec], byref(config), 0, library.abi
        )
        if result:
            raise OperationError(f"{codec.upper()}: libvpx refuses {width}x{height} (error {result})")
        self._context = context
        self._max_width, self._max_height = width, height
        image = self._image = VpxImage()
        image.fmt = _FORMAT_I420
        image.bit_depth = 8
        image.x_chroma_shift = image.y_chroma_shift = 1
        image.bps = 12
        if self._is_svc:
            self._begin_svc(speed)
        self._control(_SET_CPU_USED, speed)
        self._control(_SET_STATIC_THRESHOLD, 1)
        # a key frame may take what five frames take: it does not stall a paced sender
        self._control(_SET_MAX_INTRA_BITRATE_PCT, 500)
        if codec == "vp8":
            self._control(_SET_NOISE_SENSITIVITY, denoise)
            self._control(_SET_TOKEN_PARTITIONS, 0)
            if screen:
                self._control(_SET_SCREEN_CONTENT_MODE, 1)
        else:
            self._control(_SET_AQ_MODE, 3)
            self._control(_SET_FRAME_PARALLEL_DECODING, 0)
            if screen:
                self._control(_SET_TUNE_CONTENT, 1)
            if threads > 1:
                self._control(_SET_ROW_MT, 1)
                self._control(_SET_TILE_COLUMNS, 2 if threads > 2 else 1)

    def _begin_svc(self, speed: int) -> None:
        mode = self._mode
        assert mode is not None
        self._control(_SET_SVC, 1)
        self._set_layer_speed(speed)
        self._control(_SET_SVC_INTER_LAYER_PRED, inter_layer_control(mode))

    def _set_layer_speed(self, speed: int) -> None:
        """Each spatial layer has a speed of its own."""
        assert self._mode is not None
        parameters = svc_parameters(self._mode, (_MIN_QUANTIZER, _MAX_QUANTIZER), speed)
        self._lib.vpx_codec_control_(self._context, _SET_SVC_PARAMETERS, byref(parameters))

    def _control(self, control: int, value: int) -> None:
        self._lib.vpx_codec_control_(self._context, control, c_int(value))

    @property
    def quantizer(self) -> int:
        """Of the last frame, 0 (best) to 63."""
        value = c_int(0)
        self._lib.vpx_codec_control_(self._context, _GET_LAST_QUANTIZER_64, byref(value))
        return value.value

    def set_speed(self, speed: int) -> None:
        """Spend more or less time on each frame; see the class."""
        self._control(_SET_CPU_USED, speed)
        if self._is_svc:
            self._set_layer_speed(speed)

    def set_bitrate(self, bitrate_bps: int) -> None:
        """Aim at another bit rate from the next frame on; makes no key frame."""
        kilobits = max(1, bitrate_bps // 1000)
        if kilobits != self._config.rc_target_bitrate:
            self._config.rc_target_bitrate = kilobits
            if self._mode is not None:
                set_bitrates(self._config, self._mode, kilobits)
            self._lib.vpx_codec_enc_config_set(self._context, byref(self._config))

    def set_size(self, width: int, height: int) -> bool:
        """Expect frames of another size.

        Returns:
            False when only a new encoder can: libvpx allows no more than the first size, and its
            spatial layers keep theirs.
        """
        if self._is_svc or width > self._max_width or height > self._max_height:
            return False
        previous = self._config.g_w, self._config.g_h
        self._config.g_w, self._config.g_h = width, height
        if self._lib.vpx_codec_enc_config_set(self._context, byref(self._config)):
            self._config.g_w, self._config.g_h = previous
            return False
        return True

    def encode(
        self,
        planes: tuple[int, int, int],
        strides: tuple[int, int, int],
        pts: int,
        duration: int,
        *,
        key_frame: bool = False,
    ) -> list[VpxPacket]:
        """Encode one picture of the current size, in YUV 4:2:0: a frame of each spatial layer.

        Args:
            planes: addresses of Y, U and V; read during the call only.
            strides: bytes from line to line.
            pts: in ticks of 90 kHz; more than in the call before.
            duration: until the next picture is expected, in ticks.
            key_frame: make it one that needs no other.

        Raises:
            OperationError: libvpx refuses; the encoder is of no more use.
        """
        context = self._context
        assert context is not None
        image = self._image
        image.w = image.d_w = self._config.g_w
        image.h = image.d_h = self._config.g_h
        image.planes[0], image.planes[1], image.planes[2] = planes
        image.stride[0], image.stride[1], image.stride[2] = strides
        flags = _FORCE_KEY_FRAME if key_frame else 0
        mode = self._mode
        if mode is not None and not self._is_svc:
            self._position = 0 if key_frame else (self._position + 1) % len(mode.steps)
            flags |= picture_flags(mode, self._position) if not key_frame else 0
            self._control(_SET_TEMPORAL_LAYER_ID, mode.steps[self._position].temporal_id)
        result = self._lib.vpx_codec_encode(context, byref(image), pts, duration, flags, _DEADLINE_REALTIME)
        if result:
            detail = self._lib.vpx_codec_error_detail(context)
            text = detail.decode(errors="replace") if detail else f"error {result}"
            raise OperationError(f"{self._codec.upper()}: libvpx failed to encode: {text}")
        packets = []
        iterator = c_void_p()
        while packet := self._lib.vpx_codec_get_cx_data(context, byref(iterator)):
            head = packet.contents
            if head.kind == _FRAME_PACKET and head.sz:
                packets += self._frames(head)
        return packets

    def _frames(self, head: VpxPacketHead) -> list[VpxPacket]:
        data = ctypes.string_at(head.buf, head.sz)
        is_key = bool(head.flags & _PACKET_IS_KEY)
        mode = self._mode
        if mode is None:
            return [VpxPacket(data, is_key, bool(head.flags & _PACKET_IS_DROPPABLE))]
        if not self._is_svc:
            place = LayerPlace(mode, self._position, key_picture=is_key)
            return [VpxPacket(data, is_key, place.step.is_discardable, place)]
        self._position = 0 if is_key else (self._position + 1) % len(mode.steps)
        sizes = tuple((head.width[i], head.height[i]) for i in range(mode.spatial_layers))
        frames = superframe_frames(data)
        if len(frames) != mode.spatial_layers or self._temporal_id != mode.steps[self._position].temporal_id:
            raise OperationError(f"VP9: libvpx made other layers than {mode.name} has")
        packets = []
        for spatial_id, frame in enumerate(frames):
            place = LayerPlace(mode, self._position, spatial_id, is_key, sizes)
            discardable = place.step.is_discardable and not place.serves_upper
            packets.append(VpxPacket(frame, is_key and not spatial_id, discardable, place))
        return packets

    @property
    def _temporal_id(self) -> int:
        """Of the last picture, as libvpx has it."""
        layer = SvcLayerId()
        self._lib.vpx_codec_control_(self._context, _GET_SVC_LAYER_ID, byref(layer))
        return int(layer.temporal_layer_id)

    def close(self) -> None:
        """Give the memory back; nothing may be encoded afterwards."""
        if self._context is not None:
            self._lib.vpx_codec_destroy(self._context)
            self._context = None

    def __del__(self) -> None:
        self.close()
