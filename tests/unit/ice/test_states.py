"""Two engines under anything that may happen to them, in any order; then the network is well again."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rtcstack.config import IceSettings
from rtcstack.ice.config import IceConfig
from rtcstack.ice.engine.checklist import MAX_PAIRS
from rtcstack.ice.engine.generation import MAX_LEARNT_CANDIDATES, MAX_REMOTE_CANDIDATES
from rtcstack.ice.transactions import MAX_TRANSACTIONS
from rtcstack.sdp.candidate import Candidate
from rtcstack.testing import START_S, Internet, Nat, Rule, TurnServer
from tests.support.icehost import IceHost, connect_hosts

hosts = st.sampled_from([0, 1])


class Life(RuleBasedStateMachine):
    """Nothing raises, nothing grows without bound, no timer spins; and a restart repairs it all."""

    @initialize(
        mapping=st.sampled_from(Rule),
        seed=st.integers(0, 1000),
        renomination=st.booleans(),
        delay=st.floats(0.001, 0.2),
    )
    def begin(self, mapping: Rule, seed: int, renomination: bool, delay: float) -> None:
        self.net = Internet(delay_s=delay, seed=seed)
        self.server = TurnServer(self.net, "198.51.100.1")
        config = IceConfig(options=IceSettings(renomination=renomination), failed_timeout_s=10)
        servers = (self.server.stun, self.server.turn)
        nat = Nat(self.net, "203.0.113.1", mapping=mapping, filtering=Rule.ADDRESS_AND_PORT)
        self.hosts = (
            IceHost(self.net, "10.0.0.2", nat=nat, servers=servers, config=config, seed=seed),
            IceHost(self.net, "192.0.2.2", servers=servers, config=config, seed=seed),
        )
        self.moves = 0
        connect_hosts(*self.hosts)

    @rule(seconds=st.floats(0.001, 15))
    def time_passes(self, seconds: float) -> None:
        before = self.net.sent
        self.net.agenda.run(until=self.net.now - START_S + seconds)
        assert self.net.sent - before < 200 + 600 * seconds

    @rule(loss=st.sampled_from([0.0, 0.3, 1.0]))
    def the_network_changes(self, loss: float) -> None:
        self.net.loss = loss

    @rule(silent=st.booleans())
    def the_server_comes_or_goes(self, silent: bool) -> None:
        self.server.silent = silent

    @rule(which=hosts)
    def somebody_sends(self, which: int) -> None:
        self.hosts[which].send(b"\x80packet")

    @rule()
    def both_restart(self) -> None:
        self._restart()

    @rule(which=hosts)
    def one_restarts_and_takes_it_back(self, which: int) -> None:
        host = self.hosts[which]
        host.engine.restart(None, None, self.net.now)
        host.gather()
        host.engine.cancel_restart(self.net.now)
        host.flush()

    @rule(which=hosts)
    def one_moves(self, which: int) -> None:
        self.moves += 1
        host = self.hosts[which]
        host.move(f"10.0.{self.moves}.2" if host.nat else f"192.0.2.{10 + self.moves % 200}", host.nat)

    @rule(which=hosts, n=st.integers(1, 150), port=st.integers(1, 65535))
    def junk_is_signalled(self, which: int, n: int, port: int) -> None:
        host = self.hosts[which]
        for i in range(n):
            text = f"{i} 1 udp {2**31 - i - 1} 198.18.0.{i} {port} typ host"
            host.engine.add_remote_candidate(Candidate.parse(text), (f"198.18.0.{i}", port), self.net.now)
        host.flush()

    @rule(which=hosts)
    def a_socket_breaks(self, which: int) -> None:
        host = self.hosts[which]
        for path in list(host.engine.active.gathering.paths)[:1]:
            host.engine.lose_path(path.id, "broken", self.net.now)
        host.flush()

    @rule(which=hosts, comes=st.booleans())
    def an_address_is_said_to_come_or_go(self, which: int, comes: bool) -> None:
        host = self.hosts[which]
        addresses = {host.address}
        host.engine.addresses_changed(() if comes else addresses, addresses if comes else (), self.net.now)
        host.flush()

    @rule()
    def the_server_forgets(self) -> None:
        self.server.lose_allocations()

    @rule()
    def the_nat_forgets(self) -> None:
        nat = self.hosts[0].nat
        assert nat is not None
        nat.forget()

    @rule(which=hosts)
    def a_role_is_mistaken(self, which: int) -> None:
        core = self.hosts[which].engine._core
        core.controlling = not core.controlling

    @rule(which=hosts)
    def the_controlling_side_nominates_something(self, which: int) -> None:
        host = self.hosts[which]
        for pair in list(host.engine.active.checklist)[-1:]:
            host.engine.nominate(pair, self.net.now)
        host.flush()

    @rule(which=hosts, number=st.integers(0, 99))
    def a_pair_is_selected(self, which: int, number: int) -> None:
        host = self.hosts[which]
        if host.listed:
            host.select(host.listed[number % len(host.listed)])

    @rule(which=hosts, number=st.integers(0, 99))
    def a_pair_is_removed(self, which: int, number: int) -> None:
        host = self.hosts[which]
        if host.listed:
            host.remove(host.listed[number % len(host.listed)])

    @rule(which=hosts)
    def nominations_want_a_word(self, which: int) -> None:
        self.hosts[which].engine.hold_nominations()

    @rule(which=hosts, accepted=st.booleans())
    def the_word_is_said(self, which: int, accepted: bool) -> None:
        host = self.hosts[which]
        for pair in host.proposed[-2:]:
            host.answer(pair, accepted=accepted)

    @invariant()
    def what_is_listed_is_what_there_is(self) -> None:
        for host in getattr(self, "hosts", ()):
            engine = host.engine
            there = {p for g in engine._by_ufrag.values() for p in g.checklist if p.is_listed}
            assert set(host.listed) == there
            for generation in engine._by_ufrag.values():
                assert not any(
                    generation.choice.removed(p.path, p.remote.address) for p in generation.checklist
                )
                assert (
                    generation.choice.proposed is None or generation.choice.proposed in generation.checklist
                )
            if engine.selected is not None and engine.path(engine.selected.path.id) is not None:
                assert engine.selected in host.listed

    @invariant()
    def nothing_grows_without_bound(self) -> None:
        for host in getattr(self, "hosts", ()):
            engine = host.engine
            assert len(engine._by_ufrag) <= 6
            assert len(engine._core.transactions) <= MAX_TRANSACTIONS
            for generation in engine._by_ufrag.values():
                assert len(generation.checklist) <= MAX_PAIRS
                assert len(generation.remotes) <= MAX_REMOTE_CANDIDATES + MAX_LEARNT_CANDIDATES
                assert len(generation.gathering.relays) <= 1
                assert len(generation.gathering.local) <= 8
            assert set(host._paths) <= set(engine._core.paths) | set(host._paths)

    def _restart(self) -> None:
        for host in self.hosts:
            host.engine.restart(None, None, self.net.now)
        connect_hosts(*self.hosts)

    def teardown(self) -> None:
        if not hasattr(self, "hosts"):
            return
        self.net.loss = 0.0
        self.server.silent = False
        a, b = self.hosts
        for host in self.hosts:
            host.accepts = True
        # what is left of the old generations may hold on to a socket that broke
        self._restart()
        self.net.agenda.run(until=self.net.now - START_S + 12)
        for host in self.hosts:
            assert host.connected, (host.state, host.states)
            assert host.engine.active is host.engine.newest
        assert a.engine.controlling is not b.engine.controlling
        for sender, receiver in ((a, b), (b, a)):
            receiver.received.clear()
            assert sender.send(b"\x80at the end")
            self.net.agenda.run(until=self.net.now - START_S + 1)
            assert receiver.received == [b"\x80at the end"]


Life.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestLife = Life.TestCase
