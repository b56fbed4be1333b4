"""Header extensions and contributing sources encrypted on the way.

Spec: webrtc-extensions (RTP header extension encryption); RFC 9335.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rtcstack import (
    InvalidAccessError,
    InvalidModificationError,
    RTCConfiguration,
    RTCPeerConnection,
    ToneSource,
)
from rtcstack.dtls.cryptex import CryptexContext
from rtcstack.dtls.srtp import SrtpContext
from rtcstack.testing import VirtualLoop
from tests.conformance.helpers import negotiate, open_channels, pair, rejects
from tests.conformance.media import connected, dominant_hz, frames, pattern, receiver
from tests.support.insides import transports_of

REQUIRE = RTCConfiguration(rtpHeaderEncryptionPolicy="require")
ENCRYPTED = (b"\xc0\xde", b"\xc2\xde")
CLEAR = (b"\xbe\xde", b"\x10\x00")


class Wire:
    """What RTP packets look like on the way: the profiles of their header extensions, in order."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            pytest.skip("looks at packets on the virtual internet")
        self.profiles: list[bytes] = []
        loop.internet.filter = self._see

    def _see(self, _source: Any, _destination: Any, data: Any) -> bool:
        for packet in [data] if isinstance(data, bytes) else []:
            if len(packet) > 20 and 128 <= packet[0] <= 191 and not 192 <= packet[1] <= 223:
                assert packet[0] & 15 == 0, "no source is named"
                assert packet[0] & 0x10, "every packet has its MID or what counts it"
                self.profiles.append(packet[12:14])
        return True

    def take(self) -> set[bytes]:
        """What has been seen since."""
        seen, self.profiles = set(self.profiles), []
        assert seen, "no packets"
        return seen


def plain(sdp: str) -> str:
    """A description as a peer writes it that knows nothing of this."""
    return sdp.replace("a=cryptex\r\n", "")


async def exchange(a: RTCPeerConnection, b: RTCPeerConnection, offered: Callable[[str], str] = str) -> None:
    """An exchange on a way that changes offers."""
    await a.setLocalDescription()
    assert a.localDescription is not None
    await b.setRemoteDescription({"type": "offer", "sdp": offered(a.localDescription.sdp)})
    await b.setLocalDescription()
    assert b.localDescription is not None
    await a.setRemoteDescription(b.localDescription)


def negotiated(*ends: RTCPeerConnection) -> set[bool]:
    return {each.rtpHeaderEncryptionNegotiated for pc in ends for each in pc.getTransceivers()}


def srtp_of(pc: RTCPeerConnection) -> Any:
    [entry] = transports_of(pc)
    return None if entry.transport.media is None else entry.transport.media.srtp


async def hears(pc: RTCPeerConnection, hz: float) -> None:
    assert await dominant_hz(receiver(pc, "audio").track) == pytest.approx(hz, rel=0.05)


@pytest.mark.parametrize("configuration", [None, REQUIRE])
async def test_nothing_of_header_extensions_can_be_read_on_the_way(
    configuration: RTCConfiguration | None,
) -> None:
    async with pair(configuration) as (a, b):
        wire = Wire()
        a.addTrack(pattern())
        a.addTrack(ToneSource(440).track())
        b.addTrack(ToneSource(880).track())
        assert negotiated(a, b) == {False}
        await connected(a, b)
        assert negotiated(a, b) == {True}
        await frames(receiver(b, "video").track, 10)
        await hears(b, 440)
        await hears(a, 880)
        assert wire.take() <= set(ENCRYPTED)
        for pc in (a, b):
            assert (srtp_of(pc).failures, srtp_of(pc).replays, srtp_of(pc).send_failures) == (0, 0, 0)
        # which the peer reads as ever
        levels = [each.audioLevel for each in receiver(b, "audio").getSynchronizationSources()]
        assert levels
        assert all(level is not None and level > 0 for level in levels)


async def test_with_a_peer_that_does_not_know_it_all_is_as_it_was() -> None:
    async with pair() as (a, b):
        wire = Wire()
        a.addTrack(ToneSource(440).track())
        b.addTrack(ToneSource(880).track())
        await exchange(a, b, offered=plain)
        assert negotiated(a, b) == {False}
        await hears(a, 880)
        await hears(b, 440)
        assert wire.take() <= set(CLEAR)
        assert type(srtp_of(a)) is type(srtp_of(b)) is SrtpContext


async def test_the_policy() -> None:
    pc = RTCPeerConnection()
    assert pc.getConfiguration().rtpHeaderEncryptionPolicy == "negotiate"
    with pytest.raises(TypeError, match="rtpHeaderEncryptionPolicy"):
        RTCPeerConnection({"rtpHeaderEncryptionPolicy": "never"})
    with pytest.raises(InvalidModificationError, match="rtpHeaderEncryptionPolicy"):
        pc.setConfiguration({"rtpHeaderEncryptionPolicy": "require"})
    assert pc.getConfiguration().rtpHeaderEncryptionPolicy == "negotiate"
    await pc.close()
    pc = RTCPeerConnection({"rtpHeaderEncryptionPolicy": "require"})
    with pytest.raises(InvalidModificationError, match="rtpHeaderEncryptionPolicy"):
        pc.setConfiguration({})
    pc.setConfiguration({"rtpHeaderEncryptionPolicy": "require", "iceTransportPolicy": "relay"})
    await pc.close()


async def test_where_it_is_required_descriptions_without_it_are_refused() -> None:
    async with pair(REQUIRE, RTCConfiguration()) as (a, b):
        a.addTrack(ToneSource(440).track())
        b.addTrack(ToneSource(880).track())
        # an offer
        await b.setLocalDescription()
        assert b.localDescription is not None
        await rejects(
            InvalidAccessError,
            a.setRemoteDescription({"type": "offer", "sdp": plain(b.localDescription.sdp)}),
        )
        assert (a.signalingState, a.remoteDescription, len(a.getTransceivers())) == ("stable", None, 1)
        await b.setLocalDescription({"type": "rollback"})
        # an answer
        await a.setLocalDescription()
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        assert b.localDescription is not None
        for kind in ("pranswer", "answer"):
            await rejects(
                InvalidAccessError,
                a.setRemoteDescription({"type": kind, "sdp": plain(b.localDescription.sdp)}),
            )
            assert (a.signalingState, a.remoteDescription) == ("have-local-offer", None)
        assert negotiated(a) == {False}
        await a.setRemoteDescription(b.localDescription)
        assert negotiated(a, b) == {True}
        await hears(a, 880)


async def test_where_it_is_required_data_alone_needs_none() -> None:
    async with pair(REQUIRE, RTCConfiguration()) as (a, b):
        channel, _ = await open_channels(a, b)
        assert channel.readyState == "open"


async def test_it_is_set_by_answers_and_given_back_by_rollbacks() -> None:
    async with pair() as (a, b):
        a.addTrack(ToneSource(440).track())
        await a.setLocalDescription()
        assert a.localDescription is not None
        await b.setRemoteDescription(a.localDescription)
        assert negotiated(a, b) == {False}
        await b.setLocalDescription()
        assert (negotiated(a), negotiated(b)) == ({False}, {True})
        assert b.localDescription is not None
        await a.setRemoteDescription({"type": "pranswer", "sdp": b.localDescription.sdp})
        assert negotiated(a) == {True}
        await a.setRemoteDescription(b.localDescription)
        added = b.addTransceiver("video")
        await b.setLocalDescription()
        await a.setRemoteDescription({"type": "offer", "sdp": plain(b.localDescription.sdp)})
        assert [each.rtpHeaderEncryptionNegotiated for each in a.getTransceivers()] == [True, False]
        await a.setRemoteDescription({"type": "rollback"})
        await b.setLocalDescription({"type": "rollback"})
        assert negotiated(a) == {True}
        assert not added.rtpHeaderEncryptionNegotiated
        b.getTransceivers()[0].stop()
        await negotiate(b, a)
        assert [each.rtpHeaderEncryptionNegotiated for each in b.getTransceivers()] == [True]


async def test_it_comes_and_goes_during_a_call() -> None:
    """One transport, one key: the counters go on, and no packet is refused on either side."""
    async with pair() as (a, b):
        wire = Wire()
        a.addTrack(ToneSource(440).track())
        b.addTrack(ToneSource(880).track())
        a.addTrack(pattern())
        await exchange(a, b, plain)
        await frames(receiver(b, "video").track, 5)
        assert wire.take() <= set(CLEAR)
        for change, profiles in ((str, ENCRYPTED), (plain, CLEAR), (str, ENCRYPTED)):
            await exchange(a, b, change)
            assert negotiated(a, b) == {change is str}
            await asyncio.sleep(0.1)  # what was on the way
            wire.take()
            await frames(receiver(b, "video").track, 5)
            await hears(a, 880)
            await hears(b, 440)
            assert wire.take() <= set(profiles)
        for pc in (a, b):
            assert isinstance(srtp_of(pc), CryptexContext)
            assert srtp_of(pc).send_failures == 0


async def test_an_offer_of_it_meets_libsrtp_no_more_than_it_must() -> None:
    """Data alone has no SRTP; and the object is chosen once, when there are keys."""
    async with pair() as (a, b):
        await open_channels(a, b)
        assert srtp_of(a) is None
        a.addTrack(ToneSource(440).track())
        await negotiate(a, b)
        await hears(b, 440)
        assert type(srtp_of(a)) is type(srtp_of(b)) is CryptexContext
