"""Layers in libvpx: how its configuration says them.

VP8 has temporal layers, made by telling libvpx for each picture which of the three kept pictures it may
refer to and replace. VP9's are made by libvpx itself: one call encodes all spatial layers of a picture.

Spec: libvpx's vpx_encoder.h and vp8cx.h.
"""

from __future__ import annotations

from ctypes import Structure, c_int

from rtcstack.codecs.layers import ScalabilityMode, layer_bitrates
from rtcstack.codecs.native.vpx_structures import VpxConfig

__all__ = [
    "SvcLayerId",
    "SvcParameters",
    "inter_layer_control",
    "picture_flags",
    "set_bitrates",
    "set_layers",
    "svc_parameters",
]

_MAX_LAYERS = 12
_MAX_SPATIAL = 5

# vp8cx.h
_NO_REF_LAST, _NO_REF_GOLDEN, _NO_REF_ALTREF = 1 << 16, 1 << 17, 1 << 21
_NO_UPDATE_LAST, _NO_UPDATE_GOLDEN, _NO_UPDATE_ALTREF = 1 << 18, 1 << 22, 1 << 23
_NO_UPDATE_ENTROPY = 1 << 20
_LAYERING = {1: 0, 2: 2, 3: 3}  # enum vp9e_temporal_layering_mode, by number of layers
_INTER_LAYER = {"always": 0, "never": 1, "key": 2}


class SvcParameters(Structure):
    """vpx_svc_extra_cfg_t."""

    _fields_ = (
        ("max_quantizers", c_int * _MAX_LAYERS),
        ("min_quantizers", c_int * _MAX_LAYERS),
        ("scaling_factor_num", c_int * _MAX_LAYERS),
        ("scaling_factor_den", c_int * _MAX_LAYERS),
        ("speed_per_layer", c_int * _MAX_LAYERS),
        ("temporal_layering_mode", c_int),
        ("loopfilter_ctrl", c_int * _MAX_LAYERS),
    )


class SvcLayerId(Structure):
    """vpx_svc_layer_id_t."""

    _fields_ = (
        ("spatial_layer_id", c_int),
        ("temporal_layer_id", c_int),
        ("temporal_layer_id_per_spatial", c_int * _MAX_SPATIAL),
    )


def set_layers(config: VpxConfig, mode: ScalabilityMode) -> None:
    """Say the layers of a mode, before the encoder is made."""
    steps = mode.steps
    config.ss_number_layers = mode.spatial_layers
    config.ts_number_layers = mode.temporal_layers
    config.ts_periodicity = len(steps)
    for i, step in enumerate(steps):
        config.ts_layer_id[i] = step.temporal_id
    for layer in range(mode.temporal_layers):
        config.ts_rate_decimator[layer] = 1 << (mode.temporal_layers - 1 - layer)
    config.temporal_layering_mode = _LAYERING[mode.temporal_layers]


def set_bitrates(config: VpxConfig, mode: ScalabilityMode, kilobits: int) -> None:
    """Share a bit rate between the layers."""
    shares = layer_bitrates(mode, kilobits)
    for i in range(mode.temporal_layers):
        config.ts_target_bitrate[i] = max(1, sum(share[i] for share in shares))
    for spatial, share in enumerate(shares):
        config.ss_target_bitrate[spatial] = max(1, share[-1])
        for i, each in enumerate(share):
            config.layer_target_bitrate[spatial * len(share) + i] = max(1, each)


def svc_parameters(mode: ScalabilityMode, quantizers: tuple[int, int], speed: int) -> SvcParameters:
    """VP9's spatial layers.

    Args:
        mode: the layers.
        quantizers: the least and the greatest, of each layer.
        speed: of each layer.
    """
    parameters = SvcParameters()
    for layer in range(_MAX_LAYERS):
        parameters.min_quantizers[layer], parameters.max_quantizers[layer] = quantizers
        parameters.scaling_factor_num[layer] = parameters.scaling_factor_den[layer] = 1
        parameters.speed_per_layer[layer] = speed
    for spatial in range(mode.spatial_layers):
        scale = mode.scale(spatial)
        parameters.scaling_factor_num[spatial] = scale.numerator
        parameters.scaling_factor_den[spatial] = scale.denominator
    parameters.temporal_layering_mode = _LAYERING[mode.temporal_layers]
    return parameters


def inter_layer_control(mode: ScalabilityMode) -> int:
    """The value of VP9E_SET_SVC_INTER_LAYER_PRED."""
    return _INTER_LAYER[mode.inter_layer]


def picture_flags(mode: ScalabilityMode, position: int) -> int:
    """What a VP8 picture at a position of the mode's pattern refers to and replaces.

    The last picture is the newest of the lowest layer, the golden one the newest of the middle layer.
    Of what pictures leave for the entropy coder only the lowest layer's stays: the others may be missing.
    """
    if mode.temporal_layers == 1:
        return 0
    step = mode.steps[position]
    flags = _NO_REF_ALTREF | _NO_UPDATE_ALTREF
    flags |= _NO_REF_GOLDEN if step.is_sync else _NO_REF_LAST
    if step.temporal_id == 0:
        return flags | _NO_UPDATE_GOLDEN
    flags |= _NO_UPDATE_LAST | _NO_UPDATE_ENTROPY
    return flags | _NO_UPDATE_GOLDEN if step.is_discardable else flags
