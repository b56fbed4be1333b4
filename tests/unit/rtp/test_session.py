"""The engine whole: streams that come and go."""

from __future__ import annotations

from struct import pack

from rtcstack.rtp.events import (
    FrameReceived,
    PacketsReceived,
    StreamEnded,
    StreamStarted,
)
from rtcstack.rtp.parameters import Delivery, ReceiveCodec, Source
from rtcstack.rtp.rtcp import (
    Goodbye,
    ReceiverReport,
)
from rtcstack.rtp.rtx import RtxStream
from rtcstack.rtp.session import Drop
from tests.unit.rtp.media import (
    START,
    audio_section,
    video_payloads,
    video_section,
)
from tests.unit.rtp.receiver import Receiver, of, rtp


def test_a_stream_starts_and_its_frames_come() -> None:
    receiver = Receiver()
    started, frame = receiver.put(rtp(5, 1))
    assert isinstance(started, StreamStarted)
    assert (started.stream.ssrc, started.stream.mid, started.replaces) == (5, "v", None)
    assert isinstance(frame, FrameReceived)
    assert (frame.frame.ssrc, frame.frame.mid, frame.stream) == (5, "v", started.stream)
    current = receiver.session.current_stream("v")
    assert current is not None
    assert current.name == started.stream
    assert receiver.session.receive_stream(started.stream) is current


def test_a_new_ssrc_takes_the_place_of_the_one_before() -> None:
    receiver = Receiver()
    (first, _) = receiver.put(rtp(5, 1))
    (second, _) = receiver.put(rtp(6, 700))
    assert second.replaces == first.stream
    assert receiver.put(rtp(5, 2, bytes((START,)) + b"1/"))  # a late one of the old still counts
    assert receiver.session.current_stream("v").ssrc == 6  # type: ignore[union-attr]
    receiver.wait(10.0)
    ended = of(StreamEnded, receiver.events)
    assert [(e.stream.ssrc, e.reason) for e in ended] == [(5, "replaced")]
    assert [s.ssrc for s in receiver.session.receive_streams] == [6]


def test_a_stream_moves_to_another_section() -> None:
    receiver = Receiver(video_section(), video_section(mid="w"))
    receiver.put(rtp(5, 1))
    ended, started, _ = receiver.put(rtp(5, 2, mid=b"w"))
    assert ended.reason == "moved"
    assert started.stream.mid == "w"
    assert receiver.put(rtp(5, 3, mid=b"nobody"))[0].reason == "moved"
    assert receiver.session.drops == {Drop.UNKNOWN_MID: 1}


def test_without_names_after_probation_with_nothing_lost() -> None:
    receiver = Receiver()
    assert receiver.put(rtp(5, 1, mid=None)) == []
    started, one, two = receiver.put(rtp(5, 2, bytes((START,)) + b"1/", mid=None))
    assert isinstance(started, StreamStarted)
    assert [one.frame.data, two.frame.data] == [b"0/", b"1/"]


def test_goodbye() -> None:
    receiver = Receiver()
    receiver.put(rtp(5, 1))
    bye = ReceiverReport(5).to_bytes() + Goodbye((5, 77), "enough").to_bytes()
    (ended,) = receiver.put(bye)
    assert (ended.reason, ended.text) == ("bye", "enough")
    assert receiver.session.receive_streams == []
    assert receiver.session.current_stream("v") is None


def test_a_section_goes() -> None:
    receiver = Receiver()
    receiver.put(rtp(5, 1))
    receiver.session.remove_receive_section("v")
    assert [e.reason for e in receiver.take()] == ["removed"]
    assert receiver.put(rtp(5, 2)) == []


def test_simulcast() -> None:
    receiver = Receiver(rids=("hi", "lo"))
    receiver.put(rtp(5, 1, rid=b"hi"), rtp(6, 1, rid=b"lo"))
    assert receiver.session.current_stream("v", "hi").ssrc == 5  # type: ignore[union-attr]
    assert {e.frame.rid for e in of(FrameReceived, receiver.events)} == {"hi", "lo"}
    receiver.put(rtp(6, 3, bytes((START,)) + b"2/"))
    osn = pack("!H", 2)
    rtx = rtp(8, 1, osn + bytes((START,)) + b"1/", payload_type=97, timestamp=6000, repaired_rid=b"lo")
    frames = of(FrameReceived, receiver.put(rtx))
    assert [f.frame.data for f in frames] == [b"1/", b"2/"]
    assert frames[0].frame.retransmitted
    lo = receiver.session.current_stream("v", "lo")
    assert lo is not None
    assert (lo.retransmitted_packets, lo.retransmitted_bytes) == (1, 5)


def test_retransmissions_by_announcement_by_place_and_without_a_stream() -> None:
    receiver = Receiver(sources=(Source(5, 6),))
    rtx = rtp(6, 1, pack("!H", 2) + bytes((START,)) + b"1/", payload_type=97, mid=None, timestamp=6000)
    assert receiver.put(rtx) == []
    assert receiver.session.drops == {Drop.NO_PRIMARY: 1}
    receiver.put(rtp(5, 1, mid=None), rtp(5, 3, bytes((START,)) + b"2/", mid=None))
    assert len(of(FrameReceived, receiver.put(rtx))) == 2
    other = Receiver()
    other.put(rtp(5, 1), rtp(5, 3, bytes((START,)) + b"2/"))
    assert len(of(FrameReceived, other.put(rtx))) == 2


def test_nonsense_as_retransmissions() -> None:
    receiver = Receiver()
    receiver.put(rtp(5, 1))
    receiver.put(
        rtp(6, 1, b"", payload_type=97),
        rtp(6, 2, b"x", payload_type=97),
        rtp(6, 3, pack("!H", 1) + b"again", payload_type=97),
        rtp(6, 4, pack("!H", 40000) + b"never", payload_type=97),
        rtp(6, 5, b"wrong type", payload_type=96),
    )
    (stream,) = receiver.session.receive_streams
    assert stream.duplicates == 2
    rtx = receiver.session._received.by_ssrc[stream.rtx_ssrc or 0]
    assert isinstance(rtx, RtxStream)
    assert rtx.malformed == 2
    # they are counted all the same (webrtc-stats, packetsReceived: retransmissions included)
    assert (stream.packets_received, stream.retransmitted_packets) == (6, 4)
    payload = 1 + 7 + 7 + 10
    assert stream.retransmitted_bytes == rtx.bytes_received == payload


def test_duplicates_are_told() -> None:
    receiver = Receiver(delivery=Delivery.PACKETS)
    a, b = rtp(5, 1), rtp(5, 2)
    receiver.put(a, b, b, a)
    (stream,) = receiver.session.receive_streams
    assert (stream.duplicates, stream.packets_received) == (2, 2)
    assert stream.reception.packets_lost == -2


def test_packets_from_before_the_first_are_taken() -> None:
    receiver = Receiver()
    payloads = video_payloads(0, 3, key=True, size=20)
    a, b, c = (rtp(5, i, p, timestamp=0, marker=i == 2) for i, p in enumerate(payloads))
    receiver.put(b, a, c)
    assert len(of(FrameReceived, receiver.events)) == 1


def test_packets_on_request_in_order_of_arrival() -> None:
    receiver = Receiver(delivery=Delivery.PACKETS | Delivery.FRAMES)
    events = receiver.put(rtp(5, 1), rtp(5, 3), rtp(5, 2))
    (packets,) = of(PacketsReceived, events)
    assert [p.sequence_number for p in packets.packets] == [1, 3, 2]
    assert of(FrameReceived, events)
    assert of(PacketsReceived, receiver.take()) == []


def test_audio_is_pulled() -> None:
    receiver = Receiver()
    receiver.put(rtp(9, 1, b"speech", payload_type=111, mid=b"a"))
    stream = receiver.session.current_stream("a")
    assert stream is not None
    assert stream.playout is not None
    receiver.now += 0.02
    frame = stream.playout.pop(receiver.now).frame
    assert frame is not None
    assert frame.data == b"speech"


def test_audio_frames_as_they_arrive() -> None:
    receiver = Receiver(audio_section(delivery=Delivery.FRAMES))
    level = {"audio_level": b"\x94"}
    (_, event) = receiver.put(rtp(9, 1, b"speech", payload_type=111, mid=b"a", **level))
    assert (event.frame.data, event.frame.audio_level, event.frame.voice) == (b"speech", 20, True)
    assert receiver.put(rtp(9, 2, b"\x01", payload_type=110, mid=b"a")) == []  # counted, not media


def test_a_change_of_codec_and_clock() -> None:
    section = audio_section(
        codecs=(
            ReceiveCodec(111, 48000, audio_section().codecs[0].depacketizer),
            ReceiveCodec(0, 8000, audio_section().codecs[0].depacketizer),
        )
    )
    receiver = Receiver(section)
    receiver.put(rtp(9, 1, b"a", payload_type=111, mid=b"a"))
    receiver.put(rtp(9, 2, b"b", payload_type=0, mid=b"a"))
    stream = receiver.session.current_stream("a")
    assert stream is not None
    assert (stream.payload_type, stream.reception.clock_rate) == (0, 8000)
