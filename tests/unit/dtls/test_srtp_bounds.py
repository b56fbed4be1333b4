"""Bounds of what is kept of sources and packets, whether header extensions are encrypted or not."""

from __future__ import annotations

import random
from struct import pack

import pytest

from rtcstack.dtls.cryptex import CryptexContext
from rtcstack.dtls.srtp import MAX_PACKET_BYTES, MAX_REMOTE_SSRCS, SrtpContext
from rtcstack.dtls.srtp_keys import SRTP_PROFILES, split_keys

Context = SrtpContext | CryptexContext


@pytest.fixture(params=[SrtpContext, CryptexContext])
def ends(request: pytest.FixtureRequest) -> tuple[Context, Context]:
    profile = SRTP_PROFILES["SRTP_AEAD_AES_128_GCM"]
    material = random.Random(1).randbytes(profile.material_bytes)
    a, b = (request.param(split_keys(profile, material, is_client=client)) for client in (True, False))
    return a, b


def rtp(number: int, ssrc: int = 7, payload: bytes = b"payload") -> bytes:
    """With a header extension, which may be encrypted."""
    header = pack("!BBHII", 0x90, 96, number & 0xFFFF, 1000, ssrc)
    return header + b"\xbe\xde\0\2\x15level!\0" + payload


def test_long_packets_are_dropped_and_counted(ends: tuple[Context, Context]) -> None:
    a, b = ends
    assert len(a.protect([rtp(1, payload=bytes(MAX_PACKET_BYTES)), rtp(2)])) == 1
    assert a.send_failures == 1
    assert b.unprotect([bytes(MAX_PACKET_BYTES + 1)]) == []
    assert b.failures == 1


def test_remote_sources_are_bounded_and_the_active_ones_stay(ends: tuple[Context, Context]) -> None:
    a, b = ends
    for n in range(2 * MAX_REMOTE_SSRCS):
        packets = [rtp(1, ssrc=1000 + n), rtp(n)]
        assert b.unprotect(a.protect(packets)) == packets
    assert b.ssrcs_forgotten >= MAX_REMOTE_SSRCS
    assert len(b._heard | b._heard_before) <= MAX_REMOTE_SSRCS
    # the state of a source that never fell silent is as it was: its replays are told
    replay = a.protect([rtp(2 * MAX_REMOTE_SSRCS - 1)])
    assert b.unprotect(replay) == []
    assert b.replays == 1
