"""Writes the lines of m= sections and of the session level, for offers and answers alike.

Spec: RFC 9429, sections 5.2.1 and 5.3.1; RFC 8859 (which attributes bundled sections leave out).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rtcstack.jsep.intents import LocalTransport, TransceiverIntent
from rtcstack.jsep.session import Codec, HeaderExtension, MediaParameters
from rtcstack.sdp import (
    Attribute,
    AttributeValue,
    Candidate,
    Connection,
    Direction,
    ExtMap,
    Fmtp,
    Group,
    IceOptions,
    IcePwd,
    IceUfrag,
    MaxMessageSize,
    MaxPtime,
    MediaDescription,
    Mid,
    Msid,
    Origin,
    Rid,
    RtcpAddress,
    RtcpFeedback,
    RtpMap,
    SctpPort,
    SessionDescription,
    Setup,
    SetupRole,
    Simulcast,
    SimulcastRid,
    Ssrc,
    SsrcGroup,
    TlsId,
)

__all__ = [
    "Destination",
    "TransportLines",
    "data_section",
    "default_destination",
    "media_section",
    "rejected_section",
    "session_level",
]

MAX_PTIME_MS = 120.0
"""The most audio that we take in one packet; what Opus allows (RFC 7587, section 6.1)."""
DISCARD_PORT = 9


@dataclass(frozen=True, slots=True)
class Destination:
    """Port and address for the m= and c= lines."""

    port: int = DISCARD_PORT
    address_type: str = "IP4"
    address: str = "0.0.0.0"

    @property
    def connection(self) -> Connection:
        return Connection("IN", self.address_type, self.address)


def default_destination(candidates: Iterable[Candidate]) -> Destination:
    """Where a peer without ICE would send: the candidate most likely to work.

    Relayed before reflexive before host, IPv4 before IPv6, UDP and RTP's component only. Host
    names stay out, as the line would need an address.

    Spec: RFC 8839, section 4.2.1.2; RFC 9429, section 5.2.2.
    """
    ranks = {"relay": 3, "srflx": 2, "prflx": 2, "host": 1}
    usable = [
        each
        for each in candidates
        if each.component == 1
        and each.transport.lower() == "udp"
        and each.ip_version is not None
        and each.port
    ]
    if not usable:
        return Destination()
    best = max(usable, key=lambda each: (ranks.get(each.type, 0), each.ip_version == 4, each.priority))
    return Destination(best.port, f"IP{best.ip_version}", best.address)


@dataclass(frozen=True, slots=True)
class TransportLines:
    """The transport lines of a section.

    RFC 9429 would have bundled sections leave them to the tagged one. libwebrtc rejects what
    follows a section without them, and aiortc refuses the description, so they are repeated there
    as everyone repeats them: the credentials are the same, which says the same. Candidates are not.

    Attributes:
        transport: what is to be written.
        setup: the DTLS role.
        tls_id: write it, if there is one (an answer does so only where the offer did).
        tagged: the section carries the transport; else it repeats another's.
        rtcp_mux_only, rtcp_address: write these, as initial offers do.
    """

    transport: LocalTransport
    setup: SetupRole
    tls_id: bool = True
    tagged: bool = True
    rtcp_mux_only: bool = False
    rtcp_address: bool = False

    def attributes(self) -> Iterable[Attribute]:
        transport = self.transport
        values: list[AttributeValue] = [IceUfrag(transport.ufrag), IcePwd(transport.pwd)]
        values += transport.fingerprints
        values.append(Setup(self.setup))
        if self.tls_id and transport.tls_id is not None:
            values.append(TlsId(transport.tls_id))
        yield from (each.attribute() for each in values)

    def candidates(self) -> Iterable[Attribute]:
        if not self.tagged:
            return
        yield from (each.attribute() for each in self.transport.candidates)
        if self.transport.end_of_candidates:
            yield Attribute("end-of-candidates")


def session_level(
    session_id: int,
    version: int,
    media: Sequence[MediaDescription],
    groups: Sequence[Group],
    ice_options: tuple[str, ...],
    *,
    ice_lite: bool = False,
) -> SessionDescription:
    """A description around its sections."""
    attributes = [group.attribute() for group in groups]
    if ice_lite:
        attributes.append(Attribute("ice-lite"))
    if any(each.is_rtp for each in media):
        attributes.append(Attribute("extmap-allow-mixed"))
        attributes.append(Attribute("msid-semantic", "WMS *"))
    if ice_options:
        attributes.append(IceOptions(ice_options).attribute())
    return SessionDescription(
        Origin(session_id, version, address="0.0.0.0"), attributes=tuple(attributes), media=tuple(media)
    )


def media_section(
    *,
    kind: str,
    protocol: str,
    mid: str | None,
    direction: Direction,
    destination: Destination,
    codecs: Sequence[Codec],
    extensions: Sequence[HeaderExtension],
    transceiver: TransceiverIntent,
    transport_lines: TransportLines,
    bundle_only: bool = False,
    rtcp_mux: bool = True,
    rtcp_rsize: bool = True,
    cryptex: bool = True,
    send_rids: Sequence[str] = (),
    receive_rids: Sequence[str] = (),
    simulcast: bool = False,
    before: MediaParameters | None = None,
) -> MediaDescription:
    """An audio or video section.

    Args:
        kind: "audio" or "video".
        protocol: of the m= line.
        mid: None to leave it out (the peer does not know mids).
        direction: to be written.
        destination: for the m= and c= lines.
        codecs: with their payload types, in order of preference.
        extensions: with their numbers.
        transceiver: whose streams, tracks and sources are written if it means to send.
        transport_lines: of its transport.
        bundle_only: see RFC 9143, section 6.
        rtcp_mux, rtcp_rsize, cryptex: whether to write these.
        send_rids, receive_rids: for a=rid.
        simulcast: write an a=simulcast line with these rids.
        before: what our last description said of the section.
    """
    lines: list[Attribute] = []
    if mid is not None:
        lines.append(Mid(mid).attribute())
    lines.append(Attribute(direction.value))
    if transceiver.direction.send:
        lines += _msids(transceiver)
    if bundle_only:
        lines.append(Attribute("bundle-only"))
    lines += transport_lines.attributes()
    if transport_lines.rtcp_address:
        lines.append(RtcpAddress(DISCARD_PORT, "IN IP4 0.0.0.0").attribute())
    # libwebrtc refuses a bundle in which any section lacks it, so it is not left to the tagged one
    if rtcp_mux:
        lines.append(Attribute("rtcp-mux"))
    if transport_lines.rtcp_mux_only:
        lines.append(Attribute("rtcp-mux-only"))
    if rtcp_rsize:
        lines.append(Attribute("rtcp-rsize"))
    # of the transport, but in every section: RFC 9335, section 4
    if cryptex:
        lines.append(Attribute("cryptex"))
    for extension in extensions:
        suffix = None if extension.direction is Direction.SENDRECV else extension.direction
        lines.append(ExtMap(extension.id, extension.uri, suffix).attribute())
    lines += _formats(codecs)
    if kind == "audio":
        lines.append(MaxPtime(MAX_PTIME_MS).attribute())
    lines += _rids(send_rids, receive_rids, simulcast)
    # libwebrtc forgets a source that is left out, and shows nothing of it when it comes back
    if transceiver.direction.send or (before is not None and before.sources):
        lines += _sources(transceiver, repeats=any(codec.name == "rtx" for codec in codecs))
    lines += transport_lines.candidates()
    return MediaDescription(
        kind,
        0 if bundle_only else destination.port,
        protocol,
        tuple(str(codec.payload_type) for codec in codecs),
        tuple(lines),
        connections=(destination.connection,),
    )


def data_section(
    *,
    protocol: str,
    formats: tuple[str, ...],
    mid: str | None,
    destination: Destination,
    port: int,
    max_message_size: int,
    sctp_init: str | None,
    transport_lines: TransportLines,
    bundle_only: bool = False,
    old_style: bool = False,
) -> MediaDescription:
    """A section for data channels.

    Args:
        protocol, formats: of the m= line.
        mid: None to leave it out.
        destination: for the m= and c= lines.
        port: our SCTP port.
        max_message_size: in bytes; 0 is any.
        sctp_init: our INIT chunk (SNAP), or None.
        transport_lines: of its transport.
        bundle_only: see RFC 9143, section 6.
        old_style: write sctpmap, for a peer that did.
    """
    lines: list[Attribute] = []
    if mid is not None:
        lines.append(Mid(mid).attribute())
    if bundle_only:
        lines.append(Attribute("bundle-only"))
    lines += transport_lines.attributes()
    if old_style:
        lines.append(Attribute("sctpmap", f"{port} webrtc-datachannel 65535"))
    else:
        lines.append(SctpPort(port).attribute())
    lines.append(MaxMessageSize(max_message_size).attribute())
    if sctp_init is not None:
        lines.append(Attribute("sctp-init", sctp_init))
    lines += transport_lines.candidates()
    return MediaDescription(
        "application",
        0 if bundle_only else destination.port,
        protocol,
        formats,
        tuple(lines),
        connections=(destination.connection,),
    )


def rejected_section(
    kind: str,
    protocol: str,
    formats: tuple[str, ...],
    mid: str | None,
    transport_lines: TransportLines | None,
    codecs: Sequence[Codec] = (),
) -> MediaDescription:
    """A section that is out of use: port zero, and little more than its name.

    Args:
        kind, protocol, formats: of the m= line.
        mid: None to leave it out.
        transport_lines: of some transport of the description, if it has one. It means nothing here, but
            aiortc refuses sections without, even when they are rejected.
        codecs: what the formats mean, where that is to be written.
    """
    lines = [] if mid is None else [Mid(mid).attribute()]
    if kind in ("audio", "video"):
        lines.append(Attribute(Direction.INACTIVE.value))
    if transport_lines is not None:
        lines += transport_lines.attributes()
        if kind in ("audio", "video"):
            lines.append(Attribute("rtcp-mux"))
    lines += _formats(codecs)
    return MediaDescription(kind, 0, protocol, formats, tuple(lines), connections=(Connection(),))


def _msids(transceiver: TransceiverIntent) -> Iterable[Attribute]:
    # RFC 9429 leaves the track out, but older peers take a line without it for malformed
    pairs = transceiver.msids or (("-", ""),)
    return [Msid(stream, track).attribute() for stream, track in pairs]


def _formats(codecs: Iterable[Codec]) -> Iterable[Attribute]:
    for codec in codecs:
        number = codec.payload_type
        name = codec.mime_type.partition("/")[2]
        yield RtpMap(number, name, codec.clock_rate, codec.channels).attribute()
        for feedback in codec.rtcp_fb:
            kind, _, parameter = feedback.partition(" ")
            yield RtcpFeedback(number, kind, parameter).attribute()
        if codec.parameters:
            yield Fmtp(str(number), codec.parameters).attribute()


def _rids(send: Sequence[str], receive: Sequence[str], simulcast: bool) -> Iterable[Attribute]:
    yield from (Rid(rid, "send").attribute() for rid in send)
    yield from (Rid(rid, "recv").attribute() for rid in receive)
    if simulcast:
        yield Simulcast(
            tuple((SimulcastRid(rid),) for rid in send), tuple((SimulcastRid(rid),) for rid in receive)
        ).attribute()


def _sources(transceiver: TransceiverIntent, *, repeats: bool) -> Iterable[Attribute]:
    sends = transceiver.direction.send and transceiver.msids
    stream, track = transceiver.msids[0] if sends else ("-", "")
    # rids name the streams of simulcast; older peers would take several sources for several tracks
    for encoding in transceiver.send_encodings if len(transceiver.send_encodings) == 1 else ():
        if encoding.ssrc is None:
            continue
        ssrcs = [encoding.ssrc]
        if repeats and encoding.rtx_ssrc is not None:
            ssrcs.append(encoding.rtx_ssrc)
            yield SsrcGroup("FID", tuple(ssrcs)).attribute()
        for ssrc in ssrcs:
            yield Ssrc(ssrc, "cname", transceiver.cname or "-").attribute()
            if track:
                yield Ssrc(ssrc, "msid", f"{stream} {track}").attribute()
