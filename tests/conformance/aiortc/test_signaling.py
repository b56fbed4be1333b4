"""Signalling under aiortc's names: what is said, and the ways that it goes."""

from __future__ import annotations

import argparse
import json
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from rtcstack.compat.aiortc import RTCIceCandidate, RTCSessionDescription
from rtcstack.compat.aiortc.contrib import signaling
from rtcstack.compat.aiortc.contrib.signaling import (
    BYE,
    CopyAndPasteSignaling,
    TcpSocketSignaling,
    UnixSocketSignaling,
    add_signaling_arguments,
    create_signaling,
    object_from_string,
    object_to_string,
)

CANDIDATE = RTCIceCandidate(
    component=1,
    foundation="0",
    ip="192.0.2.1",
    port=49_499,
    priority=2_122_252_543,
    protocol="UDP",
    type="host",
    sdpMid="audio",
    sdpMLineIndex=0,
)


def test_messages_say_what_they_did_there() -> None:
    offer = RTCSessionDescription(sdp="some sdp", type="offer")
    assert object_to_string(offer) == '{"sdp": "some sdp", "type": "offer"}'
    assert object_to_string(CANDIDATE) == (
        '{"candidate": "candidate:0 1 UDP 2122252543 192.0.2.1 49499 typ host", "id": "audio", "label": 0, '
        '"type": "candidate"}'
    )
    assert object_to_string(BYE) == '{"type": "bye"}'
    for message in (offer, CANDIDATE):
        assert object_from_string(object_to_string(message)) == message
    assert object_from_string('{"type": "bye"}') is BYE


@given(
    st.text()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["type", "sdp", "candidate"]), inner),
    ).map(json.dumps)
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["offer", "answer", "candidate", "bye", "x"])},
        optional={"sdp": st.text() | st.integers(), "candidate": st.text() | st.integers(), "id": st.none()},
    ).map(json.dumps)
)
def test_what_is_no_message_is_refused(text: str) -> None:
    with suppress(ValueError):
        object_from_string(text)


def test_arguments_of_a_command_line() -> None:
    parser = argparse.ArgumentParser()
    add_signaling_arguments(parser)
    for line, expected in (
        ("", CopyAndPasteSignaling),
        ("-s copy-and-paste", CopyAndPasteSignaling),
        ("--signaling tcp-socket --signaling-host ::1 --signaling-port 99", TcpSocketSignaling),
        ("-s unix-socket --signaling-path /tmp/x", UnixSocketSignaling),
    ):
        assert type(create_signaling(parser.parse_args(line.split()))) is expected
    assert vars(parser.parse_args([]))["signaling_port"] == 1234


def test_lines_are_bounded() -> None:
    assert signaling.MAX_MESSAGE_BYTES == 1 << 20
