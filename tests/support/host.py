"""Peers in another process: a remote procedure call with one line of JSON each way.

    -> {"id": 7, "peer": 1, "channel": 2, "transceiver": null, "method": "send", "args": [{"base64": "AAE="}]}
    <- {"id": 7, "result": null}        or  {"id": 7, "error": "InvalidStateError: ..."}

Answers come in any order: a method that waits (`receive`, `opened`) answers when it has waited.
Binary values are `{"base64": ...}`. The other side keeps everything until it is asked for, so
there is no third kind of message.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.media import (
    LISTEN_S,
    LOOK_PICTURES,
    LOOK_S,
    Pictures,
    Sound,
    Source,
    Stats,
    Transceiver,
    TransceiverInfo,
    source_to_json,
)
from tests.support.peers import (
    TIMEOUT_S,
    Candidate,
    Channel,
    ChannelOptions,
    Description,
    Message,
    Peer,
)

__all__ = ["Host", "HostGoneError", "LeashedProcess", "RemoteError", "StdioHost", "decode", "encode"]

CALL_S = 600.0
"""Longer than any test's connection lives."""

LINE_LIMIT_BYTES = 16 << 20
"""Longest line of JSON that a host may send."""


class RemoteError(Exception):
    """The peer's stack raised."""


class HostGoneError(Exception):
    """The process of the peer ended while an answer was awaited."""


def encode(message: Message) -> Any:
    """A message as JSON."""
    if isinstance(message, str):
        return message
    return {"base64": base64.b64encode(message).decode()}


def decode(value: Any) -> Message:
    """The message that `encode` made."""
    if isinstance(value, str):
        return value
    return base64.b64decode(value["base64"])


class LeashedProcess:
    """A child process that cannot outlive us, nor leave children or its directory behind."""

    def __init__(self, process: asyncio.subprocess.Process, leash: int) -> None:
        self.process = process
        self._leash: int | None = leash

    @classmethod
    async def start(
        cls,
        *command: str,
        directory: str = "",
        env: dict[str, str] | None = None,
        stdin: int = asyncio.subprocess.DEVNULL,
        stdout: int = asyncio.subprocess.DEVNULL,
        stderr: int | None = asyncio.subprocess.DEVNULL,
    ) -> LeashedProcess:
        """Start `command`; `directory`, if given, is removed when it has ended."""
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-IS",
                str(Path(__file__).with_name("leash.py")),
                str(reading),
                directory,
                *command,
                env=env,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=(reading,),
                limit=LINE_LIMIT_BYTES,
            )
        except BaseException:
            os.close(writing)
            raise
        finally:
            os.close(reading)
        return cls(process, writing)

    async def kill(self) -> None:
        """End it at once, without a word to anyone, and wait until it has ended."""
        if self._leash is not None:
            os.close(self._leash)
            self._leash = None
        await self.process.wait()


class Host(ABC):
    """A process (a browser, Node, another Python) in which peers of one stack can be made."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._gone: str | None = None

    @property
    def gone(self) -> bool:
        """Whether the process has ended."""
        return self._gone is not None

    @abstractmethod
    async def _send(self, text: str) -> None:
        """Send one line."""

    @abstractmethod
    async def kill(self) -> None:
        """End the process at once."""

    async def peer(self, **configuration: Any) -> RemotePeer:
        """Make a peer; `configuration` is an RTCConfiguration in JSON."""
        number = await self.call("newPeer", args=[configuration])
        return RemotePeer(self, number)

    async def call(
        self,
        method: str,
        *,
        peer: int | None = None,
        channel: int | None = None,
        transceiver: int | None = None,
        args: list[Any] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """Call and wait for the answer.

        Raises:
            RemoteError: the other side raised; the message is its own.
            HostGoneError: the process ended.
            TimeoutError: no answer in time.
        """
        if self._gone is not None:
            raise HostGoneError(f"{self.name}: {self._gone}")
        number = next(self._ids)
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        request = {
            "id": number,
            "peer": peer,
            "channel": channel,
            "transceiver": transceiver,
            "method": method,
            "args": args or [],
        }
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(json.dumps(request))
                return await future
        except TimeoutError:
            raise TimeoutError(f"{self.name}: no answer to {method} in {timeout_s:g} s") from None
        finally:
            self._waiting.pop(number, None)

    def _received(self, text: str) -> None:
        answer = json.loads(text)
        future = self._waiting.get(answer["id"])
        if future is None or future.done():
            return
        if "error" in answer:
            future.set_exception(RemoteError(f"{self.name}: {answer['error']}"))
        else:
            future.set_result(answer.get("result"))

    def _ended(self, reason: str) -> None:
        self._gone = reason
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(HostGoneError(f"{self.name}: {reason}"))

    async def __aenter__(self) -> Host:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.kill()


class StdioHost(Host):
    """A host that speaks over its standard input and output."""

    def __init__(self, name: str, process: LeashedProcess) -> None:
        super().__init__(name)
        self._process = process
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, name: str, *command: str, env: dict[str, str] | None = None) -> StdioHost:
        """Start `command`. Its standard error goes to ours: what a peer complains of is worth seeing."""
        pipe = asyncio.subprocess.PIPE
        process = await LeashedProcess.start(*command, env=env, stdin=pipe, stdout=pipe, stderr=None)
        return cls(name, process)

    async def _send(self, text: str) -> None:
        stdin = self._process.process.stdin
        assert stdin is not None
        stdin.write(text.encode() + b"\n")
        with contextlib.suppress(ConnectionError):
            await stdin.drain()

    async def _read(self) -> None:
        stdout = self._process.process.stdout
        assert stdout is not None
        async for line in stdout:
            if line.startswith(b"{"):
                self._received(line.decode())
        self._ended("the process has ended")

    async def kill(self) -> None:
        await self._process.kill()
        await self._reader


class RemoteChannel(Channel):
    """A channel of a `RemotePeer`."""

    def __init__(self, host: Host, peer: int, number: int) -> None:
        self._host = host
        self._peer = peer
        self._number = number

    async def _call(self, method: str, *args: Any) -> Any:
        return await self._host.call(method, peer=self._peer, channel=self._number, args=list(args))

    async def info(self) -> dict[str, Any]:
        result: dict[str, Any] = await self._call("info")
        return result

    async def opened(self) -> None:
        await self._call("opened")

    async def send(self, message: Message) -> None:
        await self._call("send", encode(message))

    async def receive(self) -> Message:
        return decode(await self._call("receive"))

    async def echo(self) -> None:
        await self._call("echo")

    async def send_hashed(self, total_bytes: int, message_bytes: int) -> str:
        result: str = await self._call("sendHashed", total_bytes, message_bytes)
        return result

    async def receive_hashed(self, total_bytes: int) -> str:
        result: str = await self._call("receiveHashed", total_bytes)
        return result

    async def low(self, threshold_bytes: int, burst: int, message_bytes: int) -> int:
        result: int = await self._call("low", threshold_bytes, burst, message_bytes)
        return result

    async def close(self) -> None:
        await self._call("closeChannel")

    async def closed(self) -> None:
        await self._call("closed")


class RemoteTransceiver(Transceiver):
    """A transceiver of a `RemotePeer`."""

    def __init__(self, host: Host, peer: int, number: int) -> None:
        self.name = host.name
        self._host = host
        self._peer = peer
        self._number = number

    async def _call(self, method: str, *args: Any) -> Any:
        return await self._host.call(method, peer=self._peer, transceiver=self._number, args=list(args))

    async def info(self) -> TransceiverInfo:
        result: TransceiverInfo = await self._call("info")
        return result

    async def prefer(self, *codecs: str) -> None:
        await self._call("prefer", *codecs)

    async def replace(self, source: Source | None) -> None:
        await self._call("replace", source_to_json(source))

    async def enable(self, enabled: bool) -> None:
        await self._call("enable", enabled)

    async def encode(self, **changes: Any) -> None:
        await self._call("encode", changes)

    async def stats(self) -> list[Stats]:
        result: list[Stats] = await self._call("stats")
        return result

    async def turn(self, direction: str) -> None:
        await self._call("turn", direction)

    async def stop(self) -> None:
        await self._call("stop")

    async def look(self, pictures: int = LOOK_PICTURES, timeout_s: float = LOOK_S) -> Pictures:
        return Pictures.from_json(await self._call("look", pictures, timeout_s))

    async def listen(self, duration_s: float = LISTEN_S, timeout_s: float = LOOK_S) -> Sound:
        return Sound.from_json(await self._call("listen", duration_s, timeout_s))


class RemotePeer(Peer):
    """A peer in another process."""

    def __init__(self, host: Host, number: int) -> None:
        self.name = host.name
        self._host = host
        self._number = number
        self._ended = False

    async def _call(self, method: str, *args: Any) -> Any:
        return await self._host.call(method, peer=self._number, args=list(args))

    async def create_channel(self, options: ChannelOptions) -> Channel:
        number = await self._call("createChannel", options.label, options.given())
        return RemoteChannel(self._host, self._number, number)

    async def next_channel(self) -> Channel:
        return RemoteChannel(self._host, self._number, await self._call("nextChannel"))

    async def send(self, source: Source) -> Transceiver:
        return RemoteTransceiver(self._host, self._number, await self._call("send", source_to_json(source)))

    async def add_transceiver(
        self,
        kind: str,
        source: Source | None = None,
        *,
        direction: str = "sendrecv",
        layers: Sequence[dict[str, Any]] = (),
    ) -> Transceiver:
        args = [kind, source_to_json(source), direction, list(layers)]
        return RemoteTransceiver(self._host, self._number, await self._call("addTransceiver", *args))

    async def transceivers(self) -> list[Transceiver]:
        numbers = await self._call("transceivers")
        return [RemoteTransceiver(self._host, self._number, number) for number in numbers]

    async def capabilities(self, kind: str) -> list[str]:
        result: list[str] = await self._call("capabilities", kind)
        return result

    async def create_offer(self, *, restart: bool = False) -> Description:
        result: Description = await self._call("createOffer", restart)
        return result

    async def accept_offer(self, offer: Description) -> Description:
        result: Description = await self._call("acceptOffer", offer)
        return result

    async def accept_answer(self, answer: Description) -> None:
        await self._call("acceptAnswer", answer)

    async def add_candidate(self, candidate: Candidate | None) -> None:
        await self._call("addCandidate", candidate)

    async def next_candidate(self) -> Candidate | None:
        # whoever trickles waits for the next negotiation's, however long the call lasts
        result: Candidate | None = await self._host.call("nextCandidate", peer=self._number, timeout_s=CALL_S)
        return result

    async def connected(self) -> None:
        await self._call("connected")

    async def negotiate(self, *, polite: bool) -> None:
        """Have a page negotiate by itself, after the perfect negotiation of webrtc-pc (section 10.7)."""
        await self._call("negotiate", polite)

    async def next_signal(self) -> dict[str, Any]:
        """Take the oldest of what the page has to signal, waiting for it."""
        result: dict[str, Any] = await self._host.call("nextSignal", peer=self._number, timeout_s=CALL_S)
        return result

    async def signal(self, value: dict[str, Any]) -> None:
        """Give the page what our side signals."""
        await self._call("signal", value)

    async def negotiated(self) -> dict[str, Any]:
        """How many offers the page made, and its signaling state."""
        result: dict[str, Any] = await self._call("negotiated")
        return result

    async def vanish(self) -> None:
        self._ended = True
        with contextlib.suppress(HostGoneError):
            await self._call("vanish")

    async def close(self) -> None:
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(HostGoneError):
            await self._call("close")
