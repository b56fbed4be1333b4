"""Tones of a keypad, beside sound.

Spec: webrtc-pc, section 7 (RTCDTMFSender); RFC 4733.
"""

from __future__ import annotations

from typing import Any

import pytest

from rtcstack import (
    InvalidCharacterError,
    InvalidStateError,
    RTCRtpSender,
    ToneSource,
)
from tests.conformance.helpers import pair
from tests.conformance.media import (
    connected,
    receiver,
    until_true,
)

EVENTS_AT_8_KHZ = ("audio/telephone-event", 8_000)


async def test_tones_are_sent() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(ToneSource(440).track())
        dtmf = sender.dtmf
        assert dtmf is not None
        assert not dtmf.canInsertDTMF
        with pytest.raises(InvalidStateError):
            dtmf.insertDTMF("1")
        await connected(a, b)
        assert dtmf.canInsertDTMF
        seen: list[tuple[int, bytes]] = []
        receiver(b, "audio").setPacketSink(
            lambda packets: seen.extend((p.payload_type, p.payload) for p in packets)
        )
        played: list[str] = []
        dtmf.on("tonechange", lambda event: played.append(event.tone))
        dtmf.insertDTMF("1#", 60, 40)
        assert dtmf.toneBuffer == "1#"
        await until_true(lambda: played and played[-1] == "")
        assert played == ["1", "#", ""]
        end = 0x80 | 10  # the E bit, and the volume
        await until_true(lambda: len([p for n, p in seen if n == 110 and p[:2] == bytes((11, end))]) == 3)
        events = [payload for number, payload in seen if number == 110]
        assert {payload[0] for payload in events} == {1, 11}
        with pytest.raises(InvalidCharacterError):
            dtmf.insertDTMF("x")
        assert a.addTransceiver("video").sender.dtmf is None


async def test_tones_of_8000_hz_are_sent_beside_sound_of_48000() -> None:
    """As gateways answer, that know no other telephone events."""
    async with pair() as (a, b):
        sender = a.addTrack(ToneSource(440).track())
        capabilities = RTCRtpSender.getCapabilities("audio")
        assert capabilities is not None
        wanted = [
            codec
            for codec in capabilities.codecs
            if codec.mimeType == "audio/opus" or (codec.mimeType, codec.clockRate) == EVENTS_AT_8_KHZ
        ]
        a.getTransceivers()[0].setCodecPreferences(wanted)
        await connected(a, b)
        assert [codec.clockRate for codec in sender.getParameters().codecs] == [48_000, 8_000]
        assert sender.dtmf is not None
        assert sender.dtmf.canInsertDTMF
        sound: list[int] = []
        events: list[tuple[int, int, int]] = []

        def take(packets: list[Any]) -> None:
            for packet in packets:
                if packet.payload_type == 126:
                    duration = int.from_bytes(packet.payload[2:4], "big")
                    events.append((packet.timestamp, packet.payload[0], duration))
                else:
                    sound.append(packet.timestamp)

        receiver(b, "audio").setPacketSink(take)
        await until_true(lambda: sound)
        sender.dtmf.insertDTMF("5", 100)
        await until_true(lambda: len(events) >= 3 and events[-1] == events[-3])
        assert {tone for _, tone, _ in events} == {5}
        assert events[-1][2] == 800  # of 8,000 Hz
        assert len({timestamp for timestamp, _, _ in events}) == 1
        assert 0 < (events[0][0] - sound[0]) % 2**32 < 10 * 48_000  # on the line of the sound


async def test_a_tone_ends_with_its_sender() -> None:
    async with pair() as (a, b):
        sender = a.addTrack(ToneSource(440).track())
        await connected(a, b)
        seen: list[int] = []
        receiver(b, "audio").setPacketSink(lambda packets: seen.extend(p.payload_type for p in packets))
        assert sender.dtmf is not None
        sender.dtmf.insertDTMF("1", 6000)
        await until_true(lambda: 110 in seen)
        a.getTransceivers()[0].stop()
