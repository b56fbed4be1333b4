"""ICE settings beyond the W3C's, and its candidate pool, as the application meets them.

Spec: webrtc-pc, sections 4.2.1 (iceCandidatePoolSize) and 4.4.1.7; RFC 8445, section 2.5 (lite).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from rtcstack import RTCConfiguration, RTCPeerConnection
from rtcstack.config import AddressRule, IceSettings, Settings
from rtcstack.ice import IceFeature, UdpMux
from rtcstack.network import SystemNetwork, monitor
from rtcstack.testing import VirtualLoop
from tests.conformance.helpers import happens, negotiate, open_channels, pair, until
from tests.support.insides import transports_of
from tests.support.loops import stand_on


async def test_a_pool_gathers_ahead_and_tells_nothing() -> None:
    async with pair(RTCConfiguration(iceCandidatePoolSize=1)) as (a, b):
        told: list[Any] = []
        a.on("icecandidate", lambda e: told.append(e.candidate))
        await asyncio.sleep(0.1)
        assert told == []
        assert a.iceGatheringState == "new"
        a.createDataChannel("x")
        await a.setLocalDescription()
        assert told == []
        await until(lambda: a.iceGatheringState == "complete", a, "icegatheringstatechange")
        await asyncio.sleep(0)
        assert told[-1] is None
        assert told[0].candidate.startswith("candidate:")
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        await a.setRemoteDescription(b.localDescription)
        await until(lambda: a.connectionState == "connected", a, "connectionstatechange")


async def test_a_pool_that_is_not_used_is_closed() -> None:
    pc = RTCPeerConnection(RTCConfiguration(iceCandidatePoolSize=255))
    await asyncio.sleep(0.05)
    pc.setConfiguration(RTCConfiguration(iceCandidatePoolSize=1))
    await pc.close()
    assert len(asyncio.all_tasks()) == 1


async def test_own_credentials() -> None:
    ice = IceSettings(ufrag="mine", password="p" * 24)
    async with pair(RTCConfiguration(settings=Settings(ice=ice))) as (a, _):
        a.createDataChannel("x")
        await a.setLocalDescription()
        assert a.localDescription is not None
        assert "a=ice-ufrag:mine\r\n" in a.localDescription.sdp
        assert f"a=ice-pwd:{'p' * 24}\r\n" in a.localDescription.sdp


@pytest.mark.needs(IceFeature.LITE)
@pytest.mark.parametrize("lite_offers", [True, False])
async def test_a_lite_server(lite_offers: bool) -> None:
    settings = Settings(ice=IceSettings(lite=True))
    async with pair(RTCConfiguration(settings=settings), RTCConfiguration()) as (lite, full):
        await open_channels(*((lite, full) if lite_offers else (full, lite)))
        assert lite.localDescription is not None
        assert "a=ice-lite\r\n" in lite.localDescription.sdp
        assert lite.sctp is not None
        assert full.sctp is not None
        assert lite.sctp.transport.iceTransport.role == "controlled"
        assert full.sctp.transport.iceTransport.role == "controlling"


@pytest.mark.needs(IceFeature.LITE)
async def test_a_lite_server_whose_answer_comes_late_was_nominated_before() -> None:
    settings = Settings(ice=IceSettings(lite=True))
    async with pair(RTCConfiguration(settings=settings), RTCConfiguration()) as (lite, full):
        for pc in (lite, full):
            pc.remove_all_listeners("icecandidate")  # they stand in the descriptions
        channel = lite.createDataChannel("x")
        await lite.setLocalDescription()
        await asyncio.sleep(0.05)
        assert lite.localDescription is not None
        await full.setRemoteDescription(lite.localDescription)
        await full.setLocalDescription()
        await asyncio.sleep(5)
        assert full.iceConnectionState == "completed"
        assert full.localDescription is not None
        opened = asyncio.ensure_future(happens(channel, "open"))
        await asyncio.sleep(0)
        await lite.setRemoteDescription(full.localDescription)
        await opened


@pytest.mark.needs(IceFeature.ADDRESS_RULES)
async def test_rules_reach_the_description() -> None:
    rules = (AddressRule(external=("203.0.113.7",), protocols=("udp4",)),)
    settings = Settings(ice=IceSettings(address_rules=rules), use_ipv6=False)
    async with pair(RTCConfiguration(settings=settings)) as (a, _):
        a.createDataChannel("x")
        await a.setLocalDescription()
        description = await a.gathered()
        addresses = {line.split()[4] for line in description.sdp.splitlines() if "candidate:" in line}
        assert addresses == {"203.0.113.7"}


@pytest.mark.needs(IceFeature.HIDDEN_ADDRESSES)
async def test_no_host() -> None:
    settings = Settings(ice=IceSettings(no_host=True))
    async with pair(RTCConfiguration(settings=settings)) as (a, _):
        a.createDataChannel("x")
        await a.setLocalDescription()
        assert "a=candidate" not in (await a.gathered()).sdp


async def test_new_servers_count_from_the_restart_on() -> None:
    async with pair() as (a, b):
        await open_channels(a, b)
        errors: list[str] = []
        a.on("icecandidateerror", lambda e: errors.append(e.url))
        a.setConfiguration(
            RTCConfiguration(iceServers=[{"urls": "turns:127.0.0.1:1?transport=udp"} | CREDENTIALS])
        )
        a.restartIce()
        await negotiate(a, b)
        await until(lambda: errors, a, "icecandidateerror")
        assert errors == ["turns:127.0.0.1:1?transport=udp"]


CREDENTIALS = {"username": "u", "credential": "p"}


@pytest.mark.needs(IceFeature.SHARED_PORTS)
async def test_connections_share_a_port() -> None:
    with stand_on("alice"):
        mux = UdpMux()
    settings = Settings(ice=IceSettings(udp_mux=mux))
    with contextlib.closing(mux):
        await _share(RTCConfiguration(settings=settings), mux.port)


async def _share(configuration: RTCConfiguration, port: int) -> None:
    async with (
        pair(configuration, RTCConfiguration()) as (a, b),
        pair(configuration, RTCConfiguration()) as (c, d),
    ):
        for one, other in ((a, b), (d, c)):
            mine, theirs = await open_channels(one, other)
            mine.send("hello")
            assert (await happens(theirs, "message")).data == "hello"
        for server in (a, c):
            assert server.localDescription is not None
            lines = [line for line in server.localDescription.sdp.splitlines() if "candidate:" in line]
            assert {line.split()[5] for line in lines} == {str(port)}


async def test_another_network_restarts_ice(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = frozenset({"10.0.0.1"})
    monkeypatch.setattr(monitor, "all_addresses", lambda: addresses)
    settings = Settings(ice=IceSettings(restart_on_network_change=True))
    async with pair(RTCConfiguration(settings=settings), RTCConfiguration()) as (a, b):
        await open_channels(a, b)
        assert a.sctp is not None
        old = a.sctp.transport.iceTransport.getLocalParameters()
        needed = asyncio.ensure_future(happens(a, "negotiationneeded"))
        await asyncio.sleep(0)
        here = transports_of(a).network
        if isinstance(here, SystemNetwork):
            addresses = frozenset({"10.9.9.9"})
            here.monitor.look()
        else:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            loop.internet.host("alice").set_addresses("eth0")
        await needed
        await negotiate(a, b)
        assert a.sctp.transport.iceTransport.getLocalParameters() != old
