"""One small interface over every WebRTC stack that the tests talk to.

A test written against `Peer` and `Channel` runs with any pair of stacks, in process or not.
Everything is pulled: a peer keeps candidates, channels and messages until they are asked for,
so a test reads in the order in which it thinks.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypedDict
from weakref import WeakKeyDictionary

from tests.support.media import Source, Transceiver

__all__ = [
    "BUFFER_BYTES",
    "TIMEOUT_S",
    "Candidate",
    "Channel",
    "ChannelOptions",
    "Description",
    "Message",
    "Peer",
    "Trickle",
    "connect",
    "pattern",
    "pause_trickling",
]

Message = str | bytes

TIMEOUT_S = 20.0
"""How long a test waits for anything a peer is to do."""

BUFFER_BYTES = 1 << 20
"""How much a sender of a transfer keeps buffered in its channel."""


class Description(TypedDict):
    """RTCSessionDescriptionInit."""

    type: str
    sdp: str


class Candidate(TypedDict, total=False):
    """RTCIceCandidateInit."""

    candidate: str
    sdpMid: str | None
    sdpMLineIndex: int | None
    usernameFragment: str | None


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    """The arguments of createDataChannel, by their W3C names."""

    label: str = "channel"
    ordered: bool = True
    maxRetransmits: int | None = None
    maxPacketLifeTime: int | None = None
    protocol: str = ""
    negotiated: bool = False
    id: int | None = None

    def given(self) -> dict[str, Any]:
        """All but the label and what is None, ready for createDataChannel."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        del values["label"]
        return values


class Channel(ABC):
    """A data channel at one peer."""

    @abstractmethod
    async def info(self) -> dict[str, Any]:
        """label, protocol, ordered, maxRetransmits, maxPacketLifeTime, negotiated, id, readyState.

        A stack that does not tell one of them leaves it out.
        """

    @abstractmethod
    async def opened(self) -> None:
        """Wait until the channel is open."""

    @abstractmethod
    async def send(self, message: Message) -> None:
        """Send one message, text or binary."""

    @abstractmethod
    async def receive(self) -> Message:
        """Take the oldest message, waiting for one."""

    @abstractmethod
    async def echo(self) -> None:
        """From now on, send back every message that arrives."""

    @abstractmethod
    async def send_hashed(self, total_bytes: int, message_bytes: int) -> str:
        """Send that much with backpressure, in messages of that size; the SHA-256 of it all, in hex."""

    @abstractmethod
    async def receive_hashed(self, total_bytes: int) -> str:
        """Take messages until there is that much; the SHA-256 of it all, in hex."""

    @abstractmethod
    async def low(self, threshold_bytes: int, burst: int, message_bytes: int) -> int:
        """Send a burst at once and wait for bufferedamountlow; bufferedAmount in the event."""

    @abstractmethod
    async def close(self) -> None:
        """Begin to close the channel."""

    @abstractmethod
    async def closed(self) -> None:
        """Wait until the channel is closed, by whichever side or by a failure."""


class Peer(ABC):
    """A peer connection of some stack. Use it as an async context manager."""

    name: str

    @abstractmethod
    async def create_channel(self, options: ChannelOptions) -> Channel:
        """Create a data channel."""

    @abstractmethod
    async def next_channel(self) -> Channel:
        """Take the oldest channel that the other side created, waiting for one."""

    async def send(self, source: Source) -> Transceiver:
        """addTrack with a new track that shows, or sounds, this."""
        raise NotImplementedError(f"{self.name} has no media here")

    async def add_transceiver(
        self,
        kind: str,
        source: Source | None = None,
        *,
        direction: str = "sendrecv",
        layers: Sequence[dict[str, Any]] = (),
    ) -> Transceiver:
        """addTransceiver.

        Args:
            kind: "audio" or "video".
            source: what its new track shows or sounds; None for no track.
            direction: that is wanted.
            layers: sendEncodings.
        """
        raise NotImplementedError(f"{self.name} has no media here")

    async def transceivers(self) -> list[Transceiver]:
        """Those that there are, in their order."""
        raise NotImplementedError(f"{self.name} has no media here")

    async def capabilities(self, kind: str) -> list[str]:
        """The names of the codecs that this stack both sends and receives, in upper case."""
        raise NotImplementedError(f"{self.name} has no media here")

    @abstractmethod
    async def create_offer(self, *, restart: bool = False) -> Description:
        """Create an offer, if wanted with an ICE restart, and apply it; candidates follow."""

    @abstractmethod
    async def accept_offer(self, offer: Description) -> Description:
        """Apply an offer, then create and apply the answer."""

    @abstractmethod
    async def accept_answer(self, answer: Description) -> None:
        """Apply an answer."""

    @abstractmethod
    async def add_candidate(self, candidate: Candidate | None) -> None:
        """Add a candidate of the other side; None is the end of them."""

    @abstractmethod
    async def next_candidate(self) -> Candidate | None:
        """Take the oldest own candidate, waiting for one; None is the end of them."""

    @abstractmethod
    async def connected(self) -> None:
        """Wait until connectionState is connected."""

    @abstractmethod
    async def vanish(self) -> None:
        """Go away without the application closing anything: the page or the process is gone."""

    @abstractmethod
    async def close(self) -> None:
        """Close the peer connection."""

    async def __aenter__(self) -> Peer:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()


def pattern(total_bytes: int, message_bytes: int) -> list[bytes]:
    """Messages that sum up to `total_bytes`: random, each with its number in front."""
    block = os.urandom(message_bytes)
    messages = []
    for number, offset in enumerate(range(0, total_bytes, message_bytes)):
        size = min(message_bytes, total_bytes - offset)
        messages.append((number.to_bytes(4, "big") + block)[:size])
    return messages


def digest(messages: list[bytes]) -> str:
    """The SHA-256 of all messages joined, in hex."""
    sha = hashlib.sha256()
    for message in messages:
        sha.update(message)
    return sha.hexdigest()


class Trickle:
    """Hands every candidate of one peer to another, for as long as the connection lives.

    While a negotiation is on its way candidates wait, so that none overtakes its description, as
    signalling that keeps its order would see to.
    """

    def __init__(self, source: Peer, target: Peer) -> None:
        self._source = source
        self._target = target
        self._gate = asyncio.Event()
        self._ends = asyncio.Semaphore(0)
        self._passing = asyncio.Lock()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            candidate = await self._source.next_candidate()
            await self._gate.wait()
            async with self._passing:
                await self._target.add_candidate(candidate)
            if candidate is None:
                self._ends.release()

    def hold(self) -> None:
        """Let candidates wait."""
        self._gate.clear()

    async def pause(self) -> None:
        """Let candidates wait; what is on its way has arrived then."""
        self.hold()
        async with self._passing:
            pass

    def go_on(self) -> None:
        """The descriptions have been applied."""
        self._gate.set()

    async def ended(self) -> None:
        """Wait until the candidates of a generation, its end included, have gone across."""
        await self._ends.acquire()


TRICKLES: WeakKeyDictionary[Peer, list[Trickle]] = WeakKeyDictionary()
"""Both directions, by either peer, inside `connect`."""


async def pause_trickling(peer: Peer) -> None:
    """Before one of both goes, inside `connect`: no candidate is given any more to who is not there."""
    for trickle in TRICKLES[peer]:
        await trickle.pause()


@asynccontextmanager
async def connect(
    offerer: Peer, answerer: Peer, *, restart: bool = False
) -> AsyncIterator[tuple[Description, Description]]:
    """Negotiate with candidates trickled both ways, and keep trickling inside the block.

    May be used again inside the block, with an ICE restart or without.

    Yields:
        the offer and the answer, once both sides are connected.
    """
    trickles = TRICKLES.get(offerer)
    first = trickles is None
    if trickles is None:
        trickles = [Trickle(offerer, answerer), Trickle(answerer, offerer)]
        TRICKLES[offerer] = TRICKLES[answerer] = trickles
    try:
        async with asyncio.timeout(TIMEOUT_S):
            if restart:
                for trickle in trickles:
                    await trickle.ended()
            for trickle in trickles:
                trickle.hold()
            offer = await offerer.create_offer(restart=restart)
            answer = await answerer.accept_offer(offer)
            await offerer.accept_answer(answer)
            for trickle in trickles:
                trickle.go_on()
            await asyncio.gather(offerer.connected(), answerer.connected())
        yield offer, answer
        failures = [one.task for one in trickles if first and one.task.done()]
        await asyncio.gather(*failures)
    except BaseException as error:
        for one in trickles:
            if one.task.done() and not one.task.cancelled():
                error.add_note(f"a candidate was refused: {one.task.exception()!r}")
        raise
    finally:
        if first:
            del TRICKLES[offerer], TRICKLES[answerer]
            for one in trickles:
                one.task.cancel()
            await asyncio.gather(*(one.task for one in trickles), return_exceptions=True)
