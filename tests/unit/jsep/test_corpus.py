"""Offers and answers of real peers are accepted and answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtcstack.jsep import Description, SdpType
from rtcstack.sdp import parse_session
from tests.unit.jsep.peer import Peer

DIRECTORY = Path(__file__).parents[2] / "support" / "sdp_corpus"
OFFERS = sorted(DIRECTORY.glob("*_offer.sdp"))


def read(path: Path) -> str:
    return path.read_bytes().decode()


@pytest.mark.parametrize("path", OFFERS, ids=lambda path: path.stem)
def test_offers_are_answered_in_full(path: Path) -> None:
    b = Peer("b")
    b.add_track("audio")
    b.add_track("video")
    b.set_remote(read(path))
    answer = b.answer()
    b.set_local(answer)
    session = b.negotiation.session
    assert not any(section.rejected for section in session.sections)
    assert len(session.transports) == 1
    (transport,) = session.transports
    assert (transport.dtls_role, transport.ice_controlling) == ("client", False)
    assert transport.remote is not None
    assert transport.remote.candidates
    for section in session.sections:
        if section.is_media:
            assert section.rtcp_mux
            assert section.send_codecs
            assert section.receive_codecs
            assert section.transceiver is not None
        else:
            assert section.sctp is not None
            assert section.sctp.remote_port == 5000
    # our own offer afterwards goes on where theirs began
    b.add("audio")
    again = b.offer().parsed
    assert again is not None
    for theirs, ours in zip(parse_session(read(path)).media, again.media, strict=False):
        assert (theirs.mid, theirs.kind) == (ours.mid, ours.kind)
        numbers = {each.payload_type: each.encoding.lower() for each in theirs.rtpmaps}
        for each in ours.rtpmaps:
            assert numbers.get(each.payload_type, each.encoding.lower()) == each.encoding.lower()
        extensions = {each.id: each.uri for each in theirs.extmaps}
        for extension in ours.extmaps:
            assert extensions.get(extension.id, extension.uri) == extension.uri


@pytest.mark.parametrize("path", OFFERS, ids=lambda path: path.stem)
def test_answers_fit_the_offers_that_they_answered(path: Path) -> None:
    """The peer's own offer stands in for ours, so that its own kind's answer can be applied."""
    a = Peer("a")
    offer = read(path)
    for media in parse_session(offer).media:
        if media.is_rtp:
            a.add(media.kind, direction=media.direction)
    a.set_local(Description.parse(SdpType.OFFER, offer))
    a.set_remote(read(path.with_name(path.name.replace("_offer", "_answer"))), "answer")
    session = a.negotiation.session
    assert a.negotiation.state == "stable"
    assert len(session.transports) == 1
    (transport,) = session.transports
    assert (transport.dtls_role, transport.ice_controlling) == ("server", True)
    for section in session.sections:
        if section.is_media:
            assert section.send_codecs
            assert section.current_direction is not None


def test_what_chromium_offers_is_understood() -> None:
    b = Peer("b")
    b.add_track("audio")
    b.add_track("video")
    b.set_remote(read(DIRECTORY / "chromium_audio-video-data-max-bundle_offer.sdp"))
    b.set_local(b.answer())
    audio, video, data = b.sections
    assert [codec.name for codec in audio.send_codecs] == [
        "opus", "red", "g722", "pcmu", "pcma", "telephone-event", "telephone-event",
    ]  # fmt: skip
    names = {codec.payload_type: (codec.name, codec.apt) for codec in video.send_codecs}
    assert names[96] == ("vp8", None)
    assert names[97] == ("rtx", 96)
    assert {name for name, _ in names.values()} == {"vp8", "vp9", "h264", "av1", "rtx", "red", "ulpfec"}
    assert "transport-cc" in video.send_codecs[0].rtcp_fb
    assert {each.uri.rpartition(":")[2] for each in audio.receive_extensions} >= {"mid", "ssrc-audio-level"}
    assert video.remote is not None
    assert len(video.remote.stream_ids) == 1
    assert data.sctp is not None
    assert data.sctp.max_message_size == 262144


def test_simulcast_of_a_browser_is_taken() -> None:
    for browser in ("chromium", "firefox", "wrtc"):
        b = Peer("b")
        b.set_remote(read(DIRECTORY / f"{browser}_simulcast-balanced_offer.sdp"))
        answer = b.answer().parsed
        assert answer is not None
        assert answer.media[0].values("simulcast") == ("recv q;h;f",)
        b.set_local(b.answer())
        assert b.sections[0].receive_rids == ("q", "h", "f")


def test_candidates_of_the_tagged_section_alone_count() -> None:
    b = Peer("b")
    offer = read(DIRECTORY / "firefox_audio-video-data-balanced_offer.sdp")
    b.set_remote(offer)
    b.set_local(b.answer())
    (transport,) = b.negotiation.session.transports
    assert transport.remote is not None
    assert transport.remote.candidates == parse_session(offer).media[0].candidates


def test_renegotiation_after_a_foreign_offer() -> None:
    b, a = Peer("b"), Peer("a")
    b.set_remote(read(DIRECTORY / "chromium_audio-video-data-balanced_offer.sdp"))
    b.set_local(b.answer())
    again = b.offer()
    # another peer that knows nothing of the history can answer it as well
    a.set_remote(again)
    a.set_local(a.answer())
    assert [each.mid for each in a.sections] == [each.mid for each in b.sections]
