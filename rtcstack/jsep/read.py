"""From the attributes of a description to the values that negotiation works with. No judgement."""

from __future__ import annotations

from collections.abc import Iterator

from rtcstack.jsep.session import Codec, HeaderExtension, MediaParameters, Source, TransportParameters
from rtcstack.sdp import Candidate, MediaDescription, Rid, SessionDescription, SetupRole, Simulcast

__all__ = ["read_media", "read_transport"]

MAX_FEEDBACK = 32
"""Kinds of feedback that are kept of one format."""
MAX_SOURCES = 256
"""Synchronisation sources that are kept of one section."""

_STATIC = {
    0: ("PCMU", 8000),
    3: ("GSM", 8000),
    8: ("PCMA", 8000),
    9: ("G722", 8000),
    13: ("CN", 8000),
}
"""Payload types that mean something without rtpmap (RFC 3551, section 6), as far as WebRTC has them."""


def read_media(
    description: SessionDescription, media: MediaDescription, tagged: MediaDescription | None = None
) -> MediaParameters:
    """What a section says.

    Args:
        description: the whole, for what stands at the session level.
        media: the section.
        tagged: the section that carries the transport of its bundle, if it is in one. RTCP
            multiplexing is written there alone by some, and holds for the whole bundle.
    """
    send_rids, receive_rids = _rids(media)
    init = media.value("sctp-init")
    return MediaParameters(
        direction=media.direction,
        codecs=tuple(_codecs(media)) if media.is_rtp else (),
        header_extensions=tuple(
            HeaderExtension(each.uri, each.id, each.direction or media.direction.SENDRECV)
            for each in media.extmaps
        ),
        msids=tuple((each.stream_id, each.track_id) for each in media.msids) or _source_msids(media),
        send_rids=send_rids,
        receive_rids=receive_rids,
        simulcast=media.simulcast is not None,
        sources=_sources(media),
        rtcp_mux=media.rtcp_mux or (tagged is not None and tagged.rtcp_mux),
        rtcp_rsize=media.rtcp_rsize or (tagged is not None and tagged.rtcp_rsize),
        extmap_allow_mixed=media.extmap_allow_mixed,
        cryptex=media.cryptex,
        ptime_ms=media.ptime_ms,
        max_ptime_ms=media.max_ptime_ms,
        bandwidth_bps=_bandwidth(media),
        sctp_port=media.sctp_port,
        max_message_size=media.max_message_size,
        sctp_init=init or description.value("sctp-init"),
    )


def read_transport(
    description: SessionDescription, media: MediaDescription, candidates: tuple[Candidate, ...] | None = None
) -> TransportParameters | None:
    """What a section (or the session level for it) says of its transport.

    None when it does not describe one: it lacks credentials or a fingerprint.
    """
    ufrag, pwd = media.ice_ufrag, media.ice_pwd
    if ufrag is None or pwd is None or not media.fingerprints:
        return None
    return TransportParameters(
        ice_ufrag=ufrag,
        ice_pwd=pwd,
        ice_lite=media.ice_lite,
        ice_options=media.ice_options,
        fingerprints=media.fingerprints,
        setup=media.setup or SetupRole.ACTPASS,
        tls_id=media.tls_id,
        candidates=media.candidates if candidates is None else candidates,
        end_of_candidates=media.end_of_candidates or description.has("end-of-candidates"),
    )


def _codecs(media: MediaDescription) -> Iterator[Codec]:
    rtpmaps = {each.payload_type: each for each in media.rtpmaps}
    parameters: dict[str, str] = {}
    for fmtp in media.fmtps:
        known = parameters.get(fmtp.format)
        parameters[fmtp.format] = f"{known};{fmtp.parameters}" if known else fmtp.parameters
    feedback: dict[int | None, dict[str, None]] = {}
    for each in media.rtcp_feedbacks:
        kept = feedback.setdefault(each.payload_type, {})
        if len(kept) < MAX_FEEDBACK:
            kept[each.feedback] = None
    for_all = feedback.get(None, {})
    # a payload type that is listed twice counts where it stands first
    for payload_type in dict.fromkeys(media.payload_types):
        rtpmap = rtpmaps.get(payload_type)
        static = _STATIC.get(payload_type) if media.kind == "audio" else None
        if rtpmap is not None:
            name, clock_rate, channels = rtpmap.encoding, rtpmap.clock_rate, rtpmap.channels
        elif static is not None:
            (name, clock_rate), channels = static, None
        else:
            continue
        yield Codec(
            mime_type=f"{media.kind}/{name}",
            clock_rate=clock_rate,
            # one channel may be written or not
            channels=None if channels in (0, 1) else channels,
            parameters=parameters.get(str(payload_type), ""),
            payload_type=payload_type,
            rtcp_fb=tuple({**for_all, **feedback.get(payload_type, {})}),
        )


def _rids(media: MediaDescription) -> tuple[tuple[str, ...], tuple[str, ...]]:
    simulcast = media.simulcast
    if simulcast is None:
        return _declared(media.rids, "send"), _declared(media.rids, "recv")
    return _streams(simulcast, "send"), _streams(simulcast, "recv")


def _declared(rids: tuple[Rid, ...], direction: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(rid.id for rid in rids if rid.direction == direction))


def _streams(simulcast: Simulcast, direction: str) -> tuple[str, ...]:
    """The first alternative of each stream, and of equal ones the first."""
    streams = simulcast.send if direction == "send" else simulcast.recv
    return tuple(dict.fromkeys(alternatives[0].rid for alternatives in streams))


def _sources(media: MediaDescription) -> tuple[Source, ...]:
    attributes: dict[int, list[tuple[str, str | None]]] = {}
    for each in media.ssrcs:
        if each.ssrc in attributes or len(attributes) < MAX_SOURCES:
            attributes.setdefault(each.ssrc, []).append((each.name, each.value))
    pairs = [each.ssrcs for each in media.ssrc_groups if each.semantics == "FID" and len(each.ssrcs) == 2]
    rtx = dict(pairs[:MAX_SOURCES])
    repairs = set(rtx.values())
    return tuple(
        Source(
            ssrc,
            rtx.get(ssrc),
            next((value for name, value in several if name == "cname"), None),
            tuple(several),
        )
        for ssrc, several in attributes.items()
        if ssrc not in repairs
    )


def _source_msids(media: MediaDescription) -> tuple[tuple[str, str], ...]:
    """Stream and track as older peers write them, as attributes of a source (RFC 8830, appendix)."""
    found: dict[tuple[str, str], None] = {}
    for each in media.ssrcs:
        if each.name == "msid" and each.value and len(found) < MAX_SOURCES:
            stream_id, _, track_id = each.value.strip().partition(" ")
            found[stream_id, track_id] = None
    return tuple(found)


def _bandwidth(media: MediaDescription) -> int | None:
    limits = {each.type: each.value for each in reversed(media.bandwidths)}
    if "TIAS" in limits:
        return limits["TIAS"]
    if "AS" in limits:
        # RFC 9429, section 5.10: 5 % are RTCP's; 50 packets a second have 40 bytes of headers each
        return max(0, limits["AS"] * 950 - 50 * 40 * 8)
    return None
