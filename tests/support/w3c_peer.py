"""A peer of a Python stack with the W3C's API, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from tests.support.media import Source, Transceiver
from tests.support.peers import (
    BUFFER_BYTES,
    TIMEOUT_S,
    Candidate,
    Channel,
    ChannelOptions,
    Description,
    Message,
    Peer,
    digest,
    pattern,
)
from tests.support.w3c_media import MediaKit, W3CTransceiver, codec_name

__all__ = ["W3CChannel", "W3CPeer"]

CHANNEL_INFO = (
    "label",
    "protocol",
    "ordered",
    "maxRetransmits",
    "maxPacketLifeTime",
    "negotiated",
    "id",
    "readyState",
)


class W3CChannel(Channel):
    """A channel whose events carry the W3C's event objects."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._echo = False
        self._open = asyncio.Event()
        self._close = asyncio.Event()
        self._low = asyncio.Event()
        self.errors: list[Any] = []
        if channel.readyState == "open":
            self._open.set()
        if channel.readyState == "closed":
            self._close.set()
        channel.on("open", lambda *_: self._open.set())
        channel.on("close", lambda *_: self._close.set())
        channel.on("error", lambda event: self.errors.append(event))
        channel.on("bufferedamountlow", lambda *_: self._low.set())
        channel.on("message", self._message)

    def _message(self, event: Any) -> None:
        data = self._data(event)
        if self._echo:
            self.channel.send(data)
        else:
            self._messages.put_nowait(data)

    def _data(self, event: Any) -> Message:
        data: Message = event.data
        return data

    async def info(self) -> dict[str, Any]:
        values = ((name, getattr(self.channel, name, ...)) for name in CHANNEL_INFO)
        return {name: value for name, value in values if value is not ...}

    async def opened(self) -> None:
        await self._wait(self._open)

    async def send(self, message: Message) -> None:
        self.channel.send(message)

    async def receive(self) -> Message:
        async with asyncio.timeout(TIMEOUT_S):
            return await self._messages.get()

    async def echo(self) -> None:
        self._echo = True

    async def send_hashed(self, total_bytes: int, message_bytes: int) -> str:
        messages = pattern(total_bytes, message_bytes)
        self.channel.bufferedAmountLowThreshold = BUFFER_BYTES // 2
        for message in messages:
            if self.channel.bufferedAmount + len(message) > BUFFER_BYTES:
                self._low.clear()
                await self._wait(self._low)
            self.channel.send(message)
        return digest(messages)

    async def receive_hashed(self, total_bytes: int) -> str:
        messages: list[bytes] = []
        received = 0
        while received < total_bytes:
            message = await self.receive()
            assert isinstance(message, bytes)
            messages.append(message)
            received += len(message)
        return digest(messages)

    async def low(self, threshold_bytes: int, burst: int, message_bytes: int) -> int:
        self.channel.bufferedAmountLowThreshold = threshold_bytes
        self._low.clear()
        for _ in range(burst):
            self.channel.send(bytes(message_bytes))
        await self._wait(self._low)
        amount: int = self.channel.bufferedAmount
        return amount

    async def close(self) -> None:
        self.channel.close()

    async def closed(self) -> None:
        await self._wait(self._close)

    async def _wait(self, event: asyncio.Event) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await event.wait()


class W3CPeer(Peer):
    """A peer of a stack whose names and events are the W3C's.

    Args:
        name: of the stack.
        pc: its RTCPeerConnection.
        kit: how it sends and receives media.
        description: makes what its setRemoteDescription takes.
        candidate: makes what its addIceCandidate takes.
    """

    make_channel: Callable[[Any], W3CChannel] = W3CChannel

    def __init__(
        self,
        name: str,
        pc: Any,
        kit: MediaKit,
        description: Callable[[Description], Any],
        candidate: Callable[[Candidate], Any],
    ) -> None:
        self.name = name
        self.pc = pc
        self._description = description
        self._candidate = candidate
        self._candidates: asyncio.Queue[Candidate | None] = asyncio.Queue()
        self._channels: asyncio.Queue[W3CChannel] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._kit = kit
        self._transceivers: list[W3CTransceiver] = []
        pc.on("icecandidate", self._on_candidate)
        pc.on("datachannel", self._on_channel)
        pc.on("connectionstatechange", lambda *_: self._changed.set())

    def _on_candidate(self, event: Any) -> None:
        candidate = event.candidate
        if candidate is not None and not candidate.candidate:
            return  # the end of one generation; null is the end of all
        self._candidates.put_nowait(None if candidate is None else candidate.toJSON())

    def _on_channel(self, event: Any) -> None:
        self._channels.put_nowait(self.make_channel(event.channel))

    def _local(self) -> Description:
        local = self.pc.localDescription
        return {"type": str(local.type), "sdp": local.sdp}

    async def create_channel(self, options: ChannelOptions) -> Channel:
        return self.make_channel(self.pc.createDataChannel(options.label, **options.given()))

    async def next_channel(self) -> Channel:
        async with asyncio.timeout(TIMEOUT_S):
            return await self._channels.get()

    def transceiver(self, transceiver: Any) -> W3CTransceiver:
        """The one and only wrapper of a transceiver."""
        for known in self._transceivers:
            if known.transceiver is transceiver:
                return known
        made = W3CTransceiver(self._kit, transceiver)
        self._transceivers.append(made)
        return made

    async def send(self, source: Source) -> Transceiver:
        sender = self.pc.addTrack(self._kit.make_track(source))
        transceiver = next(one for one in self.pc.getTransceivers() if one.sender is sender)
        return self.transceiver(transceiver)

    async def add_transceiver(
        self,
        kind: str,
        source: Source | None = None,
        *,
        direction: str = "sendrecv",
        layers: Sequence[dict[str, Any]] = (),
    ) -> Transceiver:
        what = kind if source is None else self._kit.make_track(source)
        return self.transceiver(self._kit.add_transceiver(self.pc, what, direction, list(layers)))

    async def transceivers(self) -> list[Transceiver]:
        return [self.transceiver(one) for one in self.pc.getTransceivers()]

    async def capabilities(self, kind: str) -> list[str]:
        return list(dict.fromkeys(codec_name(codec) for codec in self._kit.capabilities(kind)))

    async def create_offer(self, *, restart: bool = False) -> Description:
        if restart:
            self.pc.restartIce()
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return self._local()

    async def accept_offer(self, offer: Description) -> Description:
        await self.pc.setRemoteDescription(self._description(offer))
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        return self._local()

    async def accept_answer(self, answer: Description) -> None:
        await self.pc.setRemoteDescription(self._description(answer))

    async def add_candidate(self, candidate: Candidate | None) -> None:
        await self.pc.addIceCandidate(None if candidate is None else self._candidate(candidate))

    async def next_candidate(self) -> Candidate | None:
        return await self._candidates.get()

    async def connected(self) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while self.pc.connectionState != "connected":
                if self.pc.connectionState in ("failed", "closed"):
                    raise ConnectionError(f"{self.name}: connection {self.pc.connectionState}")
                self._changed.clear()
                await self._changed.wait()

    async def vanish(self) -> None:
        raise NotImplementedError("a peer in this process cannot vanish: kill its process")

    async def close(self) -> None:
        for transceiver in self._transceivers:
            await transceiver.release()
        self._kit.release()
        closing = self.pc.close()
        if inspect.isawaitable(closing):
            with contextlib.suppress(asyncio.CancelledError):
                await closing
