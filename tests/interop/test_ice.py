"""ICE beyond a plain UDP path, with browsers and libwebrtc: TCP, the lite role, shared ports, names."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from rtcstack import IceSettings, RTCIceCandidatePair, Settings, TcpMux, UdpMux
from rtcstack.ice import IceFeature
from tests.interop.conftest import Hosts, Pair
from tests.support.peers import ChannelOptions
from tests.support.rtcstack_peer import RtcstackPeer

pytestmark = pytest.mark.asyncio(loop_scope="session")

BROWSERS = ("chromium", "firefox", "wrtc")


async def echoed(hosts: Hosts, name: str, settings: Settings, *, local_offers: bool) -> None:
    """Connect and have a message come back, and a file of some length."""
    host = await hosts.get(name)
    local = RtcstackPeer(settings=settings)
    async with await host.peer() as remote, local:
        pair = Pair(local, remote, local_offers=local_offers)
        created = await pair.offerer.create_channel(ChannelOptions("ice"))
        async with pair.connect():
            other = await pair.answerer.next_channel()
            ours, theirs = await pair.opened(created, other, by=pair.offerer)
            sent, received = await asyncio.gather(
                ours.send_hashed(500_000, 16384), theirs.receive_hashed(500_000)
            )
            assert sent == received
            await theirs.send("back")
            assert await ours.receive() == "back"
            report = await local.pc.getStats()
            [transport] = report.of_type("transport")
            selected = report[transport["selectedCandidatePairId"]]
            check(report[selected["localCandidateId"]], settings)


def check(selected: dict[str, object], settings: Settings) -> None:
    """The path that was taken is the one that the settings leave."""
    if not settings.ice.udp:
        assert (selected["protocol"], selected["tcpType"]) == ("tcp", "passive")
    for mux in (settings.ice.udp_mux, settings.ice.tcp_mux):
        if mux is not None and (mux is settings.ice.udp_mux) is (selected["protocol"] == "udp"):
            assert selected["port"] == mux.port


@pytest.mark.needs(IceFeature.TCP)
@pytest.mark.parametrize("name", ["chromium", "wrtc"])
async def test_tcp_is_the_only_way(hosts: Hosts, name: str, local_offers: bool) -> None:
    settings = Settings(ice=IceSettings(udp=False, tcp=("passive",)))
    await echoed(hosts, name, settings, local_offers=local_offers)


@pytest.mark.needs(IceFeature.TCP)
async def test_one_tcp_port(hosts: Hosts) -> None:
    mux = await TcpMux.open()
    settings = Settings(ice=IceSettings(udp=False, tcp=("passive",), tcp_mux=mux))
    with contextlib.closing(mux):
        await asyncio.gather(
            echoed(hosts, "chromium", settings, local_offers=True),
            echoed(hosts, "wrtc", settings, local_offers=False),
        )


@pytest.mark.needs(IceFeature.LITE)
@pytest.mark.parametrize("name", BROWSERS)
async def test_a_lite_server(hosts: Hosts, name: str, local_offers: bool) -> None:
    await echoed(hosts, name, Settings(ice=IceSettings(lite=True)), local_offers=local_offers)


@pytest.mark.needs(IceFeature.SHARED_PORTS)
@pytest.mark.parametrize("lite", [False, True])
async def test_one_udp_port(hosts: Hosts, lite: bool, local_offers: bool) -> None:
    mux = UdpMux()
    settings = Settings(ice=IceSettings(udp_mux=mux, lite=lite))
    with contextlib.closing(mux):
        await asyncio.gather(*(echoed(hosts, name, settings, local_offers=local_offers) for name in BROWSERS))


@pytest.mark.needs(IceFeature.HIDDEN_ADDRESSES)
@pytest.mark.parametrize("name", BROWSERS)
async def test_our_addresses_are_hidden(hosts: Hosts, name: str, local_offers: bool) -> None:
    settings = Settings(ice=IceSettings(hide_host_addresses=True), use_ipv6=False)
    await echoed(hosts, name, settings, local_offers=local_offers)


@pytest.mark.needs(IceFeature.RENOMINATION)
@pytest.mark.parametrize("name", BROWSERS)
async def test_renomination_is_understood_or_ignored(hosts: Hosts, name: str, local_offers: bool) -> None:
    await echoed(hosts, name, Settings(ice=IceSettings(renomination=True)), local_offers=local_offers)


@pytest.mark.needs(IceFeature.PAIRS)
@pytest.mark.parametrize("name", ["chromium"])
async def test_another_pair_is_selected_and_the_peer_follows(hosts: Hosts, name: str) -> None:
    """By the controlling end, from one IP version to the other."""
    host = await hosts.get(name)
    local = RtcstackPeer()
    async with await host.peer() as remote, local:
        pair = Pair(local, remote, local_offers=True)
        created = await local.create_channel(ChannelOptions("ice"))
        async with pair.connect():
            other = await remote.next_channel()
            ours, theirs = await pair.opened(created, other, by=local)
            sctp = local.pc.sctp
            assert sctp is not None
            ice = sctp.transport.iceTransport
            pairs: list[RTCIceCandidatePair] = []
            ice.onicecandidatepairadd = lambda event: pairs.append(event.candidatePair)
            local.pc.restartIce()
            async with pair.reconnect(by=local, restart=True):
                await asyncio.sleep(2)
                first = ice.getSelectedCandidatePair()
                assert first in pairs
                assert first is not None
                others = [each for each in pairs if is_ipv6(each) is not is_ipv6(first)]
                if not others:
                    pytest.skip("this machine has addresses of one IP version only")
                await ice.selectCandidatePair(others[0])
                assert ice.getSelectedCandidatePair() is others[0]
                await asyncio.sleep(4)
                before = await selected_stats(local)
                sent, received = await asyncio.gather(
                    ours.send_hashed(500_000, 16384), theirs.receive_hashed(500_000)
                )
                assert sent == received
                await theirs.send("back")
                assert await ours.receive() == "back"
                after = await selected_stats(local)
                assert after["id"] == before["id"]
                assert after["bytesSent"] - before["bytesSent"] > 500_000
                assert after["packetsReceived"] - before["packetsReceived"] > 50, (
                    "its acknowledgements as well"
                )


def is_ipv6(pair: RTCIceCandidatePair) -> bool:
    return ":" in (pair.local.address or "")


async def selected_stats(peer: RtcstackPeer) -> dict[str, Any]:
    """What is counted of the pair that packets take."""
    report = await peer.pc.getStats()
    [transport] = report.of_type("transport")
    return dict(report[transport["selectedCandidatePairId"]])
