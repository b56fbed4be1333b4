"""Two engines behind every pair of NAT kinds, on virtual time."""

from __future__ import annotations

import itertools

import pytest

from rtcstack.ice.engine import IceState
from rtcstack.testing import Internet, Nat, Rule, TurnServer
from tests.support.icehost import IceHost, connect_hosts

KINDS = list(itertools.product(Rule, Rule))
"""Mapping and filtering."""


def is_direct(a: tuple[Rule, Rule], b: tuple[Rule, Rule]) -> bool:
    """Whether packets can get through without a relay.

    With one side's mapping endpoint-independent, the other can send to what the STUN server saw: it
    gets in unless that side's filter wants a port that it cannot know. With neither, the first packet
    must get in where the STUN server's would, the answer must pass a filter that does not look at
    ports, and one side must keep its port when the other's changes.
    """

    def reaches(x: tuple[Rule, Rule], y: tuple[Rule, Rule]) -> bool:
        if y[0] is Rule.ENDPOINT:
            return x[0] is Rule.ENDPOINT or y[1] is not Rule.ADDRESS_AND_PORT
        if x[0] is Rule.ENDPOINT:
            return False
        gets_in = y[1] is Rule.ENDPOINT and x[1] is not Rule.ADDRESS_AND_PORT
        return gets_in and Rule.ADDRESS in (x[0], y[0])

    return reaches(a, b) or reaches(b, a)


def name(kind: tuple[Rule, Rule]) -> str:
    short = {Rule.ENDPOINT: "EI", Rule.ADDRESS: "AD", Rule.ADDRESS_AND_PORT: "APD"}
    return f"{short[kind[0]]}M-{short[kind[1]]}F"


def behind(
    net: Internet, server: TurnServer, kind: tuple[Rule, Rule], number: int, *, seed: int = 0
) -> IceHost:
    nat = Nat(net, f"203.0.113.{number}", mapping=kind[0], filtering=kind[1])
    servers = (server.stun, server.turn)
    return IceHost(net, f"10.0.{number}.2", nat=nat, servers=servers, seed=seed)


@pytest.mark.parametrize("b_kind", KINDS, ids=name)
@pytest.mark.parametrize("a_kind", KINDS, ids=name)
def test_every_pair_of_nats(a_kind: tuple[Rule, Rule], b_kind: tuple[Rule, Rule]) -> None:
    net = Internet()
    server = TurnServer(net, "198.51.100.1")
    a, b = behind(net, server, a_kind, 1), behind(net, server, b_kind, 2)
    connect_hosts(a, b)
    net.agenda.run(until=10)
    assert (a.state, b.state) == (IceState.COMPLETED, IceState.COMPLETED)
    for host in (a, b):
        selected = host.engine.selected
        assert selected is not None
        assert selected.nominated
        kinds = {selected.local.type, selected.remote.candidate.type}
        assert ("relay" not in kinds) is is_direct(a_kind, b_kind), selected
    before = server.relayed
    for sender, receiver in ((a, b), (b, a)):
        assert sender.send(b"\x80hello")
        net.agenda.run(until=net.now - 1000 + 1)
        assert receiver.received == [b"\x80hello"]
    assert (server.relayed > before) is not is_direct(a_kind, b_kind)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("b_kind", [KINDS[2], KINDS[8]], ids=name)
def test_losses_do_not_keep_nats_from_being_crossed(b_kind: tuple[Rule, Rule], seed: int) -> None:
    net = Internet(delay_s=0.05, loss=0.2, seed=seed)
    net.reorder = net.duplicate = 0.1
    server = TurnServer(net, "198.51.100.1")
    a, b = behind(net, server, KINDS[2], 1, seed=seed), behind(net, server, b_kind, 2, seed=seed)
    connect_hosts(a, b)
    assert net.agenda.run(until=25, condition=lambda: a.connected and b.connected)


@pytest.mark.parametrize("hairpin", [False, True])
def test_two_hosts_behind_one_nat(hairpin: bool) -> None:
    net = Internet()
    server = TurnServer(net, "198.51.100.1")
    nat = Nat(net, "203.0.113.1", mapping=Rule.ENDPOINT, filtering=Rule.ADDRESS_AND_PORT, hairpin=hairpin)
    a, b = (IceHost(net, f"10.0.0.{i}", nat=nat, servers=(server.stun,)) for i in (2, 3))
    connect_hosts(a, b)
    net.agenda.run(until=5)
    assert (a.state, b.state) == (IceState.COMPLETED, IceState.COMPLETED)
    assert a.engine.selected is not None
    assert a.engine.selected.local.type == "host"


def test_without_a_relay_symmetric_nats_fail_in_time() -> None:
    net = Internet()
    server = TurnServer(net, "198.51.100.1")
    kind = (Rule.ADDRESS_AND_PORT, Rule.ADDRESS_AND_PORT)
    a, b = behind(net, server, kind, 1), behind(net, server, kind, 2)
    a.servers = b.servers = (server.stun,)
    connect_hosts(a, b)
    net.agenda.run(until=40)
    assert a.states == b.states == [IceState.CHECKING, IceState.FAILED]
