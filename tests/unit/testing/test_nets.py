"""What stands between hosts: NATs of every kind, nested ones, routers and firewalls."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from rtcstack.engine import Address
from rtcstack.testing import Firewall, Internet, Lan, Nat, Net, Rule, VirtualNetwork
from rtcstack.testing.nets import MAX_MAPPINGS
from tests.unit.testing.test_udp import Sink

KINDS = list(itertools.product(Rule, Rule))


class Node:
    """A host with one socket."""

    def __init__(self, internet: Internet, name: str, *addresses: str, behind: Net | None = None) -> None:
        self.internet = internet
        self.host = internet.add_host(name, *addresses, behind=behind)
        self.sink = Sink()
        wildcard = "::" if ":" in self.host.addresses()[0] else "0.0.0.0"
        self.socket = VirtualNetwork(self.host).open_udp((wildcard, 5000), self.sink)

    @property
    def address(self) -> Address:
        return self.host.addresses()[0], 5000

    def send(self, to: Address, data: bytes = b"x") -> None:
        self.socket.send(data, to)
        settle(self.internet)

    @property
    def last_source(self) -> Address:
        return self.sink.datagrams[-1][1]

    @property
    def count(self) -> int:
        return len(self.sink.datagrams)


def settle(internet: Internet, seconds: float = 0.5) -> None:
    internet.agenda.run(until=internet.now - 1000.0 + seconds)


@pytest.mark.parametrize(("mapping", "filtering"), KINDS)
def test_mapping_and_filtering_of_every_kind(mapping: Rule, filtering: Rule) -> None:
    internet = Internet()
    nat = Nat(internet, "203.0.113.1", mapping=mapping, filtering=filtering)
    inside = Node(internet, "inside", "192.168.1.2", behind=nat)
    one, two = Node(internet, "one"), Node(internet, "two")
    third = VirtualNetwork(one.host).open_udp(("0.0.0.0", 6000), Sink())
    inside.send(one.address)
    seen_by_one = one.last_source
    assert seen_by_one[0] == "203.0.113.1"
    # who may answer to what was opened for `one`
    one.send(seen_by_one)
    assert inside.count == 1
    third.send(b"same address, other port", seen_by_one)
    settle(internet)
    assert inside.count == 1 + (filtering is not Rule.ADDRESS_AND_PORT)
    before = inside.count
    two.send(seen_by_one)
    assert inside.count == before + (filtering is Rule.ENDPOINT)
    # which port others see
    inside.send(two.address)
    assert (two.last_source == seen_by_one) == (mapping is Rule.ENDPOINT)
    inside.send((one.address[0], 6000))
    assert nat.blocked == 2 - [Rule.ADDRESS_AND_PORT, Rule.ADDRESS, Rule.ENDPOINT].index(filtering)


def test_mappings_end_when_they_are_not_used() -> None:
    internet = Internet()
    nat = Nat(internet, lifetime_s=30)
    inside, outside = Node(internet, "inside", behind=nat), Node(internet, "outside")
    inside.send(outside.address)
    seen = outside.last_source
    settle(internet, 20)
    outside.send(seen)
    assert inside.count == 1
    settle(internet, 20)  # what comes from outside does not keep it
    outside.send(seen)
    assert inside.count == 1
    inside.send(outside.address)
    assert outside.last_source != seen


def test_a_nat_that_restarts_forgets() -> None:
    internet = Internet()
    nat = Nat(internet)
    inside, outside = Node(internet, "inside", behind=nat), Node(internet, "outside")
    inside.send(outside.address)
    seen = outside.last_source
    nat.forget()
    outside.send(seen)
    assert inside.count == 0
    inside.send(outside.address)
    assert outside.last_source != seen
    outside.send(outside.last_source)
    assert inside.count == 1


def test_a_nat_remembers_no_more_than_so_many() -> None:
    internet = Internet()
    nat = Nat(internet, mapping=Rule.ADDRESS_AND_PORT)
    inside = Node(internet, "inside", behind=nat)
    for port in range(MAX_MAPPINGS + 100):
        nat.send(inside.address, ("192.0.2.1", port), b"x")
    assert len(nat._mappings) == len(nat._by_port) == MAX_MAPPINGS


@pytest.mark.parametrize("hairpin", [False, True])
def test_hairpinning(hairpin: bool) -> None:
    internet = Internet()
    nat = Nat(internet, "203.0.113.1", hairpin=hairpin, filtering=Rule.ENDPOINT)
    one, two = Node(internet, "one", behind=nat), Node(internet, "two", behind=nat)
    outside = Node(internet, "outside")
    two.send(outside.address)
    one.send(outside.last_source)
    assert two.count == hairpin
    if hairpin:
        assert two.last_source[0] == "203.0.113.1"
    one.send(two.address)  # by the inner address, without the outer
    assert two.last_source == one.address


def test_nested_nats() -> None:
    internet = Internet()
    carrier = Nat(internet, "203.0.113.1", inside="100.64.0")
    home, other = Nat(carrier), Nat(carrier)
    assert (home.public, other.public) == ("100.64.0.2", "100.64.0.3")
    inside, outside = Node(internet, "inside", behind=home), Node(internet, "outside")
    neighbour = Node(internet, "neighbour", behind=other)
    inside.send(outside.address)
    assert outside.last_source[0] == "203.0.113.1"
    outside.send(outside.last_source)
    assert inside.count == 1
    neighbour.send(inside.address)  # the same private address means another there
    assert inside.count == 1


def test_ipv6_behind_a_nat_is_filtered_and_not_translated() -> None:
    internet = Internet()
    nat = Nat(internet)
    inside = Node(internet, "inside", "2001:db8:1::2", behind=nat)
    outside = Node(internet, "outside", "2001:db8:2::2")
    outside.send(inside.address)
    assert inside.count == 0
    inside.send(outside.address)
    assert outside.last_source == inside.address
    outside.send(inside.address)
    assert inside.count == 1


def test_a_router_without_nat_and_shared_links() -> None:
    internet = Internet()
    lan = Lan(internet, up=internet.link(loss=1.0), down=internet.link(delay_s=0.1))
    inside, other = Node(internet, "inside", behind=lan), Node(internet, "other", behind=lan)
    outside = Node(internet, "outside")
    outside.send(inside.address)
    inside.send(outside.address)
    other.send(inside.address)
    assert inside.count == 2
    assert outside.count == 0


@pytest.mark.parametrize(
    ("settings", "passes"),
    [
        ({}, True),
        ({"udp": False}, False),
        ({"tcp_ports": {443}}, True),
        ({"drop": lambda source, destination, data: data == b"x"}, False),
    ],
)
def test_firewalls(settings: dict[str, Any], passes: bool) -> None:
    internet = Internet()
    wall = Firewall(internet, **settings)
    inside, outside = Node(internet, "inside", behind=wall), Node(internet, "outside")
    inside.send(outside.address)
    outside.send(inside.address)
    assert (inside.count, outside.count) == (passes, passes)
    assert wall.blocked == (0 if passes else 2)
    wall.udp, wall.drop = True, None
    inside.send(outside.address)
    assert outside.count == passes + 1
