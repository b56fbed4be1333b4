"""Perfect negotiation under constant glare, for an hour.

Both sides change things at the same moments, all the time; signalling takes longer than that. What browsers
write in another way is played by the shapes of their recorded descriptions.

Spec: webrtc-pc, section 10.7.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
from typing import Any

import pytest

from rtcstack import RTCPeerConnection
from rtcstack.testing import run
from tests.support.insides import transports_of
from tests.support.model.text import reverse
from tests.support.walk.perfect import MAX_SECTIONS, Negotiator, settle
from tests.support.walk.shapes import SHAPES, shape

HOUR_S = 3600.0

EVERY_S = float(os.environ.get("GLARE_EVERY_S", "30"))
"""How often both sides change something, on average."""

LOOKED_AT = 20
"""So often all is left to settle, and looked at."""


def shaped(browser: str | None) -> Any:
    if browser is None:
        return lambda _, sdp: sdp
    shapes = {kind: shape(browser, kind) for kind in ("offer", "answer")}
    return lambda kind, sdp: shapes[kind](sdp)


@pytest.mark.parametrize(
    ("polite", "impolite", "policy"),
    [
        (None, None, "balanced"),
        ("chromium", "firefox", "max-bundle"),
        ("firefox", None, "balanced"),
        (None, "chromium", "max-compat"),
    ],
    ids=["alike", "chromium-firefox", "firefox-polite", "chromium-impolite"],
)
def test_an_hour_of_glare(polite: str | None, impolite: str | None, policy: str) -> None:
    run(an_hour(polite, impolite, policy), limit_s=2 * HOUR_S)


async def an_hour(polite: str | None, impolite: str | None, policy: str) -> None:
    loop = asyncio.get_running_loop()
    reported: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))
    dice = random.Random(f"{polite} {impolite}")
    a = Negotiator("alice", polite=True, dice=dice, shape=shaped(polite), bundle_policy=policy)
    b = Negotiator("bob", polite=False, dice=dice, shape=shaped(impolite), bundle_policy=policy)
    a.other, b.other = b, a
    sides = (a, b)
    channel = a.pc.createDataChannel("all the time")
    numbers: list[str] = []
    b.pc.on("datachannel", lambda event: event.channel.on("message", lambda m: numbers.append(m.data)))
    sent = 0
    end = loop.time() + HOUR_S
    held: list[int] = []
    while loop.time() < end:
        for _ in range(LOOKED_AT):
            for side in dice.sample(sides, dice.choice((1, 2, 2, 2))):
                side.change()
            if channel.readyState == "open":
                channel.send(str(sent))
                sent += 1
            await asyncio.sleep(dice.uniform(0, 2 * EVERY_S) if dice.random() < 0.7 else dice.uniform(0, 0.3))
        await settle(*sides)
        assert not [*a.failures, *b.failures, *reported]
        agree(a.pc, b.pc)
        gc.collect()
        held.append(
            sum(
                isinstance(each, RTCPeerConnection) or "Transport" in type(each).__name__
                for each in gc.get_objects()
            )
        )
    assert a.collisions + b.collisions > HOUR_S / EVERY_S / 4, "there was no glare to speak of"
    await asyncio.sleep(1.0)
    assert numbers == [str(number) for number in range(sent)]
    # nothing is left of what came and went
    assert max(held[len(held) // 2 :]) <= max(held[: len(held) // 2]) + 4, held
    for side in sides:
        await side.stop()
    assert not reported


def agree(a: RTCPeerConnection, b: RTCPeerConnection) -> None:
    """Both have the same sections, and the same view of them from either side."""
    for pc in (a, b):
        assert (pc.signalingState, pc.connectionState) == ("stable", "connected")
        assert len(list(transports_of(pc))) == 1
        assert pc.localDescription is not None
        sections = pc.localDescription.sdp.count("\r\nm=")
        assert sections <= 4 * MAX_SECTIONS, "what is stopped is not recycled"
        assert all(each.direction != "stopped" for each in pc.getTransceivers())
    mine, theirs = (
        {each.mid: str(each.currentDirection.value) for each in pc.getTransceivers() if each.currentDirection}
        for pc in (a, b)
    )
    assert mine == {mid: reverse(direction) for mid, direction in theirs.items()}


@pytest.mark.parametrize("browser", SHAPES)
def test_a_shape_moves_lines_and_changes_none(browser: str) -> None:
    async def described() -> list[str]:
        async with RTCPeerConnection() as pc:
            pc.addTransceiver("audio")
            pc.addTransceiver("video")
            pc.createDataChannel("")
            return (await pc.createOffer()).sdp.split("\r\n")

    before = run(described())
    after = shape(browser, "offer")("\r\n".join(before)).split("\r\n")
    assert before != after
    assert set(before) == set(after)
    place = after.index("a=mid:0")
    ufrag = next(index for index, line in enumerate(after) if line.startswith("a=ice-ufrag"))
    assert ufrag < place
