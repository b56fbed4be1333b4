"""Ways that change while a call is on: NATs that forget, interfaces that go, relays that are lost."""

from __future__ import annotations

import asyncio

import pytest

from rtcstack.config import IceSettings
from rtcstack.ice.stun import Method
from rtcstack.testing import Nat, Rule
from tests.scenarios.world import Call, call, here, turn_server, until
from tests.support.insides import own_agent, transports_of

pytestmark = pytest.mark.asyncio

SYMMETRIC = {"mapping": Rule.ADDRESS_AND_PORT, "filtering": Rule.ADDRESS_AND_PORT}


def pair_types(it: Call) -> list[tuple[str, str]]:
    """The candidate types of both sides' selected pairs."""
    found = []
    for party in it.parties:
        (entry,) = transports_of(party.connection)
        pair = entry.agent.selected_pair
        assert pair is not None
        found.append((pair.local.type, pair.remote.type))
    return found


def nat_of(it: Call, number: int) -> Nat:
    net = it.parties[number].host.interfaces["eth0"].net
    assert isinstance(net, Nat)
    return net


async def test_a_nat_that_forgets_is_survived_in_the_same_call() -> None:
    async with call(servers=[turn_server()]) as it:
        await it.begin()
        await asyncio.sleep(3)
        for _ in range(3):  # each takes her relay from her as well; there is his
            nat_of(it, 0).forget()
            assert await it.flows(15) < 7
            await asyncio.sleep(10)
        for party in it.parties:
            assert party.connection.connectionState == "connected"
            assert "failed" not in party.states
        await it.all_messages()
        it.assert_contents_are_right()


async def test_both_nats_that_forget_at_once_are_survived_by_a_restart() -> None:
    """Relays' servers do not know either side any more: nothing but new candidates helps."""
    server = turn_server()
    async with call(servers=[server]) as it:
        await it.begin()
        await asyncio.sleep(3)
        for number in (0, 1):
            nat_of(it, number).forget()
        took = await until(
            lambda: any(p.connection.connectionState == "disconnected" for p in it.parties), "disconnected"
        )
        assert took < 6
        it.a.connection.restartIce()
        assert await it.flows(30) < 3
        assert "failed" not in it.a.states + it.b.states
        await it.all_messages()
        it.assert_contents_are_right()


async def test_symmetric_nats_are_crossed_by_the_relay() -> None:
    server = turn_server()
    async with call(servers=[server], nats=(SYMMETRIC, SYMMETRIC)) as it:
        await it.begin()
        assert "relay" in {kind for pair in pair_types(it) for kind in pair}
        await asyncio.sleep(10)
        assert server.relayed > 500
        await it.all_messages()
        it.assert_contents_are_right()


async def test_an_interface_that_goes_away_is_left_for_another_by_a_restart() -> None:
    """A telephone leaves the house: the wireless network goes, the mobile one stays."""
    home, mobile = Nat(here()), Nat(here(), inside="10.9.8")
    alice = here().add_bare_host("alice")
    alice.add_interface("wlan0", behind=home)
    alice.add_interface("rmnet0", behind=mobile)
    bob = here().add_host("bob", behind=Nat(here()))
    settings = IceSettings(restart_on_network_change=True)
    async with call(servers=[turn_server()], hosts=(alice, bob), ice=settings) as it:
        await it.begin()
        assert it.a.connection.sctp is not None
        await asyncio.sleep(3)
        alice.remove_interface("wlan0")
        assert await it.flows() < 3.0
        assert "failed" not in it.a.states + it.b.states
        await asyncio.sleep(5)
        await it.all_messages()
        it.assert_contents_are_right()


async def test_an_interface_that_goes_away_is_left_for_another_without_signalling() -> None:
    home, mobile = Nat(here()), Nat(here(), inside="10.9.8")
    alice = here().add_bare_host("alice")
    alice.add_interface("wlan0", behind=home)
    alice.add_interface("rmnet0", behind=mobile)
    bob = here().add_host("bob", behind=Nat(here()))
    async with call(servers=[turn_server()], hosts=(alice, bob)) as it:
        await it.begin()
        for party in it.parties:
            party.lost = True
        await asyncio.sleep(3)
        alice.remove_interface("wlan0")
        assert await it.flows() < 12.0
        assert "failed" not in it.a.states + it.b.states
        await it.all_messages()
        it.assert_contents_are_right()


@pytest.mark.parametrize("number", [0, 1])
async def test_an_address_that_vanishes_is_left_at_once(number: int) -> None:
    """Its sockets tell nothing; nobody waits for silence. Whoever may nominate takes the peer along."""
    hosts = [here().add_bare_host(name) for name in ("alice", "bob")]
    moving = hosts[number]
    moving.add_interface("wlan0")
    moving.add_interface("rmnet0")
    hosts[1 - number].add_interface("eth0")
    async with call(servers=[], hosts=(hosts[0], hosts[1])) as it:
        await it.begin()
        mover, other = it.parties[number], it.parties[1 - number]
        (entry,) = transports_of(mover.connection)
        engine = own_agent(entry).engine
        await asyncio.sleep(60)
        for _ in range(3):
            before = engine.selected
            assert before is not None
            address = before.path.address[0]
            lost = moving.interface_of(address)
            assert lost is not None
            assert other.sound is not None
            heard = len(other.sound.numbers)
            moving.remove_interface(lost.name)
            took = await until(lambda b=before: engine.selected is not b, "another pair")  # type: ignore[misc]
            assert took < 0.2
            assert engine.selected is not None
            assert engine.selected.path.address[0] in moving.addresses()
            sound = other.sound
            await until(lambda s=sound, h=heard: len(s.numbers) > h + 10, "sound arrives", 0.5)  # type: ignore[misc]
            # the controlled side cannot take its peer along: that follows when it hears nothing any more
            assert await it.flows() < (1.0 if engine.controlling else 5.0)
            await asyncio.sleep(10)
            moving.add_interface(lost.name, address)
            await asyncio.sleep(10)
        assert "failed" not in it.a.states + it.b.states
        await it.all_messages()
        it.assert_contents_are_right()


@pytest.mark.parametrize("away_s", [1, 4, 15])
async def test_an_only_address_that_comes_back_is_used_again(away_s: float) -> None:
    alice = here().add_bare_host("alice")
    alice.add_interface("wlan0", "192.0.2.77")
    bob = here().add_host("bob")
    async with call(servers=[], hosts=(alice, bob)) as it:
        await it.begin()
        await asyncio.sleep(10)
        alice.remove_interface("wlan0")
        assert await until(lambda: it.a.connection.connectionState == "disconnected", "disconnected") < 0.1
        await asyncio.sleep(away_s)
        alice.add_interface("wlan0", "192.0.2.77")
        assert await it.flows() < 3.0
        assert "failed" not in it.a.states + it.b.states
        await it.all_messages()
        it.assert_contents_are_right()


async def test_an_address_that_is_said_to_be_gone_and_is_not_is_proved_by_the_peer() -> None:
    async with call(servers=[], nats=None) as it:
        await it.begin()
        (entry,) = transports_of(it.a.connection)
        own_agent(entry).network.interfaces = list  # type: ignore[method-assign]
        own_agent(entry)._addresses.look()
        assert await until(lambda: it.a.connection.connectionState == "disconnected", "disconnected") < 0.1
        assert await until(lambda: it.a.connection.connectionState == "connected", "connected") < 5.0
        await it.all_messages()
        it.assert_contents_are_right()


async def test_a_telephone_that_comes_home_and_leaves_again_and_again() -> None:
    home, mobile = Nat(here()), Nat(here(), inside="10.9.8")
    alice = here().add_bare_host("alice")
    alice.add_interface("rmnet0", behind=mobile)
    bob = here().add_host("bob", behind=Nat(here()))
    settings = IceSettings(restart_on_network_change=True)
    async with call(servers=[turn_server()], hosts=(alice, bob), ice=settings) as it:
        await it.begin()
        for _ in range(5):
            alice.add_interface("wlan0", behind=home)
            await asyncio.sleep(7)
            alice.remove_interface("wlan0")
            assert await it.flows() < 4.0
            await asyncio.sleep(7)
        assert "failed" not in it.a.states + it.b.states
        await it.all_messages()
        it.assert_contents_are_right()


@pytest.mark.parametrize("number", [0, 1])
async def test_a_relay_whose_nat_forgets_is_made_anew(number: int) -> None:
    """The server does not know who refreshes: that is asked as soon as nothing comes, not minutes later."""
    server = turn_server()
    hosts = [here().add_bare_host(name) for name in ("alice", "bob")]
    nat = Nat(here())
    hosts[number].add_interface("eth0", behind=nat)
    hosts[1 - number].add_interface("eth0")
    policies = (number == 0, number == 1)
    async with call(servers=[server], hosts=(hosts[0], hosts[1]), relay_only=policies) as it:
        await it.begin()
        for party in it.parties:
            party.lost = True  # no signalling helps
        for _ in range(3):
            await asyncio.sleep(20)
            began = it.now
            nat.forget()
            assert await it.flows(30) < 8.0
            (entry,) = transports_of(it.parties[number].connection)
            pair = entry.agent.selected_pair
            assert pair is not None
            assert pair.local.type == "relay"
            for party in it.parties:
                assert party.sound is not None
                assert party.sound.longest_gap_s(began, it.now) < 5.5
            generation = own_agent(entry).engine.active
            assert len(generation.checklist) <= 6
            assert len(generation.gathering.local) <= 2
            assert len(own_agent(entry)._routes) <= 6
        assert "failed" not in it.a.states + it.b.states
        await it.all_messages()
        it.assert_contents_are_right()


@pytest.mark.parametrize("outage_s", [8, 27])
async def test_an_outage_of_a_relay_s_path_loses_no_relay(outage_s: float) -> None:
    """No answer is no sign that the server has forgotten anything."""
    server = turn_server()
    async with call(servers=[server], nats=(SYMMETRIC, SYMMETRIC)) as it:
        await it.begin()
        await asyncio.sleep(10)
        made = server.requests[Method.ALLOCATE]
        server.silent = True
        await asyncio.sleep(outage_s)
        server.silent = False
        assert await it.flows(30) < 8.0
        await asyncio.sleep(30)
        assert server.requests[Method.ALLOCATE] == made
        assert "failed" not in it.a.states + it.b.states
        await it.all_messages()
        it.assert_contents_are_right()


async def test_a_relay_s_server_that_is_away_for_a_while_and_has_forgotten_all() -> None:
    server = turn_server()
    hosts = here().add_host("alice", behind=Nat(here())), here().add_host("bob")
    async with call(servers=[server], hosts=hosts, relay_only=(True, False)) as it:
        await it.begin()
        server.silent = True
        server.lose_allocations()
        await asyncio.sleep(15)
        server.refuse = 508  # it is full while all others come back, too
        server.silent = False
        await asyncio.sleep(5)
        server.refuse = None
        assert await it.flows(30) < 8.0
        assert "failed" not in it.a.states + it.b.states
        await it.all_messages()
        it.assert_contents_are_right()


async def test_a_relay_that_is_lost_while_nobody_uses_it_changes_nothing() -> None:
    server = turn_server()
    async with call(servers=[server]) as it:
        for party in it.parties:
            party.film.interval_s, party.speech.interval_s = 0.5, 0.1
        await it.begin()
        server.silent = True
        began = it.now
        await asyncio.sleep(900)  # the allocations cannot be refreshed any more
        await it.flows()
        for party in it.parties:
            assert party.sound is not None
            assert party.sound.longest_gap_s(began, it.now) < 0.2
            assert set(party.states) == {"connecting", "connected"}


async def test_a_relay_that_is_lost_is_left_for_another() -> None:
    first, second = turn_server("198.51.100.10"), turn_server("198.51.100.11")
    async with call(servers=[first, second], nats=(SYMMETRIC, SYMMETRIC)) as it:
        await it.begin()
        await asyncio.sleep(3)
        used, other = (first, second) if first.relayed > second.relayed else (second, first)
        used.silent = True
        assert await it.flows(30) < 15
        assert other.relayed > 10
        assert "failed" not in it.a.states + it.b.states
        await it.all_messages()
        it.assert_contents_are_right()


async def test_a_relay_that_is_lost_for_good_is_told_in_time() -> None:
    server = turn_server()
    async with call(servers=[server], nats=(SYMMETRIC, SYMMETRIC)) as it:
        await it.begin()
        server.silent = True
        took = await until(
            lambda: all(p.connection.connectionState == "disconnected" for p in it.parties), "disconnected"
        )
        assert took < 8
        await until(lambda: all(p.connection.connectionState == "failed" for p in it.parties), "failed")
        server.silent = False
        it.a.connection.restartIce()
        assert await it.flows(30) < 8
        await it.all_messages()
        it.assert_contents_are_right()


async def test_a_relay_s_server_that_is_restarted_is_asked_anew() -> None:
    """It has forgotten all: the call stops, and a restart of ICE brings it back."""
    server = turn_server()
    async with call(servers=[server], nats=(SYMMETRIC, SYMMETRIC)) as it:
        await it.begin()
        server.restart()
        await until(
            lambda: any(p.connection.connectionState == "disconnected" for p in it.parties), "disconnected"
        )
        it.a.connection.restartIce()
        assert await it.flows(30) < 8
        assert "failed" not in it.a.states + it.b.states
        await it.all_messages()
        it.assert_contents_are_right()


async def test_credentials_of_a_relay_that_expire_end_it_and_new_ones_bring_it_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = turn_server()
    server.lifetime_s = 60
    async with call(servers=[server], nats=(SYMMETRIC, SYMMETRIC)) as it:
        await it.begin()
        server.password = "another"
        await until(lambda: all(p.connection.connectionState == "failed" for p in it.parties), "failed", 180)
        lost = [record.getMessage() for record in caplog.records if "is lost" in record.getMessage()]
        assert any(" 401 " in message for message in lost)
        for party in it.parties:
            configuration = party.connection.getConfiguration()
            configuration.iceServers[1].credential = "another"
            party.connection.setConfiguration(configuration)
        it.a.connection.restartIce()
        assert await it.flows(30) < 8
        await it.all_messages()


async def test_both_sides_that_restart_at_once() -> None:
    async with call(servers=[turn_server()]) as it:
        await it.begin()
        for _ in range(5):
            it.restart()
            began = it.now
            await asyncio.sleep(5)
            for party in it.parties:
                assert party.sound is not None
                assert party.sound.longest_gap_s(began, it.now) < 0.1
                assert party.connection.signalingState == "stable"
                assert set(party.states) == {"connecting", "connected"}
        await it.all_messages()
        it.assert_contents_are_right()


async def test_both_sides_that_restart_at_once_while_nothing_comes_through() -> None:
    async with call(servers=[turn_server()]) as it:
        await it.begin()
        here().filter = lambda source, destination, data: False
        await asyncio.sleep(10)
        it.restart()
        await asyncio.sleep(3)
        here().filter = None
        assert await it.flows(30) < 8
        await it.all_messages()
        it.assert_contents_are_right()
