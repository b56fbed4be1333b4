"""Statistics, part by part: ids, sources, quantizers, limits, candidates, certificates."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from rtcstack.codecs.payload.quantizers import vp8_quantizer
from rtcstack.connection.monitored import Monitored
from rtcstack.connection.stats.codecs import is_power_efficient
from rtcstack.connection.stats.ice import add_ice
from rtcstack.connection.stats.report import Report
from rtcstack.connection.stats.statistics import _add_certificates
from rtcstack.ice import IceServer, PairReport
from rtcstack.ice.config import ServerScheme
from rtcstack.ice.contract import IceReport, LocalCandidate
from rtcstack.media.pipeline.sourcemeter import SourceMeter
from rtcstack.media.pipeline.video_counts import Limitation, VideoCounts
from rtcstack.media.source import TrackSource
from rtcstack.sdp.candidate import Candidate
from tests.support.stats_idl import faults


def report() -> Report:
    return Report(Monitored())


def test_ids_are_of_one_connection() -> None:
    first, second = Monitored(), Monitored()
    assert first.identify("T1") == first.identify("T1") != first.identify("T2")
    assert first.identify("T1") != second.identify("T1")


def test_parts_have_numbers_of_their_own() -> None:
    monitored = Monitored()
    one, other = SourceOwner(), SourceOwner()
    assert monitored.number(one) == monitored.number(one) != monitored.number(other)


class SourceOwner:
    """Something that can be counted."""


def test_what_a_source_has_counted_never_falls() -> None:
    monitored = Monitored()
    track = TrackSource("audio").track()
    first, second = SourceMeter(track), SourceMeter(track)
    first.heard(0.25, 1.0)
    second.heard(0.25, 0.5)
    both = monitored.source(track.id, [first, second])
    assert (both.level, both.energy, both.duration_s) == (0.5, 0.25, 1.0)
    rest = monitored.source(track.id, [second])
    assert (rest.number, rest.energy, rest.duration_s) == (both.number, 0.25, 1.0)
    second.heard(None, 2.0)
    assert monitored.source(track.id, [second]).duration_s == 2.5
    later = monitored.source(track.id, [SourceMeter(track)])
    assert later.number != both.number
    assert later.duration_s == 0
    monitored.keep_sources([])
    assert monitored.source(track.id, [SourceMeter(track)]).number not in (both.number, later.number)


def test_pictures_out_of_an_encoder() -> None:
    counts = VideoCounts()
    counts.made(1000, 500.4, None, key_frame=True)
    counts.made(1250, 500.4, 7, key_frame=False)
    counts.made(1251, 500.4, 9, key_frame=False)
    counts.made(10, 0.0, None, key_frame=False)
    assert (counts.frames, counts.key_frames, counts.huge_frames) == (4, 1, 1)
    assert (counts.target_bytes, counts.qp_sum) == (1500, 16)


def test_time_is_accounted_for_by_its_reason() -> None:
    limitation = Limitation(10.0)
    limitation.note("bandwidth", 12.0)
    limitation.note("bandwidth", 13.0)
    limitation.note("cpu", 15.0)
    limitation.note("none", 15.5)
    assert limitation.durations_s(20.0) == {"none": 6.5, "bandwidth": 3.0, "cpu": 0.5, "other": 0.0}
    assert limitation.durations_s(20.0) == limitation.durations_s(20.0)


@pytest.mark.parametrize(("quantizer", "index"), [(4, 4), (20, 25), (63, 127)])
def test_quantizers_of_vp8(quantizer: int, index: int) -> None:
    codec: Any = av.CodecContext.create("libvpx", "w")
    codec.width, codec.height, codec.pix_fmt = 64, 64, "yuv420p"
    codec.time_base = Fraction(1, 30)
    codec.bit_rate = 200_000
    codec.options = {
        "qmin": str(quantizer),
        "qmax": str(quantizer),
        "deadline": "realtime",
        "crf": str(quantizer),
    }
    noise = np.random.default_rng(1)
    packets = []
    for number in range(5):
        frame = av.VideoFrame.from_ndarray(noise.integers(0, 255, (96, 64), np.uint8), format="yuv420p")
        frame.pts = number
        packets += codec.encode(frame)
    packets += codec.encode(None)
    assert [vp8_quantizer(bytes(packet)) for packet in packets] == [index] * 5


@pytest.mark.parametrize("data", [b"", bytes(9), bytes(11), b"\x01" + bytes(3)])
def test_no_quantizer_without_a_header(data: bytes) -> None:
    assert vp8_quantizer(data) is None


def test_the_shortest_header_has_a_quantizer() -> None:
    assert vp8_quantizer(bytes(12)) == 0


def test_hardware_goes_by_its_name() -> None:
    assert is_power_efficient("") is None
    assert is_power_efficient("libvpx") is False
    assert is_power_efficient("h264_nvenc") is True


# -- candidates ---------------------------------------------------------------------------------------


Objects = dict[str, dict[str, Any]]


def candidates(local: list[LocalCandidate], remote: list[Candidate], *pairs: PairReport) -> Objects:
    found = IceReport("ours", "theirs", tuple(local), tuple(remote), pairs)
    entry: Any = SourceOwner()
    entry.agent = SimpleNamespace(report=lambda: found)
    written = report()
    transport = written.add("transport", "T1", {"dtlsState": "new"})
    add_ice(written, entry, transport, {"availableOutgoingBitrate": 5})
    assert faults(written.objects) == []
    return written.objects


def by_type(objects: Objects, kind: str) -> list[dict[str, Any]]:
    return [each for each in objects.values() if each["type"] == kind]


HOST = Candidate.parse("1 1 udp 2130706431 192.0.2.1 5000 typ host")
REFLEXIVE = Candidate.parse("2 1 udp 1694498815 203.0.113.1 6000 typ srflx raddr 192.0.2.1 rport 5")
RELAYED = Candidate.parse("3 1 udp 16777215 198.51.100.9 7000 typ relay raddr 203.0.113.1 rport 6")
ACTIVE = Candidate.parse("4 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active")
SEEN = Candidate.parse("5 1 udp 1845501695 203.0.113.7 1234 typ prflx raddr 0.0.0.0 rport 0")


def test_candidates_of_servers_tell_where_they_come_from() -> None:
    stun = IceServer("stun:stun.example.org", ServerScheme.STUN, "stun.example.org", 3478, "udp")
    turn = IceServer("turn:turn.example.org", ServerScheme.TURN, "turn.example.org", 443, "tcp", "u", "p")
    local = [LocalCandidate(HOST, None), LocalCandidate(REFLEXIVE, stun), LocalCandidate(RELAYED, turn)]
    host, reflexive, relayed = by_type(candidates(local, []), "local-candidate")
    assert not {"url", "relayProtocol", "relatedAddress"} & host.keys()
    assert reflexive["url"] == stun.url
    assert "relayProtocol" not in reflexive
    assert (relayed["url"], relayed["relayProtocol"]) == (turn.url, "tcp")
    assert (relayed["relatedAddress"], relayed["relatedPort"]) == ("203.0.113.1", 6)
    assert {each["usernameFragment"] for each in (host, reflexive, relayed)} == {"ours"}


def test_candidates_of_tcp_tell_their_kind() -> None:
    [found] = by_type(candidates([LocalCandidate(ACTIVE, None)], []), "local-candidate")
    assert (found["protocol"], found["tcpType"], found["port"]) == ("tcp", "active", 9)


def test_addresses_that_nobody_told_are_not_shown() -> None:
    pair = PairReport(key="1", local=HOST, remote=SEEN, state="succeeded", nominated=True, is_selected=True)
    objects = candidates([], [], pair)
    [remote] = by_type(objects, "remote-candidate")
    assert remote["address"] is None
    assert (remote["candidateType"], remote["port"]) == ("prflx", 1234)
    # both ends of a pair are there, though the agent has listed neither
    [found] = by_type(objects, "candidate-pair")
    assert objects[found["localCandidateId"]]["address"] == "192.0.2.1"
    assert found["availableOutgoingBitrate"] == 5
    assert "currentRoundTripTime" not in found


def test_a_chain_of_certificates_is_linked() -> None:
    written = report()
    first = _add_certificates(written, (b"leaf", b"between", b"root"))
    assert faults(written.objects) == []
    chain = []
    while first is not None:
        chain.append(written.objects[first]["base64Certificate"])
        first = written.objects[first].get("issuerCertificateId")
    assert chain == ["bGVhZg==", "YmV0d2Vlbg==", "cm9vdA=="]
    assert _add_certificates(written, ()) is None
