"""Values of header extensions, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.rtp import extensions as x

READERS = [
    x.read_abs_capture_time,
    x.read_abs_send_time,
    x.read_audio_level,
    x.read_mixer_levels,
    x.read_name,
    x.read_playout_delay,
    x.read_time_offset,
    x.read_video_orientation,
]


@given(st.none() | st.binary(max_size=20))
def test_arbitrary_bytes_never_raise(value: bytes | None) -> None:
    for read in READERS:
        read(value)


@given(st.integers(0, 127), st.booleans())
def test_audio_level(level: int, voice: bool) -> None:
    assert x.read_audio_level(x.write_audio_level(level, voice)) == (level, voice)


def test_values_beyond_their_field_are_held_at_its_bounds() -> None:
    assert x.read_audio_level(x.write_audio_level(500, False)) == (127, False)
    assert x.read_mixer_levels(x.write_mixer_levels([-3, 5, 300])) == (0, 5, 127)
    assert x.read_time_offset(x.write_time_offset(1 << 30)) == (1 << 23) - 1
    assert x.read_playout_delay(x.write_playout_delay(x.PlayoutDelay(0, 10**6))) == (0, 40950)


@given(st.integers(-(1 << 23), (1 << 23) - 1))
def test_time_offset(ticks: int) -> None:
    assert x.read_time_offset(x.write_time_offset(ticks)) == ticks


@given(st.floats(0, 1e9))
def test_abs_send_time(seconds: float) -> None:
    read = x.read_abs_send_time(x.write_abs_send_time(seconds))
    assert read is not None
    difference = (seconds - read) % 64.0
    assert min(difference, 64.0 - difference) < 1e-3 if seconds > 1e6 else 1e-5


@given(st.sampled_from([0, 90, 180, 270]), st.booleans(), st.booleans())
def test_video_orientation(rotation: int, flip: bool, back: bool) -> None:
    value = x.VideoOrientation(rotation, flip, back)
    assert x.read_video_orientation(x.write_video_orientation(value)) == value


@given(st.integers(0, 2**64 - 1), st.none() | st.floats(-1e9, 1e9))
def test_abs_capture_time(ntp: int, offset: float | None) -> None:
    read = x.read_abs_capture_time(x.write_abs_capture_time(x.AbsCaptureTime(ntp, offset)))
    assert read is not None
    assert read.ntp == ntp
    if offset is None:
        assert read.clock_offset_s is None
    else:
        assert read.clock_offset_s == pytest.approx(offset, abs=1e-6)


def test_playout_delay_with_its_bounds_exchanged_is_none() -> None:
    assert x.read_playout_delay(x.write_playout_delay(x.PlayoutDelay(200, 100))) is None


@pytest.mark.parametrize(
    ("value", "expected"), [(b"audio", "audio"), (b"a\0\0", "a"), (b"", None), (b"\0", None), (b"\xff", None)]
)
def test_names(value: bytes, expected: str | None) -> None:
    assert x.read_name(value) == expected


def test_ids() -> None:
    ids = x.ExtensionIds(
        {x.Extension.MID: 3, "urn:unknown": 5, x.Extension.RID: 0, x.Extension.AUDIO_LEVEL: 300}
    )
    assert (ids.mid, ids.rid, ids.audio_level) == (3, 0, 0)
    assert ids.by_id == {3: x.Extension.MID}
    both = ids.merged(x.ExtensionIds({x.Extension.MID: 9, x.Extension.RID: 2}))
    assert (both.mid, both.rid) == (9, 2)
