"""What has been agreed, as frozen values.

A `Session` is what two descriptions mean together (or, while an exchange is under way, what they
mean so far). Runtime objects (transports, streams) are reconciled to it and never written back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from rtcstack.sdp import Candidate, Direction, Fingerprint, SetupRole

__all__ = [
    "Codec",
    "CodecFormat",
    "DtlsRole",
    "HeaderExtension",
    "MediaParameters",
    "SctpParameters",
    "Section",
    "Session",
    "Source",
    "Transport",
    "TransportParameters",
]


@lru_cache(maxsize=256)
def _read_mime_type(mime_type: str) -> tuple[str, str]:
    """The kind and the encoding name, in lower case."""
    kind, _, name = mime_type.lower().partition("/")
    return kind, name


@dataclass(frozen=True, slots=True)
class CodecFormat:
    """A codec and its configuration, without a number (RTCRtpCodec).

    Attributes:
        mime_type: e.g. "video/VP8"; compared without regard to case.
        clock_rate: RTP clock, in Hz.
        channels: 2 for Opus; None where the codec has no such notion or has one channel.
        parameters: the format parameters as ``a=fmtp`` writes them (sdpFmtpLine); "" when none.
    """

    mime_type: str
    clock_rate: int
    channels: int | None = None
    parameters: str = ""

    @property
    def kind(self) -> str:
        """ "audio" or "video"."""
        return _read_mime_type(self.mime_type)[0]

    @property
    def name(self) -> str:
        """The encoding name in lower case, e.g. "vp8", "rtx", "telephone-event"."""
        return _read_mime_type(self.mime_type)[1]

    @property
    def fmtp(self) -> dict[str, str]:
        """The format parameters by lower-case name, in order; a lone value has the name ""."""
        pairs: dict[str, str] = {}
        for part in self.parameters.split(";"):
            name, equals, value = part.strip().partition("=")
            if equals:
                pairs.setdefault(name.strip().lower(), value.strip())
            elif name:
                pairs.setdefault("", name)
        return pairs

    @property
    def is_resiliency(self) -> bool:
        """Whether it only carries, repairs or fills other codecs' media."""
        return self.name in ("rtx", "red", "ulpfec", "flexfec-03", "cn", "telephone-event")


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec(CodecFormat):
    """A codec that has a payload type in a section (RTCRtpCodecParameters).

    Attributes:
        payload_type: 0 to 127.
        rtcp_fb: the feedback that goes with it, e.g. ("nack", "nack pli", "transport-cc").
    """

    payload_type: int
    rtcp_fb: tuple[str, ...] = ()

    @property
    def apt(self) -> int | None:
        """The payload type that an RTX format retransmits, else None."""
        value = self.fmtp.get("apt", "") if self.name == "rtx" else ""
        return int(value) if value.isascii() and value.isdigit() and len(value) <= 3 else None


@dataclass(frozen=True, slots=True)
class HeaderExtension:
    """A header extension of a section.

    Attributes:
        uri: what it means.
        id: its number on the wire: 1 to 14, or up to 255 with two-byte headers. In an intent, the
            number that is proposed where none has been agreed yet.
        direction: who may send it, from our point of view.
    """

    uri: str
    id: int
    direction: Direction = Direction.SENDRECV


@dataclass(frozen=True, slots=True)
class Source:
    """A synchronisation source that a description names.

    Attributes:
        ssrc: of the media stream.
        rtx_ssrc: of its retransmissions, where an ``ssrc-group:FID`` says so.
        cname: its canonical name.
        attributes: all its source attributes, in order.
    """

    ssrc: int
    rtx_ssrc: int | None = None
    cname: str | None = None
    attributes: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class MediaParameters:
    """What one side's latest description says of a section, read but not judged.

    Attributes:
        direction: from the point of view of the side that wrote it.
        codecs: in its order of preference, with its payload types.
        header_extensions: with its numbers; directions from its point of view.
        msids: (stream id, track id) pairs; the stream id is "-" for a track without stream, the
            track id is "" when it is not written.
        send_rids, receive_rids: the streams of its simulcast line in order, the first alternative
            of each (without a simulcast line: of its lone rid line).
        simulcast: whether it has a simulcast line.
        sources: what its ssrc lines name.
        rtcp_mux: RTCP shares the component, by this section's word or its bundle's.
        rtcp_rsize: reduced-size RTCP.
        extmap_allow_mixed: one- and two-byte header extensions may be mixed.
        cryptex: it takes packets with encrypted header extensions (RFC 9335).
        ptime_ms, max_ptime_ms: media per packet that it wants, and takes at most.
        bandwidth_bps: the limit that it puts on RTP sent to it (RFC 9429, section 5.10).
        sctp_port: None when not written.
        max_message_size: bytes; 0 is any; None is not written.
        sctp_init: its SCTP INIT chunk, base64 (SNAP), kept as text.
    """

    direction: Direction = Direction.SENDRECV
    codecs: tuple[Codec, ...] = ()
    header_extensions: tuple[HeaderExtension, ...] = ()
    msids: tuple[tuple[str, str], ...] = ()
    send_rids: tuple[str, ...] = ()
    receive_rids: tuple[str, ...] = ()
    simulcast: bool = False
    sources: tuple[Source, ...] = ()
    rtcp_mux: bool = False
    rtcp_rsize: bool = False
    extmap_allow_mixed: bool = False
    cryptex: bool = False
    ptime_ms: float | None = None
    max_ptime_ms: float | None = None
    bandwidth_bps: int | None = None
    sctp_port: int | None = None
    max_message_size: int | None = None
    sctp_init: str | None = None

    @property
    def stream_ids(self) -> tuple[str, ...]:
        """The streams that the track belongs to, without the "-" that stands for none."""
        return tuple(stream for stream, _ in self.msids if stream != "-")


@dataclass(frozen=True, slots=True)
class SctpParameters:
    """The SCTP association that a section describes.

    Attributes:
        local_port, remote_port: SCTP ports.
        max_message_size: the largest message that the peer takes, in bytes; 0 is any size.
        remote_init: the peer's INIT chunk, base64 (SNAP), or None.
    """

    local_port: int
    remote_port: int
    max_message_size: int
    remote_init: str | None = None


class DtlsRole:
    """Names of the DTLS roles, as `Transport.dtls_role` has them."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class TransportParameters:
    """What one side says of a transport.

    Attributes:
        ice_ufrag, ice_pwd: credentials; a change of both is an ICE restart.
        ice_lite: a lite agent, which only answers checks.
        ice_options: "trickle", "ice2", "renomination", ...
        fingerprints: of its certificates, at least one.
        setup: the DTLS role that it offers or takes.
        tls_id: the name of its DTLS association, or None.
        candidates: those written so far, in order.
        end_of_candidates: no more will follow in this generation.
    """

    ice_ufrag: str
    ice_pwd: str = field(repr=False)
    ice_lite: bool = False
    ice_options: tuple[str, ...] = ()
    fingerprints: tuple[Fingerprint, ...] = ()
    setup: SetupRole = SetupRole.ACTPASS
    tls_id: str | None = None
    candidates: tuple[Candidate, ...] = ()
    end_of_candidates: bool = False


@dataclass(frozen=True, slots=True)
class Transport:
    """One ICE and DTLS transport and whatever is multiplexed on it.

    Attributes:
        key: names it for its whole life: the mid of the section that it was made for.
        mid: the section that carries its parameters now (the tagged one of a bundle).
        local, remote: None as long as that side has not described it.
        dtls_role: ours, "client" or "server"; None until answered.
        ice_controlling: our ICE role when it was made; None until known.
        association: counts its DTLS associations from 0; a new number asks for a new handshake.
        disregarded: ICE credentials that the peer writes in answers though it cannot mean them.
        peer: counts from 0 the peers that have answered, each in place of one with a provisional answer.
        cryptex: header extensions are encrypted (RFC 9335): all its media sections agree on it.
    """

    key: str
    mid: str
    local: TransportParameters | None = None
    remote: TransportParameters | None = None
    dtls_role: str | None = None
    ice_controlling: bool | None = None
    association: int = 0
    disregarded: tuple[str, str] | None = None
    peer: int = 0
    cryptex: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """One m= section.

    What a side has written stands in `local` and `remote`; what follows from both was computed by
    the last answer (provisional ones included) and stays until the next.

    Attributes:
        index: its place in the descriptions.
        mid: its identification tag (made up when the peer writes none).
        kind: "audio", "video", "application" or a type that we refuse.
        protocol: as the latest description writes it.
        transceiver: the intent's key, or None for sections that are not media.
        rejected: it is (or, in an offer, will be) out of use.
        transport: key of its transport in `Session.transports`, or None.
        proposed_transport: of a section that only the peer's offer has described: the key of the
            transport that it will use if the answer bundles as the offer does.
        local, remote: what the sides' latest descriptions say.
        current_direction: agreed, from our point of view; None before the first answer.
        receive_codecs: what may arrive, with our payload types and parameters, in our order. From
            the moment an offer is set this includes all that it offers to receive.
        send_codecs: what we may send, with the peer's payload types and parameters, in its order.
        receive_extensions, send_extensions: header extensions, likewise.
        rtcp_mux, rtcp_rsize: agreed by both.
        cryptex: header extensions are encrypted, here and wherever else its transport is used.
        send_rids: the simulcast streams that the peer agreed to take, in order; () is one stream.
        receive_rids: the simulcast streams that it may send.
        sctp: the association, or None.
    """

    index: int
    mid: str
    kind: str
    protocol: str
    transceiver: int | None = None
    rejected: bool = False
    transport: str | None = None
    proposed_transport: str | None = None
    local: MediaParameters | None = None
    remote: MediaParameters | None = None
    current_direction: Direction | None = None
    receive_codecs: tuple[Codec, ...] = ()
    send_codecs: tuple[Codec, ...] = ()
    receive_extensions: tuple[HeaderExtension, ...] = ()
    send_extensions: tuple[HeaderExtension, ...] = ()
    rtcp_mux: bool = False
    rtcp_rsize: bool = False
    cryptex: bool = False
    send_rids: tuple[str, ...] = ()
    receive_rids: tuple[str, ...] = ()
    sctp: SctpParameters | None = None

    @property
    def expected_transport(self) -> str | None:
        """The key of its transport; before an answer, of the one that is proposed."""
        return self.proposed_transport if self.transport is None else self.transport

    @property
    def is_media(self) -> bool:
        """Whether it is audio or video (and so has a transceiver, unless that is gone)."""
        return self.kind in ("audio", "video")


@dataclass(frozen=True, slots=True)
class Session:
    """All sections and transports.

    Attributes:
        sections: in the order of the m= lines.
        transports: the ones that sections use, in the order of their first section.
        bundle_groups: mids of each agreed group, the tagged section first.
        formats: every payload type that has been given a meaning, for sections to come.
        extensions: every header extension number that has been given a meaning.
        next_mid: the number of the next mid that we make up.
    """

    sections: tuple[Section, ...] = ()
    transports: tuple[Transport, ...] = ()
    bundle_groups: tuple[tuple[str, ...], ...] = ()
    formats: tuple[Codec, ...] = ()
    extensions: tuple[HeaderExtension, ...] = ()
    next_mid: int = 0
    _by_mid: dict[str, Section] = field(init=False, compare=False, repr=False)
    _by_transceiver: dict[int, Section] = field(init=False, compare=False, repr=False)
    _by_key: dict[str, Transport] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_mid", {each.mid: each for each in self.sections})
        object.__setattr__(
            self,
            "_by_transceiver",
            {each.transceiver: each for each in self.sections if each.transceiver is not None},
        )
        object.__setattr__(self, "_by_key", {each.key: each for each in self.transports})

    def section(self, mid: str) -> Section | None:
        """The section with this mid."""
        return self._by_mid.get(mid)

    def section_of(self, transceiver: int) -> Section | None:
        """The section that a transceiver is associated with."""
        return self._by_transceiver.get(transceiver)

    def transport(self, key: str | None) -> Transport | None:
        """The transport with this key."""
        return None if key is None else self._by_key.get(key)

    @property
    def data_section(self) -> Section | None:
        """The section for data channels, if there is one that is not rejected."""
        return next(
            (each for each in self.sections if each.kind == "application" and not each.rejected), None
        )
