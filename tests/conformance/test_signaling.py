"""Offers, answers, rollback and the states that go with them.

Spec: webrtc-pc, sections 4.3.1, 4.4.1 and 4.4.2; RFC 9429.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtcstack import (
    InvalidModificationError,
    InvalidStateError,
    MediaStreamTrack,
    OperationError,
    RTCError,
    RTCPeerConnection,
    RTCSessionDescription,
    RTCSignalingState,
)
from tests.conformance.helpers import happens, negotiate, pair, rejects


def snapshot(pc: RTCPeerConnection) -> tuple[Any, ...]:
    """All that a failure must leave as it was."""
    return (
        pc.signalingState,
        pc.pendingLocalDescription,
        pc.currentLocalDescription,
        pc.pendingRemoteDescription,
        pc.currentRemoteDescription,
        [(t.mid, t.direction, t.currentDirection) for t in pc.getTransceivers()],
    )


async def test_states_of_an_exchange() -> None:
    async with pair() as (a, b):
        a.createDataChannel("x")
        states: list[tuple[str, str]] = []
        a.on("signalingstatechange", lambda: states.append(("a", str(a.signalingState))))
        b.on("signalingstatechange", lambda: states.append(("b", str(b.signalingState))))
        offer = await a.createOffer()
        assert a.signalingState == "stable"
        assert a.localDescription is None
        await a.setLocalDescription(offer)
        assert a.pendingLocalDescription == a.localDescription
        assert a.currentLocalDescription is None
        await b.setRemoteDescription(offer)
        assert b.pendingRemoteDescription is not None
        answer = await b.createAnswer()
        await b.setLocalDescription(answer)
        assert b.pendingLocalDescription is None
        assert b.currentLocalDescription is not None
        assert b.currentRemoteDescription is not None
        await a.setRemoteDescription(answer)
        assert a.currentLocalDescription is not None
        assert a.pendingLocalDescription is None
        assert states == [
            ("a", "have-local-offer"),
            ("b", "have-remote-offer"),
            ("b", "stable"),
            ("a", "stable"),
        ]


async def test_implicit_descriptions() -> None:
    async with pair() as (a, b):
        a.addTransceiver("audio")
        await a.setLocalDescription()
        assert a.localDescription is not None
        assert a.localDescription.type == "offer"
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        assert b.localDescription is not None
        assert b.localDescription.type == "answer"


async def test_type_without_text_uses_what_was_created() -> None:
    async with pair() as (a, _):
        a.addTransceiver("audio")
        offer = await a.createOffer()
        await a.setLocalDescription({"type": "offer"})
        assert a.pendingLocalDescription is not None
        assert a.pendingLocalDescription.sdp.startswith(offer.sdp[:60])


async def test_an_answer_in_stable_is_refused_and_changes_nothing() -> None:
    async with pair() as (a, b):
        b.addTransceiver("audio")
        offer = await b.createOffer()
        before = snapshot(a)
        answer = {"type": "answer", "sdp": offer.sdp}
        error = await rejects(InvalidStateError, a.setRemoteDescription(answer))
        assert "stable" in str(error)
        await rejects(InvalidStateError, a.createAnswer())
        assert snapshot(a) == before


async def test_changed_text_is_refused() -> None:
    async with pair() as (a, _):
        a.addTransceiver("audio")
        offer = await a.createOffer()
        changed = RTCSessionDescription("offer", offer.sdp.replace("a=sendrecv", "a=sendonly"))
        await rejects(InvalidModificationError, a.setLocalDescription(changed))
        # The text is looked at before the state (webrtc-pc, section 4.4.2, setLocalDescription).
        answer = RTCSessionDescription("answer", offer.sdp)
        await rejects(InvalidModificationError, a.setLocalDescription(answer))
        assert a.signalingState == "stable"


async def test_syntax_errors_name_the_line() -> None:
    async with pair() as (a, b):
        b.addTransceiver("audio")
        sdp = (await b.createOffer()).sdp.split("\r\n")
        sdp[1] = "o=nonsense"
        before = snapshot(a)
        error = await rejects(RTCError, a.setRemoteDescription({"type": "offer", "sdp": "\r\n".join(sdp)}))
        assert isinstance(error, RTCError)
        assert error.errorDetail == "sdp-syntax-error"
        assert error.sdpLineNumber == 2
        assert snapshot(a) == before


@pytest.mark.parametrize("text", ["", "x", "v=0", "v=0\r\n" * 50, "\x00" * 100])
async def test_hostile_text(text: str) -> None:
    async with pair() as (a, _):
        await rejects((RTCError, OperationError), a.setRemoteDescription({"type": "offer", "sdp": text}))  # type: ignore[arg-type]
        assert a.signalingState == "stable"


async def test_explicit_rollback_of_a_local_offer() -> None:
    async with pair() as (a, b):
        a.addTransceiver("audio")
        before = [t.mid for t in a.getTransceivers()]
        await a.setLocalDescription()
        assert a.getTransceivers()[0].mid is not None
        await a.setLocalDescription({"type": "rollback"})
        assert a.signalingState == "stable"
        assert a.localDescription is None
        assert [t.mid for t in a.getTransceivers()] == before
        await negotiate(a, b)
        assert a.getTransceivers()[0].currentDirection == "sendonly"


async def test_rollback_of_a_remote_offer_removes_its_transceivers() -> None:
    async with pair() as (a, b):
        b.addTrack(MediaStreamTrack("video"))
        await b.setLocalDescription()
        assert b.localDescription is not None
        tracks: list[Any] = []
        a.on("track", lambda e: tracks.append(e.track))
        await a.setRemoteDescription(b.localDescription)
        [transceiver] = a.getTransceivers()
        assert transceiver.direction == "recvonly"
        assert [t.kind for t in tracks] == ["video"]
        await a.setRemoteDescription({"type": "rollback"})
        assert a.getTransceivers() == []
        assert transceiver.mid is None
        assert a.signalingState == "stable"


async def test_a_transceiver_that_addtrack_used_survives_the_rollback() -> None:
    async with pair() as (a, b):
        b.addTrack(MediaStreamTrack("video"))
        await b.setLocalDescription()
        assert b.localDescription is not None
        await a.setRemoteDescription(b.localDescription)
        track = MediaStreamTrack("video")
        sender = a.addTrack(track)
        await a.setRemoteDescription({"type": "rollback"})
        [transceiver] = a.getTransceivers()
        assert transceiver.sender is sender
        assert transceiver.mid is None
        assert sender.track is track


async def test_rollback_in_stable_is_refused() -> None:
    async with pair() as (a, _):
        await rejects(InvalidStateError, a.setLocalDescription({"type": "rollback"}))
        await rejects(InvalidStateError, a.setRemoteDescription({"type": "rollback"}))


async def test_implicit_rollback_on_glare() -> None:
    async with pair() as (polite, impolite):
        polite.createDataChannel("a")
        impolite.addTransceiver("audio")
        await polite.setLocalDescription()
        await impolite.setLocalDescription()
        assert impolite.localDescription is not None
        states: list[str] = []
        polite.on("signalingstatechange", lambda: states.append(str(polite.signalingState)))
        await polite.setRemoteDescription(impolite.localDescription)
        assert polite.signalingState == "have-remote-offer"
        await polite.setLocalDescription()
        assert polite.localDescription is not None
        await impolite.setRemoteDescription(polite.localDescription)
        assert polite.signalingState == impolite.signalingState == "stable"
        assert [t.mid is not None for t in polite.getTransceivers()] == [True]
        await negotiate(polite, impolite)
        assert polite.sctp is not None


async def test_provisional_answer() -> None:
    async with pair() as (a, b):
        a.createDataChannel("x")
        await a.setLocalDescription()
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        answer = await b.createAnswer()
        await b.setLocalDescription({"type": "pranswer", "sdp": answer.sdp})
        assert b.signalingState == "have-local-pranswer"
        assert b.pendingLocalDescription is not None
        await a.setRemoteDescription(b.pendingLocalDescription)
        assert a.signalingState == "have-remote-pranswer"
        await rejects(InvalidStateError, a.createOffer())
        await b.setLocalDescription()
        assert b.localDescription is not None
        await a.setRemoteDescription(b.localDescription)
        assert a.signalingState == b.signalingState == "stable"


async def test_operations_run_in_order_each_in_a_turn_of_its_own() -> None:
    async with pair() as (a, b):
        b.addTransceiver("audio")
        offer = await b.createOffer()
        setting = a.setRemoteDescription(offer)
        answering = a.createAnswer()
        local = a.setLocalDescription()
        assert a.signalingState == "stable"
        await setting
        assert a.signalingState == "have-remote-offer"
        assert not answering.done()
        answer = await answering
        assert a.signalingState == "have-remote-offer"
        await local
        assert answer.type == "answer"
        assert a.signalingState == "stable"


async def test_a_failed_operation_does_not_stop_the_chain() -> None:
    async with pair() as (a, _):
        a.addTransceiver("audio")
        bad = a.setRemoteDescription({"type": "answer", "sdp": "v=0\r\n"})
        good = a.createOffer()
        await rejects(Exception, bad)
        assert (await good).type == "offer"


async def test_operations_pass_for_coroutines() -> None:
    async with pair() as (a, _):
        a.addTransceiver("audio")
        offer = await asyncio.create_task(a.createOffer())
        assert offer.type == "offer"
        first, second = await asyncio.gather(a.createOffer(), a.createOffer())
        assert first == second
        assert (await asyncio.wait_for(a.createOffer(), 1)).type == "offer"


async def test_negotiationneeded_is_coalesced_and_not_repeated() -> None:
    async with pair() as (a, b):
        count = 0

        def needed() -> None:
            nonlocal count
            count += 1

        a.on("negotiationneeded", needed)
        a.addTransceiver("audio")
        a.addTransceiver("video")
        a.createDataChannel("x")
        assert count == 0
        await asyncio.sleep(0.01)
        assert count == 1
        await negotiate(a, b)
        await asyncio.sleep(0.01)
        assert count == 1
        a.createDataChannel("y")
        await asyncio.sleep(0.01)
        assert count == 1, "further data channels need no negotiation"
        a.getTransceivers()[0].direction = "inactive"
        await asyncio.sleep(0.01)
        assert count == 2


async def test_negotiationneeded_waits_for_the_chain_and_for_stable() -> None:
    async with pair() as (a, b):
        a.addTransceiver("audio")
        await asyncio.sleep(0.01)
        fired: list[str] = []
        a.on("negotiationneeded", lambda: fired.append(str(a.signalingState)))
        await a.setLocalDescription()
        a.addTransceiver("video")
        await asyncio.sleep(0.01)
        assert fired == []
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        assert b.localDescription is not None
        await a.setRemoteDescription(b.localDescription)
        await asyncio.sleep(0.01)
        assert fired == ["stable"]


async def test_perfect_negotiation_under_glare() -> None:
    async with pair() as (a, b):
        inbox: dict[RTCPeerConnection, asyncio.Queue[RTCSessionDescription]] = {
            a: asyncio.Queue(),
            b: asyncio.Queue(),
        }
        making: dict[RTCPeerConnection, bool] = {a: False, b: False}

        def wire(me: RTCPeerConnection, other: RTCPeerConnection) -> None:
            async def needed() -> None:
                making[me] = True
                try:
                    await me.setLocalDescription()
                    assert me.localDescription is not None
                    inbox[other].put_nowait(me.localDescription)
                finally:
                    making[me] = False

            me.on("negotiationneeded", needed)

        async def listen(me: RTCPeerConnection, other: RTCPeerConnection, *, polite: bool) -> None:
            while True:
                description = await inbox[me].get()
                collision = description.type == "offer" and (
                    making[me] or me.signalingState is not RTCSignalingState.STABLE
                )
                if collision and not polite:
                    continue
                await me.setRemoteDescription(description)
                if description.type == "offer":
                    await me.setLocalDescription()
                    assert me.localDescription is not None
                    inbox[other].put_nowait(me.localDescription)

        wire(a, b)
        wire(b, a)
        tasks = [
            asyncio.create_task(listen(a, b, polite=True)),
            asyncio.create_task(listen(b, a, polite=False)),
        ]
        got = asyncio.create_task(happens(b, "datachannel"))
        channel = a.createDataChannel("from a")
        b.addTrack(MediaStreamTrack("audio"))
        await happens(channel, "open")
        assert (await got).channel.label == "from a"
        await asyncio.sleep(0.05)
        assert a.signalingState == b.signalingState == "stable"
        assert [t.receiver.track.kind for t in a.getTransceivers()] == ["audio"]
        for task in tasks:
            assert not task.done()
            task.cancel()


async def test_closed_connection_refuses_by_name() -> None:
    async with pair() as (a, _):
        a.addTransceiver("audio")
        offer = await a.createOffer()
        a.close()
        assert a.signalingState == "closed"
        assert a.connectionState == "closed"
        assert a.iceConnectionState == "closed"
        for operation in (
            a.createOffer(),
            a.createAnswer(),
            a.setLocalDescription(offer),
            a.setRemoteDescription(offer),
            a.addIceCandidate(None),
        ):
            await rejects(InvalidStateError, operation)
        for call in (
            lambda: a.addTransceiver("audio"),
            lambda: a.addTrack(MediaStreamTrack("audio")),
            lambda: a.createDataChannel("x"),
            lambda: a.setConfiguration({}),
        ):
            with pytest.raises(InvalidStateError):
                call()
        a.restartIce()
        await a.close()


async def test_what_waits_in_the_chain_ends_with_the_connection() -> None:
    async with pair() as (a, _):
        a.addTransceiver("audio")
        first, second = a.createOffer(), a.createOffer()
        a.close()
        await rejects(InvalidStateError, first)
        await rejects(InvalidStateError, second)


@pytest.mark.parametrize("value", [None, "offer", 5, {"sdp": ""}, {"type": "unknown", "sdp": ""}])
async def test_what_is_no_description_is_a_type_error(value: Any) -> None:
    async with pair() as (a, _):
        with pytest.raises(TypeError):
            a.setRemoteDescription(value)
