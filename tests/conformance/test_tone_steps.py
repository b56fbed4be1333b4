"""When tones can be sent, and how they are told of: each step.

Spec: webrtc-pc, section 7.2 (insertDTMF, determine if DTMF can be sent, DTMF playout task steps).
"""

from __future__ import annotations

import asyncio

import pytest

from rtcstack import (
    InvalidCharacterError,
    InvalidStateError,
    MediaStreamTrack,
    RTCDTMFSender,
    RTCPeerConnection,
    RTCRtpSender,
)
from tests.conformance.helpers import negotiate, pair
from tests.conformance.media import connected

pytestmark = pytest.mark.virtual


def tones_of(sender: RTCRtpSender) -> RTCDTMFSender:
    assert sender.dtmf is not None
    return sender.dtmf


def told(dtmf: RTCDTMFSender) -> list[tuple[float, str]]:
    """Tones and the seconds at which they are told, from now on."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    log: list[tuple[float, str]] = []
    dtmf.ontonechange = lambda event: log.append((round(loop.time() - began, 3), event.tone))
    return log


async def test_only_audio_senders_have_tones() -> None:
    async with RTCPeerConnection() as pc:
        assert pc.addTransceiver("audio").sender.dtmf is not None
        assert pc.addTransceiver("video").sender.dtmf is None


async def test_tones_wait_for_the_connection() -> None:
    async with pair() as (a, b):
        dtmf = tones_of(a.addTrack(MediaStreamTrack("audio")))
        await negotiate(a, b)
        assert a.connectionState != "connected"
        assert not dtmf.canInsertDTMF
        with pytest.raises(InvalidStateError):
            dtmf.insertDTMF("1")
        await connected(a, b)
        assert dtmf.canInsertDTMF


@pytest.mark.parametrize("what", ["stopped", "without a track", "direction", "inactive encoding", "closed"])
async def test_tones_cannot_be_sent(what: str) -> None:
    async with pair() as (a, b):
        sender = a.addTrack(MediaStreamTrack("audio"))
        dtmf = tones_of(sender)
        await connected(a, b)
        assert dtmf.canInsertDTMF
        if what == "stopped":
            a.getTransceivers()[0].stop()
        elif what == "without a track":
            await sender.replaceTrack(None)
        elif what == "direction":
            a.getTransceivers()[0].direction = "recvonly"
            assert dtmf.canInsertDTMF, "it counts when it was negotiated"
            await negotiate(a, b)
        elif what == "closed":
            await a.close()
        else:
            parameters = sender.getParameters()
            parameters.encodings[0].active = False
            await sender.setParameters(parameters)
        assert not dtmf.canInsertDTMF
        with pytest.raises(InvalidStateError):
            dtmf.insertDTMF("1")
        assert dtmf.toneBuffer == ""


async def test_a_peer_without_telephone_events_gets_none() -> None:
    async with pair() as (a, b):
        dtmf = tones_of(a.addTrack(MediaStreamTrack("audio")))
        capabilities = RTCRtpSender.getCapabilities("audio")
        assert capabilities is not None
        opus = [codec for codec in capabilities.codecs if codec.mimeType == "audio/opus"]
        a.getTransceivers()[0].setCodecPreferences(opus)
        await connected(a, b)
        assert not dtmf.canInsertDTMF


async def test_tones_are_told_one_by_one_and_the_end() -> None:
    async with pair() as (a, b):
        dtmf = tones_of(a.addTrack(MediaStreamTrack("audio")))
        await connected(a, b)
        log = told(dtmf)
        dtmf.insertDTMF("1a,2", 100, 50)
        assert dtmf.toneBuffer == "1A,2"
        await asyncio.sleep(5)
        assert log == [(0.0, "1"), (0.15, "A"), (0.3, ","), (2.3, "2"), (2.45, "")]
        assert dtmf.toneBuffer == ""


async def test_durations_are_brought_into_their_bounds() -> None:
    async with pair() as (a, b):
        dtmf = tones_of(a.addTrack(MediaStreamTrack("audio")))
        await connected(a, b)
        for duration, gap, lasts in ((0, 0, 0.07), (10**6, 10**6, 12.0), (100, 70, 0.17)):
            log = told(dtmf)
            dtmf.insertDTMF("1", duration, gap)
            await asyncio.sleep(13)
            assert log == [(0.0, "1"), (lasts, "")]


async def test_what_is_inserted_replaces_what_waits_and_not_what_plays() -> None:
    async with pair() as (a, b):
        dtmf = tones_of(a.addTrack(MediaStreamTrack("audio")))
        await connected(a, b)
        log = told(dtmf)
        dtmf.insertDTMF("123", 100, 50)
        await asyncio.sleep(0.05)
        dtmf.insertDTMF("9", 200, 50)
        with pytest.raises(InvalidCharacterError):
            dtmf.insertDTMF("1x")
        assert dtmf.toneBuffer == "9"
        await asyncio.sleep(1)
        assert log == [(0.0, "1"), (0.15, "9"), (0.4, "")]
        log = told(dtmf)
        dtmf.insertDTMF("123", 100, 50)
        await asyncio.sleep(0.05)
        dtmf.insertDTMF("")
        await asyncio.sleep(1)
        assert log == [(0.0, "1"), (0.15, "")]
        dtmf.insertDTMF("")
        await asyncio.sleep(1)
        assert len(log) == 2, "nothing was playing"


async def test_tones_that_can_no_longer_be_sent_are_not_told() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(MediaStreamTrack("audio"))
        dtmf = tones_of(sender)
        await connected(a, b)
        log = told(dtmf)
        dtmf.insertDTMF("12")
        await asyncio.sleep(0.05)
        await sender.replaceTrack(None)
        await asyncio.sleep(1)
        assert log == [(0.0, "1")]
