"""Several layers of one picture.

Spec: webrtc-pc, section 5.1 (sendEncodings); RFC 8853.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import Any

import pytest

from tests.conformance.helpers import pair
from tests.conformance.media import (
    connected,
    next_frame,
    pattern,
    receiver,
)
from tests.support.insides import outbound_of


async def test_simulcast_layers_arrive_by_rid() -> None:
    async with pair() as (a, b):
        encodings = [
            {"rid": "q", "scaleResolutionDownBy": 4.0},
            {"rid": "h", "scaleResolutionDownBy": 2.0},
            {"rid": "f"},
        ]
        a.addTransceiver(pattern(640, 480), direction="sendonly", sendEncodings=encodings)
        announced: list[Any] = []
        b.on("track", lambda event: announced.append(event.receiver.simulcastTracks))
        await connected(a, b)
        layers = receiver(b, "video").simulcastTracks
        assert list(layers) == ["q", "h", "f"]
        assert announced == [layers]  # before the answer, too
        widths = {"q": 160, "h": 320, "f": 640}
        found = await asyncio.gather(*(next_frame(layers[rid]) for rid in widths))
        assert [frame.width for frame in found] == list(widths.values())
        largest = await next_frame(receiver(b, "video").track, lambda frame: frame.width == 640)
        assert largest.height == 480


async def test_simulcast_layers_go_and_come() -> None:
    async with pair() as (a, b):
        encodings = [{"rid": "lo", "scaleResolutionDownBy": 2.0}, {"rid": "hi"}]
        sender = a.addTransceiver(pattern(), direction="sendonly", sendEncodings=encodings).sender
        await connected(a, b)
        track = receiver(b, "video").track
        await next_frame(track, lambda frame: frame.width == 320)
        parameters = sender.getParameters()
        parameters.encodings[1].active = False
        await sender.setParameters(parameters)
        await next_frame(receiver(b, "video").simulcastTracks["lo"])
        parameters = sender.getParameters()
        parameters.encodings[1].active = True
        await sender.setParameters(parameters)
        await next_frame(receiver(b, "video").simulcastTracks["hi"])


@pytest.mark.parametrize(
    "orders", list(itertools.permutations(["q;h;f", "f;h;q", "h;q", "f;q", "h;f", "f"], 3))
)
async def test_what_the_peer_does_not_take_is_gone_for_good(orders: tuple[str, ...]) -> None:
    async with pair() as (a, b):
        encodings = [
            {"rid": "q", "scaleResolutionDownBy": 4.0},
            {"rid": "h", "scaleResolutionDownBy": 2.0},
            {"rid": "f"},
        ]
        sender = a.addTransceiver("video", direction="sendonly", sendEncodings=encodings).sender
        left = ["q", "h", "f"]
        for order in orders:
            await a.setLocalDescription()
            await b.setRemoteDescription(a.localDescription)  # type: ignore[arg-type]
            await b.setLocalDescription()
            answer = b.localDescription
            assert answer is not None
            taken = ";".join(rid for rid in order.split(";") if rid in left) or left[0]
            sdp = re.sub(r"a=simulcast:recv \S+", f"a=simulcast:recv {taken}", answer.sdp)
            await a.setRemoteDescription({"type": "answer", "sdp": sdp})
            if len(left) > 1:
                left = [rid for rid in left if rid in taken.split(";")]
            assert [e.rid for e in sender.getParameters().encodings] == left
            outbound = outbound_of(sender)
            assert outbound is not None
            sent = [stream.parameters.rid for stream in outbound.streams]
            assert sent == (left if "a=simulcast" in answer.sdp else [None])
