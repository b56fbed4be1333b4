"""A fault inside the stack ends the part that it is in, with a reason, and nothing else.

Each engine's verbs are made to raise in a running call; the loop must never see the exception,
which `tests/conftest.py` looks after.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtcstack import RTCConfiguration, RTCError, RTCPeerConnection, Settings
from rtcstack.connection.transportentry import TransportEntry
from rtcstack.media.testsources import TestPatternSource
from tests.conformance.helpers import happens, negotiate, open_channels, pair, until
from tests.conformance.media import frames
from tests.support.insides import transports_of

VERBS = ("receive", "handle_timeout", "next_timeout", "drain", "events")


class BrokenError(RuntimeError):
    """What no code of ours raises."""


def entry_of(pc: RTCPeerConnection) -> TransportEntry:
    (entry,) = transports_of(pc)
    return entry


class Breaking:
    """Stands before an engine and raises in one verb, once or always."""

    def __init__(self, engine: Any, verb: str) -> None:
        self._engine = engine
        self._verb = verb
        self.raised = 0

    def __getattr__(self, name: str) -> Any:
        if name == self._verb:
            return self._break
        return getattr(self._engine, name)

    def _break(self, *_args: Any, **_more: Any) -> Any:
        self.raised += 1
        raise BrokenError(self._verb)


@pytest.mark.usefixtures("expects_faults")
@pytest.mark.parametrize("verb", VERBS)
async def test_a_fault_in_sctp_ends_the_association_alone(verb: str) -> None:
    async with pair() as (a, b):
        pattern = TestPatternSource(64, 64).track()
        a.addTrack(pattern)
        shown = asyncio.ensure_future(happens(b, "track"))
        mine, theirs = await open_channels(a, b)
        track = (await shown).track
        await frames(track, 1)
        failed = asyncio.ensure_future(happens(mine, "error"))
        closed = asyncio.ensure_future(happens(mine, "close"))
        theirs_closed = asyncio.ensure_future(happens(theirs, "close"))
        await asyncio.sleep(0)
        transport = entry_of(a).transport
        broken: Any = Breaking(transport.channels, verb)
        transport.channels = broken
        theirs.send("more")
        transport.wake()
        error = (await failed).error
        assert isinstance(error, RTCError)
        assert verb in error.message
        await closed
        assert mine.readyState == "closed"
        assert a.sctp is not None
        assert a.sctp.state == "closed"
        if verb != "drain":  # or the goodbye, too, is broken
            await theirs_closed
        theirs_closed.cancel()
        assert a.connectionState == "connected"
        assert broken.raised < 3
        await frames(track, 2)
        pattern.stop()


@pytest.mark.usefixtures("expects_faults")
@pytest.mark.parametrize("verb", [*VERBS, "unprotect"])
async def test_a_fault_in_media_ends_media_alone(verb: str) -> None:
    async with pair() as (a, b):
        ours, theirs = TestPatternSource(64, 64).track(), TestPatternSource(64, 64).track()
        a.addTrack(ours)
        b.addTrack(theirs)
        shown = asyncio.ensure_future(happens(a, "track"))
        channel, other = await open_channels(a, b)
        track = (await shown).track
        await frames(track, 1)
        transport = entry_of(a).transport
        failed = asyncio.ensure_future(happens(a, "error"))
        muted = asyncio.ensure_future(happens(track, "mute"))
        await asyncio.sleep(0)
        assert transport.media is not None
        broken: Any
        if verb == "unprotect":
            broken = transport.media.srtp = Breaking(transport.media.srtp, verb)
        else:
            broken = transport.media.session = Breaking(transport.media.session, verb)
        transport.wake()
        assert verb in str((await failed).error)
        await muted
        heard = asyncio.ensure_future(happens(other, "message"))
        await asyncio.sleep(0)
        channel.send("still here")
        assert (await heard).data == "still here"
        assert a.connectionState == b.connectionState == "connected"
        assert broken.raised < 3
        await a.getStats()
        ours.stop()
        theirs.stop()


@pytest.mark.usefixtures("expects_faults")
@pytest.mark.parametrize("verb", ["receive_runs", "received", "handle_timeout", "drain_runs", "events"])
async def test_a_fault_in_dtls_ends_the_transport(verb: str) -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        closed = asyncio.ensure_future(happens(mine, "close"))
        failed = asyncio.ensure_future(happens(a, "connectionstatechange"))
        await asyncio.sleep(0)
        transport = entry_of(a).transport
        whole = transport.dtls
        broken: Any = Breaking(whole, verb)

        def fail(reason: str) -> None:
            transport.dtls = whole
            whole.fail(reason)

        broken.fail = fail
        transport.dtls = broken
        theirs.send("more")
        transport.wake()
        await closed
        await failed
        assert a.connectionState == "failed"
        assert mine.readyState == "closed"
        assert broken.raised == 1


@pytest.mark.of_the_engine
@pytest.mark.usefixtures("expects_faults")
@pytest.mark.parametrize(
    "verb", ["receive", "handle_timeout", "drain", "events", "next_timeout", "heard", "route"]
)
async def test_a_fault_in_ice_ends_the_transport(verb: str) -> None:
    fast = RTCConfiguration(settings=Settings(ice_keepalive_s=0.1, abandon_after_failed_s=0.01))
    async with pair(fast) as (a, b):
        mine, theirs = await open_channels(a, b)
        closed = asyncio.ensure_future(happens(mine, "close"))
        failed = asyncio.ensure_future(
            until(lambda: a.connectionState == "failed", a, "connectionstatechange")
        )
        await asyncio.sleep(0)
        agent = entry_of(a).agent
        broken: Any = Breaking(agent.engine, verb)
        agent.engine = broken
        theirs.send("more")
        mine.send("more")
        agent.wake()
        await failed
        await closed
        assert a.iceConnectionState == "failed"
        assert broken.raised == 1
        a.restartIce()  # harms nothing
        await a.getStats()


@pytest.mark.usefixtures("expects_faults")
async def test_what_the_observer_raises_costs_nobody_else() -> None:
    async with pair() as (a, b):
        mine, theirs = await open_channels(a, b)
        second = a.createDataChannel("second")
        b_second = (await happens(b, "datachannel")).channel
        heard = []
        second.on("message", lambda event: heard.append(event.data))

        def broken(data: Any) -> None:
            raise BrokenError("message")

        mine.has_listeners = broken  # type: ignore[method-assign,assignment]
        for i in range(3):  # in one packet
            theirs.send("to the broken one")
            b_second.send(f"{i}")
        await until(lambda: len(heard) == 3, second, "message")
        assert mine.readyState == "open"


@pytest.mark.of_the_engine
@pytest.mark.usefixtures("expects_faults")
async def test_a_fault_while_the_connection_is_closed_leaves_no_socket() -> None:
    async with pair() as (a, b):
        await open_channels(a, b)
        transport = entry_of(a).transport
        transport.channels = Breaking(transport.channels, "drain")  # type: ignore[assignment]
        agent = entry_of(a).agent
        agent.engine = Breaking(agent.engine, "close")  # type: ignore[assignment]
        carriers = list(agent._carriers.values())
        assert carriers
        await a.close()
        assert not agent._carriers


async def test_when_the_peer_hangs_up_everything_is_told_in_one_turn() -> None:
    async with pair() as (a, b):
        mine, _ = await open_channels(a, b)
        assert a.sctp is not None
        dtls = a.sctp.transport
        told: list[str] = []
        tell = told.append
        dtls.on("statechange", lambda: tell(f"dtls {dtls.state}"))
        a.sctp.on("statechange", lambda: tell(f"sctp {a.sctp.state}"))  # type: ignore[union-attr]
        mine.on("error", lambda: tell("error"))
        mine.on("close", lambda: tell("close"))
        a.on("connectionstatechange", lambda: tell(f"connection {a.connectionState}"))
        left = asyncio.ensure_future(happens(a, "peerleft"))
        await asyncio.sleep(0)
        transport = entry_of(b).transport
        transport.dtls.close()
        transport._flush_later()
        await left
        assert told == ["dtls closed", "close", "sctp closed"]
        assert dtls.state == "closed"
        assert a.connectionState == "connected"  # a closed DTLS transport counts as one, webrtc-pc 4.3.3
        assert mine.readyState == "closed"


async def test_a_connection_closes_by_itself_when_the_peer_has_left_and_the_settings_say_so() -> None:
    async with pair(RTCConfiguration(settings=Settings(close_when_peer_left=True)), RTCConfiguration()) as (
        a,
        b,
    ):
        await open_channels(a, b)
        left = asyncio.ensure_future(happens(a, "peerleft"))
        await asyncio.sleep(0)
        await b.close()
        await left
        assert a.connectionState == "closed"
        assert a.signalingState == "closed"


async def test_the_peer_leaves_once_however_many_transports_there_are() -> None:
    configuration = RTCConfiguration(bundlePolicy="max-compat")
    async with pair(configuration) as (a, b):
        for kind in ("audio", "video"):
            a.addTransceiver(kind)
        await open_channels(a, b)
        heard: list[Any] = []
        a.on("peerleft", heard.append)
        await until(lambda: b.connectionState == "connected", b, "connectionstatechange")
        await b.close()
        async with asyncio.timeout(10):
            while not heard:
                await asyncio.sleep(0.01)
        assert len(heard) == 1
        assert all(entry.dtls_state == "closed" for entry in transports_of(a))


@pytest.mark.usefixtures("expects_faults")
async def test_negotiation_goes_on_after_a_fault_in_media() -> None:
    async with pair() as (a, b):
        a.addTrack(TestPatternSource(64, 64).track())
        await open_channels(a, b)
        transport = entry_of(a).transport
        failed = asyncio.ensure_future(happens(a, "error"))
        await asyncio.sleep(0)
        assert transport.media is not None
        transport.media.session = Breaking(transport.media.session, "drain")  # type: ignore[assignment]
        transport.wake()
        await failed
        a.addTransceiver("audio")
        await negotiate(a, b)
        assert a.signalingState == "stable"
