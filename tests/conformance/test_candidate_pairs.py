"""Candidate pairs of the application's choice, between hosts with two interfaces each.

Spec: webrtc-extensions, section "RTCIceTransport extensions".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from rtcstack import (
    InvalidStateError,
    NotFoundError,
    NotSupportedError,
    OperationError,
    RTCConfiguration,
    RTCIceCandidatePair,
    RTCIceCandidatePairEvent,
    RTCPeerConnection,
    Settings,
)
from rtcstack.api.icetransport import RTCIceTransport
from rtcstack.config import IceSettings
from rtcstack.ice import IceFeature
from rtcstack.observe.apitrace import ApiTrace
from rtcstack.ortc import RTCIceGatherer
from rtcstack.ortc import RTCIceTransport as OwnIceTransport
from rtcstack.testing import Host, VirtualLoop
from tests.conformance.helpers import happens, negotiate, open_channels, rejects, trickle, until

pytestmark = pytest.mark.virtual

ADDRESSES = {"alice": ("192.0.2.11", "198.51.100.11"), "bob": ("192.0.2.12", "198.51.100.12")}
A, B = ADDRESSES.values()


class Call:
    """Two connections on hosts with two interfaces each; alice's offers, and so is controlling."""

    def __init__(self, configuration: RTCConfiguration | None) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.hosts: list[Host] = []
        self.ends: list[RTCPeerConnection] = []
        for name, addresses in ADDRESSES.items():
            host = loop.internet.add_bare_host(name)
            for interface, address in zip(("eth0", "wlan0"), addresses, strict=True):
                host.add_interface(interface, address)
            self.hosts.append(host)
            with host:
                self.ends.append(RTCPeerConnection(configuration))
        self.a, self.b = self.ends
        self.channel = self.a.createDataChannel("test", negotiated=True, id=1)
        self.other = self.b.createDataChannel("test", negotiated=True, id=1)
        self.ice: RTCIceTransport
        """Alice's transport."""

    async def begin(self, prepare: Callable[[RTCIceTransport], object] = lambda ice: None) -> None:
        """Negotiate.

        Args:
            prepare: gets alice's transport before there is anything to be told of it.
        """
        trickle(self.a, self.b)
        await self.a.setLocalDescription()
        self.ice = ice_of(self.a)
        prepare(self.ice)
        assert self.a.localDescription is not None
        await self.b.setRemoteDescription(self.a.localDescription)
        await self.b.setLocalDescription()
        assert self.b.localDescription is not None
        await self.a.setRemoteDescription(self.b.localDescription)

    async def begin_with_pairs(self) -> Pairs:
        """The same, with an eye on all pairs."""
        pairs: list[Pairs] = []
        await self.begin(lambda ice: pairs.append(Pairs(ice)))
        return pairs[0]

    async def settle(self) -> None:
        """Until both ends are done."""
        for pc in self.ends:
            await until(partial(is_completed, pc), pc, "iceconnectionstatechange")
        await asyncio.sleep(5)

    async def flow(self, sender: int = 0, count: int = 20) -> dict[str, int]:
        """Messages arrive one after the other.

        Returns:
            What left the sender's interfaces for each message, about: consent comes now and then.
        """
        host, (channel, other) = self.hosts[sender], self.channels(sender)
        before = {name: each.up.delivered for name, each in host.interfaces.items()}
        for number in range(count):
            channel.send(str(number))
            assert (await happens(other, "message")).data == str(number)
        return {name: (each.up.delivered - before[name]) // count for name, each in host.interfaces.items()}

    def channels(self, sender: int) -> tuple[Any, Any]:
        return (self.channel, self.other) if sender == 0 else (self.other, self.channel)


@asynccontextmanager
async def call(configuration: RTCConfiguration | None = None) -> AsyncIterator[Call]:
    it = Call(configuration)
    try:
        yield it
    finally:
        for pc in it.ends:
            await pc.close()


def ice_of(pc: RTCPeerConnection) -> RTCIceTransport:
    assert pc.sctp is not None
    return pc.sctp.transport.iceTransport


def is_completed(pc: RTCPeerConnection) -> bool:
    return pc.iceConnectionState == "completed"


def ends(pair: RTCIceCandidatePair | None) -> tuple[str | None, str | None] | None:
    return None if pair is None else (pair.local.address, pair.remote.address)


class Pairs:
    """The pairs of a transport as events tell of them."""

    def __init__(self, ice: RTCIceTransport) -> None:
        self.listed: list[RTCIceCandidatePair] = []
        self.events: list[RTCIceCandidatePairEvent] = []
        ice.onicecandidatepairadd = self._on_add
        ice.onicecandidatepairremove = self._on_remove

    def _on_add(self, event: RTCIceCandidatePairEvent) -> None:
        assert event.candidatePair not in self.listed
        self.listed.append(event.candidatePair)
        self.events.append(event)

    def _on_remove(self, event: RTCIceCandidatePairEvent) -> None:
        if event.candidatePair in self.listed:  # not one of before we listened
            self.listed.remove(event.candidatePair)
        self.events.append(event)

    def between(self, local: str, remote: str) -> RTCIceCandidatePair:
        return next(each for each in self.listed if ends(each) == (local, remote))


@asynccontextmanager
async def settled() -> AsyncIterator[tuple[Call, Pairs]]:
    async with call() as it:
        pairs = await it.begin_with_pairs()
        await it.settle()
        assert len(pairs.listed) == 4
        assert ends(it.ice.getSelectedCandidatePair()) == (A[0], B[0])
        yield it, pairs


# -- selectCandidatePair ----------------------------------------------------------------------------------


@pytest.mark.needs(IceFeature.PAIRS)
async def test_packets_take_the_pair_that_is_selected() -> None:
    async with settled() as (it, pairs):
        assert await it.flow() == {"eth0": 1, "wlan0": 0}
        first = it.ice.getSelectedCandidatePair()
        assert first in pairs.listed
        order: list[str] = []
        it.ice.on("selectedcandidatepairchange", lambda: order.append("change"))
        chosen = pairs.between(A[1], B[1])
        await it.ice.selectCandidatePair(chosen)
        order.append("promise")
        assert order == ["change", "promise"]
        assert it.ice.getSelectedCandidatePair() is chosen
        await asyncio.sleep(1)
        assert await it.flow() == {"eth0": 0, "wlan0": 1}
        assert await it.flow(1) == {"eth0": 0, "wlan0": 1}, "the peer was told"
        assert ends(ice_of(it.b).getSelectedCandidatePair()) == (B[1], A[1])
        await it.ice.selectCandidatePair(chosen)  # nothing new
        assert order == ["change", "promise"]
        assert first is not None
        await it.ice.selectCandidatePair(first)
        await asyncio.sleep(1)
        assert it.ice.getSelectedCandidatePair() is first, "the same object for the same pair"
        assert await it.flow() == {"eth0": 1, "wlan0": 0}
        assert it.a.connectionState == it.b.connectionState == "connected"


@pytest.mark.needs(IceFeature.PAIRS)
async def test_a_controlled_end_selects_for_its_own_packets() -> None:
    async with settled() as (it, _):
        restarted = Pairs(ice_of(it.b))
        it.a.restartIce()
        await negotiate(it.a, it.b)
        await asyncio.sleep(5)
        await ice_of(it.b).selectCandidatePair(restarted.between(B[1], A[0]))
        await asyncio.sleep(5)
        assert ends(ice_of(it.b).getSelectedCandidatePair()) == (B[1], A[0])
        assert await it.flow(1) == {"eth0": 0, "wlan0": 1}
        assert ends(it.ice.getSelectedCandidatePair()) == (A[0], B[0])


@pytest.mark.needs(IceFeature.PAIRS)
async def test_a_pair_that_does_not_work_rejects_its_selection_and_changes_nothing() -> None:
    async with settled() as (it, pairs):
        it.hosts[1].interfaces["wlan0"].down.is_up = False
        before = it.ice.getSelectedCandidatePair()
        selecting = it.ice.selectCandidatePair(pairs.between(A[1], B[1]))
        error = await rejects(OperationError, selecting)
        assert "does not work" in str(error)
        assert it.ice.getSelectedCandidatePair() is before
        assert await it.flow() == {"eth0": 1, "wlan0": 0}


@pytest.mark.needs(IceFeature.PAIRS)
async def test_a_later_selection_takes_an_earlier_one_s_place() -> None:
    async with settled() as (it, pairs):
        it.hosts[1].interfaces["wlan0"].down.is_up = False
        first = it.ice.selectCandidatePair(pairs.between(A[1], B[1]))
        again = it.ice.selectCandidatePair(pairs.between(A[1], B[1]))
        second = it.ice.selectCandidatePair(pairs.between(A[1], B[0]))
        await second
        for each in (first, again):
            await rejects(OperationError, each)
        assert ends(it.ice.getSelectedCandidatePair()) == (A[1], B[0])


# -- removeCandidatePair ----------------------------------------------------------------------------------


@pytest.mark.needs(IceFeature.PAIRS)
async def test_another_pair_takes_over_when_the_selected_one_is_removed() -> None:
    async with settled() as (it, pairs):
        first = it.ice.getSelectedCandidatePair()
        assert first is not None
        removing = it.ice.removeCandidatePair(first)
        assert first in pairs.listed
        await rejects(NotFoundError, it.ice.removeCandidatePair(first))
        await removing
        event = pairs.events[-1]
        assert (event.type, event.candidatePair, event.cancelable) == ("icecandidatepairremove", first, False)
        event.preventDefault()
        assert not event.defaultPrevented
        assert first not in pairs.listed
        selected = it.ice.getSelectedCandidatePair()
        assert selected in pairs.listed
        await asyncio.sleep(8)
        assert ends(ice_of(it.b).getSelectedCandidatePair()) == (ends(selected) or ())[::-1]
        await it.flow()
        await it.flow(1)
        assert it.a.connectionState == it.b.connectionState == "connected"
        await rejects(NotFoundError, it.ice.selectCandidatePair(first))
        assert len(pairs.listed) == 3
        await asyncio.sleep(60)
        assert len(pairs.listed) == 3, "nothing brings it back"


@pytest.mark.needs(IceFeature.PAIRS)
async def test_without_any_pair_none_is_selected_and_a_restart_brings_all_back() -> None:
    async with settled() as (it, pairs):
        seen: list[tuple[str, str, object]] = []
        it.ice.on(
            "selectedcandidatepairchange",
            lambda e: seen.append((e.type, it.ice.state, it.ice.getSelectedCandidatePair())),
        )
        it.ice.on("statechange", lambda e: seen.append((e.type, it.ice.state, None)))
        for each in sorted(pairs.listed, key=lambda p: p is it.ice.getSelectedCandidatePair()):
            await it.ice.removeCandidatePair(each)
        assert seen == [("selectedcandidatepairchange", "checking", None), ("statechange", "checking", None)]
        assert (it.a.iceConnectionState, it.a.connectionState) == ("checking", "connecting")
        assert pairs.listed == []
        it.a.restartIce()
        await negotiate(it.a, it.b)
        await until(lambda: it.ice.state == "completed", it.ice, "statechange")
        assert len(pairs.listed) == 4
        await it.flow()
        await it.flow(1)


# -- icecandidatepairnominate -----------------------------------------------------------------------------


async def proposed(it: Call, handler: Any) -> None:
    """Begin, with a handler of nominations at alice's."""
    await it.begin(lambda ice: ice.on("icecandidatepairnominate", handler))


@pytest.mark.needs(IceFeature.PAIRS)
async def test_a_nomination_that_nobody_prevents_takes_its_course() -> None:
    async with call() as it:
        events: list[RTCIceCandidatePairEvent] = []
        await proposed(it, events.append)
        await it.settle()
        [event] = events
        assert (event.type, event.cancelable, event.target) == ("icecandidatepairnominate", True, it.ice)
        assert event.candidatePair is it.ice.getSelectedCandidatePair()


@pytest.mark.needs(IceFeature.PAIRS)
@pytest.mark.parametrize("is_coroutine", [False, True])
async def test_a_nomination_that_is_prevented_leaves_the_pair_to_be_selected_later(
    is_coroutine: bool,
) -> None:
    async with call() as it:
        events: list[RTCIceCandidatePairEvent] = []

        def prevent(event: RTCIceCandidatePairEvent) -> None:
            events.append(event)
            if len(events) == 1:
                event.preventDefault()

        async def prevent_soon(event: RTCIceCandidatePairEvent) -> None:
            prevent(event)

        pairs = await it.begin_with_pairs()
        it.ice.onicecandidatepairnominate = prevent_soon if is_coroutine else prevent
        await happens(it.channel, "open")
        await asyncio.sleep(60)
        assert it.ice.state == ice_of(it.b).state == "connected", "completed is with a nominated pair"
        [event] = events
        assert event.candidatePair is it.ice.getSelectedCandidatePair()
        await it.flow()  # any pair that works may be used before
        assert not [each for each in (await it.a.getStats()).of_type("candidate-pair") if each["nominated"]]
        chosen = pairs.between(A[1], B[1])
        await it.ice.selectCandidatePair(chosen)
        await until(lambda: it.ice.state == "completed", it.ice, "statechange")
        assert [each.candidatePair for each in events] == [event.candidatePair, chosen]
        await asyncio.sleep(1)
        assert ends(ice_of(it.b).getSelectedCandidatePair()) == (B[1], A[1])
        assert ice_of(it.b).state == "completed"


@pytest.mark.needs(IceFeature.PAIRS)
async def test_while_a_nomination_is_decided_pairs_are_neither_selected_nor_removed() -> None:
    async with call() as it:
        within: list[Any] = []

        def handler(event: RTCIceCandidatePairEvent) -> None:
            within.append(it.ice.selectCandidatePair(event.candidatePair))
            within.append(it.ice.removeCandidatePair(event.candidatePair))

        await proposed(it, handler)
        await it.settle()
        assert len(within) == 2
        for each in within:
            await rejects(InvalidStateError, each)


@pytest.mark.needs(IceFeature.PAIRS)
async def test_a_connection_that_a_handler_closes_nominates_nothing() -> None:
    async with call() as it:
        await proposed(it, lambda: it.a.close())
        await happens(it.b, "iceconnectionstatechange")
        await until(lambda: it.a.signalingState == "closed", it.b, "iceconnectionstatechange", 60)
        await asyncio.sleep(60)
        stats = await it.b.getStats()
        assert not [each for each in stats.of_type("candidate-pair") if each["nominated"]]


# -- the pairs --------------------------------------------------------------------------------------------


@pytest.mark.needs(IceFeature.PAIRS)
async def test_pairs_are_told_when_they_are_formed_and_when_a_restart_ends_them() -> None:
    async with settled() as (it, pairs):
        assert {ends(each) for each in pairs.listed} == {(a, b) for a in A for b in B}
        old = list(pairs.listed)
        assert all(type(each.candidatePair) is RTCIceCandidatePair for each in pairs.events)
        selected: list[bool] = []
        it.ice.on(
            "selectedcandidatepairchange",
            lambda: selected.append(it.ice.getSelectedCandidatePair() in pairs.listed),
        )
        it.a.restartIce()
        await negotiate(it.a, it.b)
        await asyncio.sleep(5)
        assert len(pairs.listed) == 4
        assert not set(old) & set(pairs.listed)
        assert selected == [True]
        assert [each.type for each in pairs.events[4:]].count("icecandidatepairremove") == 4
        for each in old:
            await rejects(NotFoundError, it.ice.selectCandidatePair(each))


@pytest.mark.needs(IceFeature.PAIRS)
async def test_pairs_that_nobody_was_told_of_can_be_selected_and_removed() -> None:
    async with call() as it:
        await it.begin()
        await it.settle()
        selected = it.ice.getSelectedCandidatePair()
        assert selected is not None
        await it.ice.selectCandidatePair(selected)
        await it.ice.removeCandidatePair(selected)
        assert it.ice.getSelectedCandidatePair() is not selected


@pytest.mark.needs(IceFeature.PAIRS)
async def test_what_is_refused_of_pairs() -> None:
    async with settled() as (it, pairs):
        known = pairs.listed[0]
        theirs = ice_of(it.b).getSelectedCandidatePair()
        assert theirs is not None
        copy = RTCIceCandidatePair(known.local, known.remote)
        for method in (it.ice.selectCandidatePair, it.ice.removeCandidatePair):
            for stranger in (theirs, copy):
                await rejects(NotFoundError, method(stranger))
            with pytest.raises(TypeError):
                method(None)  # type: ignore[arg-type]
        it.hosts[1].interfaces["wlan0"].down.is_up = False
        waits = it.ice.selectCandidatePair(pairs.between(A[1], B[1]))
        await asyncio.sleep(1)
        closing = it.a.close()
        await rejects(InvalidStateError, waits)
        for method in (it.ice.selectCandidatePair, it.ice.removeCandidatePair):
            await rejects(InvalidStateError, method(known))
        await closing


@pytest.mark.needs(IceFeature.PAIRS)
async def test_in_new_and_failed_nothing_is_selected() -> None:
    settings = Settings(ice_failed_timeout_s=5)
    async with call(RTCConfiguration(settings=settings)) as it:
        pairs = await it.begin_with_pairs()
        await it.settle()
        for host in it.hosts:
            for interface in host.interfaces.values():
                interface.up.is_up = False
        waits = it.ice.selectCandidatePair(pairs.between(A[1], B[1]))
        await until(lambda: it.ice.state == "failed", it.ice, "statechange", 60)
        await rejects(OperationError, waits)
        for method in (it.ice.selectCandidatePair, it.ice.removeCandidatePair):
            await rejects(InvalidStateError, method(pairs.listed[0]))


async def test_aioice_refuses_it_by_name() -> None:
    settings = Settings(ice=IceSettings(agent="aioice"), use_ipv6=False)
    configuration = RTCConfiguration(settings=settings)
    async with RTCPeerConnection(configuration) as a, RTCPeerConnection(configuration) as b:
        trickle(a, b)
        await open_channels(a, b)
        ice = ice_of(a)
        ice.onicecandidatepairnominate = print
        selected = ice.getSelectedCandidatePair()
        assert selected is not None
        for method in (ice.selectCandidatePair, ice.removeCandidatePair):
            error = await rejects(NotSupportedError, method(selected))
            assert str(error).endswith(f"candidate pairs of the application's choice ({method.__name__})")


# -- without a connection ---------------------------------------------------------------------------------


@pytest.mark.needs(IceFeature.PAIRS)
async def test_a_transport_without_a_connection() -> None:
    it = Call(None)
    with it.hosts[0]:
        one = RTCIceGatherer()
    with it.hosts[1]:
        two = RTCIceGatherer()
    async with one, two:
        a, b = OwnIceTransport(one), OwnIceTransport(two)
        pairs = Pairs(a)
        nominated: list[RTCIceCandidatePair] = []
        a.onicecandidatepairnominate = lambda e: nominated.append(e.candidatePair)
        for me, other, mine, theirs, role in (
            (a, b, one, two, "controlling"),
            (b, a, two, one, "controlled"),
        ):
            mine.on("icecandidate", lambda e, other=other: other.addRemoteCandidate(e.candidate))
            mine.gather()
            me.start(theirs.getLocalParameters(), role)
        await until(lambda: a.state == "completed", a, "statechange")
        assert nominated == [a.getSelectedCandidatePair()]
        await asyncio.sleep(5)
        chosen = pairs.between(A[1], B[1])
        await a.selectCandidatePair(chosen)
        assert a.getSelectedCandidatePair() is chosen
        await a.removeCandidatePair(chosen)
        assert a.getSelectedCandidatePair() in pairs.listed
        arrived = asyncio.ensure_future(happens(b, "message"))
        await asyncio.sleep(0)
        a.send(b"\x80packet")
        assert (await arrived).data == b"\x80packet"
        await a.selectCandidatePair(pairs.listed[0])
        a.stop()
        await rejects(InvalidStateError, a.selectCandidatePair(pairs.listed[0]))
    for pc in it.ends:
        await pc.close()


@pytest.mark.needs(IceFeature.PAIRS)
async def test_a_trace_has_what_is_selected_and_removed() -> None:
    trace = ApiTrace(stats_interval_s=None)
    async with call(RTCConfiguration(settings=Settings(trace=trace))) as it:
        await it.begin()
        await it.settle()
        selected = it.ice.getSelectedCandidatePair()
        assert selected is not None
        await it.ice.selectCandidatePair(selected)
        await it.ice.removeCandidatePair(selected)
        await asyncio.sleep(0)
        told = [each for each in trace.entries if "CandidatePair" in each.type]
        assert [each.type for each in told] == [
            "selectCandidatePair",
            "selectCandidatePairOnSuccess",
            "removeCandidatePair",
            "removeCandidatePairOnSuccess",
        ]
        assert selected.local.candidate in str(told[0].value)
