"""The record of a connection's calls, events and statistics."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from rtcstack import InvalidStateError, MediaStreamTrack, RTCPeerConnection, Settings
from rtcstack.observe import apitrace
from rtcstack.observe.apitrace import ApiTrace, TraceEntry, read_trace
from rtcstack.observe.internalsdump import internals_dump
from tests.conformance.helpers import happens, negotiate, trickle


def traced(trace: ApiTrace) -> RTCPeerConnection:
    return RTCPeerConnection({"settings": Settings(trace=trace)})


def types(trace: ApiTrace, without: tuple[str, ...] = ("getStats", "icecandidate")) -> list[str]:
    return [each.type for each in trace.entries if each.type not in without]


async def call(a: RTCPeerConnection, b: RTCPeerConnection) -> None:
    """A channel, open."""
    trickle(a, b)
    opened = happens(a.createDataChannel("chat", ordered=False, maxRetransmits=3), "open")
    await negotiate(a, b)
    await opened


async def test_a_call_is_told_in_order_as_webrtc_internals_names_it() -> None:
    trace = ApiTrace(stats_interval_s=None)
    async with RTCPeerConnection() as b, traced(trace) as a:
        await call(a, b)
    others = (  # when these come is ICE's own affair
        *("icecandidate", "addIceCandidate", "addIceCandidateOnSuccess"),
        *("iceconnectionstatechange", "icegatheringstatechange"),
    )
    assert types(trace, others) == [
        "create",
        "createDataChannel",
        "createDataChannelOnSuccess",
        "setLocalDescription",
        "signalingstatechange",
        "setLocalDescriptionOnSuccess",
        "setRemoteDescription",
        "signalingstatechange",
        "setRemoteDescriptionOnSuccess",
        "connectionstatechange",
        "connectionstatechange",
        "open",
        "close",
    ]
    told = {each.type: each.value for each in trace.entries}
    assert told.keys() >= set(others)
    assert str(told["createDataChannel"]) == "chat, ordered: False, maxRetransmits: 3"
    assert str(told["setRemoteDescription"]).startswith("type: answer, sdp: v=0\r\n")
    assert told["connectionstatechange"] == "connected"
    candidates = [str(each.value) for each in trace.entries if each.type == "icecandidate"]
    assert candidates[0].startswith("sdpMid: 0, sdpMLineIndex: 0, candidate: candidate:")
    assert candidates[-1] == "null"


async def test_failures_are_told_with_their_error() -> None:
    trace = ApiTrace(stats_interval_s=None)
    async with traced(trace) as pc:
        with pytest.raises(InvalidStateError):
            await pc.createAnswer()
        with pytest.raises(InvalidStateError):
            await pc.addIceCandidate({"candidate": "", "sdpMid": "0"})
        with pytest.raises(TypeError):
            pc.addTransceiver("smell")
        await asyncio.sleep(0)
        assert types(trace) == [
            "create",
            "createAnswer",
            "createAnswerOnFailure",
            "addIceCandidate",
            "addIceCandidateFailed",
            "addTransceiver",
            "addTransceiverOnFailure",
        ]
        assert "InvalidStateError: createAnswer" in str(trace.entries[2].value)


async def test_transceivers_are_told_when_they_are_made_and_when_they_change() -> None:
    trace = ApiTrace(stats_interval_s=None)
    async with traced(trace) as a, RTCPeerConnection() as b:
        a.addTrack(MediaStreamTrack("audio"))
        b.addTransceiver("video")
        await negotiate(a, b)
        await negotiate(b, a)
        told = [each for each in trace.entries if each.type.startswith("transceiver")]
        assert [each.type for each in told] == [
            "transceiverAdded",  # by addTrack
            "transceiverModified",  # it has its mid
            "transceiverModified",  # and its current direction
            "transceiverAdded",  # the peer's
            "transceiverModified",
        ]
        assert "Caused by: addTrack\n\ngetTransceivers()[0]:{\n  mid:null,\n  kind:'audio'" in str(
            told[0].value
        )
        assert "currentDirection:'sendonly'" in str(told[2].value)


async def test_what_belongs_to_a_connection_is_heard_too() -> None:
    trace = ApiTrace(stats_interval_s=None)
    async with traced(trace) as a, RTCPeerConnection() as b:
        sender = a.addTrack(MediaStreamTrack("audio"))
        await sender.replaceTrack(None)
        a.getTransceivers()[0].direction = "recvonly"
        trickle(a, b)
        announced = happens(a, "datachannel")
        a.createDataChannel("mine")
        b.createDataChannel("theirs")
        await negotiate(a, b)
        channel = (await announced).channel
        channel.close()
        await happens(channel, "close")
    told = types(trace)
    assert {"replaceTrack", "replaceTrackOnSuccess", "direction", "datachannel", "close"} <= set(told)
    assert told.count("open") == 2


async def test_statistics_are_sampled_until_the_end() -> None:
    trace = ApiTrace(stats_interval_s=0.5)
    async with traced(trace) as a, RTCPeerConnection() as b:
        await call(a, b)
        await asyncio.sleep(2.2)
        samples = [each for each in trace.entries if each.type == "getStats"]
        assert 4 <= len(samples) <= 6
        assert any(stats["type"] == "candidate-pair" for stats in samples[-1].value.values())  # type: ignore[union-attr]
        await a.close()
        await asyncio.sleep(5)
        assert len([each for each in trace.entries if each.type == "getStats"]) == len(samples) + 1


async def test_the_dump_is_what_viewers_of_webrtc_internals_read() -> None:
    trace = ApiTrace()
    async with traced(trace) as a, traced(trace) as b:
        await call(a, b)
        await asyncio.sleep(3)
    dump = json.loads(json.dumps(trace.dump()))
    assert len(dump["PeerConnections"]) == 2
    for name, each in dump["PeerConnections"].items():
        assert name == f"{each['pid']}-{each['lid']}"
        assert json.loads(each["rtcConfiguration"])["bundlePolicy"] == "balanced"
        assert each["updateLog"][0]["type"] == "create"
        assert all(isinstance(line["value"], str) and line["time"] for line in each["updateLog"])
        lengths: dict[str, set[int]] = {}
        for series, stats in each["stats"].items():
            identifier, _, member = series.rpartition("-")
            assert identifier
            assert member not in ("id", "type")
            assert stats["startTime"] <= stats["endTime"]
            lengths.setdefault(identifier, set()).add(len(json.loads(stats["values"])))
            if member == "timestamp":
                assert json.loads(stats["values"]) == sorted(json.loads(stats["values"]))
        received = [s for name, s in each["stats"].items() if name.endswith("-bytesReceived")]
        assert {s["statsType"] for s in received} == {"transport", "candidate-pair", "data-channel"}
        assert max(max(each) for each in lengths.values()) >= 3


async def test_a_file_has_what_the_trace_has(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    trace = ApiTrace(path=path)
    async with traced(trace) as a, RTCPeerConnection() as b:
        await call(a, b)
        await asyncio.sleep(1.5)
    await asyncio.sleep(0)
    trace.close()
    read = read_trace(path.read_text().splitlines())
    assert sorted(read, key=lambda each: each.timestamp) == trace.entries
    assert internals_dump(read) == trace.dump()
    assert read_trace(['{"connection": "1-1", "time', "[]", ""]) == []
    dumped = tmp_path / "dump.json"
    trace.save(dumped)
    assert json.loads(dumped.read_text()) == trace.dump()


async def test_the_sink_gets_each_entry() -> None:
    heard: list[TraceEntry] = []
    trace = ApiTrace(heard.append, stats_interval_s=None)
    async with traced(trace) as pc:
        await pc.createOffer()
        assert [each.type for each in heard] == ["create", "createOffer", "createOfferOnSuccess"]


async def test_what_a_sink_raises_is_the_loops(expects_loop_exceptions: list[dict[str, Any]]) -> None:
    async with traced(ApiTrace(lambda entry: 1 / 0, stats_interval_s=None)) as pc:
        await pc.createOffer()
        assert {type(each["exception"]) for each in expects_loop_exceptions} == {ZeroDivisionError}


async def test_a_full_disk_costs_the_file_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trace = ApiTrace(path="/dev/full", stats_interval_s=None)
    async with traced(trace) as pc:
        await pc.createOffer()
    assert types(trace) == ["create", "createOffer", "createOfferOnSuccess", "close"]
    assert "cannot be written" in caplog.text


async def test_what_is_kept_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apitrace, "MAX_ENTRIES", 10)
    monkeypatch.setattr(apitrace, "MAX_SAMPLES", 2)
    monkeypatch.setattr(apitrace, "MAX_VALUE_LENGTH", 100)
    trace = ApiTrace(stats_interval_s=1)
    async with traced(trace) as pc:
        for _ in range(20):
            await pc.createOffer()
        await asyncio.sleep(5.5)
        assert len(trace.entries) == 12
        assert trace.dropped == 34
        assert max(len(each.value) for each in trace.entries if isinstance(each.value, str)) < 150


async def test_no_credentials_of_servers_are_kept() -> None:
    trace = ApiTrace(stats_interval_s=None)
    server = {"urls": "turn:turn.example.org", "username": "me-myself", "credential": "very secret"}
    async with RTCPeerConnection({"iceServers": [server], "settings": Settings(trace=trace)}) as pc:
        pc.setConfiguration({"iceServers": [server]})
    said = json.dumps(trace.dump())
    assert "turn:turn.example.org" in said
    assert "very secret" not in said
    assert "me-myself" not in said


async def test_a_connection_is_watched_from_the_middle_on_and_a_trace_is_off_without() -> None:
    async with RTCPeerConnection() as pc:
        await pc.createOffer()
        trace = ApiTrace(stats_interval_s=None)
        trace.watch(pc)
        pc.createOffer(lambda offer: None, pytest.fail)
        await asyncio.sleep(0.1)
        assert types(trace) == ["create", "createOffer", "createOfferOnSuccess"]


async def test_an_argument_that_cannot_be_told_costs_its_words() -> None:
    class Odd(str):
        __slots__ = ()

        def __str__(self) -> str:
            raise ZeroDivisionError

    trace = ApiTrace(stats_interval_s=None)
    async with traced(trace) as pc:
        pc.createDataChannel(Odd("x"))
        assert "cannot be told" in str(trace.entries[1].value)


@pytest.mark.parametrize("interval", [0, -1])
def test_an_interval_that_is_none(interval: Any) -> None:
    with pytest.raises(ValueError, match="above 0"):
        ApiTrace(stats_interval_s=interval)
