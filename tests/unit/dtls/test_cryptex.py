"""Encrypted header extensions: forms of packets, mixing, agreement with libsrtp, hostile packets, bounds."""

from __future__ import annotations

import random
from itertools import pairwise
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.dtls import cryptex
from rtcstack.dtls.cryptex import CryptexContext
from rtcstack.dtls.srtp import REPLAY_WINDOW, SEND_WINDOW, SrtpContext
from rtcstack.dtls.srtp_keys import SRTP_PROFILES, SrtpKeys, split_keys
from rtcstack.refusals import Refusals

PROFILES = sorted(SRTP_PROFILES)
GCM = "SRTP_AEAD_AES_128_GCM"
RTCP = pack("!BBHIQIII", 0x80, 200, 6, 7, 1, 2, 3, 4)
ONE_BYTE, TWO_BYTE = b"\xbe\xde", b"\x10\x00"
SECRET = b"level!"


def keys(name: str = GCM, *, client: bool = True) -> SrtpKeys:
    profile = SRTP_PROFILES[name]
    return split_keys(profile, random.Random(1).randbytes(profile.material_bytes), is_client=client)


def pair(name: str = GCM, *, required: bool = False) -> tuple[CryptexContext, CryptexContext]:
    return CryptexContext(keys(name), required=required), CryptexContext(
        keys(name, client=False), required=required
    )


def rtp(
    number: int,
    *,
    ssrc: int = 7,
    kind: bytes | None = ONE_BYTE,
    csrcs: tuple[int, ...] = (),
    value: bytes = b"\x15" + SECRET + b"\0",
    payload: bytes = b"payload",
) -> bytes:
    first = 0x80 | len(csrcs) | (0x10 if kind is not None else 0)
    header = pack(f"!BBHII{len(csrcs)}I", first, 96, number & 0xFFFF, 1000, ssrc, *csrcs)
    if kind is not None:
        header += kind + pack("!H", len(value) // 4) + value
    return header + payload


# -- forms of packets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROFILES)
def test_both_ways_rtp_and_rtcp_mixed(name: str) -> None:
    a, b = pair(name)
    packets = [
        rtp(1),
        RTCP,
        rtp(2, kind=TWO_BYTE),
        rtp(3, csrcs=(5, 6)),
        rtp(4, kind=None),
        rtp(5, payload=bytes(1100)),
        rtp(6, payload=b""),
        rtp(7, kind=b"\x12\x34"),
        rtp(8, value=b""),
    ]
    for one, other in ((a, b), (b, a)):
        protected = one.protect(packets)
        assert other.unprotect(protected) == packets
        assert (one.packets_protected, other.packets_unprotected) == (9, 9)
        assert (other.failures, other.replays, one.send_failures) == (0, 0, 0)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("kind", [ONE_BYTE, TWO_BYTE])
@pytest.mark.parametrize("csrcs", [(), (0x61626364, 0x65666768)])
def test_what_can_be_read_on_the_wire(name: str, kind: bytes, csrcs: tuple[int, ...]) -> None:
    a, _ = pair(name)
    packet = rtp(1, kind=kind, csrcs=csrcs)
    [protected] = a.protect([packet])
    assert SECRET not in protected
    assert b"abcdefgh" not in protected
    end = 12 + 4 * len(csrcs)
    # the fixed header, and that there are header extensions, and how many words of them
    assert protected[:12] == packet[:12]
    assert protected[end : end + 4] == {ONE_BYTE: b"\xc0\xde", TWO_BYTE: b"\xc2\xde"}[kind] + b"\0\x02"


def test_sources_without_extensions_get_an_empty_extension() -> None:
    a, b = pair()
    packet = rtp(1, kind=None, csrcs=(0x61626364,))
    [protected] = a.protect([packet])
    assert b"abcd" not in protected
    assert (protected[0], protected[16:20]) == (0x91, b"\xc0\xde\0\0")
    [back] = b.unprotect([protected])
    assert back == b"\x91" + packet[1:16] + b"\xbe\xde\0\0" + packet[16:]


@pytest.mark.parametrize("kind", [b"\x10\x01", b"\x12\x34", b"\xc0\xde"])
def test_extensions_of_other_specifications_stay_clear(kind: bytes) -> None:
    a, b = pair()
    packet = rtp(1, kind=kind)
    [protected] = a.protect([packet])
    assert protected[:24] == packet[:24]
    if kind != b"\xc0\xde":
        assert b.unprotect([protected]) == [packet]
    else:  # which nobody can tell from what it looks like
        assert (b.unprotect([protected]), b.failures) == ([], 1)


def test_required_means_that_nothing_in_the_clear_passes() -> None:
    refusals = Refusals()
    b = CryptexContext(keys(client=False), refusals, required=True)
    a = SrtpContext(keys())
    clear = a.protect([rtp(1), rtp(2, kind=None, csrcs=(5,)), rtp(3, kind=None)])
    assert b.unprotect(clear) == [rtp(3, kind=None)]
    assert (b.failures, refusals.counts) == (2, {("srtp", "a header in the clear"): 2})
    assert b.protect([rtp(1, kind=b"\x10\x01")]) == []
    assert b.send_failures == 1
    assert len(b.protect([rtp(2), rtp(3, kind=None)])) == 2


# -- plain SRTP is libsrtp's ----------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> list[bytes]:
    """Packets of two sources, with gaps, laps, packets that come late, and repeated ones."""
    position = {7: draw(st.integers(0, 0xFFFF)), 8: draw(st.integers(0, 0xFFFF))}
    steps = st.sampled_from((1, 1, 1, 2, 100, 1023, 1024, 1025, 5000, 20_000, 0, -1, -5, -1023, -1024, -3000))
    packets = []
    for ssrc, step in draw(st.lists(st.tuples(st.sampled_from((7, 8)), steps), max_size=60)):
        number = position[ssrc] + step
        if number < 0:
            continue
        packets.append(rtp(number, ssrc=ssrc, csrcs=(9,) if number % 3 == 0 else ()))
        position[ssrc] = max(number, position[ssrc])
    return packets


@pytest.mark.parametrize("name", PROFILES)
@given(histories())
def test_plain_packets_are_libsrtps_in_both_directions(name: str, packets: list[bytes]) -> None:
    """Sealed alike byte for byte; taken, refused and counted alike."""
    ours, theirs = CryptexContext(keys(name)), SrtpContext(keys(name))
    ours.encrypt_headers(False)
    sealed = []
    for packet in packets:
        one, other = ours.protect([packet]), theirs.protect([packet])
        assert one == other
        sealed += other
    receiver, reference = CryptexContext(keys(name, client=False)), SrtpContext(keys(name, client=False))
    for packet in sealed:
        assert receiver.unprotect([packet]) == reference.unprotect([packet])
    assert (receiver.replays, receiver.failures) == (reference.replays, reference.failures)


@pytest.mark.parametrize("name", PROFILES)
@given(histories(), st.data())
def test_forms_may_be_mixed(name: str, packets: list[bytes], data: st.DataObject) -> None:
    """One counter and one replay window for both forms: what comes is what would come in either."""
    senders = CryptexContext(keys(name)), SrtpContext(keys(name))
    receiver, reference = CryptexContext(keys(name, client=False)), SrtpContext(keys(name, client=False))
    for packet in packets:
        encrypted, plain = (sender.protect([packet]) for sender in senders)
        assert len(encrypted) == len(plain)
        expected = reference.unprotect(plain)
        assert receiver.unprotect(data.draw(st.sampled_from((encrypted, plain)))) == expected
        # and once more, in the other form or the same
        assert receiver.unprotect(data.draw(st.sampled_from((encrypted, plain)))) == []


def test_many_laps() -> None:
    a, b = pair()
    for number in range(65_000, 65_000 + 5 * 65_536, 20_000):
        packets = [rtp(number), rtp(number + 1), rtp(number - 3)]
        assert b.unprotect(a.protect(packets)[::-1]) == packets[::-1]


# -- hostile packets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("packet", [rtp(1), rtp(1, kind=TWO_BYTE, csrcs=(5, 6)), rtp(1, kind=None), RTCP])
def test_every_changed_bit_is_noticed(name: str, packet: bytes) -> None:
    a, b = pair(name)
    protected = a.protect([packet])[0]
    for bit in range(8 * len(protected)):
        changed = bytearray(protected)
        changed[bit >> 3] ^= 1 << (bit & 7)
        assert b.unprotect([bytes(changed)]) == []
    assert b.failures + b.replays == 8 * len(protected)
    assert b.unprotect([protected]) == [packet]


@pytest.mark.parametrize("name", PROFILES)
def test_every_shorter_packet_is_refused(name: str) -> None:
    a, b = pair(name)
    for packet in (rtp(1), rtp(2, csrcs=tuple(range(15))), rtp(3, kind=None, csrcs=(5,))):
        protected = a.protect([packet])[0]
        for size in range(len(protected)):
            assert b.unprotect([protected[:size]]) == []
        assert len(b.unprotect([protected])) == 1


heads = st.binary(max_size=80) | st.builds(
    lambda first, kind, words, rest: bytes((first,)) + bytes(11) + kind + pack("!H", words) + rest,
    st.integers(0x80, 0xBF),
    st.sampled_from((ONE_BYTE, TWO_BYTE, b"\xc0\xde", b"\xc2\xde", b"\x10\x01")),
    st.integers(0, 30) | st.integers(0, 0xFFFF),
    st.binary(max_size=60),
)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("required", [False, True])
@given(st.lists(heads, max_size=20))
def test_arbitrary_bytes_never_raise(name: str, required: bool, packets: list[bytes]) -> None:
    _, b = pair(name, required=required)
    assert b.unprotect(packets) == []
    assert b.failures + b.replays == len(packets)
    assert not b._heard


@pytest.mark.parametrize("required", [False, True])
@given(st.lists(heads, max_size=20))
def test_protecting_arbitrary_bytes_never_raises(required: bool, packets: list[bytes]) -> None:
    a, _ = pair(required=required)
    out = a.protect(packets)
    assert len(out) + a.send_failures == len(packets)
    assert a.packets_protected == len(out)


def test_forged_packets_leave_no_state() -> None:
    _, b = pair()
    b.unprotect([rtp(1, ssrc=n, kind=b"\xc0\xde", payload=bytes(40)) for n in range(5000)])
    assert b.failures == 5000
    assert not b._heard


def test_a_forged_packet_moves_no_window() -> None:
    a, b = pair()
    first, second = a.protect([rtp(1), rtp(2)])
    assert len(b.unprotect([first])) == 1
    forged = first[:2] + pack("!H", 30_000) + first[4:]
    assert b.unprotect([forged]) == []
    assert b.unprotect([second]) == [rtp(2)]


def test_replays_are_counted_and_dropped() -> None:
    refusals = Refusals()
    a, b = CryptexContext(keys()), CryptexContext(keys(client=False), refusals)
    protected = a.protect([rtp(n) for n in range(REPLAY_WINDOW + 100)])
    assert len(b.unprotect(protected)) == len(protected)
    assert b.unprotect(protected) == []
    assert (b.replays, b.failures) == (len(protected), 0)
    assert refusals.counts == {("srtp", "replayed"): len(protected)}


# -- bounds ---------------------------------------------------------------------------------------------


def test_local_sources_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cryptex, "MAX_LOCAL_SSRCS", 5)
    a, _ = pair()
    assert len(a.protect([rtp(1, ssrc=n) for n in range(9)])) == 5
    assert a.send_failures == 4
    assert len(a.protect([rtp(2, ssrc=n) for n in range(5)])) == 5


def test_nonces_end_with_the_last_index() -> None:
    a, _ = pair()
    a.protect([rtp(0xFFFF)])
    a._sent[pack("!I", 7)].highest = (1 << 48) - 1
    assert a.protect([rtp(0)]) == []
    assert a.send_failures == 1


# -- no nonce for two packets ---------------------------------------------------------------------------


def test_the_same_packet_may_leave_twice() -> None:
    a, _ = pair()
    packets = [rtp(n) for n in range(SEND_WINDOW + 10)]
    first = a.protect(packets)
    assert a.protect([packets[100]]) == [first[100]]
    assert a.send_failures == 0
    assert a.protect([packets[9]]) == []
    assert a.send_failures == 1


@given(st.lists(st.tuples(st.sampled_from(("send", "repeat", "on", "off")), st.integers(1, 50)), max_size=40))
def test_a_packet_that_is_sent_again_has_the_form_that_it_had(steps: list[tuple[str, int]]) -> None:
    """Whatever is agreed meanwhile: one nonce is used for the same bytes only."""
    a, b = pair()
    left: dict[int, bytes] = {}
    number = 65_500
    for what, amount in steps:
        if what == "send":
            number += amount
            [left[number]] = a.protect([rtp(number)])
            assert b.unprotect([left[number]]) == [rtp(number)]
            assert (b"\xbe\xde" not in left[number][12:14]) is a.encrypts
        elif what == "repeat" and left:
            for past in list(left)[-amount:]:
                assert a.protect([rtp(past)]) in ([], [left[past]])
        elif what in ("on", "off"):
            a.encrypt_headers(what == "on")


def test_what_left_before_a_change_is_sent_again_and_before_two_is_not() -> None:
    a, _ = pair()
    [encrypted] = a.protect([rtp(1)])
    a.encrypt_headers(False)
    assert a.protect([rtp(1)]) == [encrypted]
    [plain] = a.protect([rtp(2)])
    a.encrypt_headers(True)
    assert a.protect([rtp(2)]) == [plain]
    assert a.protect([rtp(1)]) == []
    assert a.send_failures == 1


@pytest.mark.parametrize("name", PROFILES)
def test_no_two_packets_share_a_key_stream(name: str) -> None:
    a, _ = pair(name)
    packets = [rtp(n, ssrc=ssrc, payload=bytes(64)) for n in (1, 2, 65_535, 65_536) for ssrc in (7, 8)]
    sealed = sorted(packet[-32:] for packet in a.protect(packets))
    assert all(one != other for one, other in pairwise(sealed))
