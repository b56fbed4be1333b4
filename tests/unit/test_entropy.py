"""Chance comes from one place: with a seed, the same is drawn again."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rtcstack import MediaStream, RTCConfiguration, RTCPeerConnection, TrackSource
from rtcstack.api.certificate import generate_certificate
from rtcstack.codecs.registry import video_packetizer
from rtcstack.dtls.certificate import Certificate
from rtcstack.entropy import entropy, random_bytes, random_hex, random_token, random_uuid
from rtcstack.ice.config import IceConfig
from rtcstack.ice.engine.engine import IceEngine
from rtcstack.platform import Platform, install, uninstall
from rtcstack.rtp.session import RtpSession
from rtcstack.sctp.association import SctpAssociation

CERTIFICATE = generate_certificate("ECDSA")


class SeededEntropy:
    """Draws the same in each run."""

    is_seeded = True

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def bytes(self, count: int) -> bytes:
        return self.random.randbytes(count)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the running loop, chance is that of a seed."""
    loop = asyncio.get_running_loop()
    install(loop, Platform(entropy=SeededEntropy(seed)))
    try:
        yield
    finally:
        uninstall(loop)


async def offer() -> str:
    """An offer of everything that has a number or a name of its own."""
    peer = RTCPeerConnection(RTCConfiguration(certificates=[CERTIFICATE]))
    try:
        camera, microphone = TrackSource("video"), TrackSource("audio")
        stream = MediaStream([camera.track(), microphone.track()])
        for track in stream.getTracks():
            peer.addTrack(track, stream)
        peer.addTransceiver(
            "video", {"sendEncodings": [{"rid": "a", "scaleResolutionDownBy": 2}, {"rid": "b"}]}
        )
        peer.addTransceiver("audio")
        peer.createDataChannel("chat")
        made = await peer.createOffer()
        text = made.sdp
        for held in stream.getTracks():
            held.stop()
        return text
    finally:
        await peer.close()


async def test_a_seeded_loop_offers_the_same_twice() -> None:
    texts = []
    for seed in (1, 1, 2):
        with seeded(seed):
            texts.append(await offer())
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    for name in ("o=", "a=ice-ufrag:", "a=ice-pwd:", "a=msid:", "a=ssrc:", "a=ssrc-group:"):
        first, _, other = ([line for line in text.splitlines() if line.startswith(name)] for text in texts)
        assert first, name
        assert not set(first) & set(other), name
    assert " cname:" in texts[0]


async def test_a_loop_without_a_seed_never_offers_the_same() -> None:
    first, second = await offer(), await offer()
    drawn = [
        {line for line in text.splitlines() if line.startswith(("o=", "a=ice-", "a=ssrc:"))}
        for text in (first, second)
    ]
    assert {line for line in drawn[0] & drawn[1] if not line.startswith("a=ice-options")} == set()
    assert entropy().is_seeded is False


def drawn() -> list[object]:
    """What engines draw when they are made, or begin."""
    association = SctpAssociation()
    association.connect(0.0)
    session = RtpSession()
    ice = IceEngine(IceConfig())
    packetizers = [video_packetizer(codec, {}) for codec in ("vp8", "vp9")]
    return [
        association.drain(0.0),
        session._sent._rng.random(),
        ice._core.tie_breaker,
        [p.packetize(bytes(20), key_frame=True) for p in packetizers],
        Certificate.generate().x509.serial_number,
        random_bytes(8),
        random_hex(8),
        random_token(12),
        random_uuid(),
    ]


async def test_engines_draw_from_it() -> None:
    found = []
    for seed in (1, 1, 2):
        with seeded(seed):
            found.append(drawn())
    assert found[0] == found[1]
    assert all(a != b for a, b in zip(found[0], found[2], strict=True))


async def test_certificates_begin_by_the_loop_s_clock() -> None:
    class Clock:
        def now(self) -> float:
            return 5.0

        def wall(self) -> float:
            return 2_000_000_000.0

    loop = asyncio.get_running_loop()
    install(loop, Platform(clock=Clock()))
    try:
        made = Certificate.generate()
    finally:
        uninstall(loop)
    assert made.x509.not_valid_before_utc.timestamp() == 2_000_000_000 - 86_400


@pytest.mark.parametrize("count", range(1, 20))
def test_the_system_s_tokens_and_uuids(count: int) -> None:
    token = random_token(count)
    assert len(token) == -(-count * 4 // 3)
    assert token.replace("-", "").replace("_", "").isalnum() or set(token) <= {"-", "_"}
    made = uuid.UUID(random_uuid())
    assert (made.version, made.variant) == (4, uuid.RFC_4122)
    assert len(random_hex(count)) == 2 * count
