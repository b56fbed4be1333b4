"""Whole runs over bad links: what was promised must hold, whatever the seed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rtcstack.sctp.association import AssociationState
from rtcstack.sctp.channel import ChannelState
from rtcstack.sctp.options import SctpOptions
from rtcstack.testing import BurstLoss
from tests.unit.sctp.pair import Pair

LINKS: dict[str, dict[str, Any]] = {
    "clean": {},
    "lossy": {"loss": 0.05},
    "terrible": {"loss": 0.25, "jitter_s": 0.005},
    "bursts": {"burst": BurstLoss(0.02, 0.2)},
    "reordering": {"reorder": 0.2, "reorder_s": 0.015},
    "doubling": {"duplicate": 0.2, "loss": 0.02},
    "everything": {"loss": 0.05, "reorder": 0.1, "duplicate": 0.1, "jitter_s": 0.01},
    "narrow": {"rate_bytes_per_s": 200_000, "queue_bytes": 20_000},
}


def message(rng: random.Random, number: int) -> bytes:
    size = rng.choice((1, 40, 100, 900, 1160, 1161, 1200, 3000, 20_000))
    head = b"%08d" % number
    return head + rng.randbytes(size)


def exchange(seed: int, link: dict[str, Any], *, interleaving: bool, count: int = 60) -> None:
    """Send on channels of every kind, in both directions, and compare."""
    rng = random.Random(seed)
    options = SctpOptions(interleaving=interleaving, zero_checksum=seed % 2 == 0)
    tsn = (1 << 32) - rng.randrange(200)
    pair = Pair(seed=seed, options=options, tsn=tsn, forth=link, back=link)
    kinds: dict[str, dict[str, Any]] = {
        "ordered": {},
        "unordered": {"ordered": False},
        "retries": {"max_retransmits": rng.randrange(3)},
        "retries-unordered": {"max_retransmits": 0, "ordered": False},
        "timed": {"max_packet_lifetime_ms": rng.choice((30, 100, 1000))},
        "timed-unordered": {"max_packet_lifetime_ms": 60, "ordered": False},
    }
    sides = ((pair.a, pair.b, "a-"), (pair.b, pair.a, "b-"))
    channels = {
        name + kind: (side, side.engine.open(name + kind, now=pair.now, **arguments))
        for side, _, name in sides
        for kind, arguments in kinds.items()
    }
    sent: dict[str, list[bytes]] = {label: [] for label in channels}
    for number in range(count):
        label = rng.choice(list(channels))
        side, channel = channels[label]
        for _ in range(rng.choice((1, 1, 4))):
            data = message(rng, number)
            sent[label].append(data)
            side.engine.send(channel, data, pair.now)
        if rng.random() < 0.3:
            pair.run(rng.random() * 0.1)
    pair.run(0.1)

    def quiet() -> bool:
        return all(
            side.association._block is not None
            and side.association._block.outstanding.is_empty
            and not side.association.buffered_bytes
            for side in (pair.a, pair.b)
        )

    assert pair.run(600, quiet), "not everything was acknowledged"
    pair.run(1)
    for _, peer, name in sides:
        for kind in kinds:
            label = name + kind
            got = peer.received(label)
            if kind == "ordered":
                assert got == sent[label]
            elif kind == "unordered":
                assert sorted(got) == sorted(sent[label])
            else:
                remaining = list(sent[label])
                for data in got:
                    assert data in remaining, "doubled, or not what was sent"
                    remaining.remove(data)
                if "unordered" not in kind:
                    positions = iter(sent[label])
                    assert all(any(data == one for one in positions) for data in got), "out of order"
    for side in (pair.a, pair.b):
        assert side.association.state is AssociationState.CONNECTED
        block = side.association._block
        assert block is not None
        assert block.reassembly.held_bytes == 0
        assert block.outstanding.flight_bytes == 0
        assert not block.tracker.has_gaps
    # Then close half of the channels from each side, the rest from the other.
    for index, (side, channel) in enumerate(channels.values()):
        closer = side if index % 2 else (pair.b if side is pair.a else pair.a)
        handle = channel if closer is side else closer.announced(channel.label)
        closer.engine.close(handle, pair.now)
    assert pair.run(60, lambda: len(pair.a.gone()) == len(pair.b.gone()) == len(channels))
    assert all(channel.state is ChannelState.CLOSED for _, channel in channels.values())
    # A burst lasts for five packets or more, in which the few of a shutdown could all be lost.
    pair.forth.burst = pair.back.burst = None
    pair.a.association.shutdown(pair.now)
    assert pair.run(60, lambda: bool(pair.a.closed and pair.b.closed))
    assert pair.a.closed is not None
    assert pair.b.closed is not None
    assert pair.a.closed.graceful
    assert pair.b.closed.graceful


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("interleaving", [False, True], ids=["data", "i-data"])
def test_every_kind_of_channel_keeps_its_promise(name: str, interleaving: bool) -> None:
    for seed in range(12):
        exchange(seed, LINKS[name], interleaving=interleaving)


def test_a_late_fragment_of_what_was_abandoned_is_not_kept() -> None:
    exchange(120, LINKS["everything"], interleaving=True)


def test_ssn_and_mid_wrap_around() -> None:
    for interleaving in (False, True):
        pair = Pair(options=SctpOptions(interleaving=interleaving), forth={"loss": 0.02, "reorder": 0.05})
        channel = pair.a.engine.open("x", now=pair.now)
        pair.establish()
        bits = 32 if interleaving else 16
        stream = pair.a.association._queue.stream(0)
        assert pair.b.association._block is not None
        pair.run(1)
        start = (1 << bits) - 50
        stream.next_sequence = start
        pair.b.association._block.reassembly._next[0] = start
        sent = [b"%d" % number * 10 for number in range(200)]
        for data in sent:
            pair.a.engine.send(channel, data, pair.now)
        pair.run(30)
        assert pair.b.received("x") == sent


def test_a_dead_path_is_given_up_where_a_limit_is_set() -> None:
    options = SctpOptions(max_retransmissions=4)
    pair = Pair(options=options).establish()
    channel = pair.a.engine.open("x", now=pair.now)
    pair.run(1)
    pair.forth.filter = lambda _: False
    pair.a.engine.send(channel, b"into the void", pair.now)
    assert pair.run(60, lambda: pair.a.closed is not None)
    assert pair.a.closed is not None
    assert not pair.a.closed.graceful
    assert pair.a.closed.error is not None
    assert channel.state is ChannelState.CLOSED


def test_a_dead_path_is_never_given_up_by_default_and_heals() -> None:
    pair = Pair().establish()
    channel = pair.a.engine.open("x", now=pair.now)
    pair.run(1)
    pair.forth.filter = pair.back.filter = lambda _: False
    pair.a.engine.send(channel, b"late", pair.now)
    pair.run(120)
    pair.forth.filter = pair.back.filter = None
    assert pair.run(4, lambda: pair.b.received("x") == [b"late"])
