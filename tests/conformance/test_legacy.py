"""The legacy forms: callbacks in place of promises, and an offer's options.

Spec: webrtc-pc, section 4.4.3.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtcstack import InvalidStateError, OperationError, RTCPeerConnection, RTCSessionDescription
from tests.conformance.helpers import pair


class Heard:
    """Callbacks that keep what they were called with."""

    def __init__(self) -> None:
        self.results: list[Any] = []
        self.errors: list[Exception] = []
        self.both = self.results.append, self.errors.append


async def turns(count: int = 5) -> None:
    """Let the loop run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_whole_exchange_by_callbacks() -> None:
    async with pair() as (a, b):
        a.createDataChannel("x")
        order: list[str] = []
        failed = pytest.fail

        def offered(offer: RTCSessionDescription) -> None:
            order.append(f"offer of {a.signalingState}")
            a.setLocalDescription(offer, lambda: order.append(f"set in {a.signalingState}"), failed)
            b.setRemoteDescription(offer, given, failed)

        def given(nothing: None) -> None:
            order.append(f"given in {b.signalingState}")
            assert nothing is None
            b.createAnswer(answered, failed)

        def answered(answer: RTCSessionDescription) -> None:
            order.append(f"answer, {answer.type}")
            b.setLocalDescription(answer, lambda: order.append(f"set in {b.signalingState}"), failed)

        returned = a.createOffer(offered, failed)
        assert order == []  # not within the call
        assert await returned is None
        await turns(30)
        assert order == [
            "offer of stable",
            "set in have-local-offer",
            "given in have-remote-offer",
            "answer, answer",
            "set in stable",
        ]


async def test_the_promise_of_a_legacy_form_is_resolved_whatever_happens() -> None:
    async with RTCPeerConnection() as pc:
        heard = Heard()
        assert await pc.createAnswer(*heard.both) is None
        assert await pc.setRemoteDescription({"type": "answer", "sdp": ""}, *heard.both) is None
        assert await pc.setLocalDescription({"type": "answer"}, *heard.both) is None
        assert await pc.addIceCandidate({"candidate": "x", "sdpMid": "0"}, *heard.both) is None
        await turns(20)
        assert not heard.results
        assert [type(each) for each in heard.errors] == [InvalidStateError] * 4
    late = Heard()
    assert await pc.createOffer(*late.both) is None
    await turns()
    assert [type(each) for each in late.errors] == [InvalidStateError]


async def test_a_candidate_by_callbacks() -> None:
    async with pair() as (a, b):
        a.createDataChannel("x")
        await a.setLocalDescription()
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        heard = Heard()
        await b.addIceCandidate(
            {"candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMid": "0"}, *heard.both
        )
        await b.addIceCandidate(
            {"candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMid": "7"}, *heard.both
        )
        await turns(10)
        assert heard.results == [None]
        assert [type(each) for each in heard.errors] == [OperationError]


@pytest.mark.parametrize("callbacks", [(print,), (print, None), (print, 1), (None, print), (1, print)])
async def test_callbacks_that_are_none_change_nothing(callbacks: tuple[Any, ...]) -> None:
    async with RTCPeerConnection() as pc:
        with pytest.raises(TypeError, match="callback"):
            await pc.setLocalDescription({"type": "offer"}, *callbacks)
        if len(callbacks) == 2:
            with pytest.raises(TypeError, match="callback"):
                await pc.createOffer(*callbacks)
        await turns()
        assert pc.signalingState == "stable"


async def test_the_options_of_a_legacy_offer_are_its_third_argument() -> None:
    async with RTCPeerConnection() as pc:
        heard = Heard()
        pc.createOffer(*heard.both, {"offerToReceiveVideo": True})
        await turns()
        assert "m=video" in heard.results[0].sdp


async def test_what_a_callback_raises_is_the_loops(expects_loop_exceptions: list[dict[str, Any]]) -> None:
    async with RTCPeerConnection() as pc:
        pc.createOffer(lambda offer: 1 / 0, pytest.fail)
        await turns()
        assert [type(each["exception"]) for each in expects_loop_exceptions] == [ZeroDivisionError]
        await pc.createOffer()


async def test_a_coroutine_function_is_run() -> None:
    async with RTCPeerConnection() as pc:
        done = asyncio.Event()

        async def offered(offer: RTCSessionDescription) -> None:
            await pc.setLocalDescription(offer)
            done.set()

        pc.createDataChannel("x")
        pc.createOffer(offered, pytest.fail)
        await done.wait()
        assert pc.signalingState == "have-local-offer"


async def test_offer_to_receive_makes_transceivers_and_needs_no_negotiation() -> None:
    async with RTCPeerConnection() as pc:
        needed: list[None] = []
        pc.onnegotiationneeded = lambda: needed.append(None)
        await pc.createOffer({"offerToReceiveAudio": True, "offerToReceiveVideo": True})
        assert [(t.receiver.track.kind, str(t.direction)) for t in pc.getTransceivers()] == [
            ("audio", "recvonly"),
            ("video", "recvonly"),
        ]
        await pc.createOffer({"offerToReceiveAudio": True})
        assert len(pc.getTransceivers()) == 2  # there is one that receives
        await pc.createOffer({"offerToReceiveAudio": False})
        assert str(pc.getTransceivers()[0].direction) == "inactive"
        await turns()
        assert not needed


async def test_offer_to_receive_false_takes_the_receiving_half() -> None:
    async with RTCPeerConnection() as pc:
        both = pc.addTransceiver("video")
        sending = pc.addTransceiver("video", direction="sendonly")
        await pc.createOffer({"offerToReceiveVideo": False})
        assert [str(t.direction) for t in (both, sending)] == ["sendonly", "sendonly"]
