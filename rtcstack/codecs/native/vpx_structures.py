"""libvpx's structures, as far as they are read and written here.

Spec: libvpx's vpx_encoder.h and vpx_image.h.
"""

from __future__ import annotations

import ctypes
from ctypes import Structure, c_int, c_int64, c_uint, c_ulong, c_void_p

__all__ = ["VpxConfig", "VpxImage", "VpxPacketHead"]

_CONFIG_BYTES = 4096
# The structures are smaller; the rest is room for what later releases append.


class _Rational(Structure):
    _fields_ = (("num", c_int), ("den", c_int))


class _Buffer(Structure):
    _fields_ = (("buf", c_void_p), ("sz", ctypes.c_size_t))


class VpxConfig(Structure):
    """The head of vpx_codec_enc_cfg, as it has stood since libvpx 1.4."""

    _fields_ = (
        ("g_usage", c_uint),
        ("g_threads", c_uint),
        ("g_profile", c_uint),
        ("g_w", c_uint),
        ("g_h", c_uint),
        ("g_bit_depth", c_int),
        ("g_input_bit_depth", c_uint),
        ("g_timebase", _Rational),
        ("g_error_resilient", c_uint),
        ("g_pass", c_int),
        ("g_lag_in_frames", c_uint),
        ("rc_dropframe_thresh", c_uint),
        ("rc_resize_allowed", c_uint),
        ("rc_scaled_width", c_uint),
        ("rc_scaled_height", c_uint),
        ("rc_resize_up_thresh", c_uint),
        ("rc_resize_down_thresh", c_uint),
        ("rc_end_usage", c_int),
        ("rc_twopass_stats_in", _Buffer),
        ("rc_firstpass_mb_stats_in", _Buffer),
        ("rc_target_bitrate", c_uint),
        ("rc_min_quantizer", c_uint),
        ("rc_max_quantizer", c_uint),
        ("rc_undershoot_pct", c_uint),
        ("rc_overshoot_pct", c_uint),
        ("rc_buf_sz", c_uint),
        ("rc_buf_initial_sz", c_uint),
        ("rc_buf_optimal_sz", c_uint),
        ("rc_2pass_vbr_bias_pct", c_uint),
        ("rc_2pass_vbr_minsection_pct", c_uint),
        ("rc_2pass_vbr_maxsection_pct", c_uint),
        ("rc_2pass_vbr_corpus_complexity", c_uint),
        ("kf_mode", c_int),
        ("kf_min_dist", c_uint),
        ("kf_max_dist", c_uint),
        ("ss_number_layers", c_uint),
        ("ss_enable_auto_alt_ref", c_int * 5),
        ("ss_target_bitrate", c_uint * 5),
        ("ts_number_layers", c_uint),
        ("ts_target_bitrate", c_uint * 5),
        ("ts_rate_decimator", c_uint * 5),
        ("ts_periodicity", c_uint),
        ("ts_layer_id", c_uint * 16),
        ("layer_target_bitrate", c_uint * 12),
        ("temporal_layering_mode", c_int),
        ("rest", ctypes.c_ubyte * _CONFIG_BYTES),
    )


class VpxImage(Structure):
    _fields_ = (
        ("fmt", c_int),
        ("cs", c_int),
        ("range", c_int),
        ("w", c_uint),
        ("h", c_uint),
        ("bit_depth", c_uint),
        ("d_w", c_uint),
        ("d_h", c_uint),
        ("r_w", c_uint),
        ("r_h", c_uint),
        ("x_chroma_shift", c_uint),
        ("y_chroma_shift", c_uint),
        ("planes", c_void_p * 4),
        ("stride", c_int * 4),
        ("bps", c_int),
        ("user_priv", c_void_p),
        ("img_data", c_void_p),
        ("img_data_owner", c_int),
        ("self_allocd", c_int),
        ("fb_priv", c_void_p),
        ("rest", ctypes.c_ubyte * 64),
    )


class VpxPacketHead(Structure):
    """The head of vpx_codec_cx_pkt, of the kind that carries a frame."""

    _fields_ = (
        ("kind", c_int),
        ("buf", c_void_p),
        ("sz", ctypes.c_size_t),
        ("pts", c_int64),
        ("duration", c_ulong),
        ("flags", ctypes.c_uint32),
        ("partition_id", c_int),
        ("width", c_uint * 5),
        ("height", c_uint * 5),
        ("spatial_layer_encoded", ctypes.c_uint8 * 5),
    )
