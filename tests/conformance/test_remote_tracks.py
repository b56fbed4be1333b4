"""Which tracks and streams descriptions make, take away and bring back.

Spec: webrtc-pc, section 5.1.2 (processing remote MediaStreamTracks) and 4.4.1.5.
"""

from __future__ import annotations

from typing import Any

from rtcstack import MediaStream, MediaStreamTrack, RTCPeerConnection
from rtcstack.connection.remotetracks import MAX_KEPT_STREAMS
from tests.conformance.helpers import negotiate

ROLLBACK = {"type": "rollback"}


def told(pc: RTCPeerConnection) -> list[tuple[str, Any]]:
    """What is told of tracks and streams from now on."""
    log: list[tuple[str, Any]] = []
    known: set[str] = set()

    def on_track(event: Any) -> None:
        log.append(("track", [stream.id for stream in event.streams]))
        for stream in event.streams:
            if stream.id not in known:
                known.add(stream.id)
                stream.onaddtrack = lambda _, stream=stream: log.append(("addtrack", stream.id))
                stream.onremovetrack = lambda _, stream=stream: log.append(("removetrack", stream.id))

    pc.ontrack = on_track
    return log


async def test_an_offer_of_ours_tells_of_no_tracks() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        a.addTrack(MediaStreamTrack("video"))
        await a.setLocalDescription()
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        b.getTransceivers()[0].direction = "inactive"
        await b.setLocalDescription()
        log = told(b)
        await b.setLocalDescription()
        assert log == []
        await b.setLocalDescription(ROLLBACK)
        assert log == []


async def test_a_provisional_answer_that_does_not_receive_takes_the_track_away() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        stream = MediaStream()
        a.addTrack(MediaStreamTrack("video"), stream)
        log = told(b)
        await b.setRemoteDescription(await a.createOffer())
        b.getTransceivers()[0].direction = "inactive"
        answer = await b.createAnswer()
        await b.setLocalDescription({"type": "pranswer", "sdp": answer.sdp})
        assert log == [("track", [stream.id]), ("removetrack", stream.id)]


async def test_a_track_that_comes_into_another_stream_is_told_again() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        first, second = MediaStream(), MediaStream()
        sender = a.addTrack(MediaStreamTrack("video"), first)
        log = told(b)
        await negotiate(a, b)
        sender.setStreams(first, second)
        await negotiate(a, b)
        sender.setStreams(second)
        await negotiate(a, b)
        assert log == [
            ("track", [first.id]),
            ("track", [first.id, second.id]),
            ("removetrack", first.id),
        ]


async def test_a_transceiver_that_is_stopped_takes_its_track_from_its_streams() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        stream = MediaStream()
        a.addTrack(MediaStreamTrack("video"), stream)
        b.addTrack(MediaStreamTrack("video"), stream)
        logs = told(a), told(b)
        await negotiate(a, b)
        a.getTransceivers()[0].stop()
        await negotiate(a, b)
        assert logs[0] == logs[1] == [("track", [stream.id]), ("removetrack", stream.id)]
        assert a.getTransceivers() == b.getTransceivers() == []


async def test_a_stream_of_the_same_id_is_the_same_object() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        stream = MediaStream()
        sender = a.addTrack(MediaStreamTrack("video"), stream)
        log = told(b)
        await negotiate(a, b)
        sender.setStreams()
        await negotiate(a, b)
        sender.setStreams(stream)
        await negotiate(a, b)
        assert log == [
            ("track", [stream.id]),
            ("removetrack", stream.id),
            ("addtrack", stream.id),
            ("track", [stream.id]),
        ]


async def test_streams_that_the_peer_no_longer_names_are_forgotten_in_the_end() -> None:
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        sender = a.addTrack(MediaStreamTrack("video"), MediaStream())
        seen: dict[str, int] = {}
        b.ontrack = lambda event: seen.setdefault(event.streams[0].id, id(event.streams[0]))
        await negotiate(a, b)
        for _ in range(MAX_KEPT_STREAMS + 8):
            sender.setStreams(MediaStream())
            await negotiate(a, b)
        from tests.support.insides import remembered_streams

        assert len(seen) == MAX_KEPT_STREAMS + 9
        assert len(remembered_streams(b)) == MAX_KEPT_STREAMS


async def test_streams_of_a_sender_that_has_stopped_may_be_set() -> None:
    async with RTCPeerConnection() as pc:
        transceiver = pc.addTransceiver("video")
        transceiver.stop()
        transceiver.sender.setStreams(MediaStream())
