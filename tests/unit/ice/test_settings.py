"""What an application may say about addresses and ports: filters, ranges, rules, names, credentials."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from rtcstack.config import AddressRule, IceSettings
from rtcstack.ice import GatheringState, IceConfig
from rtcstack.ice.config import GatherPolicy
from rtcstack.ice.interfaces import host_addresses
from rtcstack.network import SystemNetwork, interfaces
from rtcstack.platform import HostAddress
from rtcstack.sdp.candidate import Candidate
from rtcstack.testing import START_S, Internet, Nat, Rule, TurnServer
from tests.support.iceagents import Observer, agents, connect
from tests.support.icehost import IceHost, connect_hosts
from tests.support.virtual import in_virtual_time

# -- rules -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "members",
    [
        {"external": ("203.0.113.1",), "candidate_type": "prflx"},
        {"external": ("not an address",)},
        {"external": ()},
        {"external": ("203.0.113.1",), "protocols": ("udp",)},
        {"external": ("203.0.113.1",), "protocols": ()},
        {"external": ("203.0.113.1",), "local": "2001:db8::1"},
        {"external": ("203.0.113.1",), "protocols": ("udp6",)},
        {"external": ("203.0.113.1",), "network": "2001:db8::/32"},
        {"external": ("203.0.113.1",), "local": "192.0.2.1", "network": "10.0.0.0/8"},
        {"external": ("203.0.113.1",), "network": "10.0.0.0/99"},
    ],
)
def test_rules_that_make_no_sense(members: dict[str, Any]) -> None:
    if members == {"external": ()}:
        members = members | {"append": True}
    with pytest.raises(ValueError, match=r".+"):
        AddressRule(**members)


A, B = ("203.0.113.1",), ("203.0.113.2",)


@pytest.mark.parametrize(
    ("first", "second", "possible"),
    [
        (AddressRule(external=A), AddressRule(external=B, local="10.0.0.1"), False),
        (AddressRule(external=A, local="10.0.0.1"), AddressRule(external=B), True),
        (AddressRule(external=A), AddressRule(external=("2001:db8::1",)), True),
        (AddressRule(external=A), AddressRule(external=B, candidate_type="srflx"), True),
        (AddressRule(external=A, interface="eth0"), AddressRule(external=B, interface="eth1"), True),
        (AddressRule(external=A, interface="eth0"), AddressRule(external=B, interface="eth0"), False),
        (
            AddressRule(external=A, network="10.0.0.0/8"),
            AddressRule(external=B, network="10.1.0.0/16"),
            False,
        ),
        (
            AddressRule(external=A, network="10.1.0.0/16"),
            AddressRule(external=B, network="10.0.0.0/8"),
            True,
        ),
        (AddressRule(external=A, network="10.0.0.0/8"), AddressRule(external=B, local="10.2.3.4"), False),
        (AddressRule(external=A, protocols=("udp4",)), AddressRule(external=B, protocols=("tcp4",)), True),
        (AddressRule(external=A, protocols=("udp4",)), AddressRule(external=B), True),
    ],
)
def test_a_rule_that_an_earlier_one_hides(first: AddressRule, second: AddressRule, possible: bool) -> None:
    if possible:
        IceSettings(address_rules=(first, second))
    else:
        with pytest.raises(ValueError, match="never match"):
            IceSettings(address_rules=(first, second))


def gathered(*rules: AddressRule, policy: GatherPolicy = GatherPolicy.ALL) -> list[tuple[str, str]]:
    """Types and addresses that a host behind a NAT tells with these rules."""
    net = Internet()
    server = TurnServer(net, "198.51.100.1")
    nat = Nat(net, "203.0.113.99", mapping=Rule.ENDPOINT, filtering=Rule.ENDPOINT)
    config = IceConfig(options=IceSettings(address_rules=rules), policy=policy)
    host = IceHost(net, "10.0.0.2", nat=nat, servers=(server.stun, server.turn), config=config)
    host.gather()
    net.agenda.run(until=1)
    assert len({c.priority for c in host.candidates}) == len(host.candidates)
    assert len({c.foundation for c in host.candidates}) == len(host.candidates)
    return [(c.type, c.address) for c in host.candidates]


HOST, REFLEXIVE, RELAY = ("host", "10.0.0.2"), ("srflx", "203.0.113.99"), ("relay", "198.51.100.1")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (AddressRule(external=A), [("host", A[0]), REFLEXIVE, RELAY]),
        (AddressRule(external=A + B), [("host", A[0]), ("host", B[0]), REFLEXIVE, RELAY]),
        (AddressRule(external=A, append=True), [HOST, ("host", A[0]), REFLEXIVE, RELAY]),
        (AddressRule(external=()), [REFLEXIVE, RELAY]),
        (AddressRule(external=("2001:db8::1",)), [HOST, REFLEXIVE, RELAY]),
        (AddressRule(external=A, local="10.0.0.3"), [HOST, REFLEXIVE, RELAY]),
        (AddressRule(external=A, network="10.0.0.0/8"), [("host", A[0]), REFLEXIVE, RELAY]),
        (AddressRule(external=A, network="192.168.0.0/16"), [HOST, REFLEXIVE, RELAY]),
        (AddressRule(external=A, interface="eth9"), [HOST, REFLEXIVE, RELAY]),
        (AddressRule(external=A, protocols=("tcp4",)), [HOST, REFLEXIVE, RELAY]),
        (AddressRule(external=A, candidate_type="srflx"), [HOST, ("srflx", A[0]), RELAY]),
        (
            AddressRule(external=A, candidate_type="srflx", append=True),
            [HOST, ("srflx", A[0]), REFLEXIVE, RELAY],
        ),
        (AddressRule(external=A, candidate_type="relay"), [HOST, REFLEXIVE, ("relay", A[0])]),
    ],
)
def test_what_rules_tell(rule: AddressRule, expected: list[tuple[str, str]]) -> None:
    assert gathered(rule) == expected


def test_a_machine_behind_a_one_to_one_nat_is_reached() -> None:
    net = Internet()

    class OneToOne(Nat):
        """Maps each port to itself, and lets everything in."""

        def _map(self, source: Any, destination: Any, *, is_tcp: bool = False) -> Any:
            self._ports = source[1] - 1
            return super()._map(source, destination, is_tcp=is_tcp)

    cloud = OneToOne(net, "203.0.113.1", mapping=Rule.ENDPOINT, filtering=Rule.ENDPOINT)
    rules = (AddressRule(external=("203.0.113.1",), network="10.0.0.0/8"),)
    server = IceHost(net, "10.0.0.2", nat=cloud, config=IceConfig(options=IceSettings(address_rules=rules)))
    kind = (Rule.ADDRESS_AND_PORT, Rule.ADDRESS_AND_PORT)
    client = IceHost(net, "192.168.0.2", nat=Nat(net, "203.0.113.2", mapping=kind[0], filtering=kind[1]))
    cloud.send(("10.0.0.2", 1001), ("192.0.2.200", 9), b"the port is mapped")
    connect_hosts(client, server)
    net.agenda.run(until=net.now - START_S + 3)
    assert client.connected
    assert server.connected
    assert server.engine.selected is not None
    assert server.engine.selected.local.address == "203.0.113.1"
    assert server.engine.selected.local.type == "host"


# -- addresses and ports of the machine --------------------------------------------------------------

MACHINE = [
    HostAddress("127.0.0.1", "lo"),
    HostAddress("10.0.0.1", "eth0"),
    HostAddress("172.17.0.1", "docker0"),
    HostAddress("2001:db8::1", "eth0"),
]


class FakeIp:
    def __init__(self, host: str) -> None:
        self.ip: Any = (host, 0, 0) if ":" in host else host


class FakeAdapter:
    def __init__(self, name: str, hosts: list[str]) -> None:
        self.name = name
        self.ips = [FakeIp(host) for host in hosts]


@pytest.mark.parametrize(
    ("settings", "members", "expected"),
    [
        (IceSettings(), {}, ["10.0.0.1", "172.17.0.1", "2001:db8::1"]),
        (IceSettings(), {"use_ipv6": False}, ["10.0.0.1", "172.17.0.1"]),
        (IceSettings(), {"include_loopback": True, "use_ipv4": False}, ["2001:db8::1"]),
        (
            IceSettings(),
            {"include_loopback": True, "use_ipv6": False},
            ["10.0.0.1", "172.17.0.1", "127.0.0.1"],
        ),
        (IceSettings(interface_filter=lambda n: not n.startswith("docker")), {}, ["10.0.0.1", "2001:db8::1"]),
        (IceSettings(address_filter=lambda a: a.startswith("172.")), {}, ["172.17.0.1"]),
        (IceSettings(bind_addresses=("10.0.0.1",)), {}, ["10.0.0.1"]),
        (IceSettings(bind_addresses=("127.0.0.1",)), {}, ["127.0.0.1"]),
        (IceSettings(bind_addresses=("192.0.2.1",)), {}, []),
    ],
)
def test_which_addresses_are_used(
    settings: IceSettings, members: dict[str, bool], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    adapters: dict[str, list[str]] = {}
    for host, interface, _ in MACHINE:
        adapters.setdefault(interface, []).append(host)
    fakes = [FakeAdapter(name, hosts) for name, hosts in adapters.items()]
    monkeypatch.setattr(interfaces, "_adapters", lambda _period: fakes)
    config = IceConfig(options=settings, **members)
    assert sorted(a.host for a in host_addresses(SystemNetwork(), config)) == sorted(expected)


def local_config(settings: IceSettings, **members: Any) -> IceConfig:
    return IceConfig(options=settings, include_loopback=True, use_ipv6=False, **members)


async def candidates(config: IceConfig) -> list[Candidate]:
    observer = Observer(config)
    observer.agent.gather()
    await observer.until(lambda: observer.agent.gathering_state is GatheringState.COMPLETE)
    found = list(observer.agent.local_candidates)
    await observer.agent.close()
    return found


def free_range(size: int) -> tuple[int, int]:
    """Ports in a row that are free now."""
    for first in range(20_000, 60_000, size):
        socks = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(size)]
        try:
            for i, sock in enumerate(socks):
                sock.bind(("127.0.0.1", first + i))
        except OSError:
            continue
        finally:
            for sock in socks:
                sock.close()
        return first, first + size - 1
    raise AssertionError("no free ports")


@in_virtual_time
async def test_ports_are_from_the_range_until_it_is_used_up() -> None:
    first, last = free_range(3)
    config = local_config(IceSettings(bind_addresses=("127.0.0.1",), port_range=(first, last)))
    observers = [Observer(config) for _ in range(4)]
    for observer in observers:
        observer.agent.gather()
    await asyncio.sleep(0.05)
    ports = [c.port for o in observers for c in o.agent.local_candidates]
    assert sorted(ports) == list(range(first, last + 1)), "and the fourth has no candidate"
    for observer in observers:
        await observer.agent.close()


@pytest.mark.parametrize("ports", [(0, 5), (10, 9), (1, 65536)])
def test_impossible_port_ranges(ports: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="port_range"):
        IceSettings(port_range=ports)


@pytest.mark.parametrize(
    "members",
    [
        {"ufrag": "abcd"},
        {"ufrag": "abc", "password": "p" * 22},
        {"ufrag": "abcd", "password": "p" * 21},
        {"ufrag": "ab:d", "password": "p" * 22},
        {"bind_addresses": ("eth0",)},
        {"check_interval_s": 0.001},
    ],
)
def test_wrong_settings_are_refused_when_they_are_made(members: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        IceSettings(**members)


@in_virtual_time
async def test_the_peers_candidates_can_be_filtered() -> None:
    seen: list[Candidate] = []

    def only_elsewhere(candidate: Candidate) -> bool:
        seen.append(candidate)
        return candidate.address == "192.0.2.99"

    async with agents(local_config(IceSettings(remote_candidate_filter=only_elsewhere))) as (a, b):
        a.agent.gather()
        b.agent.gather()
        await a.until(lambda: a.agent.gathering_state is GatheringState.COMPLETE)
        await b.until(lambda: seen and b.agent.gathering_state is GatheringState.COMPLETE)
        assert a.agent.engine.newest.remotes == {}
        assert b.agent.engine.newest.remotes == {}


@in_virtual_time
async def test_names_hide_addresses() -> None:
    config = local_config(IceSettings(hide_host_addresses=True))
    found = await candidates(config)
    if not found:
        pytest.skip("this machine has no multicast")
    for candidate in found:
        assert candidate.is_mdns
        assert candidate.related_address is None
    async with agents(config) as (a, b):
        await connect(a, b)


@in_virtual_time
async def test_gathering_ahead_tells_nothing_until_it_is_asked() -> None:
    observer = Observer(local_config(IceSettings()))
    told: list[Candidate] = []
    observer.on_ice_candidate = lambda candidate, ufrag, server: told.append(candidate)  # type: ignore[method-assign]
    agent = observer.agent
    agent.gather_ahead()
    await asyncio.sleep(0.05)
    assert agent.gathering_state is GatheringState.NEW
    assert agent.local_candidates == ()
    assert (told, observer.gathering) == ([], [])
    agent.gather()
    await observer.until(lambda: observer.gathering[-1:] == [GatheringState.COMPLETE])
    assert observer.gathering == [GatheringState.GATHERING, GatheringState.COMPLETE]
    assert tuple(told) == agent.local_candidates != ()
    await agent.close()
