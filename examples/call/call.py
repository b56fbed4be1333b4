"""A call with one other member: negotiation, a chat, files, and a timeline of what happened.

The negotiation is the specification's "perfect negotiation": either side may offer at any time,
and where both do at once the polite one gives way.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from examples.call.media import Media
from examples.call.transfer import PROTOCOL, Content, Progress, Transfer, put, receive_file, send_file
from rtcstack import RTCDataChannel, RTCPeerConnection
from rtcstack.errors import DOMException

__all__ = ["Call", "summary"]

MAX_INCOMING_FILES = 4
"""At once."""

MAX_NOTES = 500
"""Entries of the timeline: the other side decides how much happens."""

MAX_NOTE = 300
"""Characters of one."""

STATES = {
    "signalingstatechange": ("signaling", "signalingState"),
    "icegatheringstatechange": ("gathering", "iceGatheringState"),
    "iceconnectionstatechange": ("ice", "iceConnectionState"),
    "connectionstatechange": ("connection", "connectionState"),
}


class Call:
    """One peer connection and what is said through it.

    Args:
        number: the call's own, chosen by the caller; every message of the call carries it.
        signal: sends an object to the other member, or raises a ValueError.
        polite: whether we give way when both offer at once.
        ice_servers: RTCIceServer dictionaries.
        media: what is done with sound and picture; without it, nothing.
        on_chat: awaited with each line of the chat; the next is read when it is done.
        on_file: called with each file that the other side has sent.
        on_progress: called while one arrives, with bytes so far and bytes in all.
        on_failed: called when the connection is lost for good, or we cannot do our part.
    """

    def __init__(
        self,
        number: str,
        signal: Callable[[dict[str, Any]], None],
        *,
        polite: bool,
        ice_servers: Sequence[Mapping[str, Any]] = (),
        media: Callable[[RTCPeerConnection], Media] | None = None,
        on_chat: Callable[[Call, str], Awaitable[None]] | None = None,
        on_file: Callable[[Call, Transfer], Any] | None = None,
        on_progress: Callable[[Call, int, int], Any] | None = None,
        on_failed: Callable[[Call], Any] | None = None,
    ) -> None:
        self.number = number
        self.pc = RTCPeerConnection({"iceServers": list(ice_servers)})
        self.media = None if media is None else media(self.pc)
        self.timeline: list[tuple[float, str, str]] = []
        self.candidates_sent = self.candidates_received = 0
        self.offered = False
        self.facts: dict[str, str] = {}
        self._signal = signal
        self._polite = polite
        self._making_offer = False
        self._ignore_offer = False
        self._on_chat = on_chat
        self._on_file = on_file
        self._on_progress = on_progress
        self._on_failed = on_failed
        self._incoming_files = 0
        self._chat: asyncio.Future[RTCDataChannel] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._start = time.perf_counter()

        self.pc.on("negotiationneeded", self._offer)
        self.pc.on("icecandidate", self._found)
        self.pc.on("datachannel", lambda event: self._take(event.channel))
        for event, (what, attribute) in STATES.items():
            self.pc.on(
                event, lambda _event, what=what, name=attribute: self._note(what, getattr(self.pc, name))
            )
        self.pc.on("connectionstatechange", self._check)

    # negotiation

    def call(self) -> None:
        """Begin: a channel makes an offer necessary, and the rest follows."""
        if self.media is not None:
            self.media.offer()
        self._take(self.pc.createDataChannel("chat"))

    async def _offer(self, _event: Any) -> None:
        self._making_offer = True
        try:
            await self.pc.setLocalDescription()
            self._describe()
        except (DOMException, ValueError) as error:
            self._fail(error)
        finally:
            self._making_offer = False

    def _describe(self) -> None:
        description = self.pc.localDescription
        assert description is not None
        self.offered = self.offered or description.type == "offer"
        self._note("description", f"{description.type} sent")
        self._signal({"type": "description", "description": description.toJSON()})

    def _found(self, event: Any) -> None:
        candidate = event.candidate
        if candidate is not None:
            self.candidates_sent += 1
        value = None if candidate is None else candidate.toJSON()
        try:
            self._signal({"type": "candidate", "candidate": value})
        except ValueError as error:
            self._fail(error)

    async def receive(self, data: Mapping[str, Any]) -> None:
        """Take what the other member signalled. Call it for one message after the other.

        Raises:
            DOMException, TypeError, KeyError, ValueError: it is not acceptable.
        """
        if data["type"] == "description":
            await self._described(data["description"])
        elif data["type"] == "candidate":
            if data["candidate"] is not None:
                self.candidates_received += 1
            try:
                await self.pc.addIceCandidate(data["candidate"])
            except DOMException:
                if not self._ignore_offer:
                    raise

    async def _described(self, description: Mapping[str, Any]) -> None:
        collision = description["type"] == "offer" and (
            self._making_offer or self.pc.signalingState != "stable"
        )
        self._ignore_offer = collision and not self._polite
        if self._ignore_offer:
            return
        self._note("description", f"{description['type']} received")
        await self.pc.setRemoteDescription(description)
        if description["type"] == "offer":
            if self.media is not None:
                self.media.answer()
            await self.pc.setLocalDescription()
            self._describe()

    # channels

    def _take(self, channel: RTCDataChannel) -> None:
        if channel.readyState == "open":
            self._note("channel", f"{channel.label} open")
        else:
            channel.on("open", lambda _event: self._note("channel", f"{channel.label} open"))
        if channel.protocol == PROTOCOL:
            self.spawn(self._receive_file(channel))
        elif channel.label == "chat":
            self.spawn(self._read_chat(channel))
            if not self._chat.done():
                self._chat.set_result(channel)

    async def _read_chat(self, channel: RTCDataChannel) -> None:
        # the other side's hanging up ends the chat without a word
        with contextlib.suppress(DOMException, ConnectionError):
            async for message in channel:
                if isinstance(message, str) and self._on_chat is not None:
                    try:
                        await self._on_chat(self, message)
                    except ValueError as error:
                        self._note("chat", f"not said: {error}")

    async def say(self, text: str) -> None:
        """Send a line of the chat, once it is open.

        Raises:
            ConnectionError, DOMException: the chat has been closed.
            ValueError: the line is longer than the other side takes.
        """
        channel = await self._chat
        await channel.opened()
        await put(channel, text)

    async def _receive_file(self, channel: RTCDataChannel) -> None:
        def progress(received: int, total: int) -> None:
            if self._on_progress is not None:
                self._on_progress(self, received, total)

        if self._incoming_files == MAX_INCOMING_FILES:
            channel.close()
            return
        self._incoming_files += 1
        try:
            transfer = await receive_file(channel, progress, keep=False)
        except (ConnectionError, DOMException, ValueError) as error:
            self._note("file", f"{channel.label} failed: {error}")
            channel.close()
            return
        finally:
            self._incoming_files -= 1
        self._note("file", f"{transfer.name} received")
        if self._on_file is not None:
            self._on_file(self, transfer)

    async def send_file(self, name: str, data: Content, progress: Progress | None = None) -> Transfer:
        """Send a file through a new channel; return when the other side has confirmed it."""
        channel = self.pc.createDataChannel(name, protocol=PROTOCOL)
        await channel.opened()
        transfer = await send_file(channel, name, data, progress)
        self._note("file", f"{name} sent")
        channel.close()
        return transfer

    # the rest

    def spawn(self, work: Any) -> None:
        """Run a coroutine for as long as the call lasts; what it raises ends up with the loop's handler."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)

        def done(task: asyncio.Task[Any]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                message = f"the call failed: {error}"
                task.get_loop().call_exception_handler({"message": message, "exception": error})

        task.add_done_callback(done)

    def _check(self, _event: Any) -> None:
        if self.pc.connectionState == "failed" and self._on_failed is not None:
            self._on_failed(self)

    def _fail(self, error: Exception) -> None:
        """Something went wrong where nobody waits for it; nothing can, after the end."""
        if self.pc.signalingState != "closed":
            self._note("call", f"failed: {error}")
            if self._on_failed is not None:
                self._on_failed(self)

    def _note(self, what: str, state: object) -> None:
        if len(self.timeline) < MAX_NOTES:
            self.timeline.append(((time.perf_counter() - self._start) * 1e3, what, str(state)[:MAX_NOTE]))

    async def close(self) -> None:
        """End the call at this side."""
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        if self.media is not None:
            await self.media.close()
        closing = self.pc.close()
        if closing is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await closing


async def summary(pc: RTCPeerConnection) -> dict[str, str]:
    """The selected candidate pair and the security of the transport, from getStats."""
    report = await pc.getStats()
    stats: dict[str, Any] = dict(report.items())
    transport = next((value for value in stats.values() if value["type"] == "transport"), None)
    if transport is None:
        return {}
    result = {}
    pair = stats.get(transport.get("selectedCandidatePairId", ""))
    if pair is not None:
        ends = (stats[pair["localCandidateId"]], stats[pair["remoteCandidateId"]])
        result["candidate pair"] = " - ".join(
            f"{end.get('address')}:{end.get('port')} {end['candidateType']}/{end['protocol']}" for end in ends
        )
    for title, member in (
        ("DTLS version", "tlsVersion"),
        ("DTLS cipher", "dtlsCipher"),
        ("SRTP", "srtpCipher"),
    ):
        if transport.get(member):
            result[title] = DTLS_VERSIONS.get(transport[member], transport[member])
    return result


DTLS_VERSIONS = {"FEFF": "1.0", "FEFD": "1.2", "FEFC": "1.3"}
"""tlsVersion is the version's two bytes in hex (webrtc-stats, RTCTransportStats)."""
