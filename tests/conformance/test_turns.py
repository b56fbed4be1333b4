"""What happens within a call, what in a turn of the loop after it, and what in one turn together.

Spec: webrtc-pc, sections 4.4.1.2, 4.4.1.5, 4.4.2, 5.6; the algorithms' checks, and the tasks that they queue.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtcstack import InvalidStateError, RTCError, RTCPeerConnection
from tests.conformance.helpers import happens, negotiate, open_channels, pair, until

pytestmark = pytest.mark.asyncio


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_handler_that_is_attached_after_the_call_hears_of_it() -> None:
    async with pair() as (a, b):
        a.addTransceiver("audio")
        offering = a.setLocalDescription()
        told: list[str] = []
        a.on("signalingstatechange", lambda: told.append(str(a.signalingState)))
        assert a.signalingState == "stable"
        assert a.localDescription is None
        await offering
        assert told == ["have-local-offer"]
        setting = b.setRemoteDescription(a.localDescription)
        tracks: list[Any] = []
        b.on("track", tracks.append)
        assert b.getTransceivers() == []
        await setting
        assert len(tracks) == 1


async def test_what_a_wrong_state_refuses_is_refused_within_the_call_and_changes_nothing() -> None:
    async with pair() as (a, _):
        answering, offering = a.createAnswer(), a.createOffer()
        with pytest.raises(InvalidStateError, match="stable"):
            await answering
        assert not offering.done()
        assert (await offering).type == "offer"
        with pytest.raises(InvalidStateError, match="rollback"):
            await a.setLocalDescription({"type": "rollback"})


async def test_what_is_added_before_the_offer_is_awaited_is_in_it() -> None:
    async with pair() as (a, _):
        offering = a.createOffer()
        a.addTransceiver("video")
        assert "m=video" in (await offering).sdp
        a.addTransceiver("audio")
        assert "m=audio" not in (await offering).sdp


async def test_an_implicit_rollback_passes_through_stable() -> None:
    async with pair() as (a, b):
        a.createDataChannel("a")
        b.createDataChannel("b")
        await a.setLocalDescription()
        await b.setLocalDescription()
        told: list[str] = []
        a.on("signalingstatechange", lambda: told.append(str(a.signalingState)))
        await a.setRemoteDescription(b.localDescription)
        assert told == ["stable", "have-remote-offer"]


async def test_an_implicit_rollback_stands_when_the_offer_turns_out_invalid() -> None:
    async with pair() as (a, _):
        a.createDataChannel("a")
        await a.setLocalDescription()
        told: list[str] = []
        a.on("signalingstatechange", lambda: told.append(str(a.signalingState)))
        with pytest.raises(RTCError):
            await a.setRemoteDescription({"type": "offer", "sdp": "no description"})
        assert told == ["stable"]
        assert a.localDescription is None
        assert a.signalingState == "stable"


async def test_a_receiver_s_track_ends_in_a_task_of_its_own() -> None:
    async with pair() as (a, _):
        transceiver = a.addTransceiver("audio")
        track, ended = transceiver.receiver.track, list[str]()
        transceiver.stop()
        track.on("ended", lambda: ended.append(str(track.readyState)))
        assert track.readyState == "live"
        await turns(1)
        assert track.readyState == "ended"
        assert ended == ["ended"]


async def test_the_track_of_a_transceiver_that_was_rolled_back_ends_after_the_description() -> None:
    async with pair() as (a, b):
        a.addTransceiver("audio")
        await b.setRemoteDescription(await a.createOffer())
        (transceiver,) = b.getTransceivers()
        told: list[str] = []
        transceiver.receiver.track.on("ended", lambda: told.append("ended"))
        b.on("signalingstatechange", lambda: told.append(str(b.signalingState)))
        await b.setRemoteDescription({"type": "rollback"})
        told.append("resolved")
        await turns(1)
        assert told.index("ended") > told.index("stable")
        assert b.getTransceivers() == []


async def test_a_description_waits_for_parameters_that_are_being_set() -> None:
    async with pair() as (a, b):
        sender = a.addTransceiver("video").sender
        await negotiate(a, b)
        parameters = sender.getParameters()
        parameters.encodings[0].maxBitrate = 100_000
        order: list[str] = []
        a.createDataChannel("x")
        describing = asyncio.ensure_future(a.setLocalDescription())
        describing.add_done_callback(lambda _: order.append("described"))
        await asyncio.sleep(0)
        parameters = sender.getParameters()
        setting = asyncio.ensure_future(sender.setParameters(parameters))
        setting.add_done_callback(lambda _: order.append("set"))
        await asyncio.gather(describing, setting)
        assert order == ["set", "described"]


async def test_an_implicit_rollback_waits_for_parameters_that_are_being_set() -> None:
    async with pair() as (a, b):
        sender = a.addTransceiver("video").sender
        await negotiate(a, b)
        a.createDataChannel("a")
        b.createDataChannel("b")
        await a.setLocalDescription()
        await b.setLocalDescription()
        told: list[tuple[str, bool]] = []
        a.on("signalingstatechange", lambda: told.append((str(a.signalingState), setting.done())))
        describing = a.setRemoteDescription(b.localDescription)
        setting = sender.setParameters(sender.getParameters())
        assert not setting.done()
        await describing
        assert told == [("stable", True), ("have-remote-offer", True)]


async def test_the_end_of_gathering_is_told_in_order_in_one_task() -> None:
    async with pair() as (a, _):
        transceiver = a.addTransceiver("audio")
        told: list[tuple[str, str, int]] = []
        turn = 0

        def note(name: str) -> None:
            told.append((name, str(a.iceGatheringState), turn))

        await a.setLocalDescription()
        assert transceiver.sender.transport is not None
        ice = transceiver.sender.transport.iceTransport
        assert ice.gatheringState == "new"  # whoever sets the description is told of all
        ice.on("gatheringstatechange", lambda: note(f"transport {ice.gatheringState}"))
        a.on("icegatheringstatechange", lambda: note("connection"))

        def on_candidate(event: Any) -> None:
            candidate = event.candidate
            note("none" if candidate is None else "end" if not candidate.candidate else "candidate")

        a.on("icecandidate", on_candidate)
        while a.iceGatheringState != "complete":
            await asyncio.sleep(0)
            turn += 1
        last = told[-4:]
        assert [name for name, _, _ in last] == ["end", "transport complete", "connection", "none"]
        assert [state for _, state, _ in last] == ["gathering", "complete", "complete", "complete"]
        assert len({when for _, _, when in last[1:]}) == 1


async def test_sums_are_new_when_a_transport_tells_its_state() -> None:
    async with pair() as (a, b):
        seen: list[tuple[str, str, str]] = []
        await open_channels(a, b)
        assert a.sctp is not None
        dtls = a.sctp.transport
        ice = dtls.iceTransport
        dtls.on("statechange", lambda: seen.append(("dtls", str(dtls.state), str(a.connectionState))))
        ice.on("statechange", lambda: seen.append(("ice", str(ice.state), str(a.iceConnectionState))))
        a.on("connectionstatechange", lambda: seen.append(("connection", "", str(a.connectionState))))
        b.close()
        await until(lambda: dtls.state == "closed", dtls, "statechange")
        assert seen[0] == ("dtls", "closed", str(a.connectionState))


async def test_a_transport_without_sections_is_closed_and_says_so_in_a_later_task() -> None:
    async with pair({"bundlePolicy": "max-compat"}) as (a, b):
        a.addTransceiver("audio")
        a.addTransceiver("video")
        await a.setLocalDescription()
        dtls = [t.sender.transport for t in a.getTransceivers()]
        assert dtls[0] is not dtls[1]
        left = dtls[1]
        assert left is not None
        told: list[str] = []
        left.on("statechange", lambda: told.append(str(left.state)))
        left.iceTransport.on("statechange", lambda: told.append(str(left.iceTransport.state)))
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        await a.setRemoteDescription(b.localDescription)
        assert a.getTransceivers()[1].sender.transport is dtls[0]
        await turns()
        assert told == ["closed", "closed"]


async def test_a_restart_that_was_offered_is_not_lost_when_the_offer_is_set_without_its_text() -> None:
    async with pair() as (a, b):
        await open_channels(a, b)
        assert a.sctp is not None
        before = a.sctp.transport.iceTransport.getLocalParameters()
        offer = await a.createOffer(iceRestart=True)
        await a.setLocalDescription({"type": "offer"})
        assert a.localDescription is not None
        assert before is not None
        assert before.usernameFragment not in a.localDescription.sdp
        assert offer.sdp.split("a=candidate")[0] in a.localDescription.sdp


async def test_states_during_a_description_s_events_are_those_of_before() -> None:
    """What checks and handshakes come to is told in tasks behind the description's own."""
    async with pair() as (a, b):
        a.createDataChannel("x")
        await a.setLocalDescription()
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        told: list[tuple[str, str]] = []
        a.on("signalingstatechange", lambda: told.append(("signaling", str(a.iceConnectionState))))
        a.on("iceconnectionstatechange", lambda: told.append(("ice", str(a.iceConnectionState))))
        await a.setRemoteDescription(b.localDescription)
        await happens(a, "iceconnectionstatechange") if len(told) < 2 else None
        assert told[:2] == [("signaling", "new"), ("ice", "checking")]


async def test_nobody_hears_of_a_closed_connection_what_a_description_had_set_off() -> None:
    async with pair() as (a, b):
        a.createDataChannel("x")
        await a.setLocalDescription()
        await a.gathered()
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        told: list[str] = []
        a.on("signalingstatechange", lambda: told.append("signaling"))
        a.on("signalingstatechange", lambda: a.close())
        for name in ("iceconnectionstatechange", "connectionstatechange", "icegatheringstatechange"):
            a.on(name, lambda event: told.append(event.type))
        await a.setRemoteDescription(b.localDescription)
        await turns(10)
        assert told == ["signaling"]


async def test_each_part_has_one_object() -> None:
    """Objects that are made when somebody looks are the same each time."""
    async with RTCPeerConnection() as a:
        transceiver = a.addTransceiver("video")
        assert a.getTransceivers() == [transceiver]
        assert a.getSenders() == [transceiver.sender]
        assert a.getReceivers() == [transceiver.receiver]
        assert transceiver.sender.transport is None
        await a.setLocalDescription()
        assert transceiver.sender.transport is transceiver.receiver.transport is not None


async def test_the_association_is_there_from_the_first_description_with_a_data_section() -> None:
    async with pair() as (a, b):
        a.createDataChannel("x")
        assert a.sctp is None
        await a.setLocalDescription()
        association = a.sctp
        assert association is not None
        assert association.state == "connecting"
        assert association.transport.iceTransport.role == "controlling"
        assert association.maxChannels is None
        await a.setLocalDescription({"type": "rollback"})
        assert a.sctp is None
        await a.setLocalDescription()
        assert a.sctp is not None
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        assert b.sctp is not None
        assert b.sctp.transport.iceTransport.role == "controlled"
        await a.setRemoteDescription(b.localDescription)
        await until(lambda: a.sctp is not None and a.sctp.state == "connected", a.sctp, "statechange")


async def test_a_description_is_the_same_object_until_it_is_another() -> None:
    async with pair() as (a, b):
        a.createDataChannel("x")
        await a.setLocalDescription()
        offer = a.localDescription
        assert offer is not None
        assert a.localDescription is a.pendingLocalDescription is offer
        before = offer.sdp
        await until(lambda: a.iceGatheringState == "complete", a, "icegatheringstatechange")
        assert a.localDescription is offer
        assert len(offer.sdp) > len(before)  # with the candidates
        await b.setRemoteDescription(offer)
        await b.setLocalDescription()
        await a.setRemoteDescription(b.localDescription)
        assert a.localDescription is a.currentLocalDescription is offer
        assert a.pendingLocalDescription is None
        answer = a.remoteDescription
        assert a.currentRemoteDescription is answer
        await negotiate(a, b)
        assert a.localDescription is not offer
        assert a.remoteDescription is not answer
