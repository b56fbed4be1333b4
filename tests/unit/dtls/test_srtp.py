"""SRTP: all profiles, both directions, bad packets, replays, bounds; and libsrtp's names below pylibsrtp."""

from __future__ import annotations

import random
from struct import pack

import pylibsrtp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pylibsrtp._binding import ffi, lib

from rtcstack.dtls.srtp import REPLAY_WINDOW, SrtpContext
from rtcstack.dtls.srtp_keys import SRTP_PROFILES, split_keys

PROFILES = sorted(SRTP_PROFILES)


def pair(name: str = "SRTP_AEAD_AES_128_GCM") -> tuple[SrtpContext, SrtpContext]:
    profile = SRTP_PROFILES[name]
    material = random.Random(1).randbytes(profile.material_bytes)
    return (
        SrtpContext(split_keys(profile, material, is_client=True)),
        SrtpContext(split_keys(profile, material, is_client=False)),
    )


def rtp(number: int, ssrc: int = 7, payload: bytes = b"payload") -> bytes:
    return pack("!BBHII", 0x80, 96, number & 0xFFFF, 1000, ssrc) + payload


RTCP = pack("!BBHIQIII", 0x80, 200, 6, 7, 1, 2, 3, 4)


@pytest.mark.parametrize(
    "name", ["srtp_protect", "srtp_protect_rtcp", "srtp_unprotect", "srtp_unprotect_rtcp"]
)
def test_library_function(name: str) -> None:
    assert callable(getattr(lib, name))


def test_library_removes_streams() -> None:
    assert callable(lib.srtp_remove_stream)


@pytest.mark.parametrize("name", ["new", "buffer"])
def test_ffi_function(name: str) -> None:
    assert callable(getattr(ffi, name))


def test_session_has_its_handle() -> None:
    policy = pylibsrtp.Policy(bytes(30), pylibsrtp.Policy.SSRC_ANY_INBOUND)
    assert pylibsrtp.Session(policy)._srtp[0] != ffi.NULL


@pytest.mark.parametrize("name", PROFILES)
def test_both_ways_rtp_and_rtcp_mixed(name: str) -> None:
    a, b = pair(name)
    packets = [rtp(1), RTCP, rtp(2, payload=bytes(1188)), rtp(3, payload=b"")]
    for one, other in ((a, b), (b, a)):
        protected = one.protect(packets)
        assert all(p != q and len(p) > len(q) for p, q in zip(protected, packets, strict=True))
        assert other.unprotect(protected) == packets
        assert (one.packets_protected, other.packets_unprotected) == (4, 4)
        assert (other.failures, other.replays) == (0, 0)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("packet", [rtp(1), RTCP], ids=["rtp", "rtcp"])
def test_every_changed_byte_is_noticed(name: str, packet: bytes) -> None:
    a, b = pair(name)
    protected = a.protect([packet])[0]
    for i in range(len(protected)):
        changed = protected[:i] + bytes((protected[i] ^ 1,)) + protected[i + 1 :]
        assert b.unprotect([changed]) == []
    assert b.failures + b.replays == len(protected)
    assert b.unprotect([protected]) == [packet]


@given(st.lists(st.binary(max_size=80), max_size=20))
def test_arbitrary_bytes_never_raise(packets: list[bytes]) -> None:
    _, b = pair()
    assert b.unprotect(packets) == []
    assert b.failures + b.replays == len(packets)


@given(st.lists(st.binary(max_size=80), max_size=20))
def test_protecting_arbitrary_bytes_never_raises(packets: list[bytes]) -> None:
    a, _ = pair()
    out = a.protect(packets)
    assert len(out) + a.send_failures == len(packets)


def test_replays_are_counted_and_dropped() -> None:
    a, b = pair()
    protected = a.protect([rtp(n) for n in range(REPLAY_WINDOW + 100)])
    assert len(b.unprotect(protected)) == len(protected)
    assert b.unprotect(protected) == []
    assert (b.replays, b.failures) == (len(protected), 0)


def test_late_packets_within_the_window_are_taken() -> None:
    a, b = pair()
    packets = [rtp(n) for n in range(REPLAY_WINDOW)]
    protected = a.protect(packets)
    assert b.unprotect(protected[::-1]) == packets[::-1]


def test_the_same_packet_may_leave_twice() -> None:
    a, _ = pair()
    packets = [rtp(n) for n in range(5000)]
    first = a.protect(packets)
    assert a.protect([packets[100]]) == [first[100]]
    assert a.send_failures == 0


def test_roll_over() -> None:
    a, b = pair()
    packets = [rtp(n) for n in range(65000, 66000)]
    assert b.unprotect(a.protect(packets)) == packets


def test_forged_packets_leave_no_state() -> None:
    _, b = pair()
    b.unprotect([rtp(1, ssrc=n, payload=bytes(40)) for n in range(5000)])
    assert b.failures == 5000
    assert not b._heard
