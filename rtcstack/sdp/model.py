"""A session description as a value: immutable, ordered, and complete (nothing of the text is lost).

Spec: RFC 8866.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from rtcstack.sdp.attributes import (
    Attribute,
    AttributeValue,
    Direction,
    Fingerprint,
    Group,
    IceOptions,
    IcePwd,
    IceUfrag,
    MaxMessageSize,
    Mid,
    SctpMap,
    SctpPort,
    Setup,
    SetupRole,
    TlsId,
    typed_value,
)
from rtcstack.sdp.candidate import Candidate
from rtcstack.sdp.formats import (
    ExtMap,
    Fmtp,
    MaxPtime,
    Msid,
    Ptime,
    Rid,
    RtcpFeedback,
    RtpMap,
    Simulcast,
    Ssrc,
    SsrcGroup,
)

__all__ = ["Bandwidth", "Connection", "MediaDescription", "Origin", "SessionDescription", "Timing"]

T = TypeVar("T", bound=AttributeValue)

INHERITED = frozenset(
    (
        "cryptex",
        "extmap",
        "extmap-allow-mixed",
        "fingerprint",
        "ice-lite",
        "ice-options",
        "ice-pwd",
        "ice-ufrag",
        "inactive",
        "recvonly",
        "sendonly",
        "sendrecv",
        "setup",
        "tls-id",
    )
)
"""Session-level attributes that hold for each section that does not have its own."""

_DIRECTIONS = tuple(Direction)
_DIRECTION_NAMES = frozenset(map(str, Direction))
_Index = dict[str, tuple[Attribute, ...]]


@dataclass(frozen=True, slots=True)
class Origin:
    """``o=<username> <sess-id> <sess-version> <nettype> <addrtype> <unicast-address>``."""

    session_id: int
    session_version: int
    username: str = "-"
    network_type: str = "IN"
    address_type: str = "IP4"
    address: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Connection:
    """``c=<nettype> <addrtype> <connection-address>``."""

    network_type: str = "IN"
    address_type: str = "IP4"
    address: str = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """``b=<bwtype>:<bandwidth>``: "AS" and "CT" are in kbit/s, "TIAS" in bit/s."""

    type: str
    value: int


@dataclass(frozen=True, slots=True)
class Timing:
    """``t=<start> <stop>`` and the ``r=`` lines that follow it (kept as text)."""

    start: int = 0
    stop: int = 0
    repeats: tuple[str, ...] = ()


class AttributeHolder:
    """Look-ups that sections and sessions share."""

    __slots__ = ()

    attributes: tuple[Attribute, ...]
    _index: _Index

    def has(self, name: str) -> bool:
        """Whether an attribute called `name` stands here, with or without a value."""
        return name in self._index

    def value(self, name: str) -> str | None:
        """The text of the first attribute called `name`; None when absent or without value."""
        found = self._index.get(name)
        return found[0].value if found else None

    def values(self, name: str) -> tuple[str, ...]:
        """The texts of all attributes called `name`, in order."""
        return tuple(each.value or "" for each in self._index.get(name, ()))

    def get(self, kind: type[T]) -> T | None:
        """The first attribute of this kind, typed.

        Raises:
            ParseError: its text is malformed (never for what `parse_session` made).
        """
        found = self._index.get(kind.NAME)
        if not found:
            return None
        first = found[0]
        return first.typed if type(first.typed) is kind else typed_value(kind, first)

    def all(self, kind: type[T]) -> tuple[T, ...]:
        """All attributes of this kind, typed, in order.

        Raises:
            ParseError: a text is malformed (never for what `parse_session` made).
        """
        found = self._index.get(kind.NAME)
        if not found:
            return ()
        return tuple([each.typed if type(each.typed) is kind else typed_value(kind, each) for each in found])


@dataclass(frozen=True, slots=True)
class MediaDescription(AttributeHolder):
    """One section: an ``m=`` line and what follows it up to the next.

    Attributes:
        kind: "audio", "video", "application" or another media type.
        port: 0 when the section is rejected or bundle-only.
        protocol: e.g. "UDP/TLS/RTP/SAVPF".
        formats: payload types in order of preference, or "webrtc-datachannel".
        port_count: the number of ports, where the line gives one.
        defaults: the session-level attributes that hold where the section has none of its own;
            `SessionDescription` fills it.
    """

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    attributes: tuple[Attribute, ...] = ()
    port_count: int | None = None
    information: str | None = None
    connections: tuple[Connection, ...] = ()
    bandwidths: tuple[Bandwidth, ...] = ()
    key: str | None = None
    defaults: tuple[Attribute, ...] = field(default=(), compare=False, repr=False)
    _index: _Index = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        index = _index(self.attributes)
        directed = not _DIRECTION_NAMES.isdisjoint(index)
        for name, found in _index(self.defaults).items():
            if not (directed and name in _DIRECTION_NAMES):
                index.setdefault(name, found)
        object.__setattr__(self, "_index", index)

    # identity and grouping

    @property
    def mid(self) -> str | None:
        """The identification tag (RFC 5888)."""
        mid = self.get(Mid)
        return None if mid is None else mid.text

    @property
    def bundle_only(self) -> bool:
        """Port 0 here means "only when bundled" (RFC 9143, section 6)."""
        return self.has("bundle-only")

    @property
    def is_rejected(self) -> bool:
        """Port 0 here means that the section is out of use."""
        return not self.port and not self.bundle_only

    @property
    def is_rtp(self) -> bool:
        """Whether the protocol is one of the RTP profiles."""
        return "RTP/" in self.protocol

    @property
    def is_sctp(self) -> bool:
        """Whether the protocol is SCTP over DTLS, in any of its spellings."""
        return "SCTP" in self.protocol

    # ICE

    @property
    def ice_ufrag(self) -> str | None:
        """The ICE user name fragment."""
        value = self.get(IceUfrag)
        return None if value is None else value.text

    @property
    def ice_pwd(self) -> str | None:
        """The ICE password."""
        value = self.get(IcePwd)
        return None if value is None else value.text

    @property
    def ice_lite(self) -> bool:
        """Whether the writer is a lite ICE agent."""
        return self.has("ice-lite")

    @property
    def ice_options(self) -> tuple[str, ...]:
        """The ICE options ("trickle", "ice2", "renomination", ...)."""
        value = self.get(IceOptions)
        return () if value is None else value.tags

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The candidates, in order."""
        return self.all(Candidate)

    @property
    def end_of_candidates(self) -> bool:
        """Whether no further candidates will follow in this generation."""
        return self.has("end-of-candidates")

    # DTLS

    @property
    def fingerprints(self) -> tuple[Fingerprint, ...]:
        """The certificate fingerprints, of the section or else of the session."""
        return self.all(Fingerprint)

    @property
    def setup(self) -> SetupRole | None:
        """The DTLS role that the writer offers or takes."""
        value = self.get(Setup)
        return None if value is None else value.role

    @property
    def tls_id(self) -> str | None:
        """The name of the DTLS association."""
        value = self.get(TlsId)
        return None if value is None else value.text

    # RTP

    @property
    def direction(self) -> Direction:
        """The direction from the writer's point of view; sendrecv when none is written."""
        for each in _DIRECTIONS:
            if each in self._index:
                return each
        return Direction.SENDRECV

    @property
    def payload_types(self) -> tuple[int, ...]:
        """The formats of an RTP section as numbers, in order of preference."""
        return tuple(map(int, self.formats)) if self.is_rtp else ()

    @property
    def rtpmaps(self) -> tuple[RtpMap, ...]:
        """The payload type mappings, in the order in which they are written."""
        return self.all(RtpMap)

    @property
    def fmtps(self) -> tuple[Fmtp, ...]:
        """The format parameters, in the order in which they are written."""
        return self.all(Fmtp)

    @property
    def rtcp_feedbacks(self) -> tuple[RtcpFeedback, ...]:
        """The feedback that the writer understands, in the order in which it is written."""
        return self.all(RtcpFeedback)

    @property
    def rtcp_mux(self) -> bool:
        """RTCP shares the RTP component (RFC 5761)."""
        return self.has("rtcp-mux")

    @property
    def rtcp_mux_only(self) -> bool:
        """The writer cannot do without `rtcp_mux` (RFC 8858)."""
        return self.has("rtcp-mux-only")

    @property
    def rtcp_rsize(self) -> bool:
        """Reduced-size RTCP is understood (RFC 5506)."""
        return self.has("rtcp-rsize")

    @property
    def extmaps(self) -> tuple[ExtMap, ...]:
        """The header extension mappings."""
        return self.all(ExtMap)

    @property
    def extmap_allow_mixed(self) -> bool:
        """One-byte and two-byte header extensions may be mixed in a stream (RFC 8285, section 6)."""
        return self.has("extmap-allow-mixed")

    @property
    def cryptex(self) -> bool:
        """The writer takes RTP packets whose headers are encrypted (RFC 9335)."""
        return self.has("cryptex")

    @property
    def msids(self) -> tuple[Msid, ...]:
        """The streams that the track belongs to."""
        return self.all(Msid)

    @property
    def ssrcs(self) -> tuple[Ssrc, ...]:
        """The source attributes."""
        return self.all(Ssrc)

    @property
    def ssrc_groups(self) -> tuple[SsrcGroup, ...]:
        """How sources belong together (FID: a source and its retransmissions)."""
        return self.all(SsrcGroup)

    @property
    def rids(self) -> tuple[Rid, ...]:
        """The RTP stream identifiers."""
        return self.all(Rid)

    @property
    def simulcast(self) -> Simulcast | None:
        """The simulcast streams."""
        return self.get(Simulcast)

    @property
    def ptime_ms(self) -> float | None:
        """Media per packet that the writer would like to receive, in milliseconds."""
        value = self.get(Ptime)
        return None if value is None else value.duration_ms

    @property
    def max_ptime_ms(self) -> float | None:
        """The most media per packet that the writer takes, in milliseconds."""
        value = self.get(MaxPtime)
        return None if value is None else value.duration_ms

    # SCTP

    @property
    def sctp_port(self) -> int | None:
        """The SCTP port, from sctp-port or the older sctpmap; 0 closes the association."""
        value = self.get(SctpPort)
        if value is not None:
            return value.port
        old = self.get(SctpMap)
        return None if old is None else old.port

    @property
    def max_message_size(self) -> int | None:
        """The largest message that the writer takes, in bytes; 0 is any, None is not written."""
        value = self.get(MaxMessageSize)
        return None if value is None else value.size_bytes


@dataclass(frozen=True, slots=True)
class SessionDescription(AttributeHolder):
    """A whole description: the session level and its sections, in order."""

    origin: Origin
    name: str = "-"
    attributes: tuple[Attribute, ...] = ()
    media: tuple[MediaDescription, ...] = ()
    information: str | None = None
    uri: str | None = None
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    connection: Connection | None = None
    bandwidths: tuple[Bandwidth, ...] = ()
    times: tuple[Timing, ...] = (Timing(),)
    time_zones: str | None = None
    key: str | None = None
    _index: _Index = field(init=False, compare=False, repr=False)
    _by_mid: dict[str, MediaDescription] = field(init=False, compare=False, repr=False)
    _bundles: dict[str, tuple[str, ...]] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", _index(self.attributes))
        defaults = tuple(each for each in self.attributes if each.name in INHERITED)
        media = tuple(
            [each if each.defaults == defaults else _with_defaults(each, defaults) for each in self.media]
        )
        object.__setattr__(self, "media", media)
        by_mid: dict[str, MediaDescription] = {}
        for section in media:
            mid = section.mid
            if mid is not None:
                by_mid.setdefault(mid, section)
        object.__setattr__(self, "_by_mid", by_mid)
        object.__setattr__(self, "_bundles", _bundles(self.bundle_groups, by_mid))

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of sections (BUNDLE, LS, ...), in order."""
        return self.all(Group)

    @property
    def bundle_groups(self) -> tuple[tuple[str, ...], ...]:
        """The mids of each BUNDLE group, the tagged one first."""
        return tuple(group.mids for group in self.groups if group.semantics == "BUNDLE")

    def section(self, mid: str) -> MediaDescription | None:
        """The first section with this mid."""
        return self._by_mid.get(mid)

    def bundle_of(self, mid: str | None) -> tuple[str, ...]:
        """The mids of the BUNDLE group that `mid` is in, without rejected sections, the tagged one
        first. Empty when it is in none."""
        return () if mid is None else self._bundles.get(mid, ())

    @property
    def ice_lite(self) -> bool:
        """Whether the writer is a lite ICE agent."""
        return self.has("ice-lite")

    @property
    def identity(self) -> str | None:
        """The identity assertion (RFC 8827), kept as text."""
        return self.value("identity")


def _bundles(
    groups: tuple[tuple[str, ...], ...], by_mid: dict[str, MediaDescription]
) -> dict[str, tuple[str, ...]]:
    result: dict[str, tuple[str, ...]] = {}
    for mids in groups:
        members = tuple(mid for mid in mids if mid in by_mid and not by_mid[mid].is_rejected)
        result.update(dict.fromkeys(members, members))
    return result


def _with_defaults(media: MediaDescription, defaults: tuple[Attribute, ...]) -> MediaDescription:
    return MediaDescription(
        kind=media.kind,
        port=media.port,
        protocol=media.protocol,
        formats=media.formats,
        attributes=media.attributes,
        port_count=media.port_count,
        information=media.information,
        connections=media.connections,
        bandwidths=media.bandwidths,
        key=media.key,
        defaults=defaults,
    )


def _index(attributes: Iterable[Attribute]) -> _Index:
    lists: dict[str, list[Attribute]] = {}
    for each in attributes:
        found = lists.get(each.name)
        if found is None:
            lists[each.name] = [each]
        else:
            found.append(each)
    index: _Index = {}
    for name, found in lists.items():
        index[name] = tuple(found)
    return index
