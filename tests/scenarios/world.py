"""Two whole connections on two machines of a virtual internet, with all that a call has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

from rtcstack import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    Settings,
)
from rtcstack.config import IceSettings
from rtcstack.testing import Host, Internet, Nat, TurnServer, VirtualLoop
from tests.scenarios.media import Film, Speech, Taken, contents
from tests.support.insides import transports_of

__all__ = ["MESSAGE_BYTES", "Call", "Party", "call", "here", "turn_server", "until"]

SIGNALLING_S = 0.05
MESSAGE_BYTES = 1000
MESSAGES_EVERY_S = 0.1


def here() -> Internet:
    """The internet of the running loop."""
    return cast(VirtualLoop, asyncio.get_running_loop()).internet


async def until(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> float:
    """Wait until something holds; the seconds that it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not condition():
        assert loop.time() - began < timeout_s, f"after {timeout_s:g} s it does not hold: {what}"
        await asyncio.sleep(0.005)
    return loop.time() - began


def turn_server(host: str = "198.51.100.10") -> TurnServer:
    """A STUN and TURN server on the internet."""
    return TurnServer(here(), host)


def ice_servers(server: TurnServer) -> list[RTCIceServer]:
    """How a connection is told of it."""
    return [
        RTCIceServer(urls=f"stun:{server.host}"),
        RTCIceServer(urls=f"turn:{server.host}", username=server.USERNAME, credential=server.PASSWORD),
    ]


class Party:
    """One side of a call.

    Attributes:
        host: its machine.
        connection: its connection.
        film, speech: what it sends.
        pictures, sound: what it gets.
        texts: numbers of the messages that it got.
    """

    def __init__(self, name: str, host: Host, configuration: RTCConfiguration, *, polite: bool) -> None:
        self.name = name
        self.host = host
        self.polite = polite
        with host:
            self.connection = RTCPeerConnection(configuration)
        self.film = Film()
        self.speech = Speech()
        self.pictures: Taken | None = None
        self.sound: Taken | None = None
        self.channel: RTCDataChannel | None = None
        self.messages_sent = 0
        self.message_every_s = MESSAGES_EVERY_S
        self.texts: list[int] = []
        self.broken_texts = 0
        self.states: list[str] = []
        self.other: Party | None = None
        self.lost = False
        """Whether its signalling is lost."""
        self._making_offer = False
        self._ignores = False
        self._timer: asyncio.TimerHandle | None = None
        self._mail: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._postman = host.run(self._read_mail())
        connection = self.connection
        connection.on("negotiationneeded", self._negotiate)
        connection.on("icecandidate", lambda event: self._post({"candidate": event.candidate}))
        connection.on("connectionstatechange", lambda _: self.states.append(connection.connectionState))
        connection.on("datachannel", lambda event: self.listen(event.channel))
        connection.on("track", lambda event: self._on_track(event.receiver))

    # -- signalling: the perfect negotiation of webrtc-pc, section 10.7 ---------------------------

    async def _negotiate(self, _: Any) -> None:
        connection = self.connection
        try:
            self._making_offer = True
            await connection.setLocalDescription()
            self._post({"description": connection.localDescription})
        finally:
            self._making_offer = False

    def _post(self, letter: dict[str, Any]) -> None:
        other = self.other
        assert other is not None
        if not self.lost:
            asyncio.get_running_loop().call_later(SIGNALLING_S, other._mail.put_nowait, letter)

    async def _read_mail(self) -> None:
        while True:
            letter = await self._mail.get()
            if self.connection.signalingState != "closed":
                await self._on_letter(letter)

    async def _on_letter(self, letter: dict[str, Any]) -> None:
        connection = self.connection
        if "candidate" in letter:
            try:
                await connection.addIceCandidate(letter["candidate"])
            except Exception:
                if not self._ignores:
                    raise
            return
        description = letter["description"]
        collides = description.type == "offer" and (
            self._making_offer or connection.signalingState != "stable"
        )
        self._ignores = not self.polite and collides
        if self._ignores:
            return
        await connection.setRemoteDescription(description)
        if description.type == "offer":
            await connection.setLocalDescription()
            self._post({"description": connection.localDescription})

    # -- contents -----------------------------------------------------------------------------------

    def send_media(self) -> None:
        """Add both tracks."""
        with self.host:
            self.connection.addTrack(self.speech.start())
            self.connection.addTrack(self.film.start())

    def open_channel(self, **init: Any) -> RTCDataChannel:
        """A channel to the other side, that also brings its messages."""
        with self.host:
            channel = self.connection.createDataChannel("text", **init)
        self.listen(channel)
        return channel

    def listen(self, channel: RTCDataChannel) -> None:
        """Take what a channel brings."""
        self.channel = channel
        channel.on("message", self._on_text)

    def _on_text(self, event: Any) -> None:
        number = int.from_bytes(event.data[:4], "big")
        if event.data != contents(number, MESSAGE_BYTES):
            self.broken_texts += 1
        self.texts.append(number)

    def talk(self) -> None:
        """Send a message from time to time, from now on."""
        channel = self.channel
        if channel is not None and channel.readyState == "open" and channel.bufferedAmount < 1 << 20:
            channel.send(contents(self.messages_sent, MESSAGE_BYTES))
            self.messages_sent += 1
        loop = asyncio.get_running_loop()
        with self.host:
            self._timer = loop.call_later(self.message_every_s, self.talk)

    def _on_track(self, receiver: Any) -> None:
        taken = Taken(receiver.encodedTrack)
        if receiver.track.kind == "video":
            self.pictures = taken
        else:
            self.sound = taken

    @property
    def track_kinds(self) -> list[MediaStreamTrack]:
        """The tracks that come in."""
        return [receiver.track for receiver in self.connection.getReceivers()]

    @property
    def refused(self) -> dict[str, int]:
        """What the connection has refused of the packets that came."""
        return {
            f"{protocol}: {reason}": count
            for entry in transports_of(self.connection)
            for (protocol, reason), count in entry.transport.refusals.counts.items()
        }

    async def stop(self) -> None:
        """End all of it."""
        if self._timer is not None:
            self._timer.cancel()
        self.film.stop()
        self.speech.stop()
        self._postman.cancel()
        for taken in (self.pictures, self.sound):
            if taken is not None:
                taken.stop()
        await self.connection.close()


class Call:
    """Both sides."""

    def __init__(self, a: Party, b: Party) -> None:
        self.a = a
        self.b = b
        a.other, b.other = b, a

    @property
    def parties(self) -> tuple[Party, Party]:
        return self.a, self.b

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def begin(self, *, media: bool = True) -> None:
        """Negotiate, and wait until everything flows both ways."""
        a, b = self.parties
        if media:
            a.send_media()
            b.send_media()
        a.open_channel()
        for party in self.parties:
            party.talk()
        await until(
            lambda: all(p.connection.connectionState == "connected" for p in self.parties), "connected"
        )
        await self.flows(media=media)

    async def flows(self, timeout_s: float = 60.0, *, media: bool = True) -> float:
        """Wait until new sound, pictures and messages come both ways; the seconds that it took."""
        before = [self._counts(party) for party in self.parties]

        def does() -> bool:
            for party, was in zip(self.parties, before, strict=True):
                sound, pictures, texts = (n - o for n, o in zip(self._counts(party), was, strict=True))
                if texts < 1 or (media and (sound < 5 or pictures < 5)):
                    return False
            return True

        return await until(does, "sound, pictures and messages come both ways", timeout_s)

    @staticmethod
    def _counts(party: Party) -> tuple[int, int, int]:
        sound, pictures = party.sound, party.pictures
        return (
            len(sound.numbers) if sound else 0,
            len(pictures.numbers) if pictures else 0,
            len(party.texts),
        )

    def restart(self) -> None:
        """Both sides restart ICE, at once."""
        for party in self.parties:
            party.connection.restartIce()

    async def all_messages(self) -> None:
        """Stop talking, and wait until every message has arrived, each once and in order."""
        for party in self.parties:
            if party._timer is not None:
                party._timer.cancel()
                party._timer = None
        for party, other in ((self.a, self.b), (self.b, self.a)):
            sent = party.messages_sent
            await until(lambda o=other, s=sent: len(o.texts) >= s, "all messages are there")  # type: ignore[misc]
            assert other.texts == list(range(sent))
            assert other.broken_texts == 0

    def assert_contents_are_right(self, *, refused: Sequence[str] = ()) -> None:
        """Whatever came is what was sent, in order, and none of it twice.

        Args:
            refused: for what reasons packets may have been refused.
        """
        for party in self.parties:
            for taken in (party.sound, party.pictures):
                assert taken is not None
                assert taken.broken == 0
            assert party.pictures is not None
            assert party.pictures.numbers == sorted(set(party.pictures.numbers))
            assert not party.refused.keys() - set(refused), party.refused


@contextlib.asynccontextmanager
async def call(
    *,
    delay_s: float = 0.02,
    loss: float = 0.0,
    servers: Sequence[TurnServer] = (),
    nats: tuple[dict[str, Any], dict[str, Any]] | None = ({}, {}),
    hosts: tuple[Host, Host] | None = None,
    ice: IceSettings | None = None,
    relay_only: bool | tuple[bool, bool] = False,
    **settings: Any,
) -> AsyncIterator[Call]:
    """Two machines, each behind a NAT of its own, and a connection on each.

    Args:
        delay_s: one way.
        loss: probability per packet, each way.
        servers: that both ask.
        nats: settings of the NATs; None for public addresses.
        hosts: the machines, instead of new ones.
        ice, settings: of both connections.
        relay_only: use relays alone; both, or each.
    """
    internet = here()
    internet.delay_s, internet.loss = delay_s, loss
    if hosts is None:
        behind: list[Nat | None] = [None, None]
        for number, each in enumerate(nats or ()):
            # addresses of their own: else one side's private one means the other itself
            behind[number] = Nat(internet, **{"inside": f"192.168.{number + 1}", **each})
        hosts = (
            internet.add_host("alice", behind=behind[0]),
            internet.add_host("bob", behind=behind[1]),
        )
    policies = relay_only if isinstance(relay_only, tuple) else (relay_only, relay_only)
    configurations = [
        RTCConfiguration(
            iceServers=[each for server in servers for each in ice_servers(server)],
            iceTransportPolicy="relay" if policy else "all",
            settings=Settings(ice=ice or IceSettings(), **settings),
        )
        for policy in policies
    ]
    a = Party("alice", hosts[0], configurations[0], polite=True)
    b = Party("bob", hosts[1], configurations[1], polite=False)
    made = Call(a, b)
    try:
        yield made
    finally:
        for party in made.parties:
            await party.stop()
