"""Pairs of the application's choice: selected, removed, and nominated with its word, on virtual time.

Spec: webrtc-extensions, "RTCIceTransport extensions"; RFC 8445, sections 7.2.5.3.4 and 8.1 (nomination).
"""

from __future__ import annotations

from collections import Counter

import pytest

from rtcstack.config import IceSettings
from rtcstack.ice.config import IceConfig
from rtcstack.ice.engine import IceState, PairState
from rtcstack.ice.engine.checklist import MAX_EVICTIONS, MAX_PAIRS
from rtcstack.ice.engine.selection import RENEWED_S
from rtcstack.ice.stun import Address, Attribute, Class, StunMessage
from rtcstack.sdp.candidate import Candidate
from rtcstack.testing import START_S, Internet
from tests.support.icehost import IceHost, connect_hosts

A, B = ("192.0.2.1", "198.51.100.1"), ("192.0.2.2", "198.51.100.2")
"""Each host's addresses, the better one first."""

CHECKING, CONNECTED, COMPLETED = IceState.CHECKING, IceState.CONNECTED, IceState.COMPLETED
RENOMINATION = IceConfig(options=IceSettings(renomination=True))


def run(net: Internet, seconds: float) -> None:
    net.agenda.run(until=net.now - START_S + seconds)


def two(a_config: IceConfig | None = None, b_config: IceConfig | None = None) -> tuple[IceHost, IceHost]:
    """Two hosts with two interfaces each; `a` will be controlling."""
    net = Internet()
    return (
        IceHost(net, A[0], more=A[1:], config=a_config),
        IceHost(net, B[0], more=B[1:], config=b_config),
    )


def connected(config: IceConfig | None = None, *, s: float = 10) -> tuple[Internet, IceHost, IceHost]:
    a, b = two(config, config)
    connect_hosts(a, b)
    run(a.net, s)
    assert a.states == b.states == [CHECKING, CONNECTED, COMPLETED]
    assert len(a.listed) == len(b.listed) == 4
    assert (ends(a), ends(b)) == ((A[0], B[0]), (B[0], A[0]))
    return a.net, a, b


def ends(host: IceHost) -> tuple[str, str] | None:
    """Between which addresses packets go."""
    pair = host.engine.selected
    return None if pair is None else (pair.path.address[0], pair.remote.address[0])


class Packets:
    """What goes over the net from now on: by link, checks and the rest apart."""

    def __init__(self, net: Internet) -> None:
        self.data: Counter[tuple[str, str]] = Counter()
        self.requests: Counter[tuple[str, str]] = Counter()
        self.answers: Counter[tuple[str, str]] = Counter()
        self.nominations: list[tuple[float, tuple[str, str]]] = []
        self.blocked: set[tuple[str, str]] = set()
        self._net = net
        net.filter = self._look

    def _look(self, source: Address, destination: Address, data: bytes) -> bool:
        link = source[0], destination[0]
        if data[0] >= 4:
            self.data[link] += 1
        else:
            message = StunMessage(data)
            is_request = message.kind == Class.REQUEST
            (self.requests if is_request else self.answers)[link] += 1
            if is_request and Attribute.USE_CANDIDATE in message:
                self.nominations.append((self._net.now, link))
        return link not in self.blocked and link[::-1] not in self.blocked


def flows(sender: IceHost, receiver: IceHost, *, through: tuple[str, str]) -> None:
    """Ten packets arrive, all of them over one link."""
    packets = Packets(sender.net)
    before = len(receiver.received)
    for _ in range(10):
        assert sender.send(b"\x80packet")
        run(sender.net, 0.1)
    assert len(receiver.received) == before + 10
    assert dict(packets.data) == {through: 10}


# -- selecting --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [None, RENOMINATION])
def test_packets_take_the_pair_that_was_selected_and_the_peer_follows(config: IceConfig | None) -> None:
    net, a, b = connected(config)
    other = a.to(A[1], B[1])
    packets = Packets(net)
    a.select(other)
    run(net, 0.5)
    assert a.choices == [(other, True)]
    assert [link for _, link in packets.nominations] == [(A[1], B[1])]
    flows(a, b, through=(A[1], B[1]))
    flows(b, a, through=(B[1], A[1]))
    packets = Packets(net)
    run(net, 300)
    assert ends(a) == (A[1], B[1]), "it stays, whatever other pairs' priority"
    assert ends(b) == (B[1], A[1])
    assert packets.nominations == []
    assert a.states == b.states == [CHECKING, CONNECTED, COMPLETED]


def test_a_pair_that_was_valid_long_ago_is_asked_before_packets_take_it() -> None:
    net, a, b = connected(s=100)
    other = a.to(A[1], B[1])
    packets = Packets(net)
    packets.blocked.add((A[1], B[1]))
    a.select(other)
    run(net, 5)
    assert a.choices == []
    assert ends(a) == (A[0], B[0])
    run(net, 40)
    assert a.choices == [(other, False)]
    assert ends(a) == (A[0], B[0])
    packets.blocked.clear()
    a.select(other)
    run(net, 1)
    assert a.choices[1:] == [(other, True)]
    flows(a, b, through=(A[1], B[1]))


def test_soon_after_a_nomination_packets_move_at_once_and_the_peer_when_it_takes_it_for_a_decision() -> None:
    a, b = two()
    connect_hosts(a, b)
    net = a.net
    net.agenda.run(until=20, condition=lambda: a.state is b.state is COMPLETED)
    nominated_at = net.now
    packets = Packets(net)
    a.select(a.to(A[1], B[1]))
    run(net, 0.1)
    assert ends(a) == (A[1], B[1])
    assert ends(b) == (B[0], A[0])
    run(net, RENEWED_S)
    assert ends(b) == (B[1], A[1])
    [(at, link)] = packets.nominations
    assert link == (A[1], B[1])
    assert RENEWED_S - 0.2 < at - nominated_at < RENEWED_S + 0.2


def test_selecting_back_and_forth() -> None:
    net, a, b = connected()
    for mine, theirs in ((A[1], B[0]), (A[0], B[0]), (A[1], B[1]), (A[1], B[0])):
        a.select(a.to(mine, theirs))
        run(net, 5)
        assert (ends(a), ends(b)) == ((mine, theirs), (theirs, mine))
        assert a.choices.pop()[1]


def test_the_selected_pair_selected_is_nothing_new() -> None:
    net, a, _ = connected()
    packets = Packets(net)
    assert a.engine.selected is not None
    changes = a.engine.selected_changes
    a.select(a.engine.selected)
    assert a.choices == [(a.engine.selected, True)]
    assert a.engine.selected_changes == changes
    run(net, 1)
    assert packets.nominations == []


def test_a_later_selection_takes_the_place_of_one_that_waits() -> None:
    net, a, _ = connected(s=100)
    first, second = a.to(A[1], B[1]), a.to(A[0], B[1])
    packets = Packets(net)
    packets.blocked.add((A[1], B[1]))
    a.select(first)
    a.select(second)
    run(net, 1)
    assert a.choices == [(first, False), (second, True)]
    assert ends(a) == (A[0], B[1])


def test_a_controlled_agent_s_selection_holds_until_the_peer_nominates_another() -> None:
    net, a, b = connected()
    b.select(b.to(B[1], A[1]))
    run(net, 30)
    assert ends(b) == (B[1], A[1])
    assert ends(a) == (A[0], B[0]), "it hears that the pair that it nominated works"
    flows(b, a, through=(B[1], A[1]))
    flows(a, b, through=(A[0], B[0]))
    a.select(a.to(A[1], B[0]))
    run(net, 1)
    assert ends(b) == (B[0], A[1])


def test_a_nomination_that_is_repeated_does_not_undo_a_controlled_agent_s_selection() -> None:
    net, a, b = connected()
    b.select(b.to(B[1], A[1]))
    run(net, 4)
    assert a.engine.selected is not None
    a.engine.nominate(a.engine.selected, net.now)  # as browsers do, with every check
    a.flush()
    run(net, 1)
    assert ends(b) == (B[1], A[1])


def test_the_choice_ends_with_the_pair() -> None:
    net, a, b = connected()
    a.select(a.to(A[1], B[1]))
    run(net, 5)
    Packets(net).blocked.add((A[1], B[1]))
    run(net, 20)
    assert ends(a) == (A[0], B[0])
    assert ends(b) == (B[0], A[0])
    net.filter = None
    run(net, 100)
    assert ends(a) == (A[0], B[0])


def test_selecting_while_nothing_works_yet_waits_for_that_pair() -> None:
    a, b = two()
    net = a.net
    connect_hosts(a, b, signalling_s=0.05)
    net.agenda.run(until=20, condition=lambda: a.state is CHECKING and len(a.listed) == 4)
    assert a.engine.selected is None
    worst = min(a.listed, key=lambda p: p.priority)
    a.select(worst)
    run(net, 1)
    assert a.choices == [(worst, True)]
    assert a.engine.selected is worst
    assert b.connected


def test_a_restart_ends_a_selection_and_its_pairs() -> None:
    net, a, b = connected(s=100)
    waits = a.to(A[1], B[1])
    a.select(a.to(A[1], B[0]))
    run(net, 5)
    packets = Packets(net)
    packets.blocked.add((A[1], B[1]))
    a.select(waits)
    for host in (a, b):
        host.engine.restart(None, None, net.now)
    connect_hosts(a, b)
    run(net, 3)
    assert a.choices[1:] == [(waits, False)]
    assert ends(a) == (A[0], B[0])
    assert waits not in a.listed
    assert len(a.listed) == 4
    a.select(waits)
    assert len(a.choices) == 2
    assert not a.engine.select(waits, net.now)


def test_a_lite_agent_selects_what_the_peer_has_checked() -> None:
    lite = IceConfig(options=IceSettings(lite=True))
    a, b = two(None, lite)
    connect_hosts(a, b)
    run(a.net, 5)
    assert b.connected
    b.select(b.to(B[1], A[1]))
    assert b.choices == [(b.to(B[1], A[1]), True)]
    flows(b, a, through=(B[1], A[1]))


# -- removing ---------------------------------------------------------------------------------------------


def test_a_removed_pair_is_not_checked_nor_answered_nor_formed_again() -> None:
    net, a, b = connected()
    removed = a.to(A[1], B[1])
    a.remove(removed)
    assert removed not in a.engine.active.checklist
    packets = Packets(net)
    b.select(b.to(B[1], A[1]))  # its answer is fresh enough to move at once; its consent is not given
    run(net, 60)
    assert packets.requests[B[1], A[1]] > 3
    assert packets.answers[A[1], B[1]] == 0
    assert packets.requests[A[1], B[1]] == 0
    assert len(a.engine.active.checklist) == 3
    candidate = removed.remote.candidate
    a.engine.add_remote_candidate(candidate, removed.remote.address, net.now)
    a.engine.addresses_changed((), (A[1],), net.now)
    a.flush()
    assert len(a.listed) == 3
    assert a.connected
    assert (ends(a), ends(b)) == ((A[0], B[0]), (B[0], A[0])), "the peer is back where it is heard"


def test_another_pair_takes_over_when_the_selected_one_is_removed() -> None:
    net, a, b = connected()
    first = a.engine.selected
    assert first is not None
    a.remove(first)
    assert ends(a) in {(A[0], B[1]), (A[1], B[0])}
    assert a.states == [CHECKING, CONNECTED, COMPLETED]
    run(net, 6)
    here = ends(a)
    assert here is not None
    assert ends(b) == here[::-1]
    flows(a, b, through=here)
    flows(b, a, through=here[::-1])
    assert b.states == [CHECKING, CONNECTED, COMPLETED]


def test_without_another_pair_the_state_is_checking_and_then_failed() -> None:
    net, a, _ = connected()
    keep = a.to(A[1], B[1])
    for each in [p for p in a.listed if p is not keep]:
        a.remove(each)
    run(net, 5)
    assert ends(a) == (A[1], B[1])
    changes = a.engine.selected_changes
    a.remove(keep)
    assert a.state is CHECKING
    assert a.engine.selected is None
    assert a.pairs[-1].pair is None
    assert a.engine.selected_changes == changes + 1
    assert not a.send(b"\x80")
    run(net, 20)
    assert a.state is CHECKING
    run(net, 15)
    assert a.state is IceState.FAILED


def test_what_has_failed_is_checked_again_when_the_last_pair_that_works_is_removed() -> None:
    a, b = two()
    net = a.net
    packets = Packets(net)
    packets.blocked |= {(mine, theirs) for mine in A for theirs in B} - {(A[0], B[0])}
    connect_hosts(a, b)
    run(net, 60)
    assert {p.state for p in a.listed if p is not a.engine.selected} <= {PairState.FAILED}
    packets.blocked.clear()
    assert a.engine.selected is not None
    a.remove(a.engine.selected)
    assert a.state is CHECKING
    run(net, 5)
    assert a.state is COMPLETED
    assert b.connected
    here = ends(a)
    assert here is not None
    flows(a, b, through=here)


def test_removing_a_pair_that_is_selected_but_does_not_work_yet_ends_the_selection() -> None:
    net, a, _ = connected(s=100)
    packets = Packets(net)
    packets.blocked.add((A[1], B[1]))
    other = a.to(A[1], B[1])
    a.select(other)
    a.remove(other)
    assert a.choices == [(other, False)]


def test_the_peer_s_packets_on_a_removed_pair_say_nothing_of_the_selected_one() -> None:
    net, a, _ = connected()
    removed = a.to(A[1], B[1])
    a.remove(removed)
    selected = a.engine.selected
    assert selected is not None
    heard_at = selected.heard_at
    pair = a.engine.find_pair(removed.path.id, removed.remote.address)
    assert pair is removed
    a.engine.heard(pair, net.now + 1)
    assert selected.heard_at == heard_at
    assert ends(a) == (A[0], B[0])


# -- nominations that wait for a word ---------------------------------------------------------------------


def held() -> tuple[Internet, IceHost, IceHost, Packets]:
    a, b = two()
    a.engine.hold_nominations()
    packets = Packets(a.net)
    connect_hosts(a, b)
    run(a.net, 5)
    return a.net, a, b, packets


def test_a_nomination_waits_for_the_word_and_packets_do_not() -> None:
    net, a, b, packets = held()
    [proposed] = a.proposed
    assert (proposed.path.address[0], proposed.remote.address[0]) == (A[0], B[0])
    assert packets.nominations == []
    assert a.states == b.states == [CHECKING, CONNECTED], "completed is with a nominated pair"
    flows(a, b, through=(A[0], B[0]))
    flows(b, a, through=(B[0], A[0]))
    a.answer(proposed, accepted=True)
    run(net, 1)
    assert a.states == b.states == [CHECKING, CONNECTED, COMPLETED]
    assert a.proposed == [proposed]


def test_a_declined_pair_is_not_proposed_again_and_all_that_work_go_on_being_checked() -> None:
    net, a, b, _ = held()
    [proposed] = a.proposed
    a.answer(proposed, accepted=False)
    packets = Packets(net)
    run(net, 300)
    assert a.proposed == [proposed]
    assert packets.nominations == []
    assert a.states == b.states == [CHECKING, CONNECTED]
    links = {(mine, theirs) for mine in A for theirs in B}
    assert packets.requests.keys() >= links
    assert sum(packets.requests.values()) < 4 * 300, "no storm: consent, and one more at a time, of each end"
    assert {p.state for p in a.listed} == {PairState.SUCCEEDED}
    # and so they may be selected without a wait, and be nominated in the end
    other = a.to(A[1], B[1])
    a.select(other)
    run(net, 1)
    assert a.choices == [(other, True)]
    assert a.proposed == [proposed, other]
    a.answer(other, accepted=True)
    run(net, 1)
    assert (ends(a), ends(b)) == ((A[1], B[1]), (B[1], A[1]))
    assert a.states == b.states == [CHECKING, CONNECTED, COMPLETED]


def test_a_better_pair_is_proposed_after_one_that_was_declined() -> None:
    a, b = two()
    net = a.net
    a.engine.hold_nominations()
    packets = Packets(net)
    packets.blocked.add((A[0], B[0]))
    connect_hosts(a, b)
    run(net, 5)
    [first] = a.proposed
    a.answer(first, accepted=False)
    packets.blocked.clear()
    a.engine.newest.revive(net.now)
    a.flush()
    run(net, 5)
    assert a.proposed == [first, a.to(A[0], B[0])]


def test_a_word_that_comes_late_is_not_heard() -> None:
    net, a, b, packets = held()
    [proposed] = a.proposed
    a.remove(proposed)
    run(net, 1)
    other = a.proposed[-1]
    assert other is not proposed
    a.answer(proposed, accepted=True)
    run(net, 1)
    assert packets.nominations == []
    a.answer(other, accepted=True)
    a.answer(other, accepted=True)
    run(net, 1)
    assert len(packets.nominations) == 1
    for host in (a, b):
        host.engine.restart(None, None, net.now)
    connect_hosts(a, b)
    run(net, 1)
    newest = a.proposed[-1]
    a.engine.close(net.now)
    a.answer(newest, accepted=True)
    assert len(packets.nominations) == 1


def test_a_controlled_agent_is_not_asked() -> None:
    a, b = two()
    b.engine.hold_nominations()
    connect_hosts(a, b)
    run(a.net, 5)
    assert b.proposed == []
    assert b.states == [CHECKING, CONNECTED, COMPLETED]


# -- what a peer can make of it ---------------------------------------------------------------------------


def test_pairs_do_not_come_and_go_without_end() -> None:
    """With more candidates than pairs have room, each of the peer's checks makes one give way to another."""
    net = Internet()
    mine = tuple(f"203.0.113.{i}" for i in range(1, 5))
    a = IceHost(net, mine[0], more=mine[1:])
    b = IceHost(net, B[0])
    connect_hosts(a, b, end=False)
    run(net, 2)
    for i in range(99):
        text = f"{i} 1 udp {1000 + i} 198.18.0.{i} 9 typ host"
        a.engine.add_remote_candidate(Candidate.parse(text), (f"198.18.0.{i}", 9), net.now)
    a.flush()
    assert len(a.listed) == MAX_PAIRS
    run(net, 60)
    told = 0
    generation = a.engine.active
    for _ in range(20):
        for path in generation.gathering.bases:
            for remote in list(generation.remotes.values()):
                generation._pair(path, remote, wanted=True)
        told += len(a.engine._core.events)
        for event in a.engine.events():
            a._on_event(event)
    assert told <= 2 * MAX_EVICTIONS
    assert len(a.listed) == MAX_PAIRS
    assert a.engine.selected in a.listed
