"""Who was heard: notes, and what is told when it is somebody else.

Spec: webrtc-pc, section 5.3; webrtc-extensions (ssrcchange, csrcchange, capture times).
"""

from __future__ import annotations

from rtcstack.clock import NTP_EPOCH_S
from rtcstack.media.pipeline.inbound import SourceNotes
from rtcstack.rtp.capture import CaptureClock
from rtcstack.rtp.frames import EncodedFrame


def frame(ssrc: int, *csrcs: int, captured: float | None = None, offset: float | None = None) -> EncodedFrame:
    return EncodedFrame(
        b"x",
        0,
        96,
        ssrc,
        0.0,
        contributing=csrcs,
        absolute_capture_time=captured,
        capture_clock_offset_s=offset,
    )


def test_changes_are_told_once() -> None:
    notes = SourceNotes()
    told: list[tuple[bool, bool]] = []
    notes.on_changed = lambda ssrc, csrc: told.append((ssrc, csrc))
    for each in (frame(1), frame(1), frame(1, 7), frame(1, 7), frame(1, 8), frame(2, 8), frame(3)):
        notes.played(each, 0.0)
    assert told == [(True, False), (False, True), (False, True), (True, False), (True, True)]


def test_capture_times_are_the_capturers() -> None:
    notes = SourceNotes()
    notes.played(frame(1, 7, captured=NTP_EPOCH_S + 5.0, offset=-0.25), 100.0)
    for contributing in (False, True):
        (note,) = notes.recent(100.0, contributing=contributing)
        assert (note.capture_time, note.capture_clock_offset_s) == (5.0, -0.25)
    notes.played(frame(1), 100.0)
    (note,) = notes.recent(100.0, contributing=False)
    assert note.capture_time is None


def test_capture_times_are_reckoned_from_the_last_that_was_told() -> None:
    clock = CaptureClock(90_000)
    assert clock.absolute_capture_time(0) is None
    clock.on_absolute(90_000, 1000 << 32, 0.5)
    assert clock.absolute_capture_time(180_000) == 1001.0
    assert clock.absolute_capture_time(90_000 * 100) is None  # that is too long ago
    clock.on_absolute(180_000, 1001 << 32)
    assert clock.clock_offset_s == 0.5  # the most recent that was there
