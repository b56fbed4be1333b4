"""What is refused is counted by reason, and the first of it is kept."""

from __future__ import annotations

import pytest

from rtcstack.refusals import MAX_KEPT, MAX_KEPT_BYTES, MAX_REASONS, Refusal, Refusals
from rtcstack.rtp.session import RtpSession
from rtcstack.sctp.association import SctpAssociation
from rtcstack.sctp.options import SctpOptions


def test_counts_and_samples() -> None:
    refusals = Refusals()
    assert len(refusals) == 0
    for number in range(3):
        refusals.add("rtp", "malformed", bytes((number,)))
    refusals.add("stun", "a wrong STUN FINGERPRINT", count=4)
    assert refusals.counts == {("rtp", "malformed"): 3, ("stun", "a wrong STUN FINGERPRINT"): 4}
    assert len(refusals) == 7
    assert refusals.first[1] == Refusal("rtp", "malformed", b"\1")
    assert str(refusals.first[1]) == "rtp: malformed: 01"


def test_it_holds_little_whatever_comes() -> None:
    refusals = Refusals()
    for number in range(10_000):
        refusals.add("rtp", f"reason {number}", memoryview(bytes(1500)))
    assert len(refusals.counts) == MAX_REASONS
    assert len(refusals) == 10_000
    assert len(refusals.first) == MAX_KEPT
    assert all(len(each.data) == MAX_KEPT_BYTES for each in refusals.first)


@pytest.mark.parametrize(
    ("protocol", "packet"),
    [("rtp", b"\x80\x60" + bytes(8)), ("rtcp", b"\x80\xc8\xff\xff"), ("rtp", b"\x80\x60" + bytes(10))],
)
def test_media_that_is_refused_is_told(protocol: str, packet: bytes) -> None:
    refusals = Refusals()
    session = RtpSession(refusals=refusals)
    session.receive([packet], 1.0)
    ((told, reason),) = refusals.counts
    assert told == protocol
    assert reason
    assert refusals.first[0].data == packet


def test_a_packet_of_sctp_that_is_refused_is_told() -> None:
    association = SctpAssociation(SctpOptions())
    association.receive([b"nothing of that kind"], 1.0)
    assert [each.protocol for each in association.refusals.first] == ["sctp"]
    assert association.refusals.first[0].data == b"nothing of that kind"
