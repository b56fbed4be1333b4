"""Everything that real peers wrote is read, and written back byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtcstack.sdp import Candidate, SetupRole, parse_session, write_session

CORPUS = sorted((Path(__file__).parents[2] / "support" / "sdp_corpus").glob("*.sdp"))


def read(path: Path) -> str:
    return path.read_bytes().decode()


def load(name: str) -> str:
    return read(CORPUS[0].parent / f"{name}.sdp")


def test_corpus_is_there() -> None:
    assert {path.name.partition("_")[0] for path in CORPUS} == {
        "aiortc",
        "chromium",
        "chromium-mdns",
        "firefox",
        "libdatachannel",
        "wrtc",
    }


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_round_trip_is_byte_identical(path: Path) -> None:
    text = read(path)
    assert write_session(parse_session(text)) == text


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_bare_line_feeds_mean_the_same(path: Path) -> None:
    text = read(path)
    assert parse_session(text.replace("\r\n", "\n")) == parse_session(text)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_typed_accessors_agree_with_the_text(path: Path) -> None:
    description = parse_session(read(path))
    for media in description.media:
        assert media.mid is not None
        assert media.fingerprints
        assert all(each.algorithm.startswith("sha-") for each in media.fingerprints)
        offering = path.stem.endswith("_offer")
        assert media.setup in ((SetupRole.ACTPASS,) if offering else (SetupRole.ACTIVE, SetupRole.PASSIVE))
        assert media.ice_ufrag is not None
        assert len(media.ice_pwd or "") >= 22
        assert [str(each) for each in media.candidates] == list(media.values("candidate"))
        if media.is_rtp:
            assert media.rtcp_mux
            dynamic = {number for number in media.payload_types if number >= 96}
            assert dynamic <= {each.payload_type for each in media.rtpmaps}
            assert {each.format for each in media.fmtps} <= set(media.formats)
        else:
            assert media.is_sctp
            assert media.sctp_port == 5000
            assert media.max_message_size


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_typed_values_write_themselves_back(path: Path) -> None:
    description = parse_session(read(path))
    for holder in (description, *description.media):
        for attribute in holder.attributes:
            if attribute.typed is not None:
                again = type(attribute.typed).parse(str(attribute.typed))
                assert again == attribute.typed
                assert again.attribute().name == attribute.name


def test_chromium_simulcast() -> None:
    media = parse_session(load("chromium_simulcast-balanced_offer")).media[0]
    assert [rid.id for rid in media.rids] == ["q", "h", "f"]
    assert media.simulcast is not None
    assert [[str(rid) for rid in stream] for stream in media.simulcast.send] == [["q"], ["h"], ["f"]]
    assert media.simulcast.recv == ()


def test_firefox_writes_much_at_the_session_level() -> None:
    description = parse_session(load("firefox_audio-video-data-balanced_offer"))
    assert description.origin.username.startswith("mozilla")
    assert not any(attribute.name == "fingerprint" for attribute in description.media[0].attributes)
    assert len(description.media[0].fingerprints) == 1
    assert description.media[0].ice_options == ("trickle",)
    directions = {each.uri: each.direction for each in description.media[0].extmaps}
    assert directions["urn:ietf:params:rtp-hdrext:csrc-audio-level"] == "recvonly"


def test_bundle_only_sections_of_firefox() -> None:
    description = parse_session(load("firefox_recvonly-balanced_offer"))
    assert [media.port == 0 for media in description.media] == [False, False, True]
    assert [media.is_rejected for media in description.media] == [False, False, False]
    assert description.bundle_of("2") == ("0", "1", "2")


def test_libdatachannel_separates_ice_options_by_commas() -> None:
    media = parse_session(load("libdatachannel_data_offer")).media[0]
    assert media.ice_options == ("ice2", "trickle")


def test_chromium_candidates_of_both_sorts() -> None:
    media = parse_session(load("chromium_data-balanced_offer")).media[0]
    kinds = {(each.transport, each.ip_version, each.tcp_type) for each in media.candidates}
    assert kinds == {("udp", 4, None), ("udp", 6, None), ("tcp", 4, "active"), ("tcp", 6, "active")}
    assert all(isinstance(each, Candidate) and each.extension("network-id") for each in media.candidates)


def test_chromium_hides_addresses_behind_names() -> None:
    media = parse_session(load("chromium-mdns_data-balanced_offer")).media[0]
    assert media.candidates
    assert all(each.is_mdns and each.ip_version is None for each in media.candidates)
