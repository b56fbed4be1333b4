"""Fuzz target of the whole: two live connections on a virtual internet, one of which is hostile.

The hostile one is a connection like the other; what it sends is changed before it is encrypted, and so are
its descriptions and candidates.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from rtcstack import RTCIceCandidate, RTCPeerConnection, RTCSessionDescription
from rtcstack.dtls.engine import DtlsEngine
from rtcstack.errors import DOMException
from rtcstack.rtp.session import RtpSession
from rtcstack.sctp.packet import chunk_bytes
from rtcstack.testing import Internet, run
from tests.fuzz.budget import Limit, bounded
from tests.fuzz.script import Mutator, Script
from tests.scenarios.media import Film, Speech
from tests.support.insides import transports_of

__all__ = ["TARGETS"]

MAX_ROUNDS = 25

FRAME_RATE, FRAME_BYTES, SOUND_S = 10, 1500, 0.06

LINES = (
    "a=inactive",
    "a=recvonly",
    "a=sendrecv",
    "a=setup:active",
    "a=setup:passive",
    "a=ice-lite",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:" + "p" * 24,
    "a=bundle-only",
    "a=mid:0",
    "a=mid:9",
    "a=sctp-port:0",
    "a=max-message-size:1",
    "a=rtcp-mux",
    "a=group:BUNDLE 0",
    "a=rid:q recv",
    "a=simulcast:recv q",
    "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=fmtp:96 apt=96",
    "a=candidate:1 1 udp 1 192.0.2.77 9 typ host",
    "a=end-of-candidates",
    "m=video 9 UDP/TLS/RTP/SAVPF 96",
    "m=audio 0 UDP/TLS/RTP/SAVPF 111",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
)

_CHUNKS = (0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 64, 130, 192, 194, 2)


class _Hostile:
    """Changes what one connection sends."""

    def __init__(self, script: Script, connection: RTCPeerConnection) -> None:
        self.script = script
        self.connection = connection
        self.channels = Mutator(script)
        self.media = Mutator(script)
        self.is_on = False

    def _owns(self, engine: object) -> bool:
        for entry in transports_of(self.connection) if self.is_on else ():
            transport = entry.transport
            if transport.dtls is engine:
                return True
            if transport.media is not None and transport.media.session is engine:
                return True
        return False

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Where SCTP's packets go to DTLS, and where RTP's come from the session."""
        send, drain = DtlsEngine.send, RtpSession.drain

        def changed_send(engine: DtlsEngine, packets: list[bytes]) -> None:
            if packets and self._owns(engine):
                packets = [packet for packet in self.channels.pass_on(list(packets)) if packet]
            send(engine, packets)

        def changed_drain(engine: RtpSession, now: float) -> list[bytes]:
            packets = drain(engine, now)
            return self.media.pass_on(packets) if packets and self._owns(engine) else packets

        with (
            mock.patch.object(DtlsEngine, "send", changed_send),
            mock.patch.object(RtpSession, "drain", changed_drain),
        ):
            yield

    def say(self) -> None:
        """A packet of its own making."""
        script, seen = self.script, self.channels.seen
        for entry in transports_of(self.connection):
            if seen:
                kind, flags = _CHUNKS[script.byte() % len(_CHUNKS)], script.byte()
                chunk = chunk_bytes(kind, flags, script.piece())
                entry.transport.dtls.send([seen[-1][:8] + bytes(4) + chunk])
                entry.transport.wake()

    def text(self, text: str) -> str:
        """A description with lines lost, doubled, moved or strange."""
        script = self.script
        lines = text.split("\r\n")
        for _ in range(script.byte() % 4):
            at = script.byte() % len(lines)
            match script.byte() % 5:
                case 0:
                    del lines[at : at + 1 + script.byte() % 8]
                case 1:
                    lines.insert(at, LINES[script.byte() % len(LINES)])
                case 2:
                    lines.insert(at, lines[script.byte() % len(lines)] if lines else "")
                case 3 if at < len(lines):
                    line = lines[at]
                    cut = script.byte() % (len(line) + 1)
                    lines[at] = (
                        line[:cut] + script.take(3).decode("latin-1") + line[cut + script.byte() % 4 :]
                    )
                case _:
                    lines.append(LINES[script.byte() % len(LINES)])
        return "\r\n".join(lines)


class _Victim:
    """An application like many: it answers messages, closes some channels, and counts events."""

    def __init__(self, connection: RTCPeerConnection) -> None:
        self.connection = connection
        self.channels: list[Any] = []
        self.closings: dict[Any, int] = {}
        self.tracks = 0
        connection.on("datachannel", lambda event: self.take(event.channel))
        connection.on("track", self._on_track)

    def take(self, channel: Any) -> None:
        self.channels.append(channel)
        channel.on("message", self._on_message)
        channel.on("close", self._on_close)

    def _on_message(self, event: Any) -> None:
        channel = event.target
        assert channel.readyState != "closed"
        if channel.readyState == "open" and channel.bufferedAmount < 100_000:
            channel.send(event.data)

    def _on_close(self, event: Any) -> None:
        self.closings[event.target] = self.closings.get(event.target, 0) + 1
        assert event.target.readyState == "closed"

    def _on_track(self, event: Any) -> None:
        self.tracks += 1
        assert event.track is event.receiver.track


class _Faults(logging.Handler):
    """What the stack logs as its own faults."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.found.append(logging.Formatter().format(record))


async def _exchange(offerer: RTCPeerConnection, answerer: RTCPeerConnection) -> None:
    for source, sink in ((offerer, answerer), (answerer, offerer)):
        await source.setLocalDescription()
        while source.iceGatheringState != "complete":
            await asyncio.sleep(0.01)
        await sink.setRemoteDescription(source.localDescription)


async def _describe(victim: RTCPeerConnection, hostile: _Hostile) -> None:
    """A new offer, or an answer to one, as the hostile side would have it."""
    peer, script = hostile.connection, hostile.script
    if script.byte() & 1:
        offer = await peer.createOffer()
        told = RTCSessionDescription("offer", hostile.text(offer.sdp))
        with contextlib.suppress(DOMException):
            await victim.setRemoteDescription(told)
            await victim.setLocalDescription()
    else:
        with contextlib.suppress(DOMException):  # a provisional answer stands: now comes another
            await victim.setLocalDescription()
        offer = victim.localDescription
        try:
            if peer.signalingState == "stable":
                await peer.setRemoteDescription(offer)
                await peer.setLocalDescription()
            answer = peer.localDescription.sdp
        except DOMException:  # the victim has agreed to things that its peer knows nothing of
            answer = offer.sdp
        kind = ("answer", "pranswer")[script.byte() >> 7]
        with contextlib.suppress(DOMException):
            await victim.setRemoteDescription(RTCSessionDescription(kind, hostile.text(answer)))
    if victim.signalingState != "stable":
        with contextlib.suppress(DOMException):
            await victim.setLocalDescription(RTCSessionDescription("rollback", ""))
        with contextlib.suppress(DOMException):
            await victim.setRemoteDescription(RTCSessionDescription("rollback", ""))


async def _candidate(victim: RTCPeerConnection, script: Script) -> None:
    text = "candidate:1 1 udp 2122 198.51.100.7 1000 typ host"
    at = script.byte() % len(text)
    text = text[:at] + script.take(6).decode("latin-1") + text[at + script.byte() % 4 :]
    mid = (None, "0", "1", "7")[script.byte() % 4]
    with contextlib.suppress(DOMException):
        candidate = RTCIceCandidate(candidate=text, sdpMid=mid, sdpMLineIndex=script.byte() % 3)
        await victim.addIceCandidate(candidate)


async def _live(data: bytes, internet: Internet, faults: list[str]) -> None:
    script = Script(data)
    hosts = internet.add_host("victim"), internet.add_host("hostile")
    with hosts[0]:
        victim = _Victim(RTCPeerConnection())
        film, speech = Film(FRAME_RATE, FRAME_BYTES), Speech(interval_s=SOUND_S)
        for track in (film.start(), speech.start()):
            victim.connection.addTrack(track)
        victim.take(victim.connection.createDataChannel("ours"))
    with hosts[1]:
        hostile = _Hostile(script, RTCPeerConnection())
        other_film, other_speech = Film(FRAME_RATE, FRAME_BYTES), Speech(interval_s=SOUND_S)
        for track in (other_film.start(), other_speech.start()):
            hostile.connection.addTrack(track)
        theirs = hostile.connection.createDataChannel("theirs", ordered=False, maxRetransmits=0)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(repr(context)))
    try:
        with hostile.at_work():
            await _exchange(victim.connection, hostile.connection)
            while theirs.readyState != "open" or victim.channels[0].readyState != "open":
                await asyncio.sleep(0.01)
            theirs.send("hello")
            await asyncio.sleep(0.3)
            assert len(victim.channels) == 2
            assert victim.tracks == 2
            hostile.is_on = True
            for _ in range(MAX_ROUNDS):
                if script.is_over:
                    break
                await _round(script, victim, hostile, theirs)
    finally:
        hostile.is_on = False
        for source in (film, speech, other_film, other_speech):
            source.stop()
        await victim.connection.close()
        await hostile.connection.close()
    await asyncio.sleep(1)
    assert victim.connection.connectionState == "closed"
    assert all(channel.readyState == "closed" for channel in victim.channels)
    assert all(count == 1 for count in victim.closings.values())
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not any(host.open_ports for host in hosts)


async def _round(script: Script, victim: _Victim, hostile: _Hostile, theirs: Any) -> None:
    action = script.byte()
    match action % 8:
        case 0 if theirs.readyState == "open":
            with contextlib.suppress(DOMException):
                theirs.send(bytes((0, 1, 1200, 5000)[action >> 6]))
        case 1 if hostile.connection.sctp is not None:
            with contextlib.suppress(DOMException):
                hostile.connection.createDataChannel(script.piece().decode("latin-1"), protocol="p")
        case 2:
            hostile.say()
        case 3:
            await _describe(victim.connection, hostile)
        case 4:
            await _candidate(victim.connection, script)
        case 5:
            victim.channels[script.byte() % len(victim.channels)].close()
        case 6 if theirs.readyState == "open":
            theirs.close()
        case _:
            for channel in victim.channels:
                if channel.readyState == "open":
                    channel.send("x" * script.byte())
    await asyncio.sleep((0.005, 0.05, 0.2, 1.2)[action >> 3 & 3])


WHOLE = Limit(3_000_000, 0)
"""Steps of a run. It lasts some 30 s of virtual time at most, in which media takes 20,000 steps a second."""


def two_connections(data: bytes) -> None:
    """Nothing raises, nothing is left, and all of it ends, whatever the other side says."""
    faults = _Faults()
    logger = logging.getLogger("rtcstack")
    logger.addHandler(faults)
    internet = Internet(seed=1)
    try:
        run(_live(data, internet, faults.found), internet=internet, limit_s=120.0)
    finally:
        logger.removeHandler(faults)
    assert not faults.found, "\n".join(faults.found)


TARGETS: tuple[Callable[[bytes], None], ...] = (
    bounded(two_connections, steps=WHOLE, held=Limit(16 << 20, 0)),
)
