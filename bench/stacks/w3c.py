"""What the stacks with the W3C's events and trickled candidates share: rtcstack and wrtc."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from bench.stacks import Endpoint, Stack

__all__ = ["W3CStack"]


class W3CStack(Stack):
    """Negotiates with trickled candidates where both ends are here, else with complete descriptions."""

    @abstractmethod
    def description(self, kind: str, sdp: str) -> Any:
        """What setRemoteDescription takes."""

    def endpoint(self, pc: Any, channel: Any) -> Endpoint:
        """The channel's verbs."""

        def on_message(callback: Callable[[bytes], Any]) -> None:
            channel.on("message", lambda event: callback(event.data))

        def on_low(threshold_bytes: int, callback: Callable[[], Any]) -> None:
            channel.bufferedAmountLowThreshold = threshold_bytes
            channel.on("bufferedamountlow", lambda event: callback())

        result = Endpoint(pc, channel, channel.send, lambda: int(channel.bufferedAmount), on_message, on_low)
        channel.on("open", lambda event: result.opened.set())
        if channel.readyState == "open":
            result.opened.set()
        return result

    def incoming(self, pc: Any) -> asyncio.Future[Endpoint]:
        """The channel that the other side will open."""
        future: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
        pc.on("datachannel", lambda event: future.set_result(self.endpoint(pc, event.channel)))
        return future

    async def pair(self) -> tuple[Endpoint, Endpoint]:
        a, b = self.new(), self.new()
        channel = a.createDataChannel("bench")
        first, second = self.endpoint(a, channel), self.incoming(b)
        tasks: set[asyncio.Task[None]] = set()
        answered = asyncio.Event()

        def trickle(source: Any, target: Any, ready: asyncio.Event | None) -> None:
            async def add(candidate: Any) -> None:
                if ready is not None:
                    await ready.wait()
                await target.addIceCandidate(candidate)

            def found(event: Any) -> None:
                if event.candidate is not None:
                    task = asyncio.ensure_future(add(event.candidate))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)

            source.on("icecandidate", found)

        offered = asyncio.Event()
        trickle(a, b, offered)
        trickle(b, a, answered)
        await a.setLocalDescription(await a.createOffer())
        await b.setRemoteDescription(a.localDescription)
        offered.set()
        await b.setLocalDescription(await b.createAnswer())
        await a.setRemoteDescription(b.localDescription)
        answered.set()
        await first.opened.wait()
        other = await second
        await other.opened.wait()
        return first, other

    async def _complete(self, pc: Any) -> str:
        if pc.iceGatheringState != "complete":
            done = asyncio.Event()

            def changed(_event: Any) -> None:
                if pc.iceGatheringState == "complete":
                    done.set()

            pc.on("icegatheringstatechange", changed)
            await done.wait()
        sdp: str = pc.localDescription.sdp
        return sdp

    async def offer(self) -> tuple[Endpoint, str]:
        pc = self.new()
        endpoint = self.endpoint(pc, pc.createDataChannel("bench"))
        await pc.setLocalDescription(await pc.createOffer())
        return endpoint, await self._complete(pc)

    async def answer(self, offer: str) -> tuple[asyncio.Future[Endpoint], str]:
        pc = self.new()
        incoming = self.incoming(pc)
        await pc.setRemoteDescription(self.description("offer", offer))
        await pc.setLocalDescription(await pc.createAnswer())
        return incoming, await self._complete(pc)

    async def accept(self, endpoint: Endpoint, answer: str) -> None:
        await endpoint.pc.setRemoteDescription(self.description("answer", answer))
        await endpoint.opened.wait()

    async def close(self, endpoint: Endpoint) -> None:
        closing = endpoint.pc.close()
        if closing is not None:
            await closing
