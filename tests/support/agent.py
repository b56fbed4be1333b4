"""Peers of a Python stack as a host of their own: `python -m tests.support.agent STACK`.

Speaks the lines of JSON described in `host`.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import os
import sys
from typing import Any

from tests.support.host import LINE_LIMIT_BYTES, decode, encode
from tests.support.media import Transceiver, source_from_json
from tests.support.peers import Channel, ChannelOptions, Peer

CHANNEL_METHODS = {
    "info": "info",
    "opened": "opened",
    "echo": "echo",
    "sendHashed": "send_hashed",
    "receiveHashed": "receive_hashed",
    "low": "low",
    "closeChannel": "close",
    "closed": "closed",
}
PEER_METHODS = {
    "acceptOffer": "accept_offer",
    "acceptAnswer": "accept_answer",
    "addCandidate": "add_candidate",
    "nextCandidate": "next_candidate",
    "connected": "connected",
    "capabilities": "capabilities",
}
TRANSCEIVER_METHODS = ("info", "prefer", "enable", "turn", "stop", "stats")


def make_peer(stack: str, configuration: dict[str, Any]) -> Peer:
    """A peer of the stack of that name. Imports it then: one stack per process."""
    if stack == "aiortc":
        from tests.support.aiortc_peer import AiortcPeer

        return AiortcPeer(**configuration)
    if stack == "wrtc":
        from tests.support.wrtc_peer import WrtcPeer

        return WrtcPeer(**configuration)
    if stack == "gstreamer":
        from tests.support.gstreamer_peer import GStreamerPeer

        return GStreamerPeer(**configuration)
    if stack == "rtcstack":
        from tests.support.rtcstack_peer import RtcstackPeer

        return RtcstackPeer(**configuration)
    raise ValueError(f"no stack named {stack}")


class Agent:
    """The peers of this process, by number."""

    def __init__(self, stack: str) -> None:
        self._stack = stack
        self._numbers = itertools.count(1)
        self._peers: dict[int, Peer] = {}
        self._channels: dict[int, Channel] = {}
        self._transceivers: list[Transceiver] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Answer until standard input ends."""
        # what a stack prints must not stand between the answers
        answers = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)
        reader = asyncio.StreamReader(limit=LINE_LIMIT_BYTES)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            task = asyncio.create_task(self._serve(json.loads(line), answers.write))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, request: dict[str, Any], write: Any) -> None:
        answer: dict[str, Any] = {"id": request["id"]}
        try:
            answer["result"] = await self._call(request)
        except Exception as error:
            answer["error"] = f"{type(error).__name__}: {error}"
        write(json.dumps(answer) + "\n")

    def _add(self, channel: Channel) -> int:
        number = next(self._numbers)
        self._channels[number] = channel
        return number

    def _number(self, transceiver: Transceiver) -> int:
        """A transceiver keeps its number, also when it is stopped and gone from its connection."""
        if transceiver not in self._transceivers:
            self._transceivers.append(transceiver)
        return self._transceivers.index(transceiver)

    async def _of_transceiver(self, transceiver: Transceiver, method: str, args: list[Any]) -> Any:
        if method == "look":
            return (await transceiver.look(*args)).to_json()
        if method == "listen":
            return (await transceiver.listen(*args)).to_json()
        if method == "replace":
            return await transceiver.replace(source_from_json(args[0]))
        assert method in TRANSCEIVER_METHODS, method
        return await getattr(transceiver, method)(*args)

    async def _call(self, request: dict[str, Any]) -> Any:
        method, args = request["method"], request["args"]
        if method == "newPeer":
            number = next(self._numbers)
            self._peers[number] = make_peer(self._stack, args[0])
            return number
        if request["channel"] is not None:
            channel = self._channels[request["channel"]]
            if method == "send":
                return await channel.send(decode(args[0]))
            if method == "receive":
                return encode(await channel.receive())
            return await getattr(channel, CHANNEL_METHODS[method])(*args)
        if request["transceiver"] is not None:
            return await self._of_transceiver(self._transceivers[request["transceiver"]], method, args)
        peer = self._peers[request["peer"]]
        if method == "send":
            source = source_from_json(args[0])
            assert source is not None
            return self._number(await peer.send(source))
        if method == "addTransceiver":
            kind, given, direction, layers = args
            made = await peer.add_transceiver(
                kind, source_from_json(given), direction=direction, layers=layers
            )
            return self._number(made)
        if method == "transceivers":
            return [self._number(one) for one in await peer.transceivers()]
        if method == "createChannel":
            return self._add(await peer.create_channel(ChannelOptions(args[0], **args[1])))
        if method == "createOffer":
            return await peer.create_offer(restart=args[0])
        if method == "nextChannel":
            return self._add(await peer.next_channel())
        if method == "close":
            del self._peers[request["peer"]]
            return await peer.close()
        if method == "vanish":
            os._exit(0)
        result = getattr(peer, PEER_METHODS[method])(*args)
        return await result if inspect.isawaitable(result) else result


if __name__ == "__main__":
    asyncio.run(Agent(sys.argv[1]).run())
