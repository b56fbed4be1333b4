"""Where sources stand in libsrtp, and one context that goes on where the other was."""

from __future__ import annotations

import random
from functools import partial
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcstack.dtls import srtp_position
from rtcstack.dtls.cryptex import CryptexContext
from rtcstack.dtls.srtp import REPLAY_WINDOW, SEND_WINDOW, SrtpContext
from rtcstack.dtls.srtp_cipher import make_cipher
from rtcstack.dtls.srtp_keys import SRTP_PROFILES, SrtpKeys, split_keys
from rtcstack.dtls.srtp_position import newest_index
from tests.unit.dtls.test_cryptex import rtp

PROFILES = sorted(SRTP_PROFILES)
GCM = "SRTP_AEAD_AES_128_GCM"
SSRC = pack("!I", 7)


def keys(name: str = GCM, *, client: bool = True) -> SrtpKeys:
    profile = SRTP_PROFILES[name]
    return split_keys(profile, random.Random(1).randbytes(profile.material_bytes), is_client=client)


def sent_index(context: SrtpContext, ssrc: bytes = SSRC) -> int | None:
    cipher = make_cipher(context.keys.profile, context.keys.local)
    return newest_index(partial(context.probe, sent=True), cipher, ssrc, SEND_WINDOW)


def received_index(context: SrtpContext, ssrc: bytes = SSRC) -> int | None:
    cipher = make_cipher(context.keys.profile, context.keys.remote)
    return newest_index(partial(context.probe, sent=False), cipher, ssrc, REPLAY_WINDOW)


STEPS = st.lists(st.sampled_from((1, 2, 500, 5000, 20_000, 32_000)), max_size=12)


@pytest.mark.parametrize("name", PROFILES)
@settings(max_examples=60)
@given(st.integers(0, 0xFFFF) | st.integers(0, 9000), STEPS)
def test_the_newest_index_is_found_in_both_directions(name: str, first: int, steps: list[int]) -> None:
    a, b = SrtpContext(keys(name)), SrtpContext(keys(name, client=False))
    index = first
    for step in (0, *steps):
        index += step
        assert len(b.unprotect(a.protect([rtp(index)]))) == 1
    before = a.packets_protected, a.send_failures, b.packets_unprotected, b.failures, b.replays
    assert sent_index(a) == index
    assert received_index(b) == index
    assert before == (a.packets_protected, a.send_failures, b.packets_unprotected, b.failures, b.replays)


@pytest.mark.parametrize("late", [0, 5, 1000])
def test_packets_that_are_missing_and_late_ones_change_nothing(late: int) -> None:
    a, b = SrtpContext(keys()), SrtpContext(keys(client=False))
    b.unprotect(a.protect([rtp(n) for n in (3000, 3003, 3500, 4100, 4100 - late)]))
    assert received_index(b) == sent_index(a) == 4100


def test_sources_that_libsrtp_does_not_know() -> None:
    a = SrtpContext(keys())
    a.protect([rtp(5, ssrc=8)])
    assert sent_index(a) is None
    assert received_index(a) is None
    # asking has not made one of it
    assert sent_index(a) is None


def test_laps_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(srtp_position, "MAX_LAPS", 2)
    a, b = SrtpContext(keys()), SrtpContext(keys(client=False))
    for index in range(0, 3 * 65_536, 30_000):
        last = rtp(index)
        b.unprotect(a.protect([last]))
    with pytest.raises(srtp_position.NoIndexError):
        sent_index(a)
    # rather silent than under a nonce that may have been used
    one, other = CryptexContext(a.keys, before=a), CryptexContext(b.keys, before=b)
    assert one.protect([rtp(index + 1), rtp(index + 2), last]) == []
    assert one.send_failures == 3
    assert other.unprotect([last + bytes(16)]) == []


@pytest.mark.parametrize("name", PROFILES)
@settings(max_examples=60)
@given(st.integers(0, 0xFFFF), STEPS, st.integers(0, 3), st.booleans())
def test_one_context_goes_on_where_the_other_was(
    name: str, first: int, steps: list[int], gap: int, switches_first: bool
) -> None:
    a: SrtpContext | CryptexContext = SrtpContext(keys(name))
    b: SrtpContext | CryptexContext = SrtpContext(keys(name, client=False))
    assert isinstance(a, SrtpContext)
    assert isinstance(b, SrtpContext)
    index, plain = first, []
    for step in (0, *steps):
        index += step
        plain += a.protect([rtp(index)])
        b.unprotect(plain[-1:])
    a = CryptexContext(a.keys, before=a)
    if switches_first:  # the sender, that is: these are sealed by it for libsrtp at the other end
        a.encrypt_headers(False)
        index += 1
        assert b.unprotect(a.protect([rtp(index)])) == [rtp(index)]
        a.encrypt_headers(True)
    b = CryptexContext(b.keys, before=b)
    assert b.unprotect(plain[-20:]) == []
    assert b.replays + b.failures == len(plain[-20:])  # too far back to be told from the next lap
    # what left in the clear is not sent again in another form
    if not switches_first:
        assert a.protect([rtp(index)]) == plain[-1:]
    for number in (index + 1 + gap, index + 2 + gap):
        [sealed] = a.protect([rtp(number)])
        assert sealed[12:14] == b"\xc0\xde"
        assert b.unprotect([sealed]) == [rtp(number)]
        assert b.unprotect([sealed]) == []


def test_the_counters_and_rtcp_go_on() -> None:
    rtcp = pack("!BBHIQIII", 0x80, 200, 6, 7, 1, 2, 3, 4)
    a, b = SrtpContext(keys()), SrtpContext(keys(client=False))
    first = a.protect([rtp(1), rtcp])
    assert len(b.unprotect(first)) == 2
    one, other = CryptexContext(a.keys, before=a), CryptexContext(b.keys, before=b)
    second = one.protect([rtp(2), rtcp])
    # the same words under another number: SRTCP's index went on
    assert second[1] != first[1]
    assert other.unprotect(second) == [rtp(2), rtcp]
    assert other.unprotect([first[1], second[1]]) == []
    assert (one.packets_protected, other.packets_unprotected, other.replays) == (4, 4, 2)


def test_a_source_is_asked_about_once_and_new_ones_never() -> None:
    a, b = SrtpContext(keys()), SrtpContext(keys(client=False))
    b.unprotect(a.protect([rtp(1)]))
    other = CryptexContext(b.keys, before=b)
    for ssrc in (7, 8):
        other.unprotect([rtp(n, ssrc=ssrc, payload=bytes(30)) for n in range(2, 50)])
    assert other._to_find == set()
    assert list(other._heard) == [SSRC]
    assert other.failures == 2 * 48
