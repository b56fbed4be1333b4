"""A session that receives, its packets, and what it said."""

from __future__ import annotations

from typing import Any

from rtcstack.rtp.extensions import Extension
from rtcstack.rtp.header import make_header
from rtcstack.rtp.packet import is_rtcp
from rtcstack.rtp.rtcp import (
    RtcpPacket,
    parse,
)
from rtcstack.rtp.session import RtpSession
from tests.unit.rtp.media import (
    IDS,
    KEY,
    audio_section,
    session,
    video_section,
)

MID = IDS[Extension.MID]


def rtp(
    ssrc: int,
    number: int,
    payload: bytes = bytes((KEY,)) + b"0/",
    *,
    payload_type: int = 96,
    timestamp: int | None = None,
    marker: bool = True,
    mid: bytes | None = b"v",
    **names: bytes,
) -> bytes:
    elements = [(MID, mid)] if mid is not None else []
    elements += [(IDS[Extension[name.upper()]], value) for name, value in names.items()]
    if timestamp is None:
        timestamp = number * 3000
    return (
        make_header(ssrc, elements).write(
            payload_type | marker << 7, number & 0xFFFF, timestamp & 0xFFFFFFFF, 0, 0
        )
        + payload
    )


class Receiver:
    """A started session that receives, and what it said."""

    def __init__(self, *sections: Any, **changes: Any) -> None:
        self.session = session()
        self.now = 50.0
        self.session.start(self.now)
        for section in sections or (video_section(**changes), audio_section()):
            self.session.set_receive_section(section)
        self.events: list[Any] = []

    def put(self, *datagrams: bytes) -> list[Any]:
        self.session.receive(datagrams, self.now)
        return self.take()

    def take(self) -> list[Any]:
        events = list(self.session.events())
        self.events += events
        return events

    def rtcp(self) -> list[RtcpPacket]:
        return [p for data in self.session.drain(self.now) if is_rtcp(data) for p in parse(data).packets]

    def wait(self, seconds: float) -> list[RtcpPacket]:
        """Let time pass, serving every deadline."""
        end, out = self.now + seconds, self.rtcp()
        for _ in range(10_000):
            due = self.session.next_timeout()
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self.session.handle_timeout(self.now)
            out += self.rtcp()
            self.take()
        else:
            raise AssertionError("deadlines without end")
        self.now = end
        return out


def of(kind: type, things: list[Any]) -> list[Any]:
    return [each for each in things if isinstance(each, kind)]


def drain(engine: RtpSession, now: float) -> list[bytes]:
    """What a session sends, once what is due at `now` was done."""
    due = engine.next_timeout()
    if due is not None and due <= now:
        engine.handle_timeout(now)
    return engine.drain(now)
