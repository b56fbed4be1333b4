"""SFrame: the RFC's own figures, and whatever comes from the network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.sframe import (
    MAX_KEYS,
    CipherSuite,
    FrameKey,
    Opener,
    Sealer,
    SFrameError,
    SFrameFault,
    keys,
    parse_header,
    write_header,
)
from rtcstack.sframe.header import MAX_VALUE

VALUES = st.integers(0, MAX_VALUE) | st.integers(0, 300)
SUITES = st.sampled_from(CipherSuite)

# RFC 9605, appendix C.3
KEY_ID, COUNTER = 0x123, 0x4567
BASE_KEY = bytes(range(16))
METADATA, PLAIN = b"IETF SFrame WG", b"draft-ietf-sframe-enc"
SEALED = {
    CipherSuite.AES_128_CTR_HMAC_SHA256_80: "9901234567449408b6f490086165b9d6f62b24ae1a59a56486b4"
    "ae8ed036b88912e24f11",
    CipherSuite.AES_128_CTR_HMAC_SHA256_64: "99012345673f31438db4d09434e43afa0f8a2f00867a2be08504"
    "6a9f5cb4f101d607",
    CipherSuite.AES_128_CTR_HMAC_SHA256_32: "990123456717fc8af28a5a695afcfc6c8df6358a17e26b2fcb3bae32e443",
    CipherSuite.AES_128_GCM_SHA256_128: "9901234567b7412c2513a1b66dbb48841bbaf17f598751176ad8"
    "47681a69c6d0b091c07018ce4adb34eb",
    CipherSuite.AES_256_GCM_SHA512_128: "990123456794f509d36e9beacb0e261d99c7d1e972f1fed787d4"
    "049f17ca21353c1cc24d56ceabced279",
}


@pytest.mark.parametrize("suite", CipherSuite)
def test_the_figures_of_the_rfc(suite: CipherSuite) -> None:
    key = FrameKey(suite, KEY_ID, BASE_KEY)
    sealed = bytes.fromhex(SEALED[suite])
    assert key.seal(COUNTER, PLAIN, METADATA) == sealed
    header = parse_header(sealed)
    assert header == (KEY_ID, COUNTER, 5)
    assert key.open(header.counter, sealed[:5], sealed[5:], METADATA) == PLAIN
    assert len(sealed) == 5 + len(PLAIN) + key.tag_bytes


@pytest.mark.parametrize(
    ("key_id", "counter", "octets"),
    [(0, 0, "00"), (7, 7, "77"), (1, 256, "190100"), (8, 1, "8108"), (300, 70_000, "9a012c011170")],
)
def test_headers(key_id: int, counter: int, octets: str) -> None:
    assert write_header(key_id, counter).hex() == octets


@given(VALUES, VALUES, st.binary(max_size=9))
def test_headers_there_and_back(key_id: int, counter: int, rest: bytes) -> None:
    written = write_header(key_id, counter)
    assert parse_header(written + rest) == (key_id, counter, len(written))
    for size in range(len(written)):
        with pytest.raises(SFrameError):
            parse_header(written[:size])


@given(st.binary(max_size=40))
def test_any_header_is_read_or_refused(data: bytes) -> None:
    fault = None
    try:
        key_id, counter, size = parse_header(data)
        assert write_header(key_id, counter) == data[:size]  # there is no other form of it
    except SFrameError as error:
        fault = error.fault
    assert fault in (None, SFrameFault.SYNTAX)


@given(SUITES, VALUES, st.binary(min_size=1, max_size=64), st.lists(st.binary(max_size=60), max_size=5))
def test_frames_there_and_back(suite: CipherSuite, key_id: int, base_key: bytes, frames: list[bytes]) -> None:
    sealer, opener = Sealer(suite), Opener(suite)
    sealer.set_key(key_id, base_key)
    opener.set_key(key_id, base_key)
    sealed = [sealer.seal(frame) for frame in frames]
    assert len(set(sealed)) == len(frames)
    assert [opener.open(frame) for frame in reversed(sealed)] == frames[::-1]


@given(SUITES, st.data())
def test_what_was_changed_is_not_opened(suite: CipherSuite, data: st.DataObject) -> None:
    opener = Opener(suite)
    opener.set_key(3, b"key")
    sealed = bytearray(FrameKey(suite, 3, b"key").seal(300, b"frame"))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SFrameError):
        opener.open(bytes(sealed))
    with pytest.raises(SFrameError):
        opener.open(bytes(sealed[: data.draw(st.integers(0, len(sealed) - 1))]))


@given(SUITES, st.binary(max_size=80))
def test_anything_is_opened_or_refused(suite: CipherSuite, data: bytes) -> None:
    opener = Opener(suite)
    opener.set_key(0, b"key")
    with pytest.raises(SFrameError):
        opener.open(data)


def test_why() -> None:
    sealer, opener = Sealer(CipherSuite.AES_128_GCM_SHA256_128), Opener(CipherSuite.AES_128_GCM_SHA256_128)
    sealer.set_key(9, b"one")
    opener.set_key(9, b"other")
    found = []
    for data in (b"", sealer.seal(b"x"), write_header(2, 1) + bytes(30), write_header(9, 0) + bytes(15)):
        with pytest.raises(SFrameError) as caught:
            opener.open(data)
        found.append((caught.value.fault, caught.value.key_id))
    assert found == [("syntax", None), ("authentication", 9), ("keyID", 2), ("syntax", 9)]


def test_no_counter_comes_twice_with_a_key_of_this_process() -> None:
    suite = CipherSuite.AES_128_CTR_HMAC_SHA256_80
    seen = set()
    for _ in range(3):
        sealer = Sealer(suite)  # of another transform
        sealer.set_key(1, b"shared by sound and pictures")
        for _ in range(4):
            seen.add(parse_header(sealer.seal(b"")).counter)
        sealer.set_key(1, b"shared by sound and pictures")
        seen.add(parse_header(sealer.seal(b"")).counter)
    assert len(seen) == 15
    other = Sealer(suite)
    other.set_key(2, b"shared by sound and pictures")
    assert parse_header(other.seal(b"")).counter == 0  # another identifier is another key


def test_keys_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = CipherSuite.AES_128_GCM_SHA256_128
    sealed, opener = [], Opener(suite)
    monkeypatch.setattr(keys, "MAX_REMEMBERED", 8)
    for key_id in range(MAX_KEYS + 1):
        sealer = Sealer(suite)
        sealer.set_key(key_id, b"bounded")
        opener.set_key(key_id, b"bounded")
        sealed.append(sealer.seal(b"frame"))
    assert len(keys._counters) == 8
    with pytest.raises(SFrameError, match="no key 0"):
        opener.open(sealed[0])
    assert all(opener.open(each) == b"frame" for each in sealed[1:])


def test_a_key_in_use_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = CipherSuite.AES_128_GCM_SHA256_128
    monkeypatch.setattr(keys, "MAX_REMEMBERED", 8)
    first, other, second = Sealer(suite), Sealer(suite), Sealer(suite)
    first.set_key(1, b"in use")
    sealed = [first.seal(b"") for _ in range(3)]
    for key_id in range(9):
        other.set_key(key_id, b"others")
    second.set_key(1, b"in use")
    sealed += [second.seal(b""), first.seal(b"")]
    assert [parse_header(each).counter for each in sealed] == [0, 1, 2, 3, 4]


def test_a_key_that_is_used_up_seals_no_more() -> None:
    sealer = Sealer(CipherSuite.AES_128_GCM_SHA256_128)
    assert not sealer.is_ready
    sealer.set_key(0, b"used up")
    sealer._counter.next = MAX_VALUE
    assert sealer.is_ready
    assert parse_header(sealer.seal(b"")).counter == MAX_VALUE
    assert not sealer.is_ready
