"""MediaStream: what it holds, and who is told.

Spec: mediacapture-streams, section 4.2.
"""

from __future__ import annotations

import pytest

from rtcstack.media.source import TrackSource
from rtcstack.media.stream import MediaStream
from rtcstack.media.track import MediaStreamTrack, MediaStreamTrackState


def tracks() -> list[MediaStreamTrack]:
    return [TrackSource(kind).track() for kind in ("video", "audio", "video")]


async def test_the_three_constructors() -> None:
    held = tracks()
    assert MediaStream().getTracks() == []
    first = MediaStream(held)
    second = MediaStream(first)
    assert first.getTracks() == second.getTracks() == held
    assert first.id != second.id
    assert MediaStream([held[0], held[0]]).getTracks() == [held[0]]
    second.removeTrack(held[0])
    assert first.getTracks() == held  # each has a set of its own


@pytest.mark.parametrize("wrong", [3, "track", None])
async def test_what_is_no_track_is_refused(wrong: object) -> None:
    stream = MediaStream()
    with pytest.raises(TypeError):
        stream.addTrack(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        MediaStream([wrong])  # type: ignore[list-item]
    assert stream.getTracks() == []


async def test_tracks_are_found_by_kind_and_id() -> None:
    held = tracks()
    stream = MediaStream(held)
    assert stream.getAudioTracks() == [held[1]]
    assert stream.getVideoTracks() == [held[0], held[2]]
    assert stream.getTrackById(held[1].id) is held[1]
    assert stream.getTrackById("") is None
    namesake = TrackSource("video").track(held[0].id)
    stream.removeTrack(namesake)  # another track of the same id is not in it
    assert stream.getTracks() == held
    stream.addTrack(namesake)
    assert len(stream.getTracks()) == 4


async def test_events_are_for_what_others_do() -> None:
    stream = MediaStream()
    told: list[str] = []
    stream.onaddtrack = stream.onremovetrack = lambda event: told.append(event.type)
    own, theirs = tracks()[:2]
    stream.addTrack(own)
    stream.removeTrack(own)
    stream.removeTrack(own)
    assert told == []
    stream.receive(theirs)
    stream.receive(theirs)
    stream.lose(theirs)
    stream.lose(theirs)
    assert told == ["addtrack", "removetrack"]


async def test_active_while_a_track_is_live() -> None:
    held = tracks()
    stream = MediaStream()
    assert not stream.active
    stream.addTrack(held[0])
    stream.addTrack(held[1])
    held[0].stop()
    assert stream.active
    held[1].source.end()
    assert not stream.active
    stream.addTrack(held[2])
    assert stream.active
    stream.removeTrack(held[2])
    assert not stream.active


async def test_clones_are_of_the_state_of_their_origin() -> None:
    source = TrackSource("audio", "a microphone", muted=True)
    track = source.track()
    track.enabled = False
    ended = TrackSource("video").track()
    ended.stop()
    stream = MediaStream([track, ended])
    copy = stream.clone()
    assert copy.id != stream.id
    first, second = copy.getTracks()
    assert first.id != track.id
    assert (first.kind, first.label, first.enabled, first.muted) == ("audio", "a microphone", False, True)
    assert second.readyState is MediaStreamTrackState.ENDED
    first.stop()
    assert track.readyState is MediaStreamTrackState.LIVE


async def test_a_track_that_is_over_hears_nothing_more() -> None:
    source = TrackSource("audio")
    track, other = source.track(), source.track()
    told: list[str] = []
    for each in ("mute", "unmute", "ended"):
        track.addEventListener(each, lambda event: told.append(event.type))
    source.set_muted(True)
    source.set_muted(True)
    assert (track.muted, told) == (True, ["mute"])
    track.stop()
    source.set_muted(False)
    source.end()
    assert (track.muted, other.muted) == (True, False)  # it stays what it was
    assert told == ["mute"]
    assert other.readyState is MediaStreamTrackState.ENDED
