"""Which section a packet belongs to."""

from __future__ import annotations

from rtcstack.rtp.demux import MAX_ON_PROBATION, Demux, Role, Route, Verdict
from rtcstack.rtp.extensions import Extension
from rtcstack.rtp.header import make_header
from rtcstack.rtp.packet import RtpPacket, parse
from rtcstack.rtp.parameters import ReceiveCodec, Source
from tests.unit.rtp.media import IDS, audio_section, video_section

MID, RID, RRID = IDS[Extension.MID], IDS[Extension.RID], IDS[Extension.REPAIRED_RID]


def packet(ssrc: int, payload_type: int, number: int = 1, **names: bytes) -> RtpPacket:
    ids = {"mid": MID, "rid": RID, "rrid": RRID}
    header = make_header(ssrc, [(ids[name], value) for name, value in names.items()])
    return parse(header.write(payload_type, number, 0, 0, 0) + b"media")


def demux(*sections: object) -> Demux:
    table = Demux()
    for section in sections or (video_section(), audio_section()):
        table.set_section(section)  # type: ignore[arg-type]
    return table


def route(table: Demux, p: RtpPacket) -> Route:
    found = table.route(p)
    assert isinstance(found, Route), found
    return found


def test_by_mid() -> None:
    found = route(demux(), packet(5, 96, mid=b"v"))
    assert (found.section.mid, found.role, found.named) == ("v", Role.MEDIA, True)
    assert demux().route(packet(5, 96, mid=b"nobody")) is Verdict.UNKNOWN_MID


def test_a_mid_with_a_payload_type_of_another_section() -> None:
    assert demux().route(packet(5, 111, mid=b"v")) is Verdict.UNKNOWN_PAYLOAD_TYPE


def test_by_announced_ssrc() -> None:
    table = demux(video_section(sources=(Source(5, 6),)), audio_section())
    assert route(table, packet(5, 96)).announced
    repeated = route(table, packet(6, 97))
    assert (repeated.role, repeated.primary_ssrc) == (Role.RETRANSMISSION, 5)


def test_the_mid_outweighs_what_was_announced() -> None:
    other = video_section(mid="w")
    table = demux(video_section(sources=(Source(5),)), other)
    assert route(table, packet(5, 96, mid=b"w")).section is other


def test_by_a_payload_type_of_one_section_only_after_probation() -> None:
    table = demux()
    first = packet(5, 96, 10)
    assert table.route(first) is Verdict.PROBATION
    assert route(table, packet(5, 96, 11)).section.mid == "v"
    assert table.released(5) is first
    assert table.released(5) is None


def test_probation_wants_successors() -> None:
    table = demux()
    for number in (10, 500, 10, 10, 7):
        assert table.route(packet(5, 96, number)) is Verdict.PROBATION
    assert route(table, packet(5, 96, 9))


def test_a_payload_type_of_several_sections_tells_nothing() -> None:
    table = demux(video_section(), video_section(mid="w"))
    assert table.route(packet(5, 96)) is Verdict.AMBIGUOUS
    table.remove_section("w")
    assert table.route(packet(5, 96)) is Verdict.PROBATION


def test_unknown_payload_type() -> None:
    assert demux().route(packet(5, 50)) is Verdict.UNKNOWN_PAYLOAD_TYPE


def test_simulcast_by_rid() -> None:
    table = demux(video_section(rids=("hi", "lo")))
    assert route(table, packet(5, 96, mid=b"v", rid=b"lo")).rid == "lo"
    repeated = route(table, packet(6, 97, mid=b"v", rrid=b"lo"))
    assert (repeated.role, repeated.rid) == (Role.RETRANSMISSION, "lo")
    assert table.route(packet(5, 96, mid=b"v", rid=b"no")) is Verdict.UNKNOWN_RID
    assert table.route(packet(5, 96, mid=b"v")) is Verdict.UNKNOWN_RID


def test_probation_is_bounded() -> None:
    table = demux()
    for ssrc in range(10 * MAX_ON_PROBATION):
        table.route(packet(ssrc, 96))
    assert len(table._probation) == MAX_ON_PROBATION


def test_names_by_bytes() -> None:
    table = demux()
    assert table.section_by_name(b"v") is table.sections["v"]
    assert table.section_by_name(b"\xff") is None
    assert ReceiveCodec(97, 90000, apt=96) in table.sections["v"].codecs
