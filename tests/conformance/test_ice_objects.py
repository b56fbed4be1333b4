"""RTCIceGatherer and RTCIceTransport without a connection.

Spec: ORTC, sections 2 and 3; webrtc-pc, section 5.6.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rtcstack import (
    InvalidAccessError,
    InvalidStateError,
    OperationError,
)
from rtcstack.ortc import RTCIceGatherer, RTCIceTransport
from tests.conformance.helpers import happens, open_channels, pair, until


@asynccontextmanager
async def transports() -> AsyncIterator[tuple[RTCIceTransport, RTCIceTransport]]:
    async with RTCIceGatherer() as one, RTCIceGatherer() as two:
        yield RTCIceTransport(one), RTCIceTransport(two)


def gatherer_of(transport: RTCIceTransport) -> RTCIceGatherer:
    assert transport.iceGatherer is not None
    return transport.iceGatherer


async def connect(a: RTCIceTransport, b: RTCIceTransport) -> None:
    for me, other, role in ((a, b, "controlling"), (b, a, "controlled")):
        mine = gatherer_of(me)
        mine.on("icecandidate", lambda e, other=other: other.addRemoteCandidate(e.candidate))
        mine.gather()
        me.start(gatherer_of(other).getLocalParameters(), role)
    for each in (a, b):
        await until(lambda e=each: e.state in ("connected", "completed"), each, "statechange")


async def test_gathering() -> None:
    async with RTCIceGatherer() as gatherer:
        states: list[str] = []
        candidates: list[Any] = []
        gatherer.on("statechange", lambda: states.append(gatherer.state))
        gatherer.on("icecandidate", lambda e: candidates.append(e.candidate))
        assert (gatherer.state, gatherer.component) == ("new", "rtp")
        gatherer.gather()
        gatherer.gather()
        await until(lambda: gatherer.state == "complete", gatherer, "statechange")
        assert candidates[-1] is None
        assert [c.candidate for c in candidates[:-1]] == [c.candidate for c in gatherer.getLocalCandidates()]
        parameters = gatherer.getLocalParameters()
        assert len(parameters.usernameFragment) >= 4
        assert len(parameters.password) >= 22
    assert states == ["gathering", "complete", "closed"]
    with pytest.raises(InvalidStateError):
        gatherer.gather()
    with pytest.raises(InvalidStateError):
        RTCIceTransport(gatherer)


async def test_a_server_error() -> None:
    gatherer = RTCIceGatherer({"iceServers": [{"urls": "stuns:192.0.2.1"}]})
    gatherer.gather()
    error = await happens(gatherer, "icecandidateerror")
    assert (error.url, error.errorCode) == ("stuns:192.0.2.1", 701)
    await gatherer.close()


async def test_two_transports_connect_and_carry_packets() -> None:
    async with transports() as (a, b):
        assert (a.role, a.state, a.component) == ("unknown", "new", "rtp")
        assert a.getSelectedCandidatePair() is None
        assert a.getRemoteParameters() is None
        await connect(a, b)
        await until(lambda: a.state == "completed", a, "statechange")
        assert (a.role, b.role) == ("controlling", "controlled")
        assert a.getRemoteParameters() == b.getLocalParameters()
        selected = a.getSelectedCandidatePair()
        assert selected is not None
        assert selected.local.candidate in [c.candidate for c in a.getLocalCandidates()]
        assert len(a.getRemoteCandidates()) == len(b.getLocalCandidates())
        arrived = asyncio.ensure_future(happens(b, "message"))
        await asyncio.sleep(0)
        a.send(b"\x80packet")
        assert (await arrived).data == b"\x80packet"


async def test_a_restart() -> None:
    async with transports() as (a, b):
        await connect(a, b)
        changed = asyncio.ensure_future(happens(a, "selectedcandidatepairchange"))
        parameters = [(me, me.restart()) for me in (a, b)]
        for (me, _), (_, theirs) in zip(parameters, reversed(parameters), strict=True):
            me.start(theirs, me.role)
        await changed
        assert b.getRemoteParameters() == parameters[0][1]


async def test_stopping() -> None:
    async with transports() as (a, b):
        await connect(a, b)
        a.stop()
        assert a.state == "closed"
        assert gatherer_of(a).state == "closed"
        for call in (a.restart, a.stop, lambda: a.send(b"\x80"), lambda: a.addRemoteCandidate(None)):
            with pytest.raises(InvalidStateError):
                call()
    assert len(asyncio.all_tasks()) == 1


async def test_what_is_refused() -> None:
    async with transports() as (a, b):
        with pytest.raises(InvalidStateError):
            RTCIceTransport(gatherer_of(a))
        good = gatherer_of(b).getLocalParameters()
        with pytest.raises(TypeError):
            a.start(good, "leader")
        with pytest.raises(TypeError):
            a.start(good, "unknown")
        with pytest.raises(InvalidAccessError):
            a.start({"usernameFragment": "abc", "password": "short"})
        with pytest.raises(OperationError):
            a.addRemoteCandidate({"candidate": "candidate:nonsense"})
        with pytest.raises(TypeError):
            a.addRemoteCandidate({"candidate": 5})
        for packet in (b"", b"\x00stun", b"\x50", b"\xff"):
            with pytest.raises(TypeError):
                a.send(packet)
        a.send(b"\x80nowhere yet")
        a.start(good)
        with pytest.raises(InvalidStateError):
            a.start({"usernameFragment": "other", "password": "p" * 22})
        with pytest.raises(TypeError):
            RTCIceGatherer({"iceTransportPolicy": "none"})


async def test_a_connections_transport_is_not_to_be_steered() -> None:
    async with pair() as (a, b):
        await open_channels(a, b)
        assert a.sctp is not None
        ice = a.sctp.transport.iceTransport
        for name in ("iceGatherer", "stop", "restart", "send", "start", "addRemoteCandidate"):
            assert not hasattr(ice, name)
