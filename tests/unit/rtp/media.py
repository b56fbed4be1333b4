"""What the tests of the media engine share: a payload format, a pair of sessions, a call."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from rtcstack.errors import ParseError
from rtcstack.rtp.events import FrameReceived, KeyFrameRequested, RtpEvent
from rtcstack.rtp.extensions import Extension
from rtcstack.rtp.frames import AudioUnit, EncodedFrame, PayloadInfo
from rtcstack.rtp.parameters import Delivery, ReceiveCodec, ReceiveSection, SendParameters, Source
from rtcstack.rtp.send import SendStream
from rtcstack.rtp.session import RtpSession
from rtcstack.testing import START_S, Link
from rtcstack.testing.engines import EngineHost, Simulation

IDS = {
    Extension.MID: 4,
    Extension.RID: 5,
    Extension.REPAIRED_RID: 6,
    Extension.ABS_SEND_TIME: 2,
    Extension.TRANSPORT_CC: 3,
    Extension.AUDIO_LEVEL: 1,
    Extension.VIDEO_ORIENTATION: 7,
    Extension.ABS_CAPTURE_TIME: 8,
}

KEY, START, MIDDLE = 1, 2, 0
NTP_OFFSET_S = 3.9e9


class Plain:
    """One byte tells what a packet is; 255 is malformed. Layers: byte two is tl0, three the layer."""

    def depacketize(self, payload: bytes) -> PayloadInfo:
        first = payload[0]
        if first == 255:
            raise ParseError("malformed")
        info = PayloadInfo(payload[1:], first != MIDDLE, False, first == KEY)
        if first in (KEY, START) and len(payload) >= 4 and payload[1] == 0xAA:
            info.tl0_pic_idx = payload[2]
            info.temporal_id = payload[3] & 0x7F
            info.layer_sync = payload[3] > 0x7F
        return info

    def assemble(self, payloads: Sequence[PayloadInfo]) -> bytes:
        return b"".join([part.data for part in payloads])


class Blind(Plain):
    """As H.264: a packet does not tell whether a picture starts with it."""

    def depacketize(self, payload: bytes) -> PayloadInfo:
        info = super().depacketize(payload)
        info.starts_frame = None
        info.continues = payload[0] == MIDDLE
        info.starts_sequence = info.key_frame
        return info


class Speech:
    """An audio frame of 20 ms at 48 kHz per packet; a first byte of 70 carries a copy (FEC)."""

    def split(self, payload: bytes) -> Sequence[AudioUnit]:
        if payload[0] == 255:
            raise ParseError("malformed")
        return [AudioUnit(payload, 0, 960, has_fec=payload[0] == 70)]


def video_payloads(number: int, count: int, *, key: bool, size: int = 1000) -> list[bytes]:
    """The packets of a frame: recognisable, each different."""
    head = bytes((KEY if key else START,))
    out = []
    for i in range(count):
        text = f"{number}/{i};".encode()
        out.append((head if i == 0 else bytes((MIDDLE,))) + text.ljust(size - 1, b"."))
    return out


def frame_data(number: int, count: int, size: int = 1000) -> bytes:
    """What comes out at the other end."""
    return b"".join(f"{number}/{i};".encode().ljust(size - 1, b".") for i in range(count))


def video_section(**changes: Any) -> ReceiveSection:
    settings: dict[str, Any] = {
        "mid": "v",
        "kind": "video",
        "codecs": (
            ReceiveCodec(96, 90000, Plain(), nack=True, pli=True, fir=True),
            ReceiveCodec(97, 90000, apt=96),
        ),
        "extensions": IDS,
        "transport_cc": True,
        "reduced_size": True,
    }
    return ReceiveSection(**(settings | changes))


def audio_section(**changes: Any) -> ReceiveSection:
    settings: dict[str, Any] = {
        "mid": "a",
        "kind": "audio",
        "codecs": (ReceiveCodec(111, 48000, Speech()), ReceiveCodec(110, 48000)),
        "extensions": IDS,
        "delivery": Delivery.PLAYOUT,
        "transport_cc": True,
        "reduced_size": True,
    }
    return ReceiveSection(**(settings | changes))


def video_parameters(**changes: Any) -> SendParameters:
    settings: dict[str, Any] = {
        "mid": "v",
        "kind": "video",
        "ssrc": 1001,
        "payload_type": 96,
        "clock_rate": 90000,
        "cname": "somebody",
        "rtx_ssrc": 1002,
        "rtx_payload_type": 97,
        "extensions": IDS,
        "nack": True,
        "reduced_size": True,
    }
    return SendParameters(**(settings | changes))


def audio_parameters(**changes: Any) -> SendParameters:
    settings: dict[str, Any] = {
        "mid": "a",
        "kind": "audio",
        "ssrc": 2001,
        "payload_type": 111,
        "clock_rate": 48000,
        "cname": "somebody",
        "extensions": IDS,
        "reduced_size": True,
    }
    return SendParameters(**(settings | changes))


def session(seed: int = 1, **options: Any) -> RtpSession:
    """A session whose chance comes from a seed."""
    return RtpSession(rng=random.Random(seed), ntp_offset_s=NTP_OFFSET_S, **options)


class Call:
    """Video (and what a test adds) from one session to another over virtual links.

    Attributes:
        frames: video frames that came out.
        captured: number of the frames that went in.
    """

    def __init__(
        self,
        parameters: SendParameters | None = None,
        section: ReceiveSection | None = None,
        *,
        forth: dict[str, Any] | None = None,
        back: dict[str, Any] | None = None,
        seed: int = 1,
    ) -> None:
        self.network = Simulation()
        self.sender, self.receiver = session(seed), session(seed + 1)
        parameters = parameters or video_parameters()
        self.stream: SendStream = self.sender.add_send_stream(parameters)
        self.receiver.set_receive_section(
            section or video_section(sources=(Source(parameters.ssrc, parameters.rtx_ssrc),))
        )
        self.forth: Link = self.network.link(**({"delay_s": 0.02, "seed": seed} | (forth or {})))
        self.back: Link = self.network.link(**({"delay_s": 0.02, "seed": seed + 99} | (back or {})))
        self.a: EngineHost
        self.b: EngineHost
        self.a, self.b = self.network.connect(
            self.sender, self.receiver, forth=[self.forth], back=[self.back]
        )
        self.sender.start(START_S)
        self.receiver.start(START_S)
        self.frames: list[EncodedFrame] = []
        self.events: list[RtpEvent] = []
        self.number = 0
        self.key_frames_sent: list[int] = []
        self._want_key = True
        self.a.on_event = self._on_sender_event
        self.b.on_event = self._on_receiver_event
        self.packets_per_frame: Callable[[], int] = lambda: 5
        self.size = 1000

    def _on_sender_event(self, event: RtpEvent) -> None:
        if isinstance(event, KeyFrameRequested):
            self._want_key = True
        self.a.events.append(event)

    def _on_receiver_event(self, event: RtpEvent) -> None:
        if isinstance(event, FrameReceived):
            self.frames.append(event.frame)
        else:
            self.events.append(event)

    def capture(self, _: object = None) -> None:
        """One frame goes in."""
        key, self._want_key = self._want_key, False
        payloads = video_payloads(self.number, self.packets_per_frame(), key=key, size=self.size)
        if self.stream.send(payloads, self.number * 3000, self.network.now, key_frame=key):
            if key:
                self.key_frames_sent.append(self.number)
        else:
            self._want_key = self._want_key or key
        self.number += 1
        self.a.flush()

    def film(self, seconds: float, *, start: float = 0.0, fps: int = 30) -> None:
        """Have frames captured for so long."""
        for i in range(int(seconds * fps)):
            self.network.at(START_S + start + i / fps, self.capture, None)

    def run(self, until: float) -> None:
        """Run the virtual clock."""
        self.a.flush()
        self.b.flush()
        self.network.run(until=until)

    def numbers(self) -> list[int]:
        """Which frames came out, by the number written into them."""
        return [int(frame.data.split(b"/")[0]) for frame in self.frames]
