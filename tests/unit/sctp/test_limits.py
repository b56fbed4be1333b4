"""What an application holds, what a peer may open, and when full packets are acknowledged."""

from __future__ import annotations

import pytest

from rtcstack.errors import ProtocolError
from rtcstack.sctp import channels as channels_module
from rtcstack.sctp.association import FULL_PACKET_BYTES
from rtcstack.sctp.channels import ChannelDrop
from rtcstack.sctp.events import AssociationClosed, ChannelClosed
from rtcstack.sctp.holdings import Holding
from rtcstack.sctp.options import SctpOptions
from tests.unit.sctp.pair import Pair

WINDOW = 100_000


def held_pair() -> Pair:
    pair = Pair(options=SctpOptions(receive_window_bytes=WINDOW)).establish()
    channel = pair.a.engine.open("bulk", now=pair.now)
    for _ in range(50):
        pair.a.engine.send(channel, bytes(10_000), pair.now)
    return pair


def hold_everything(pair: Pair, holding: Holding) -> int:
    """Run for a while with an application that takes nothing; how much it was given."""
    held = 0
    for _ in range(1500):
        pair.run(0.002)
        total = sum(len(m) for m in pair.b.received("bulk"))
        holding.hold(total - held)
        held = total
        pair.flush()
    return held


def test_what_the_application_holds_closes_the_window() -> None:
    pair = held_pair()
    holding = pair.b.association.begin_reading()
    held = hold_everything(pair, holding)
    assert WINDOW // 2 < held <= WINDOW + 20_000
    assert pair.b.closed is None
    assert pair.a.association.buffered_bytes > 300_000


def test_what_it_takes_opens_the_window_again() -> None:
    pair = held_pair()
    holding = pair.b.association.begin_reading()
    held = hold_everything(pair, holding)
    holding.take(held)
    assert pair.b.association.tell_window()
    assert pair.run(10, lambda: len(pair.b.received("bulk")) == 50)
    assert b"".join(pair.b.received("bulk")) == bytes(500_000)  # type: ignore[arg-type]


def test_a_window_that_opens_a_little_is_not_told() -> None:
    pair = held_pair()
    holding = pair.b.association.begin_reading()
    hold_everything(pair, holding)
    before = pair.b.association.packets_sent
    for _ in range(20):
        holding.take(100)
        assert not pair.b.association.tell_window()
        pair.b.host.flush()
    assert pair.b.association.packets_sent == before


def test_holding_before_the_handshake_is_nothing() -> None:
    pair = Pair(connect=False)
    holding = pair.a.association.begin_reading()
    holding.hold(5)
    holding.take(5)
    assert not pair.a.association.tell_window()


def test_an_abort_may_carry_an_error() -> None:
    pair = Pair().establish()
    channel = pair.a.engine.open("x", now=pair.now)
    pair.run(1)
    error = ProtocolError("the path is gone")
    pair.a.association.abort(pair.now, "gone", error=error)
    pair.run(1)
    closed = pair.a.closed
    assert isinstance(closed, AssociationClosed)
    assert closed.error is error
    assert [e.error for e in pair.a.told(ChannelClosed) if e.channel is channel] == [error]


@pytest.mark.parametrize("what", ["count", "names"])
def test_a_peer_opens_only_so_many_channels(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if what == "count":
        monkeypatch.setattr(channels_module, "MAX_PEER_CHANNELS", 5)
    else:
        monkeypatch.setattr(channels_module, "MAX_PEER_NAME_BYTES", 5 * 2_000)
    pair = Pair().establish()
    mine = [pair.a.engine.open("n" * 1_950, now=pair.now) for _ in range(8)]
    pair.run(5)
    assert len(pair.b.engine.channels) == 5
    assert pair.b.engine.drops[ChannelDrop.DCEP] == 3
    assert len(pair.a.gone()) == 3, "the others were refused by a stream reset"
    survivors = [c for c in mine if c not in pair.a.gone()]
    for channel in survivors:
        pair.a.engine.close(channel, pair.now)
    pair.run(5)
    assert pair.b.engine.channels == ()
    pair.a.engine.open("again", now=pair.now)
    pair.run(5)
    assert [c.label for c in pair.b.engine.channels] == ["again"]


@pytest.mark.parametrize(("size", "at_once"), [(FULL_PACKET_BYTES, True), (100, False)])
def test_a_full_packet_is_acknowledged_at_once(size: int, at_once: bool) -> None:
    pair = Pair().establish()
    channel = pair.a.engine.open("x", now=pair.now)
    pair.run(1)
    before = pair.b.association.packets_sent
    pair.a.engine.send(channel, bytes(size), pair.now)
    pair.run(0.015)  # it takes 10 ms to arrive; a delayed SACK would take 20 more
    assert pair.b.received("x") == [bytes(size)]
    assert (pair.b.association.packets_sent > before) is at_once
