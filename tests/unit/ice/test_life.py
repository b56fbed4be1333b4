"""The life of a connection on virtual time: roles, nomination, silence, restarts, lite peers."""

from __future__ import annotations

import itertools

import pytest

from rtcstack.config import IceSettings
from rtcstack.ice.config import GatherPolicy, IceConfig
from rtcstack.ice.engine import CandidateFound, GatheringDone, IceEngine, IceEvent, IceState, RelayMoved
from rtcstack.ice.engine.doorkeeper import REFUSALS_AT_ONCE, REFUSALS_PER_S
from rtcstack.ice.engine.generation import MAX_FORMER_PEERS, MAX_LEARNT_CANDIDATES, MAX_REMOTE_CANDIDATES
from rtcstack.ice.stun import Address, Attribute, Class, Method, StunMessage, encode
from rtcstack.ice.transactions import MAX_TRANSACTIONS, Transactions
from rtcstack.sdp.candidate import Candidate
from rtcstack.testing import START_S, Internet, Nat, Rule, TurnServer
from tests.support.icehost import IceHost, connect_hosts

CHECKING, CONNECTED, COMPLETED = IceState.CHECKING, IceState.CONNECTED, IceState.COMPLETED
DISCONNECTED, FAILED = IceState.DISCONNECTED, IceState.FAILED


def run(net: Internet, seconds: float) -> None:
    net.agenda.run(until=net.now - START_S + seconds)


def pair(
    net: Internet | None = None, a_config: IceConfig | None = None, b_config: IceConfig | None = None
) -> tuple[Internet, IceHost, IceHost]:
    net = net or Internet()
    return net, IceHost(net, "192.0.2.1", config=a_config), IceHost(net, "192.0.2.2", config=b_config)


def connected(net: Internet | None = None) -> tuple[Internet, IceHost, IceHost]:
    net, a, b = pair(net)
    connect_hosts(a, b)
    run(net, 2)
    assert a.states == b.states == [CHECKING, CONNECTED, COMPLETED]
    return net, a, b


def requests(net: Internet) -> list[tuple[float, Address, StunMessage]]:
    """Every binding request on the net from now on."""
    seen: list[tuple[float, Address, StunMessage]] = []

    def look(source: Address, destination: Address, data: bytes) -> bool:
        if data[0] < 4:
            message = StunMessage(data)
            if message.kind == Class.REQUEST and message.method == Method.BINDING:
                seen.append((net.now, source, message))
        return True

    net.filter = look
    return seen


def test_two_round_trips_to_connected_and_one_nomination() -> None:
    net, a, b = pair()
    seen = requests(net)
    connect_hosts(a, b, signalling_s=0.05)
    run(net, 2)
    nominations = [m for _, _, m in seen if Attribute.USE_CANDIDATE in m]
    assert len(nominations) == 1
    assert len(seen) <= 5, "two checks at most each way, and the nomination"
    assert a.engine.selected is not None
    assert a.engine.selected.rtt_s == pytest.approx(0.04)
    assert a.engine.controlling
    assert not b.engine.controlling


def test_packets_flow_before_the_nomination() -> None:
    net, a, b = pair()
    net.filter = lambda _s, _d, data: not (data[0] < 4 and Attribute.USE_CANDIDATE in StunMessage(data))
    connect_hosts(a, b)
    run(net, 2)
    assert a.state is b.state is CONNECTED
    assert b.send(b"\x16early")
    run(net, 0.1)
    assert a.received == [b"\x16early"]


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_role_conflicts_are_repaired(seed: int, both: bool) -> None:
    net = Internet(loss=0.1, seed=seed)
    a = IceHost(net, "192.0.2.1", seed=seed)
    b = IceHost(net, "192.0.2.2", seed=seed)
    connect_hosts(a, b)
    for me, other in ((a, b), (b, a)):
        newest = other.engine.newest
        me.engine.start(newest.ufrag, newest.pwd, controlling=both, remote_is_lite=False, now=net.now)
        me.flush()
    net.agenda.run(until=20)
    assert a.engine.controlling is not b.engine.controlling
    assert a.state is b.state is COMPLETED
    assert a.engine.selected is not None
    assert a.engine.selected.nominated


def test_a_peer_that_signals_no_candidates_is_found_by_its_checks() -> None:
    net = Internet()
    nat = Nat(net, "203.0.113.9", mapping=Rule.ENDPOINT, filtering=Rule.ADDRESS_AND_PORT)
    a, b = IceHost(net, "192.0.2.1"), IceHost(net, "10.0.0.2", nat=nat)
    connect_hosts(a, b)
    run(net, 2)
    assert a.state is b.state is COMPLETED
    for host, kinds in ((a, ("host", "prflx")), (b, ("prflx", "host"))):
        selected = host.engine.selected
        assert selected is not None
        assert (selected.local.type, selected.remote.candidate.type) == kinds
    assert b.engine.selected is not None
    assert b.engine.selected.local.address == "203.0.113.9"
    assert b.candidates[0].address == "10.0.0.2"
    assert len(b.candidates) == 1, "peer-reflexive candidates are not signalled"


def test_a_learnt_candidate_becomes_what_is_signalled_later() -> None:
    net, a, b = pair()
    connect_hosts(a, b, trickle=False, end=False)
    run(net, 0.06)
    [mine] = a.candidates
    b.engine.add_remote_candidate(mine, (mine.address, mine.port), net.now)
    b.flush()
    run(net, 1)
    [theirs] = b.candidates
    assert a.engine.selected is not None
    assert a.engine.selected.remote.candidate.type == "prflx"
    a.engine.add_remote_candidate(theirs, (theirs.address, theirs.port), net.now)
    assert a.engine.selected.remote.candidate == theirs
    assert len(list(a.engine.active.checklist)) == 1


def test_checks_that_come_before_the_answer_are_answered_and_used() -> None:
    net, a, b = pair()
    connect_hosts(a, b, signalling_s=0.5, end=False)
    seen = requests(net)
    run(net, 0.95)
    assert a.state is IceState.NEW
    assert [s for _, s, _ in seen] == [("192.0.2.2", 1001)], "answered: not repeated"
    run(net, 0.2)
    assert a.state is b.state is CONNECTED


def test_silence_is_disconnected_then_back() -> None:
    net, a, b = connected()
    net.filter = lambda *_: False
    run(net, 8)
    assert a.state is b.state is DISCONNECTED
    net.filter = None
    run(net, 6)
    assert a.states[-3:] == [DISCONNECTED, CONNECTED, COMPLETED]
    assert FAILED not in a.states + b.states
    a.send(b"\x16again")
    run(net, 0.1)
    assert b.received == [b"\x16again"]


def test_silence_is_seen_whatever_the_clock_says() -> None:
    """The difference of two times may round below the time-out that their sum has reached."""
    net, a, _b = connected()
    engine = a.engine
    selected = engine.selected
    assert selected is not None
    for i in range(2_000):
        engine.state = IceState.CONNECTED
        selected.heard_at = selected.consent_at = net.now + i * 0.0137
        now = selected.heard_at + engine.config.disconnected_timeout_s
        engine.handle_timeout(now)
        assert engine.state is DISCONNECTED
        engine.drain(now)


def test_consent_that_is_not_given_for_30_s_ends_it() -> None:
    net, a, _b = connected()
    since = net.now
    net.filter = lambda *_: False
    net.agenda.run(until=100, condition=lambda: a.state is FAILED)
    assert 28 <= net.now - since <= 32
    assert not a.send(b"\x16x"), "no packet without consent (RFC 7675)"
    sent = net.sent
    run(net, 60)
    assert net.sent - sent < 40, "checks end"


def test_packets_without_consent_do_not_keep_it_alive() -> None:
    net, a, b = connected()
    net.filter = lambda source, _d, data: source[0] != "192.0.2.2" or data[0] >= 4
    for _ in range(40):
        b.send(b"\x16still here")
        run(net, 1)
    assert DISCONNECTED not in a.states, "packets came all the time"
    assert a.state is FAILED


def test_consent_checks_are_spread_and_cost_little() -> None:
    net, _a, _b = connected()
    seen = requests(net)
    run(net, 200)
    times = [t for t, source, _ in seen if source[0] == "192.0.2.1"]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert all(1.6 <= gap <= 2.4 for gap in gaps)
    assert max(gaps) - min(gaps) > 0.2, "randomised (RFC 7675, section 5.1)"


def test_another_pair_takes_over_when_the_selected_one_dies() -> None:
    net = Internet()
    server = TurnServer(net, "198.51.100.1")
    a, b = (IceHost(net, f"192.0.2.{i}", servers=(server.turn,)) for i in (1, 2))
    connect_hosts(a, b)
    run(net, 2)
    assert a.engine.selected is not None
    assert a.engine.selected.slowest_type == "host"
    net.filter = lambda source, destination, _: "198.51.100.1" in (source[0], destination[0])
    run(net, 12)
    assert a.state is b.state is COMPLETED
    assert a.engine.selected.slowest_type == "relay"
    assert a.engine.selected.nominated
    b.send(b"\x16by the relay")
    run(net, 0.2)
    assert a.received == [b"\x16by the relay"]


def restart(a: IceHost, b: IceHost) -> None:
    for host in (a, b):
        host.engine.restart(None, None, host.net.now)
    connect_hosts(a, b)


@pytest.mark.parametrize("seed", range(100))
def test_a_restart_loses_no_packet(seed: int) -> None:
    """Media all the time, while STUN suffers: every packet arrives."""
    net = Internet(delay_s=0.005 + 0.001 * (seed % 50), seed=seed)
    server = TurnServer(net, "198.51.100.1")
    kind = list(Rule)[seed % 3]
    nats = [Nat(net, f"203.0.113.{i}", mapping=Rule.ENDPOINT, filtering=kind) for i in (1, 2)]
    servers = (server.stun, server.turn)
    a, b = (IceHost(net, f"10.0.{i}.2", nat=nat, servers=servers, seed=seed) for i, nat in enumerate(nats))
    connect_hosts(a, b)
    assert net.agenda.run(until=10, condition=lambda: a.connected and b.connected)
    run(net, 1)
    chance = net.random

    def lossy(_source: Address, _destination: Address, data: bytes) -> bool:
        if data[0] >= 4 or StunMessage(data).kind == Class.INDICATION:
            return True  # media, maybe within a relay's indication
        return chance.random() > 0.1

    net.filter = lossy
    old = a.engine.selected, b.engine.selected
    sent = 0
    for step in range(600):
        for host in (a, b):
            assert host.send(b"\x80" + sent.to_bytes(4, "big"))
        sent += 1
        if step == 20:
            restart(a, b)
        run(net, 0.01)
    net.filter = None
    run(net, 2)
    assert a.engine.selected is not old[0]
    assert b.engine.selected is not old[1]
    expected = [b"\x80" + i.to_bytes(4, "big") for i in range(sent)]
    assert sorted(a.received) == expected
    assert sorted(b.received) == expected
    for host in (a, b):
        assert not {DISCONNECTED, FAILED} & set(host.states)
        assert host.engine.active is host.engine.newest


def test_the_old_generation_is_released_after_a_while() -> None:
    net, a, b = connected()
    old = a.engine.active
    restart(a, b)
    run(net, 1)
    assert a.engine.active is not old
    assert a.engine.generation(old.ufrag) is old
    run(net, 6)
    assert a.engine.generation(old.ufrag) is None
    assert len(a._paths) == 1


def test_a_restart_repairs_a_connection_that_has_failed() -> None:
    net, a, b = connected()
    a.move("192.0.2.77")
    net.agenda.run(until=100, condition=lambda: a.state is b.state is FAILED)
    since = net.now
    restart(a, b)
    assert net.agenda.run(until=200, condition=lambda: a.connected and b.connected)
    assert net.now - since < 1
    assert a.states[-3:-1] == [CHECKING, CONNECTED] or a.states[-2:] == [CHECKING, CONNECTED]


def test_an_address_change_is_over_in_two_seconds() -> None:
    net, a, b = connected()
    a.move("192.0.2.77")
    since = net.now
    restart(a, b)
    net.agenda.run(until=20, condition=lambda: a.engine.active is a.engine.newest)
    a.send(b"\x16from elsewhere")
    run(net, 0.1)
    assert b.received == [b"\x16from elsewhere"]
    assert net.now - since < 2


def test_a_restart_can_be_taken_back_and_repeated() -> None:
    net, a, b = connected()
    ufrag = a.engine.newest.ufrag
    a.engine.restart("new1", "p" * 24, net.now)
    a.gather()
    assert a.engine.newest.ufrag == "new1"
    a.engine.cancel_restart(net.now)
    a.flush()
    assert a.engine.newest.ufrag == ufrag
    a.engine.restart(None, None, net.now)
    a.gather()
    restart(a, b)
    run(net, 6)
    assert a.state is b.state is COMPLETED
    assert len(a._paths) == 1


def test_a_lite_server_only_answers() -> None:
    net, a, b = pair(b_config=IceConfig(options=IceSettings(lite=True)))
    seen = requests(net)
    a.on_event = b.on_event = None
    a.gather()
    b.gather()
    mine, theirs = a.engine.newest, b.engine.newest
    b.engine.start(mine.ufrag, mine.pwd, controlling=False, remote_is_lite=False, now=net.now)
    a.engine.start(theirs.ufrag, theirs.pwd, controlling=False, remote_is_lite=True, now=net.now)
    [candidate] = b.candidates
    a.engine.add_remote_candidate(candidate, (candidate.address, candidate.port), net.now)
    a.flush()
    run(net, 10)
    assert a.engine.controlling
    assert not b.engine.controlling
    assert a.state is b.state is CONNECTED
    assert {source[0] for _, source, _ in seen} == {"192.0.2.1"}
    assert b.engine.selected is not None
    assert b.engine.selected.nominated
    for sender, receiver in ((a, b), (b, a)):
        sender.send(b"\x16x")
        run(net, 0.1)
        assert receiver.received == [b"\x16x"]
    net.filter = lambda *_: False
    run(net, 40)
    assert b.state is FAILED, "consent is the peer's checks"


def test_renomination_moves_to_a_worse_pair_and_back() -> None:
    net = Internet()
    server = TurnServer(net, "198.51.100.1")
    config = IceConfig(options=IceSettings(renomination=True))
    a, b = (IceHost(net, f"192.0.2.{i}", servers=(server.turn,), config=config) for i in (1, 2))
    net.filter = lambda s, d, _: "198.51.100.1" in (s[0], d[0])
    connect_hosts(a, b)
    run(net, 2)
    relayed = a.engine.selected
    assert relayed is not None
    assert relayed.slowest_type == "relay"
    net.filter = None
    run(net, 20)
    direct = a.engine.selected
    assert direct is not relayed
    assert direct is not None
    assert direct.slowest_type == "host"
    assert b.engine.selected is not None
    assert b.engine.selected.slowest_type == "host"
    a.engine.nominate(relayed, net.now)
    a.flush()
    run(net, 1)
    assert a.engine.selected is relayed
    assert b.engine.selected.slowest_type == "relay"


def test_policies() -> None:
    net = Internet()
    server = TurnServer(net, "198.51.100.1")
    nat = Nat(net, "203.0.113.1", mapping=Rule.ENDPOINT, filtering=Rule.ENDPOINT)
    found = {}
    for i, policy in enumerate(GatherPolicy):
        host = IceHost(
            net, f"10.0.0.{i}", nat=nat, servers=(server.stun, server.turn), config=IceConfig(policy=policy)
        )
        host.gather()
        found[policy] = host
    run(net, 1)
    kinds = {policy: {c.type for c in host.candidates} for policy, host in found.items()}
    assert kinds == {
        GatherPolicy.ALL: {"host", "srflx", "relay"},
        GatherPolicy.NO_HOST: {"srflx", "relay"},
        GatherPolicy.RELAY: {"relay"},
    }
    for candidate in found[GatherPolicy.RELAY].candidates + found[GatherPolicy.NO_HOST].candidates:
        assert not (candidate.related_address or "").startswith("10."), "the machine's address is not told"


def test_dead_servers_delay_nothing_and_are_reported() -> None:
    net = Internet()
    server = TurnServer(net, "198.51.100.1")
    server.silent = True
    times = []
    for servers in ((), (server.stun, server.turn)):
        net_ = net if servers else Internet()
        a, b = (IceHost(net_, f"192.0.2.{i}", servers=servers) for i in (1, 2))
        since = net_.now
        connect_hosts(a, b)
        assert net_.agenda.run(until=10, condition=lambda a=a, b=b: a.connected and b.connected)  # type: ignore[misc]
        times.append(net_.now - since)
        run(net_, 6)
        assert {(e.server.url, e.code) for e in a.errors} == {(s.url, 701) for s in servers}
        assert a.state is COMPLETED
    assert times[0] == pytest.approx(times[1])


def test_junk_candidates_are_bounded_and_harmless() -> None:
    net, a, b = pair()
    connect_hosts(a, b, signalling_s=0.2)
    for i in range(10_000):
        address = (f"198.18.{i >> 8}.{i & 255}", 9)
        a.engine.add_remote_candidate(
            Candidate.parse(f"{i} 1 udp {2**31 - 1 - i} {address[0]} 9 typ host"), address, net.now
        )
    a.flush()
    run(net, 3)
    assert a.engine.counters.candidates >= 10_000 - MAX_REMOTE_CANDIDATES
    assert len(a.engine.active.remotes) <= MAX_REMOTE_CANDIDATES + MAX_LEARNT_CANDIDATES
    assert len(list(a.engine.active.checklist)) <= 100
    assert a.connected
    assert b.connected


@pytest.mark.parametrize(
    "text",
    [
        "1 2 udp 1 192.0.2.9 9 typ host",
        "1 1 udp 1 192.0.2.9 0 typ host",
        "1 1 udp 1 192.0.2.9 9 typ future",
        "1 1 sctp 1 192.0.2.9 9 typ host",
        "1 1 udp 1 2001:db8::9 9 typ host",
    ],
)
def test_candidates_that_cannot_be_used_change_nothing(text: str) -> None:
    net, a, b = pair()
    connect_hosts(a, b)
    candidate = Candidate.parse(text)
    a.engine.add_remote_candidate(candidate, (candidate.address, candidate.port), net.now)
    run(net, 2)
    assert a.connected
    assert len(list(a.engine.active.checklist)) == 1


def test_closing_gives_the_relay_back_and_ends_all() -> None:
    net = Internet()
    server = TurnServer(net, "198.51.100.1")
    a, b = (IceHost(net, f"192.0.2.{i}", servers=(server.stun, server.turn)) for i in (1, 2))
    connect_hosts(a, b)
    run(net, 2)
    assert server.allocations == 2
    for host in (a, b):
        host.engine.close(net.now)
        host.flush()
    run(net, 1)
    assert server.allocations == 0
    assert a.engine.next_timeout() is None
    sent = net.sent
    run(net, 100)
    assert net.sent == sent


def test_an_hour_by_relay() -> None:
    net = Internet()
    server = TurnServer(net, "198.51.100.1")
    server.stale_after = 5
    server.lifetime_s = 300
    config = IceConfig(policy=GatherPolicy.RELAY)
    a, b = (IceHost(net, f"192.0.2.{i}", servers=(server.turn,), config=config) for i in (1, 2))
    connect_hosts(a, b)
    run(net, 3)
    for i in range(60):
        a.send(b"\x16%d" % i)
        run(net, 60)
    assert a.states == b.states == [CHECKING, CONNECTED, COMPLETED]
    assert len(b.received) == 60


def test_all_of_several_servers_are_used() -> None:
    net = Internet()
    servers = [TurnServer(net, f"198.51.100.{i}") for i in range(1, 5)]
    servers[1].silent = True
    servers[3].refuse = 486
    nat = Nat(net, "203.0.113.1", mapping=Rule.ADDRESS, filtering=Rule.ADDRESS_AND_PORT)
    asked = (*(s.stun for s in servers), *(s.turn for s in servers))
    a, b = IceHost(net, "10.0.0.2", nat=nat, servers=asked), IceHost(net, "192.0.2.2")
    connect_hosts(a, b)
    run(net, 7)
    found = [(c.type, c.address) for c in a.candidates]
    assert sorted(found) == [
        ("host", "10.0.0.2"),
        ("relay", "198.51.100.1"),
        ("relay", "198.51.100.3"),
        *3 * [("srflx", "203.0.113.1")],
    ]
    assert sorted((e.server.url, e.code) for e in a.errors) == [
        ("stun:198.51.100.2", 701),
        ("turn:198.51.100.2", 701),
        ("turn:198.51.100.4", 486),
    ]
    assert a.connected
    assert b.connected


@pytest.mark.parametrize("where", ["loop", "end"])
def test_redirections_of_a_relay(where: str) -> None:
    net = Internet()
    first, second = TurnServer(net, "198.51.100.1"), TurnServer(net, "198.51.100.2")
    first.alternate = ("198.51.100.2", 3478)
    if where == "loop":
        second.alternate = ("198.51.100.1", 3478)
    moved: list[Address] = []
    host = IceHost(net, "192.0.2.1", servers=(first.turn,))

    complete: list[float] = []
    relayed: list[float] = []

    def on_event(event: IceEvent) -> None:
        if isinstance(event, RelayMoved):
            moved.append(event.address)
            net.agenda.at(net.now + 0.2, follow, event)
        elif isinstance(event, GatheringDone):
            complete.append(net.now)
        elif isinstance(event, CandidateFound) and event.candidate.type == "relay":
            relayed.append(net.now)

    def follow(event: RelayMoved) -> None:
        path = host.engine.path(event.path)
        assert path is not None
        if len(moved) < 4:
            host.engine.newest.gathering.relays.ask(event.server, path, event.address, net.now)
        host.engine.newest.gathering.relays.followed()
        host.flush()

    host.on_event = on_event
    host.gather()
    run(net, 5)
    relays = [c.address for c in host.candidates if c.type == "relay"]
    assert relays == (["198.51.100.2"] if where == "end" else [])
    assert len(moved) == (1 if where == "end" else 4)
    assert len(complete) == 1
    assert not relayed or relayed[0] <= complete[0], "no candidate comes after the end"


def test_an_empty_datagram_through_a_relay_is_counted_and_harms_nothing() -> None:
    net = Internet()
    server = TurnServer(net, "198.51.100.1")
    config = IceConfig(policy=GatherPolicy.RELAY)
    a = IceHost(net, "192.0.2.1", servers=(server.turn,), config=config)
    b = IceHost(net, "192.0.2.2")
    connect_hosts(a, b)
    run(net, 3)
    (relayed,) = [c for c in a.candidates if c.type == "relay"]
    before = a.engine.counters.unexpected
    assert b.engine.selected is not None
    net.send(b.engine.selected.path.address, (relayed.address, relayed.port), b"")
    run(net, 1)
    assert a.engine.counters.unexpected == before + 1
    assert a.received == []
    b.send(b"\x16still there")
    run(net, 1)
    assert a.received == [b"\x16still there"]


def test_a_restart_that_is_under_way_when_the_old_pair_fails_leads_out_of_failed() -> None:
    net, a, b = connected()
    restart(a, b)
    net.filter = lambda *_: False
    net.agenda.run(until=100, condition=lambda: a.state is b.state is FAILED)
    net.filter = None
    for host in (a, b):
        assert host.engine.newest is not host.engine.active
        host.engine.newest.revive(net.now)
        host.flush()
    run(net, 5)
    assert a.connected
    assert b.connected
    assert a.send(b"\x16works")
    run(net, 1)
    assert b.received == [b"\x16works"]


def test_another_pair_takes_over_at_once_when_the_selected_one_s_socket_is_lost() -> None:
    """Nobody waits for silence on a path that is known to be gone."""
    net, a, b = pair(Internet(delay_s=0.02))
    connect_hosts(a, b)
    local = a._open()
    second = a.engine.add_socket(a.engine.newest, local, 1, net.now)
    a._keep(second.id, local)
    run(net, 2)
    assert a.states == [CHECKING, CONNECTED, COMPLETED]
    first = a.engine.selected
    assert first is not None
    assert first.path is not second
    run(net, 300)  # what once worked beside it was long ago

    lost_at = net.now
    a._paths.pop(first.path.id)
    a.engine.lose_path(first.path.id, "the interface has gone", net.now)
    a.flush()
    assert a.state is DISCONNECTED
    net.agenda.run(until=net.now - START_S + 1.0, condition=lambda: a.connected)
    assert net.now - lost_at < 0.1
    assert a.engine.selected is not None
    assert a.engine.selected.path is second
    run(net, 60)
    assert a.connected
    assert b.connected
    assert a.send(b"over the other")
    run(net, 0.1)
    assert b.received[-1] == b"over the other"


def test_a_connection_that_loses_its_only_socket_fails_when_consent_ends() -> None:
    net, a, _ = connected()
    selected = a.engine.selected
    assert selected is not None
    a._paths.clear()
    a.engine.lose_path(selected.path.id, "gone", net.now)
    a.flush()
    assert a.state is DISCONNECTED
    run(net, 40)
    assert a.states[-2:] == [DISCONNECTED, FAILED]


def test_a_restart_is_not_judged_by_the_old_pair_s_consent() -> None:
    net, a, b = connected()
    net.filter = lambda source, destination, data: False
    run(net, 25)
    assert a.state is DISCONNECTED
    # signalling takes a while: the old pair's 30 s end while the new one's checks are on their way
    for host in (a, b):
        host.engine.restart(None, None, net.now)
        host.flush()
    connect_hosts(a, b)
    run(net, 8)
    assert FAILED not in a.states
    net.filter = None
    run(net, 5)
    assert a.connected
    assert b.connected
    assert FAILED not in a.states + b.states


def test_a_restart_from_a_pair_that_goes_silent_has_its_own_time() -> None:
    net, a, b = connected()
    run(net, 10)
    for host in (a, b):
        host.engine.restart(None, None, net.now)
        host.flush()
    # the state is still "connected" when the network goes away
    connect_hosts(a, b)
    run(net, 0.051)
    net.filter = lambda source, destination, data: False
    began = net.now
    net.agenda.run(until=net.now - START_S + 100, condition=lambda: a.state is FAILED)
    started_at = a.engine.newest.started_at
    assert started_at is not None
    assert net.now - max(started_at, began) > 29.9


def test_a_check_that_gives_way_to_newer_ones_fails_its_pair() -> None:
    transactions: Transactions[str] = Transactions()
    for i in range(MAX_TRANSACTIONS + 3):
        transactions.start(b"%d" % i, f"owner {i}", i, 1, ("192.0.2.1", 1), b"", 10.0)
    assert len(transactions) == MAX_TRANSACTIONS
    assert transactions.next_timeout() == 10.0
    again, over = transactions.take_due(10.0)
    assert again == []
    assert [each.owner for each in over] == ["owner 0", "owner 1", "owner 2"]
    assert transactions.next_timeout() == 10.5
    assert transactions.take_due(10.0) == ([], [])


def test_what_gave_way_is_not_told_of_a_subject_that_is_forgotten_and_is_bounded() -> None:
    transactions: Transactions[str] = Transactions()
    for i in range(3 * MAX_TRANSACTIONS):
        transactions.start(b"%d" % i, f"owner {i}", i, 1, ("192.0.2.1", 1), b"", 10.0)
    transactions.forget(0)
    _, over = transactions.take_due(10.0)
    assert len(over) == MAX_TRANSACTIONS - 1
    assert over[0].owner == "owner 1"


def test_strangers_are_not_answered_as_often_as_they_like() -> None:
    """Whose address stands on their packets may be anybody's, and the answers are longer."""
    net, a, b = connected()
    heard: list[bytes] = []
    net.attach("192.0.2.66", lambda destination, source, data: heard.append(data))  # type: ignore[arg-type, return-value]
    local = next(iter(a._paths.values()))
    for number in range(1000):
        asked = encode(Method.BINDING, Class.REQUEST, number.to_bytes(12, "big"), ())
        net.send(("192.0.2.66", 9), local, asked)
        run(net, 0.001)
    run(net, 1)
    assert REFUSALS_AT_ONCE <= len(heard) <= REFUSALS_AT_ONCE + 1 + REFUSALS_PER_S
    assert {StunMessage(data).kind for data in heard} == {Class.ERROR}
    # whoever has the password is answered all the same
    run(net, 60)
    assert a.connected
    assert b.connected


def test_a_restart_before_the_peer_has_answered_takes_the_role_of_the_description() -> None:
    engine = IceEngine(IceConfig())
    engine.restart(None, None, 0.0)
    engine.start("ufrag", "p" * 22, controlling=True, remote_is_lite=False, now=0.0)
    assert engine.controlling


# -- another peer in the place of the one before ----------------------------------------------------------


def forked() -> tuple[Internet, IceHost, IceHost, IceHost]:
    """A caller, the peer that has answered, and another one that knows the caller, and has not been heard."""
    net, a, b = connected()
    c = IceHost(net, "192.0.2.3")
    offered = a.engine.newest
    c.gather()
    c.engine.start(offered.ufrag, offered.pwd, controlling=False, remote_is_lite=False, now=net.now)
    for each in a.candidates:
        c.engine.add_remote_candidate(each, (each.address, each.port), net.now)
    c.flush()
    run(net, 1)
    return net, a, b, c


def take(a: IceHost, other: IceHost, *, candidates: bool = True) -> None:
    """The answer of another peer comes."""
    peer = other.engine.newest
    a.engine.start_anew(peer.ufrag, peer.pwd, remote_is_lite=False, now=a.net.now)
    for each in other.candidates if candidates else ():
        a.engine.add_remote_candidate(each, (each.address, each.port), a.net.now)
    a.engine.end_of_remote_candidates()
    a.flush()


def test_what_a_peer_checks_whose_answer_has_not_come_makes_no_pair() -> None:
    _, a, _, c = forked()
    assert c.connected, "it is answered all the same"
    assert len(a.listed) == 1
    assert not a.engine.accepts_from(("192.0.2.3", 1001))


@pytest.mark.parametrize("candidates", [True, False])
def test_another_peer_takes_the_place_of_the_one_before(candidates: bool) -> None:
    net, a, b, c = forked()
    before = a.engine.selected
    changes = a.engine.selected_changes
    take(a, c, candidates=candidates)
    assert a.states[-1] is CHECKING
    assert a.engine.selected is None
    assert a.engine.selected_changes == changes + 1
    assert before not in a.listed
    run(net, 3)
    assert a.states[-3:] == [CHECKING, CONNECTED, COMPLETED]
    assert a.engine.controlling
    assert a.send(b"\x80for c")
    run(net, 1)
    assert c.received == [b"\x80for c"]
    assert b.received == []
    # the one before knows our password, and is not answered, nor heard
    run(net, 60)
    assert b.state is FAILED
    assert {pair.remote.address[0] for pair in a.listed} == {"192.0.2.3"}
    assert a.connected
    assert c.connected


def test_a_peer_that_comes_back_is_let_in() -> None:
    net, a, b, c = forked()
    take(a, c)
    run(net, 1)
    take(a, b)
    run(net, 3)
    assert a.connected
    assert a.engine.selected is not None
    assert a.engine.selected.remote.address[0] == "192.0.2.2"
    assert not any(pair.remote.address[0] == "192.0.2.3" for pair in a.listed)


def test_another_peer_during_a_restart_leaves_the_path_that_is_in_use() -> None:
    net, a, b = connected()
    for host in (a, b):
        host.engine.restart(None, None, net.now)
        host.gather()
    first, second = b.engine.newest, "0ther"
    a.engine.start(first.ufrag, first.pwd, controlling=True, remote_is_lite=False, now=net.now)
    a.engine.start_anew(second, "p" * 22, remote_is_lite=False, now=net.now)
    a.flush()
    assert a.connected
    assert a.engine.selected is not None
    assert a.send(b"\x80still")
    run(net, 1)
    assert b.received == [b"\x80still"]
    take(a, b)
    b.engine.start(
        a.engine.newest.ufrag, a.engine.newest.pwd, controlling=False, remote_is_lite=False, now=net.now
    )
    b.flush()
    run(net, 5)
    assert a.engine.active is a.engine.newest
    assert a.connected


def test_peers_that_were_replaced_are_remembered_within_bounds() -> None:
    net, a, _ = connected()
    for number in range(3 * MAX_FORMER_PEERS):
        a.engine.start_anew(f"peer{number}", "p" * 22, remote_is_lite=False, now=net.now)
    former = a.engine.newest.former_peers
    assert len(former) == MAX_FORMER_PEERS
    assert former[-1] == f"peer{3 * MAX_FORMER_PEERS - 2}"
