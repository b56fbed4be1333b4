"""Many paths between two engines, of which some work in one direction, or in none, and others later.

While one works in both directions it is found and kept: nobody fails, nobody is deaf, and nobody goes to
and fro.
"""

from __future__ import annotations

import random

import pytest

from rtcstack.config import IceSettings
from rtcstack.engine import Address
from rtcstack.ice.config import IceConfig
from rtcstack.ice.engine import IceState
from rtcstack.ice.engine.liveness import FOLLOW_AFTER
from rtcstack.ice.engine.pair import PairState
from rtcstack.testing import START_S, Internet
from tests.support.icehost import IceHost, connect_hosts

SEEDS = range(12)
CHANGES = 6
SETTLES_S = 28.0  # before consent ends, 30 s after a change
LOOKS_S = 12.0


class ManySockets(IceHost):
    """A machine with several sockets on its address."""

    sockets = 1

    def gather(self) -> None:
        engine, now = self.engine, self.net.now
        if not engine.begin_gathering():
            return
        for preference in range(self.sockets):
            local = self._open()
            path = engine.add_socket(engine.newest, local, preference, now)
            self._keep(path.id, local)
        engine.end_of_sources(engine.newest)
        self.flush()


def machines(net: Internet, *sockets: int, renomination: bool = False) -> tuple[ManySockets, ManySockets]:
    """Two of them, connected."""
    config = IceConfig(options=IceSettings(renomination=renomination))
    hosts = ManySockets(net, "192.0.2.2", config=config), ManySockets(net, "192.0.2.3", config=config)
    for host, count in zip(hosts, sockets, strict=True):
        host.sockets = count
    connect_hosts(*hosts)
    run(net, 10)
    assert all(host.connected for host in hosts)
    return hosts


def run(net: Internet, seconds: float) -> None:
    net.agenda.run(until=net.now - START_S + seconds)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_path_that_works_is_found_and_kept(seed: int) -> None:
    chance = random.Random(seed)
    net = Internet(seed=seed, delay_s=chance.choice([0.001, 0.02, 0.1, 0.3]))
    dead: set[tuple[Address, Address]] = set()
    net.filter = lambda source, destination, _: (source, destination) not in dead
    sockets = chance.randint(1, 3), chance.randint(1, 3)
    hosts = machines(net, *sockets, renomination=chance.random() < 0.3)
    ends = [[(h.address, 1001 + i) for i in range(h.sockets)] for h in hosts]
    directions = [(a, b) for a in ends[0] for b in ends[1]]
    directions += [(b, a) for a, b in directions]
    every_s = chance.choice([0.02, 0.05, 1.0])
    speaks = [True, True]

    def speak(which: int) -> None:
        if speaks[which]:
            hosts[which].send(b"\x80data")
        net.agenda.at(net.now + every_s, speak, which)

    speak(0)
    speak(1)
    one_way = chance.random() < 0.5
    for _ in range(CHANGES):
        dead.clear()
        for direction in directions:
            if chance.random() < 0.5:
                dead.add(direction)
                if not one_way:
                    dead.add(direction[::-1])
        works = chance.choice(directions)
        dead -= {works, works[::-1]}
        speaks[:] = (chance.random() < 0.7, chance.random() < 0.7)
        changes = [host.engine.selected_changes for host in hosts]
        run(net, SETTLES_S)
        speaks[:] = (True, True)
        settled = [host.engine.selected_changes for host in hosts]
        for host in hosts:
            host.received.clear()
        run(net, LOOKS_S)
        for host, before, after in zip(hosts, changes, settled, strict=True):
            assert host.state is not IceState.FAILED
            assert after - before <= 8
            assert host.engine.selected_changes - after <= 2
            assert len(host.received) > 0.5 * LOOKS_S / every_s


@pytest.mark.parametrize("which", [0, 1])
def test_a_peer_that_speaks_everywhere_at_once_moves_us_seldom(which: int) -> None:
    net = Internet(seed=which)
    hosts = machines(net, 3, 3)
    host, seconds = hosts[which], 60
    engine = host.engine
    pairs = [pair for pair in engine.active.checklist if pair.state is PairState.SUCCEEDED]
    if len(pairs) < 3:  # nothing more was checked once one was nominated
        for pair in engine.active.checklist:
            engine.active.checklist.trigger(pair)
        host.flush()
        run(net, 5)
        pairs = [pair for pair in engine.active.checklist if pair.state is PairState.SUCCEEDED]
    assert len(pairs) >= 3
    before, sent = engine.selected_changes, net.sent
    net.filter = lambda source, destination, _: False  # no check is answered any more
    for turn in range(100 * seconds):
        run(net, 0.01)
        others = [pair for pair in pairs if pair is not engine.selected]
        engine.heard(others[turn % len(others)], net.now)
        host.flush()
        if engine.state is IceState.FAILED:
            break
    changes = engine.selected_changes - before
    assert 1 <= changes <= seconds / (FOLLOW_AFTER * engine.config.keepalive_s) + 1
    assert net.sent - sent < 20 * seconds
