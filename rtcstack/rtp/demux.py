"""Which section a packet of an unknown SSRC belongs to, and as what.

Known SSRCs never come here: the session keeps them in a table of its own.

Spec: RFC 8843, section 9.2; RFC 8852, section 3 (RID); RFC 5576, section 4.2 (FID groups).
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum, IntEnum, auto
from typing import NamedTuple

from rtcstack.rtp.extensions import Extension, ExtensionIds, read_name
from rtcstack.rtp.packet import RtpPacket
from rtcstack.rtp.parameters import ReceiveCodec, ReceiveSection

__all__ = ["MAX_ON_PROBATION", "Demux", "Rank", "Role", "Route", "Trait", "Verdict"]

MAX_ON_PROBATION = 64
"""SSRCs that have sent one packet and are known by its payload type only."""


class Rank(IntEnum):
    """How well it is known where a stream belongs. One that is known better is not displaced by others.

    TYPED: by nothing but its payload type, which one section alone has.
    NAMED: its packets name their section.
    ANNOUNCED: the peer's description names its SSRC.
    """

    TYPED = 0
    NAMED = 1
    ANNOUNCED = 2


class Role(Enum):
    """What a stream carries."""

    MEDIA = "media"
    RETRANSMISSION = "retransmission"


class Route(NamedTuple):
    """Where the packets of an SSRC go.

    Attributes:
        section: of whose streams it is.
        role: media, or retransmissions (RTX).
        codec: of the packet.
        rid: the simulcast stream; of retransmissions, the one that they restore. None without.
        primary_ssrc: of retransmissions, the SSRC that they restore, if it was announced.
        announced: the peer has named this SSRC in its description.
        named: the packet itself named its section.
    """

    section: ReceiveSection
    role: Role
    codec: ReceiveCodec
    rid: str | None = None
    primary_ssrc: int | None = None
    announced: bool = False
    named: bool = False


class Verdict(Enum):
    """Why a packet has no route."""

    UNKNOWN_MID = "unknown-mid"
    UNKNOWN_RID = "unknown-rid"
    UNKNOWN_PAYLOAD_TYPE = "unknown-payload-type"
    AMBIGUOUS = "ambiguous"
    PROBATION = "probation"


class Trait(Enum):
    """What a section is, or has agreed on."""

    VIDEO = auto()
    TRANSPORT_CC = auto()
    REMB = auto()
    RECEIVER_TIME = auto()
    FULL_SIZE = auto()


class Demux:
    """The tables by which packets find their section.

    They are made when they are first wanted after a change: a description may change a thousand sections.
    """

    __slots__ = (
        "_by_mid",
        "_by_payload_type",
        "_codecs",
        "_counts",
        "_ids",
        "_is_stale",
        "_probation",
        "_sources",
    )

    def __init__(self) -> None:
        self._ids = ExtensionIds()
        self._is_stale = False
        self._counts = dict.fromkeys(Trait, 0)
        self._by_mid: dict[str, ReceiveSection] = {}
        self._codecs: dict[tuple[str, int], ReceiveCodec] = {}
        self._by_payload_type: dict[int, ReceiveSection | None] = {}
        self._sources: dict[int, tuple[str, int | None]] = {}  # ssrc -> mid, the ssrc it restores
        self._probation: OrderedDict[int, RtpPacket] = OrderedDict()

    @property
    def sections(self) -> dict[str, ReceiveSection]:
        """The sections by mid."""
        return self._by_mid

    @property
    def ids(self) -> ExtensionIds:
        """Numbers of the header extensions."""
        if self._is_stale:
            self._rebuild()
        return self._ids

    def set_section(self, section: ReceiveSection) -> None:
        """Add a section, or replace the one with its mid."""
        before = self._by_mid.get(section.mid)
        if before is not None:
            self._count(before, -1)
        self._by_mid[section.mid] = section
        self._count(section, 1)
        self._is_stale = True

    def remove_section(self, mid: str) -> None:
        """Take a section out; harmless if it is not there."""
        before = self._by_mid.pop(mid, None)
        if before is not None:
            self._count(before, -1)
            self._is_stale = True

    def has(self, trait: Trait) -> bool:
        """Whether a section is like this."""
        return self._counts[trait] > 0

    def _count(self, section: ReceiveSection, by: int) -> None:
        counts = self._counts
        counts[Trait.VIDEO] += by * (section.kind == "video")
        counts[Trait.TRANSPORT_CC] += by * section.transport_cc
        counts[Trait.REMB] += by * (section.remb and Extension.ABS_SEND_TIME in section.extensions)
        counts[Trait.RECEIVER_TIME] += by * section.receiver_time
        counts[Trait.FULL_SIZE] += by * (not section.reduced_size)

    def _rebuild(self) -> None:
        self._is_stale = False
        self._ids = ExtensionIds(
            [pair for section in self._by_mid.values() for pair in section.extensions.items()]
        )
        self._codecs.clear()
        self._by_payload_type.clear()
        self._sources.clear()
        self._probation.clear()
        for section in self._by_mid.values():
            for codec in section.codecs:
                self._codecs[section.mid, codec.payload_type] = codec
                # "If the payload type is used by only one section": else it tells nothing.
                is_new = codec.payload_type not in self._by_payload_type
                self._by_payload_type[codec.payload_type] = section if is_new else None
            for source in section.sources:
                self._sources[source.ssrc] = (section.mid, None)
                if source.rtx_ssrc is not None:
                    self._sources[source.rtx_ssrc] = (section.mid, source.ssrc)

    def mid_of(self, packet: RtpPacket) -> str | None:
        """The section that a packet names, if it does."""
        return read_name(packet.extension(self.ids.mid)) if self.ids.mid else None

    def section_by_name(self, name: bytes) -> ReceiveSection | None:
        """The section that a MID names."""
        mid = read_name(name)
        return None if mid is None else self._by_mid.get(mid)

    def section_by_payload_type(self, payload_type: int) -> ReceiveSection | None:
        """The only section that has a payload type; None if there are several, or none."""
        if self._is_stale:
            self._rebuild()
        return self._by_payload_type.get(payload_type)

    def rank(self, ssrc: int, mid: str, before: Rank) -> Rank:
        """How well a stream of a section is known after a description, and how well it was before."""
        if self._is_stale:
            self._rebuild()
        announced = self._sources.get(ssrc)
        if announced is not None and announced[0] == mid:
            return Rank.ANNOUNCED
        return min(before, Rank.NAMED)

    def route(self, packet: RtpPacket) -> Route | Verdict:
        """Find the place of a packet whose SSRC is not known yet.

        Returns:
            The route, to be remembered for the SSRC; or why there is none. On probation a packet
            is kept: `released` gives it back.
        """
        ids = self.ids
        ssrc, payload_type = packet.ssrc, packet.payload_type
        announced = self._sources.get(ssrc)
        mid = self.mid_of(packet)
        named = mid is not None
        section: ReceiveSection | None
        if mid is not None:
            section = self._by_mid.get(mid)
            if section is None:
                return Verdict.UNKNOWN_MID
        elif announced is not None:
            section = self._by_mid[announced[0]]
        else:
            if payload_type not in self._by_payload_type:
                return Verdict.UNKNOWN_PAYLOAD_TYPE
            section = self._by_payload_type[payload_type]
            if section is None:
                return Verdict.AMBIGUOUS
        codec = self._codecs.get((section.mid, payload_type))
        if codec is None:
            return Verdict.UNKNOWN_PAYLOAD_TYPE
        retransmitted = codec.apt is not None
        rid = None
        if section.rids:
            rid = read_name(packet.extension(ids.repaired_rid if retransmitted else ids.rid))
            if rid is not None and rid not in section.rids:
                return Verdict.UNKNOWN_RID
            if rid is None and not announced:
                return Verdict.UNKNOWN_RID
        primary = announced[1] if announced is not None else None
        if not (named or announced) and not retransmitted and not self._passes_probation(packet):
            return Verdict.PROBATION
        role = Role.RETRANSMISSION if retransmitted else Role.MEDIA
        return Route(section, role, codec, rid, primary, announced is not None, named)

    def _passes_probation(self, packet: RtpPacket) -> bool:
        """Whether an SSRC known by payload type only has sent two packets in a row.

        Spec: RFC 3550, section A.1.
        """
        before = self._probation.get(packet.ssrc)
        if before is not None and (packet.sequence_number - before.sequence_number) & 0xFFFF <= 3:
            return packet.sequence_number != before.sequence_number
        self._probation.pop(packet.ssrc, None)
        if len(self._probation) >= MAX_ON_PROBATION:
            self._probation.popitem(last=False)
        self._probation[packet.ssrc] = packet
        return False

    def released(self, ssrc: int) -> RtpPacket | None:
        """The packet that was kept of an SSRC on probation, once it has a route."""
        return self._probation.pop(ssrc, None)
