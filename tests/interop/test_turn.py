"""STUN and TURN with coturn: over UDP, TCP and TLS, at either side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from rtcstack import RTCPeerConnection
from rtcstack.ice import IceFeature
from tests.interop.conftest import Hosts, Pair
from tests.support.peers import Candidate, ChannelOptions, Peer
from tests.support.rtcstack_peer import RtcstackPeer
from tests.support.turn import TurnServer, local_address_v6, turn_available, turn_server
from tests.support.wanted import missing

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server() -> AsyncIterator[TurnServer]:
    if not turn_available():
        missing("coturn is not installed (see tools/install_system.sh)")
    async with turn_server() as running:
        yield running


async def gathered(peer: Peer) -> list[Candidate]:
    """All candidates of a peer that has an offer out."""
    found = []
    while (candidate := await peer.next_candidate()) is not None:
        found.append(candidate)
    return found


def kinds(candidates: list[Candidate]) -> set[str]:
    """The candidate types among them."""
    return {candidate["candidate"].split()[7] for candidate in candidates}


async def echoed(pair: Pair) -> None:
    """Connect and have a message come back, and a file of some length."""
    created = await pair.offerer.create_channel(ChannelOptions("relayed"))
    async with pair.connect():
        other = await pair.answerer.next_channel()
        ours, theirs = await pair.opened(created, other, by=pair.offerer)
        sent, received = await asyncio.gather(
            ours.send_hashed(500_000, 16384), theirs.receive_hashed(500_000)
        )
        assert sent == received
        await theirs.send("back")
        assert await ours.receive() == "back"


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_a_relay_is_our_only_way(
    hosts: Hosts,
    server: TurnServer,
    transport: str,
    local_offers: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the server's certificate is its own authority
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
    configuration = {"iceServers": [server.turn(transport)], "iceTransportPolicy": "relay"}
    async with await (await hosts.get("wrtc")).peer() as remote, RtcstackPeer(**configuration) as local:
        await echoed(Pair(local, remote, local_offers=local_offers))


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_relay_only_gathers_nothing_but_relays(
    server: TurnServer, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
    configuration = {"iceServers": [server.turn(transport)], "iceTransportPolicy": "relay"}
    async with RtcstackPeer(**configuration) as local:
        await local.create_channel(ChannelOptions("relayed"))
        offer = await local.create_offer()
        assert "a=candidate" not in offer["sdp"]
        assert kinds(await gathered(local)) == {"relay"}


@pytest.mark.needs(IceFeature.RELAY_FAMILIES)
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_one_server_gives_relays_of_both_ip_versions(transport: str) -> None:
    if (v6 := local_address_v6()) is None:
        pytest.skip("this machine has no IPv6 address")
    async with turn_server(v6) as server:
        configuration = {"iceServers": [server.turn(transport)], "iceTransportPolicy": "relay"}
        async with RtcstackPeer(**configuration) as local:
            await local.create_channel(ChannelOptions("relayed"))
            await local.create_offer()
            found = await gathered(local)
    assert kinds(found) == {"relay"}
    assert {candidate["candidate"].split()[4] for candidate in found} == {server.address, v6}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_relay_is_chromiums_only_way(
    hosts: Hosts, server: TurnServer, transport: str, local_offers: bool
) -> None:
    host = await hosts.get("chromium")
    configuration = {"iceServers": [server.turn(transport)], "iceTransportPolicy": "relay"}
    async with await host.peer(**configuration) as remote, RtcstackPeer() as local:
        await echoed(Pair(local, remote, local_offers=local_offers))


async def test_a_relay_is_firefoxes_only_way(hosts: Hosts, server: TurnServer, local_offers: bool) -> None:
    host = await hosts.get("firefox")
    configuration = {"iceServers": [server.turn("udp")], "iceTransportPolicy": "relay"}
    async with await host.peer(**configuration) as remote, RtcstackPeer(**configuration) as local:
        await echoed(Pair(local, remote, local_offers=local_offers))


async def test_both_sides_relay(hosts: Hosts, server: TurnServer, local_offers: bool) -> None:
    host = await hosts.get("chromium")
    configuration = {"iceServers": [server.turn("udp")], "iceTransportPolicy": "relay"}
    async with await host.peer(**configuration) as remote, RtcstackPeer(**configuration) as local:
        await echoed(Pair(local, remote, local_offers=local_offers))


async def test_a_wrong_password_gathers_no_relay(server: TurnServer) -> None:
    wrong = server.turn("udp") | {"credential": "wrong"}
    async with RtcstackPeer(iceServers=[wrong], iceTransportPolicy="relay") as local:
        await local.create_channel(ChannelOptions("refused"))
        await local.create_offer()
        assert await gathered(local) == []


async def errors_of(server: dict[str, Any]) -> list[tuple[str, int, str]]:
    """Gather with this server alone; what `icecandidateerror` says: URL, code, text."""
    errors = []
    async with RTCPeerConnection({"iceServers": [server], "iceTransportPolicy": "relay"}) as pc:
        pc.on("icecandidateerror", lambda e: errors.append((e.url, e.errorCode, e.errorText)))
        pc.createDataChannel("x")
        await pc.setLocalDescription()
        await pc.gathered()
    return errors


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_wrong_password_is_reported(server: TurnServer, transport: str) -> None:
    wrong = server.turn(transport) | {"credential": "wrong"}
    [(url, code, _)] = await errors_of(wrong)
    assert (url, code) == (wrong["urls"][0], 401)


async def test_a_certificate_that_nobody_vouches_for_is_reported(server: TurnServer) -> None:
    [(url, code, text)] = await errors_of(server.turn("tls"))
    assert (url, code) == (server.turn("tls")["urls"][0], 701)
    assert "certificate" in text.lower()


async def test_a_server_that_is_not_there_does_not_keep_hosts_from_connecting(
    hosts: Hosts, server: TurnServer
) -> None:
    nowhere = {
        "urls": [f"stun:{server.address}:1", f"turn:{server.address}:1"],
        "username": "u",
        "credential": "p",
    }
    async with await (await hosts.get("wrtc")).peer() as remote, RtcstackPeer(iceServers=[nowhere]) as local:
        await echoed(Pair(local, remote, local_offers=True))


async def test_stun_tells_nothing_new_on_an_open_machine(server: TurnServer) -> None:
    async with RtcstackPeer(iceServers=[server.stun]) as local:
        await local.create_channel(ChannelOptions("stun"))
        await local.create_offer()
        # without a NAT the reflexive address is the host's own, and redundant (RFC 8445, 5.1.3)
        assert "host" in kinds(await gathered(local)) <= {"host", "srflx"}
