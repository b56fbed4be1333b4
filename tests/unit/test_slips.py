"""What the W3C has ignored in silence is said once."""

from __future__ import annotations

import logging

import pytest

from rtcstack import RTCDataChannel, RTCPeerConnection, RTCRtpSender, slips
from rtcstack.api.configuration import RTCConfiguration
from rtcstack.api.dictionaries import as_dictionary
from rtcstack.events import EventTarget


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slips, "_said", set())


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "rtcstack.slips"]


def test_members_that_are_not_there(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        RTCPeerConnection({"iceServer": [], "sdpSemantics": "unified-plan", "bundlePolicy": "balanced"})
    assert sorted(said(caplog)) == [
        "RTCConfiguration has no member 'iceServer': it is ignored; did you mean 'iceServers'?",
        "RTCConfiguration has no member 'sdpSemantics': it is ignored",
    ]


def test_events_that_are_not_there(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        connection = RTCPeerConnection()
        connection.on("iceconnectionstatechanged", print)
        connection.addEventListener("track", print)
        connection.once("onmessage", print)
        connection.onicecandidate = print
    assert said(caplog) == [
        "RTCPeerConnection has no event 'iceconnectionstatechanged': it is ignored; "
        "did you mean 'iceconnectionstatechange'?",
        "RTCPeerConnection has no event 'onmessage': it is ignored",
    ]


def test_events_of_an_applications_own(caplog: pytest.LogCaptureFixture) -> None:
    class Mine(EventTarget): ...

    Mine().on("whatever", print)
    assert said(caplog) == []


@pytest.mark.parametrize("owner", [RTCPeerConnection, RTCDataChannel, RTCRtpSender])
def test_every_class_knows_its_events(owner: type[EventTarget]) -> None:
    attributes = {
        name.removeprefix("on") for name in dir(owner) if name.startswith("on") and name[2:].islower()
    }
    assert owner._known_events <= attributes
    assert "error" in owner._known_events


def test_names_without_end_are_not_said_without_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    for i in range(2 * slips.MAX_SLIPS):
        as_dictionary(RTCConfiguration, {f"x{i}" * 100: 1})
    assert len(said(caplog)) == slips.MAX_SLIPS
    assert max(map(len, said(caplog))) < 200
