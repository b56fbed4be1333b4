"""Encrypted header extensions (RFC 9335) with libwebrtc, which has them in libsrtp."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rtcstack.dtls.cryptex import CryptexContext
from tests.interop.conftest import Pair
from tests.interop.media import add_audio, add_video, together
from tests.support.insides import transports_of
from tests.support.rtcstack_peer import RtcstackPeer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("sound_card")]


def expect_encrypted(pair: Pair) -> None:
    """It was agreed, and packets of both directions have passed."""
    assert isinstance(pair.local, RtcstackPeer)
    pc = pair.local.pc
    assert {each.rtpHeaderEncryptionNegotiated for each in pc.getTransceivers()} == {True}
    [entry] = transports_of(pc)
    assert entry.transport.media is not None
    srtp = entry.transport.media.srtp
    assert isinstance(srtp, CryptexContext)
    assert srtp.encrypts
    assert min(srtp.packets_protected, srtp.packets_unprotected) > 50
    assert (srtp.failures, srtp.replays, srtp.send_failures) == (0, 0, 0)


@pytest.mark.parametrize("peer_name", ["wrtc", "chromium-experimental"], indirect=True)
async def test_headers_are_encrypted_both_ways(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[bytes] = []
    unprotect = CryptexContext.unprotect

    def look(self: CryptexContext, packets: Sequence[bytes]) -> list[bytes]:
        came.extend(packet[12:14] for packet in packets if not 192 <= packet[1] <= 223 and packet[0] & 16)
        return unprotect(self, packets)

    monkeypatch.setattr(CryptexContext, "unprotect", look)
    tones = await add_audio(pair)
    async with pair.connect() as (offer, answer):
        assert "a=cryptex" in offer["sdp"]
        assert "a=cryptex" in answer["sdp"]
        await tones.expect_tones()
        pictures = await add_video(pair)
        async with pair.reconnect(by=pair.answerer):
            await together(pictures.expect_pictures(), tones.expect_tones())
            expect_encrypted(pair)
            assert len(came) > 50
            assert set(came) <= {b"\xc0\xde", b"\xc2\xde"}
