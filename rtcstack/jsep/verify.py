"""Whether a description is one that can be applied. Raises before anything has happened.

Spec: RFC 9429, section 5.8.3 (semantics verification); webrtc-pc, section 4.4.1.5 (which error).
"""

from __future__ import annotations

from rtcstack.errors import InvalidAccessError
from rtcstack.jsep.associate import is_recyclable
from rtcstack.jsep.intents import Intents
from rtcstack.jsep.session import Session, Transport, TransportParameters
from rtcstack.jsep.states import Side
from rtcstack.sdp import MediaDescription, SessionDescription, SetupRole

__all__ = [
    "RTP_PROTOCOLS",
    "SCTP_PROTOCOLS",
    "is_supported",
    "verify_answer",
    "verify_content",
    "verify_cryptex",
    "verify_offer",
    "verify_transport_change",
]

RTP_PROTOCOLS = frozenset(
    (
        "RTP/AVP",
        "RTP/AVPF",
        "RTP/SAVP",
        "RTP/SAVPF",
        "TCP/DTLS/RTP/SAVP",
        "TCP/DTLS/RTP/SAVPF",
        "UDP/TLS/RTP/SAVP",
        "UDP/TLS/RTP/SAVPF",
    )
)
"""Profiles that are taken for DTLS-SRTP (RFC 9429, section 5.1.2)."""
SCTP_PROTOCOLS = frozenset(("UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP"))


def is_supported(media: MediaDescription) -> bool:
    """Whether the section is of a kind and protocol that we know."""
    if media.kind in ("audio", "video"):
        return media.protocol in RTP_PROTOCOLS
    if media.kind != "application" or media.protocol not in SCTP_PROTOCOLS:
        return False
    # in its older form the line holds the SCTP port, and sctpmap names the protocol
    return "webrtc-datachannel" in media.formats or media.has("sctpmap")


def in_use(media: MediaDescription) -> bool:
    """Whether the section is neither rejected nor of a sort that we reject anyway."""
    return not media.is_rejected and is_supported(media)


def verify_content(description: SessionDescription, side: Side, *, is_answer: bool) -> None:
    """Checks that need nothing but the description.

    Raises:
        InvalidAccessError: something that has to be there is missing, or contradicts the rest.
    """
    mids = [media.mid for media in description.media if media.mid is not None]
    if len(set(mids)) != len(mids):
        raise InvalidAccessError("two m= sections have the same mid")
    _verify_groups(description, frozenset(mids))
    bundles: dict[str, bool] = {}
    for index, media in enumerate(description.media):
        if not in_use(media):
            continue
        name = f"m= section {index} ({media.kind})"
        members = description.bundle_of(media.mid)
        if not members:
            _verify_transport(media, name, is_answer)
        elif members[0] not in bundles:
            bundled = [description.section(mid) or media for mid in members]
            _verify_transport(bundled[0], name, is_answer)
            # sections of a bundle may leave RTCP multiplexing to one of them
            bundles[members[0]] = any(each.rtcp_mux for each in bundled)
        if media.is_rtp:
            mux = media.rtcp_mux or (bool(members) and bundles[members[0]])
            _verify_rtp(media, name, side, mux=mux)
    _verify_numbers(description)


def verify_cryptex(description: SessionDescription) -> None:
    """Whether all its media may come with encrypted header extensions.

    Raises:
        InvalidAccessError: a section does without.

    Spec: webrtc-extensions, RTCRtpHeaderEncryptionPolicy; RFC 9335, section 4.
    """
    for index, media in enumerate(description.media):
        if in_use(media) and media.is_rtp and not media.cryptex:
            raise InvalidAccessError(
                f"m= section {index} ({media.kind}) lacks a=cryptex, which rtpHeaderEncryptionPolicy requires"
            )


def _verify_groups(description: SessionDescription, mids: frozenset[str]) -> None:
    grouped: set[str] = set()
    for members in description.bundle_groups:
        for mid in members:
            if mid not in mids:
                raise InvalidAccessError(f"BUNDLE group names mid {mid!r}, which no m= section has")
            if mid in grouped:
                raise InvalidAccessError(f"mid {mid!r} is in BUNDLE groups twice")
            grouped.add(mid)


def _verify_transport(media: MediaDescription, name: str, is_answer: bool) -> None:
    if media.ice_ufrag is None or media.ice_pwd is None:
        raise InvalidAccessError(f"{name} has no ICE ufrag and password")
    if not media.fingerprints:
        raise InvalidAccessError(f"{name} has no certificate fingerprint")
    if media.setup is SetupRole.HOLDCONN:
        raise InvalidAccessError(f"{name} has a=setup:holdconn, which WebRTC does not use")
    if is_answer and media.setup is SetupRole.ACTPASS:
        raise InvalidAccessError(f"{name} answers a=setup:actpass; an answer must choose a role")


def _verify_rtp(media: MediaDescription, name: str, side: Side, *, mux: bool) -> None:
    if side is Side.REMOTE and not mux:
        raise InvalidAccessError(f"{name} does not multiplex RTP and RTCP (a=rtcp-mux)")
    if media.rtcp_mux_only and not media.rtcp_mux:
        raise InvalidAccessError(f"{name} has a=rtcp-mux-only without a=rtcp-mux")
    simulcast = media.simulcast
    if simulcast is None:
        return
    declared = {(rid.id, rid.direction) for rid in media.rids}
    for direction, streams in (("send", simulcast.send), ("recv", simulcast.recv)):
        for stream in streams:
            for each in stream:
                if (each.rid, direction) not in declared:
                    raise InvalidAccessError(
                        f"{name} has rid {each.rid!r} in a=simulcast but no a=rid for it"
                    )


def _verify_numbers(description: SessionDescription) -> None:
    """Bundled sections share extension numbers, so each may mean one thing only.

    RFC 9143, section 9.1 says so of payload types, too, but Firefox gives a section that it adds its
    own numbers, whatever ours mean in the others; the packets' MID tells them apart.
    """
    extensions: dict[tuple[str, int], str] = {}
    for index, media in enumerate(description.media):
        if not in_use(media) or not media.is_rtp:
            continue
        members = description.bundle_of(media.mid)
        scope = members[0] if members else f" {index}"
        for extension in media.extmaps:
            if extensions.setdefault((scope, extension.id), extension.uri) != extension.uri:
                raise InvalidAccessError(f"extmap id {extension.id} means two things in one bundle")


def verify_offer(description: SessionDescription, before: Session, intents: Intents) -> None:
    """Whether the offer continues `before`: sections keep their places, and only dead ones are replaced.

    Raises:
        InvalidAccessError: it does not.
    """
    if len(description.media) < len(before.sections):
        raise InvalidAccessError(
            f"offer has {len(description.media)} m= sections, the session has {len(before.sections)}"
        )
    for section, media in zip(before.sections, description.media, strict=False):
        if section.rejected:
            continue
        if media.mid is not None and media.mid != section.mid:
            raise InvalidAccessError(
                f"m= section {section.index} has mid {media.mid!r}, in the session it is {section.mid!r}"
            )
        if media.kind != section.kind:
            raise InvalidAccessError(
                f"m= section {section.index} is {media.kind}, in the session it is {section.kind}"
            )
    places = {
        section.mid: section.index for section in before.sections if not is_recyclable(section, intents)
    }
    for index, media in enumerate(description.media):
        if media.mid is not None and places.get(media.mid, index) != index:
            raise InvalidAccessError(f"mid {media.mid!r} moved to m= section {index}")


def verify_answer(
    answer: SessionDescription, offer: SessionDescription, offered: Session, side: Side
) -> None:
    """Whether the answer fits the offer.

    Raises:
        InvalidAccessError: it does not.
    """
    if len(answer.media) != len(offer.media):
        raise InvalidAccessError(
            f"answer has {len(answer.media)} m= sections, the offer has {len(offer.media)}"
        )
    offered_groups = [set(group) for group in offer.bundle_groups]
    dead = {section.mid for section in offered.sections if section.rejected}
    for mids in answer.bundle_groups:
        group = [mid for mid in mids if mid not in dead]
        if group and not any(offered_group.issuperset(group) for offered_group in offered_groups):
            raise InvalidAccessError(f"answer bundles {' '.join(group)}, which the offer does not")
    for section, media, offer_media in zip(offered.sections, answer.media, offer.media, strict=True):
        name = f"m= section {section.index}"
        if media.kind != offer_media.kind:
            raise InvalidAccessError(f"{name} of the answer is {media.kind}, of the offer {offer_media.kind}")
        if media.protocol != offer_media.protocol:
            raise InvalidAccessError(
                f"{name} of the answer has protocol {media.protocol}, of the offer {offer_media.protocol}"
            )
        if media.mid is not None and media.mid != section.mid:
            raise InvalidAccessError(
                f"{name} of the answer has mid {media.mid!r}, of the offer {section.mid!r}"
            )
        if not media.port or section.rejected:
            # aiortc accepts what the offer rejected; it stays rejected
            continue
        transport = offered.transport(section.transport) if side is Side.REMOTE else None
        if not answer.bundle_of(section.mid) and transport is not None and transport.mid != section.mid:
            raise InvalidAccessError(f"{name} was offered for bundling only and is answered without it")


def verify_transport_change(
    old: Transport,
    new: TransportParameters,
    *,
    is_answer: bool,
    local_restart: bool,
) -> None:
    """Whether the peer may change an existing transport in this way.

    Args:
        old: the transport as the last answer left it.
        new: what the peer writes now.
        is_answer: whether it writes an answer.
        local_restart: whether the offer it answers restarted ICE.

    Raises:
        InvalidAccessError: a restart is only half done, or was not asked for, or a new DTLS
            association is wanted without one.
    """
    before = old.remote
    if before is None:
        return
    restarted = (before.ice_ufrag, before.ice_pwd) != (new.ice_ufrag, new.ice_pwd)
    if is_answer and restarted and not local_restart:
        raise InvalidAccessError("answer restarts ICE, which the offer did not")
    if is_answer and local_restart and not restarted:
        raise InvalidAccessError("offer restarts ICE, but the answer does not")
    if restarted:
        return
    if before.tls_id != new.tls_id and before.tls_id is not None and new.tls_id is not None:
        raise InvalidAccessError("a new DTLS association (a=tls-id) needs an ICE restart")
    if is_answer and set(before.fingerprints) != set(new.fingerprints):
        raise InvalidAccessError("answer changes the certificate fingerprint without an ICE restart")
