"""aiortc: WebRTC in Python; its events carry the payload itself, its descriptions all candidates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from bench.stacks import Endpoint, Stack


class AiortcStack(Stack):
    """Does not trickle: the description is complete when setLocalDescription returns."""

    name = "aiortc"
    version = version("aiortc")

    def new(self) -> Any:
        return RTCPeerConnection(RTCConfiguration(iceServers=[]))

    @staticmethod
    def _endpoint(pc: Any, channel: Any) -> Endpoint:
        def on_low(threshold_bytes: int, callback: Callable[[], Any]) -> None:
            channel.bufferedAmountLowThreshold = threshold_bytes
            channel.on("bufferedamountlow", callback)

        result = Endpoint(
            pc,
            channel,
            channel.send,
            lambda: int(channel.bufferedAmount),
            lambda callback: channel.on("message", callback),
            on_low,
        )
        channel.on("open", result.opened.set)
        if channel.readyState == "open":
            result.opened.set()
        return result

    def _incoming(self, pc: Any) -> asyncio.Future[Endpoint]:
        future: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
        pc.on("datachannel", lambda channel: future.set_result(self._endpoint(pc, channel)))
        return future

    async def pair(self) -> tuple[Endpoint, Endpoint]:
        first, offer = await self.offer()
        incoming, answer = await self.answer(offer)
        await self.accept(first, answer)
        return first, await incoming

    async def offer(self) -> tuple[Endpoint, str]:
        pc = self.new()
        endpoint = self._endpoint(pc, pc.createDataChannel("bench"))
        await pc.setLocalDescription(await pc.createOffer())
        return endpoint, pc.localDescription.sdp

    async def answer(self, offer: str) -> tuple[asyncio.Future[Endpoint], str]:
        pc = self.new()
        incoming = self._incoming(pc)
        await pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await pc.setLocalDescription(await pc.createAnswer())
        return incoming, pc.localDescription.sdp

    async def accept(self, endpoint: Endpoint, answer: str) -> None:
        await endpoint.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await endpoint.opened.wait()

    async def close(self, endpoint: Endpoint) -> None:
        await endpoint.pc.close()


def create() -> AiortcStack:
    """The adapter."""
    return AiortcStack()
