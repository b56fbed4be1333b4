"""DTMF: the packets of a tone, and the tones of packets, with losses and copies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.codecs.payload.telephone_event import (
    TONES,
    DtmfDetector,
    DtmfTone,
    TelephoneEvent,
    tone_packets,
)
from rtcstack.errors import ParseError


def test_bytes_of_the_rfc() -> None:
    # RFC 4733, section 2.3: event 1, end, volume 10, 800 ticks
    event = TelephoneEvent(1, True, 10, 800)
    assert event.to_bytes() == bytes.fromhex("018a0320")
    assert TelephoneEvent.parse(event.to_bytes() + b"more") == event


@given(st.binary(max_size=8))
def test_any_bytes(payload: bytes) -> None:
    detector = DtmfDetector()
    try:
        detector.receive(payload, 0)
    except ParseError:
        assert len(payload) < 4


def test_packets_of_a_tone() -> None:
    packets = tone_packets("5", 100, 8000)
    assert [p.at_ms for p in packets] == [20, 40, 60, 80, 100, 120, 140]
    assert [p.marker for p in packets] == [True] + [False] * 6
    events = [TelephoneEvent.parse(p.payload) for p in packets]
    assert [e.duration for e in events] == [160, 320, 480, 640, 800, 800, 800]
    assert [e.ended for e in events] == [False] * 4 + [True] * 3
    assert {e.event for e in events} == {5}
    assert {p.timestamp_offset for p in packets} == {0}


@pytest.mark.parametrize(("tone", "duration_ms"), [("5", 39), ("5", 6001), ("E", 9), ("", 100), ("55", 100)])
def test_refused(tone: str, duration_ms: int) -> None:
    with pytest.raises(ValueError, match="tone"):
        tone_packets(tone, duration_ms, 8000)


@given(
    tones=st.lists(
        st.tuples(st.sampled_from(TONES + TONES.lower()), st.integers(40, 6000)), min_size=1, max_size=6
    ),
    clock_rate=st.sampled_from([8000, 48_000]),
    start=st.integers(0, 2**32),
    copies=st.integers(1, 3),
)
def test_tones_survive(tones: list[tuple[str, int]], clock_rate: int, start: int, copies: int) -> None:
    detector = DtmfDetector()
    heard: list[DtmfTone] = []
    expected = []
    for tone, duration_ms in tones:
        expected.append(DtmfTone(tone.upper(), start, duration_ms * clock_rate // 1000))
        for packet in tone_packets(tone, duration_ms, clock_rate):
            for _ in range(copies):
                heard += detector.receive(packet.payload, start + packet.timestamp_offset)
        start += (duration_ms + 100) * clock_rate // 1000
    assert heard == expected


@given(st.data())
def test_each_tone_is_heard_once_whatever_is_lost(data: st.DataObject) -> None:
    text = "123#"
    start = 1000
    sent: list[tuple[bytes, int]] = []
    for tone in text:
        sent += [(p.payload, start + p.timestamp_offset) for p in tone_packets(tone, 200, 8000)]
        start += 3000
    kept = [p for p in sent if data.draw(st.booleans())]
    detector = DtmfDetector()
    heard = [t.tone for payload, timestamp in kept for t in detector.receive(payload, timestamp)]
    reached = {timestamp for _, timestamp in kept}
    expected = [tone for i, tone in enumerate(text) if 1000 + i * 3000 in reached]
    # the last counts only with its end: nothing came behind it
    assert heard in (expected, expected[:-1])
    if expected and heard != expected:
        last = max(reached)
        assert not any(TelephoneEvent.parse(p).ended for p, t in kept if t == last)


def test_late_packets_are_passed_over() -> None:
    detector = DtmfDetector()
    first, second = tone_packets("1", 100, 8000), tone_packets("2", 100, 8000)
    heard = []
    for payload, timestamp in [
        *((p.payload, 0) for p in first),
        (second[0].payload, 2000),
        (first[1].payload, 0),
        *((p.payload, 2000) for p in second[1:]),
    ]:
        heard += [t.tone for t in detector.receive(payload, timestamp)]
    assert heard == ["1", "2"]
