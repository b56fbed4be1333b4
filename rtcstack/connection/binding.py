"""From what was negotiated to what is sent and received: where sections become RTP parameters.

Spec: webrtc-pc, sections 5.2 and 5.3; RFC 9429, section 5.11; RFC 8843, section 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rtcstack.codecs import registry
from rtcstack.codecs.coders.audio import AudioSettings
from rtcstack.codecs.layers import SINGLE_LAYER, scalability_mode
from rtcstack.codecs.payload.parametersets import described_sets, has_parameter_sets
from rtcstack.codecs.payload.red import RedDepacketizer
from rtcstack.codecs.picturelimits import PictureLimits, h264_limits, vpx_limits
from rtcstack.config import MediaSettings
from rtcstack.connection.encodings import Encoding, SsrcPair
from rtcstack.errors import OperationError
from rtcstack.jsep import h264
from rtcstack.jsep.session import Codec, HeaderExtension, Section
from rtcstack.media.pipeline.inbound import ReceivedCodec
from rtcstack.media.pipeline.outbound import Layer
from rtcstack.rtp.extensions import Extension
from rtcstack.rtp.frames import AudioDepacketizer, Depacketizer
from rtcstack.rtp.parameters import Delivery, ReceiveCodec, ReceiveSection, SendParameters, Source

__all__ = [
    "accepted_codecs",
    "choose_codec",
    "is_received",
    "is_sent",
    "receive_section",
    "received_codecs",
    "send_layers",
    "used_mode",
]

_TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

_LONG_EXTENSIONS = (Extension.DEPENDENCY_DESCRIPTOR, Extension.VIDEO_LAYERS_ALLOCATION)
"""Extensions whose values are longer than 16 bytes at times: those need two-byte headers (RFC 8285)."""

_NUMBERED = ("vp8", "vp9")
"""Formats whose payloads number the pictures."""

_WEIGHTS = {"very-low": 0.5, "low": 1.0, "medium": 2.0, "high": 4.0}
"""RFC 8835, section 4.1: each step doubles the share."""

_AUDIO_MIN_BPS = 40_000
"""Served before pictures get anything: 24 kbit/s of speech, and headers."""

_LAYER_MIN_BPS = ((4.0, 30_000), (2.0, 150_000), (1.0, 400_000))
"""Least bit rate with which a simulcast layer is worth sending, by how much it is scaled down."""

_SIZES = ((4.0, 320 * 180), (2.0, 640 * 360))
"""Of layers whose size is set: what the quarter and the half of 720p have in pixels."""

_VIDEO_MIN_BPS = 30_000


def is_sent(section: Section) -> bool:
    """Whether it has been agreed that we send."""
    direction = section.current_direction
    return not section.rejected and direction is not None and direction.send


def is_received(section: Section) -> bool:
    """Whether media may come: we take it, and the peer has not said that it sends none."""
    local, remote = section.local, section.remote
    if section.rejected or local is None or not local.direction.recv:
        return False
    return remote is None or remote.direction.send


# -- sending ------------------------------------------------------------------------------------------


def choose_codec(section: Section, encoding: Encoding, brought: Sequence[str] = ()) -> Codec | None:
    """The codec that an encoding is sent with: the one set for it, else what the track is encoded with
    already, else the first that was agreed.

    Args:
        section: agreed.
        encoding: of the sender.
        brought: lower-case names of what the track is encoded with, the likeliest first.
    """
    media = [c for c in section.send_codecs if not c.is_resiliency]
    wanted = encoding.codec
    if wanted is not None:
        for codec in media:
            if (codec.mime_type.lower(), codec.clock_rate) == (
                wanted.mime_type.lower(),
                wanted.clock_rate,
            ) and (encoding.any_parameters or wanted.parameters == codec.parameters):
                return codec
    for name in brought:
        for codec in media:
            if codec.name == name:
                return codec
    return media[0] if media else None


def send_layers(
    section: Section,
    encodings: Sequence[Encoding],
    ssrcs: Sequence[SsrcPair],
    cname: str,
    settings: MediaSettings,
    degradation: str | None = None,
    brought: Sequence[str] = (),
) -> list[Layer]:
    """What a sender sends, one layer for each encoding that the peer takes.

    Args:
        section: agreed.
        encodings: of the sender.
        ssrcs: for each encoding.
        cname: the connection's.
        settings: the connection's.
        degradation: an RTCDegradationPreference, or None.
        brought: lower-case names of what the track is encoded with already.
    """
    used = list(zip(encodings, ssrcs, strict=True))
    # a peer without simulcast gets the first
    used = [(e, s) for e, s in used if e.rid in section.send_rids] if section.send_rids else used[:1]
    layers = []
    for encoding, pair in used:
        codec = choose_codec(section, encoding, brought)
        if codec is not None:
            rid = encoding.rid if section.send_rids else None
            layer = _layer(section, encoding, codec, pair, rid, cname, len(used))
            implementation = settings.encoders.get(layer.codec)
            layers.append(
                replace(
                    layer,
                    audio=_audio_settings(settings),
                    implementation=implementation,
                    scalability_mode=used_mode(codec, encoding, implementation) or SINGLE_LAYER,
                    degradation=degradation,
                )
            )
    return layers


def used_mode(codec: Codec, encoding: Encoding, implementation: str | None) -> str | None:
    """The scalability mode that an encoding is sent with.

    It is the one that was set for it, where the codec's encoder makes it; else the one with as many
    temporal layers, else without layers. None for sound.

    Args:
        codec: of the encoding.
        encoding: of a sender.
        implementation: of the encoder, by PyAV's name, or None.

    Spec: webrtc-svc, section 4.2.3 (getParameters).
    """
    if codec.kind != "video":
        return None
    wanted = encoding.scalability_mode
    if wanted is None or wanted == SINGLE_LAYER:
        return SINGLE_LAYER
    possible = registry.scalability_modes(codec.name, implementation)
    if wanted in possible:
        return wanted
    mode = scalability_mode(wanted)
    temporal = SINGLE_LAYER if mode is None else f"L1T{mode.temporal_layers}"
    return temporal if temporal in possible else SINGLE_LAYER


def _audio_settings(settings: MediaSettings) -> AudioSettings:
    base = AudioSettings(
        ptime_ms=settings.opus_ptime_ms,
        stereo=settings.opus_stereo,
        in_band_fec=settings.opus_fec,
        dtx=settings.opus_dtx,
    )
    if settings.opus_complexity is not None:
        base = replace(base, complexity=settings.opus_complexity)
    return base


def _layer(
    section: Section,
    encoding: Encoding,
    codec: Codec,
    pair: SsrcPair,
    rid: str | None,
    cname: str,
    count: int,
) -> Layer:
    is_audio = section.kind == "audio"
    rtx = next((c for c in section.send_codecs if c.apt == codec.payload_type), None)
    extensions = _sent_extensions(section)
    bounds = [encoding.max_bitrate_bps, section.remote.bandwidth_bps if section.remote is not None else None]
    bound = min((b for b in bounds if b is not None), default=None)
    least = _AUDIO_MIN_BPS if is_audio else _VIDEO_MIN_BPS
    if count > 1:
        scale = encoding.scale_down_by
        if encoding.scale_down_to is not None:
            width, height = encoding.scale_down_to
            scale = next((by for by, pixels in _SIZES if width * height <= pixels), 1.0)
        least = next(bps for low, bps in _LAYER_MIN_BPS if scale >= low)
    # Who does not find numbers in the pictures takes lost parity for lost pictures.
    has_parity = codec.name in _NUMBERED and all(
        _number(section.send_codecs, each) >= 0 for each in ("red", "ulpfec")
    )
    limits = _limits(codec, section)
    if limits is not None and limits.bitrate_bps is not None:
        least = min(least, limits.bitrate_bps)
    send = SendParameters(
        mid=section.mid,
        kind=section.kind,
        ssrc=pair.ssrc,
        payload_type=codec.payload_type,
        clock_rate=codec.clock_rate,
        cname=cname,
        rid=rid,
        rtx_ssrc=pair.rtx_ssrc if rtx is not None else None,
        rtx_payload_type=None if rtx is None or pair.rtx_ssrc is None else rtx.payload_type,
        extensions=extensions,
        nack="nack" in codec.rtcp_fb,
        transport_cc="transport-cc" in codec.rtcp_fb and _TRANSPORT_CC in extensions,
        remb="goog-remb" in codec.rtcp_fb,
        reduced_size=section.rtcp_rsize,
        min_bitrate_bps=least if bound is None else min(least, bound),
        max_bitrate_bps=bound,
        priority=_WEIGHTS.get(encoding.priority, 1.0),
        red_type=_number(section.send_codecs, "red") if has_parity else -1,
        parity_type=_number(section.send_codecs, "ulpfec") if has_parity else -1,
    )
    return Layer(
        send=send,
        codec=codec.name,
        mime_type=codec.mime_type,
        parameters=codec.fmtp,
        active=encoding.active,
        max_bitrate_bps=bound,
        max_frame_rate=encoding.max_frame_rate,
        scale_down_by=encoding.scale_down_by,
        limits=limits,
        scale_down_to=encoding.scale_down_to,
        ptime_ms=_ptime(encoding, section),
        adaptive_ptime=encoding.adaptive_ptime,
        max_ptime_ms=None if section.remote is None else section.remote.max_ptime_ms,
        red_payload_type=_red(section, codec) if is_audio else None,
    )


def _sent_extensions(section: Section) -> dict[str, int]:
    """The numbers of what may be sent: long values only where the peer reads two forms side by side."""
    local, remote = section.local, section.remote
    mixed = (
        local is not None and remote is not None and (local.extmap_allow_mixed and remote.extmap_allow_mixed)
    )
    return {e.uri: e.id for e in section.send_extensions if mixed or e.uri not in _LONG_EXTENSIONS}


def _ptime(encoding: Encoding, section: Section) -> float | None:
    """Milliseconds of sound in a packet: what the application prefers, else what the peer asks for."""
    remote = section.remote
    wanted = encoding.ptime_ms or (None if remote is None else remote.ptime_ms)
    most = None if remote is None else remote.max_ptime_ms
    return wanted if wanted is None or most is None else min(wanted, most)


def _limits(codec: Codec, section: Section) -> PictureLimits | None:
    """What the peer's decoder takes, as far as it says.

    Spec: RFC 6184, section 8.2.2: where the levels of both directions may differ, the peer's description says
    what it receives; else the lower one of both descriptions holds for both directions.
    """
    if codec.name in ("vp8", "vp9"):
        return vpx_limits(codec.fmtp)
    if codec.name != "h264":
        return None
    theirs = h264.ProfileLevel.parse(codec.fmtp.get("profile-level-id", ""))
    if theirs is None:  # who says nothing would have to be sent 15 tiny pictures a second: see the decision
        return None
    level = theirs
    local = section.local.codecs if section.local is not None else ()
    ours = next((each for each in local if each.payload_type == codec.payload_type), None)
    if ours is not None and ours.name == "h264":
        ours_level = h264.ProfileLevel.parse(ours.fmtp.get("profile-level-id", ""))
        allowed = {each.fmtp.get("level-asymmetry-allowed", "0") for each in (codec, ours)}
        if ours_level is not None and allowed != {"1"} and ours_level.rank < theirs.rank:
            level = ours_level
    return h264_limits(level.level, codec.fmtp, high=theirs.profile in ("high", "constrained-high"))


def _red(section: Section, codec: Codec) -> int | None:
    """RED's payload type, if it was agreed and is preferred to the codec by itself."""
    for each in section.send_codecs:
        if each.payload_type == codec.payload_type:
            return None
        if each.name == "red" and str(codec.payload_type) in each.parameters.split("/"):
            return each.payload_type
    return None


# -- receiving ----------------------------------------------------------------------------------------


def accepted_codecs(section: Section) -> tuple[Codec, ...]:
    """What is taken when it comes: what was agreed, and behind it what else our description lists.

    libwebrtc, and with it the browsers, sends the first format of the offer that it knows, also when
    its answer lists others only.

    Spec: RFC 3264, section 6.1 (an offerer is prepared for all that it offered).
    """
    agreed, local = section.receive_codecs, section.local
    if local is None or not agreed:
        return agreed
    numbers = {codec.payload_type for codec in agreed}
    return agreed + tuple(codec for codec in local.codecs if codec.payload_type not in numbers)


def received_codecs(section: Section) -> dict[int, ReceivedCodec]:
    """What may be decoded, by payload type."""
    accepted = accepted_codecs(section)
    media = {c.payload_type: c for c in accepted if not c.is_resiliency}
    found = {
        number: ReceivedCodec(
            codec.name,
            codec.mime_type,
            codec.clock_rate,
            codec.channels or 1,
            _told_sets(codec, section),
        )
        for number, codec in media.items()
    }
    for codec in accepted:
        inner = _inner(codec, accepted) if codec.name == "red" else None
        if inner is not None:
            found[codec.payload_type] = ReceivedCodec(
                inner.name, inner.mime_type, inner.clock_rate, inner.channels or 1
            )
    return found


def _told_sets(codec: Codec, section: Section) -> tuple[bytes, ...]:
    """The parameter sets that the sender's description tells of a format."""
    if section.remote is None or not has_parameter_sets(codec.name):
        return ()
    same = [each for each in section.remote.codecs if each.name == codec.name]
    numbered = [each for each in same if each.payload_type == codec.payload_type]
    return next((s for each in numbered or same if (s := described_sets(each.name, each.fmtp))), ())


def _inner(red: Codec, accepted: tuple[Codec, ...]) -> Codec | None:
    first = red.parameters.partition("/")[0]
    return next((c for c in accepted if str(c.payload_type) == first), None)


def receive_section(
    section: Section, delivery: Delivery, min_delay_s: float, *, is_opaque: bool = False
) -> ReceiveSection:
    """What may come for a section.

    Args:
        section: as far as it was described.
        delivery: in which forms its media is wanted.
        min_delay_s: from jitterBufferTarget.
        is_opaque: its frames were sealed as a whole.
    """
    remote = section.remote
    sources = () if remote is None else tuple(Source(s.ssrc, s.rtx_ssrc) for s in remote.sources)
    extensions = _numbers(section.receive_extensions)
    accepted = accepted_codecs(section)
    is_video = section.kind == "video"
    return ReceiveSection(
        mid=section.mid,
        kind=section.kind,
        codecs=tuple(_receive_codec(codec, accepted, is_opaque=is_opaque) for codec in accepted),
        extensions=extensions,
        rids=section.receive_rids,
        sources=sources,
        delivery=delivery,
        transport_cc=_TRANSPORT_CC in extensions
        and any("transport-cc" in codec.rtcp_fb for codec in section.receive_codecs),
        remb=any("goog-remb" in codec.rtcp_fb for codec in section.receive_codecs),
        reduced_size=section.rtcp_rsize,
        receiver_time=any("rrtr" in codec.rtcp_fb for codec in section.receive_codecs),
        min_delay_s=min_delay_s,
        red_type=_number(accepted, "red") if is_video else -1,
        parity_type=_number(accepted, "ulpfec") if is_video else -1,
    )


def _number(codecs: Sequence[Codec], name: str) -> int:
    """The payload type of a format, -1 without one."""
    return next((codec.payload_type for codec in codecs if codec.name == name), -1)


def _numbers(extensions: Sequence[HeaderExtension]) -> dict[str, int]:
    return {e.uri: e.id for e in extensions}


def _receive_codec(codec: Codec, accepted: tuple[Codec, ...], *, is_opaque: bool) -> ReceiveCodec:
    feedback = codec.rtcp_fb
    rtx_time = codec.fmtp.get("rtx-time", "") if codec.apt is not None else ""
    return ReceiveCodec(
        payload_type=codec.payload_type,
        clock_rate=codec.clock_rate,
        depacketizer=None if codec.apt is not None else _depacketizer(codec, accepted, is_opaque=is_opaque),
        apt=codec.apt,
        rtx_time_ms=int(rtx_time)
        if rtx_time.isascii() and rtx_time.isdigit() and len(rtx_time) < 7
        else None,
        nack="nack" in feedback,
        pli="nack pli" in feedback,
        fir="ccm fir" in feedback,
    )


def _depacketizer(
    codec: Codec, accepted: tuple[Codec, ...], *, is_opaque: bool
) -> Depacketizer | AudioDepacketizer | None:
    """None for what is only counted: comfort noise, telephone events, formats that we do not know."""
    try:
        if codec.kind == "video":
            return registry.video_depacketizer(codec.name, is_opaque=is_opaque)
        if codec.name == "red":
            inner = _inner(codec, accepted)
            if inner is None:
                return None
            inside = registry.audio_depacketizer(inner.name, is_opaque=is_opaque)
            return RedDepacketizer(inner.payload_type, inside)
        return registry.audio_depacketizer(codec.name, is_opaque=is_opaque)
    except OperationError:
        return None
