"""Data channels: opening, identifiers, messages, buffered amounts, closing."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rtcstack.errors import InvalidStateError, OperationError
from rtcstack.sctp.association import SctpAssociation
from rtcstack.sctp.channel import Channel, ChannelState
from rtcstack.sctp.channels import ChannelDrop, DataChannels
from rtcstack.sctp.early import MAX_EARLY_BYTES
from rtcstack.sctp.events import (
    BufferedAmountLow,
    ChannelAnnounced,
    ChannelClosed,
    ChannelClosing,
    ChannelOpened,
    MessageReceived,
)
from rtcstack.sctp.options import SctpOptions
from tests.unit.sctp.pair import Pair


def test_identifiers_are_even_for_the_dtls_client_and_odd_for_the_server() -> None:
    pair = Pair().establish()
    assert [pair.a.engine.open("x", now=pair.now).id for _ in range(3)] == [0, 2, 4]
    assert [pair.b.engine.open("x", now=pair.now).id for _ in range(3)] == [1, 3, 5]


def test_identifiers_wait_for_the_role_and_go_by_order_of_creation() -> None:
    engine = DataChannels(SctpAssociation())
    first = engine.open("first", now=0.0)
    agreed = engine.open("agreed", negotiated=True, id=3, now=0.0)
    second = engine.open("second", now=0.0)
    assert (first.id, agreed.id, second.id) == (None, 3, None)
    engine.set_role(False, 0.0)
    assert (first.id, agreed.id, second.id) == (1, 3, 5)
    engine.set_role(True, 0.0)  # once only
    assert engine.open("third", now=0.0).id == 7


def test_a_channel_is_announced_with_all_it_was_opened_with() -> None:
    pair = Pair()
    opened: dict[str, dict[str, Any]] = {
        "": {},
        "a label, ünïcode \N{SNOWMAN}": {"protocol": "a protocol", "priority": 1024},
        "retries": {"ordered": False, "max_retransmits": 0},
        "lifetime": {"max_packet_lifetime_ms": 65535},
    }
    for label, arguments in opened.items():
        pair.a.engine.open(label, now=pair.now, **arguments)
    pair.run(1)
    assert [c.label for c in pair.a.opened()] == list(opened)
    for label, arguments in opened.items():
        channel = pair.b.announced(label)
        assert channel.state is ChannelState.OPEN
        assert channel.protocol == arguments.get("protocol", "")
        assert channel.ordered == arguments.get("ordered", True)
        assert channel.max_retransmits == arguments.get("max_retransmits")
        assert channel.max_packet_lifetime_ms == arguments.get("max_packet_lifetime_ms")
        assert channel.priority == arguments.get("priority", 256)
        assert not channel.negotiated


def test_text_binary_and_empty_messages_keep_their_kind() -> None:
    pair = Pair().establish()
    channel = pair.a.engine.open("x", now=pair.now)
    sent: list[bytes | str] = ["text \N{SNOWMAN}", b"\x00\xff", "", b"", "\0", b"\0", "x" * 100_000]
    for data in sent:
        pair.a.engine.send(channel, data, pair.now)
    pair.run(2)
    assert pair.b.received() == sent
    there = pair.b.announced("x")
    assert channel.messages_sent == there.messages_received == len(sent)
    assert channel.bytes_sent == there.bytes_received
    pair.a.engine.send(channel, "\ud800!", pair.now)
    pair.run(1)
    assert pair.b.received()[-1] == "\ufffd!"


def test_both_ways_and_at_once_from_the_side_that_is_told() -> None:
    pair = Pair()
    pair.a.engine.open("x", now=pair.now)

    def answer(event: Any) -> None:
        if isinstance(event, ChannelAnnounced):
            pair.b.engine.send(event.channel, "welcome", pair.now)
            pair.network.at(pair.now, lambda _: pair.b.host.flush(), None)

    pair.b.host.on_event = answer
    assert pair.run(1, lambda: pair.a.received("x") == ["welcome"])


def test_negotiated_channels_need_no_open() -> None:
    pair = Pair()
    for side in (pair.a, pair.b):
        side.engine.open("mine", negotiated=True, id=1000, now=pair.now)
    pair.run(1)
    assert not pair.a.told(ChannelAnnounced)
    assert not pair.b.told(ChannelAnnounced)
    (channel,) = pair.a.opened()
    pair.a.engine.send(channel, b"x", pair.now)
    pair.run(1)
    assert pair.b.received("mine") == [b"x"]


def test_what_open_refuses() -> None:
    pair = Pair().establish()
    engine = pair.a.engine
    engine.open("x", negotiated=True, id=7, now=pair.now)
    for error, arguments in (
        (OperationError, {"negotiated": True, "id": 7}),
        (OperationError, {"negotiated": True, "id": 65535 - 1, "label": "beyond"}),
        (ValueError, {"negotiated": True}),
        (ValueError, {"negotiated": True, "id": 65535}),
        (ValueError, {"max_retransmits": 1, "max_packet_lifetime_ms": 1}),
        (ValueError, {"label": "x" * 65536}),
    ):
        if arguments.get("label") == "beyond":
            engine._max_streams = 1024
        with pytest.raises(error):
            engine.open(**{"label": "y", "now": pair.now, **arguments})
    pair.a.association.abort(pair.now)
    with pytest.raises(InvalidStateError):
        engine.open("late", now=pair.now)


def test_identifiers_run_out_and_come_back() -> None:
    pair = Pair(options=SctpOptions(streams=6)).establish()
    channels = [pair.a.engine.open(str(n), now=pair.now) for n in range(3)]
    with pytest.raises(OperationError):
        pair.a.engine.open("no more", now=pair.now)
    pair.run(1)
    pair.a.engine.close(channels[1], pair.now)
    pair.run(1)
    again = pair.a.engine.open("again", now=pair.now)
    assert again.id == 2
    pair.a.engine.send(again, b"new", pair.now)
    pair.run(1)
    assert pair.b.received("again") == [b"new"]


def test_channels_beyond_the_peer_s_streams_are_closed_on_connecting() -> None:
    pair = Pair(options_b=SctpOptions(streams=2))
    channels = [pair.a.engine.open(str(n), now=pair.now) for n in range(3)]
    pair.run(2)
    assert pair.a.gone() == channels[1:]
    assert all(e.error is not None for e in pair.a.told(ChannelClosed))


def test_unordered_messages_are_ordered_until_the_peer_is_known_to_know_the_channel() -> None:
    pair = Pair(forth={"loss": 0.0})
    channel = pair.a.engine.open("x", ordered=False, now=pair.now)
    pair.a.engine.send(channel, b"1", pair.now)
    messages = pair.a.association._queue.stream(0).messages
    assert [message.unordered for message in messages] == [0, 0]
    pair.run(1)
    pair.a.engine.send(channel, b"2", pair.now)
    assert [message.unordered for message in pair.a.association._queue.stream(0).messages] == [4]


def test_data_that_overtakes_its_open_waits_within_a_bound() -> None:
    pair = Pair().establish()
    send = pair.a.association.send
    for number in range(20):
        send(4, 53, bytes([number]) * 8000, ordered=False, now=pair.now)
    pair.run(1)
    assert pair.b.engine._early.held_bytes <= MAX_EARLY_BYTES
    kept = MAX_EARLY_BYTES // 8064
    assert pair.b.engine.drops == {ChannelDrop.EARLY: 20 - kept}
    channel = pair.a.engine.open("one", now=pair.now)
    channel = pair.a.engine.open("two", now=pair.now)
    channel = pair.a.engine.open("three", now=pair.now)
    assert channel.id == 4
    pair.run(1)
    assert pair.b.received("three") == [bytes([number]) * 8000 for number in range(kept)]
    assert pair.b.engine._early.held_bytes == 0


def test_buffered_amount_and_its_low_mark() -> None:
    pair = Pair(forth={"rate_bytes_per_s": 100_000}).establish()
    channel = pair.a.engine.open("x", now=pair.now)
    pair.run(1)
    engine = pair.a.engine
    assert engine.buffered_amount(channel) == 0  # the OPEN does not count
    engine.set_buffered_amount_low_threshold(channel, 30_000)
    for _ in range(10):
        engine.send(channel, bytes(10_000), pair.now)
    engine.send(channel, "", pair.now)
    assert engine.buffered_amount(channel) == 100_000
    lows: list[int] = []

    def note(event: Any) -> None:
        if isinstance(event, BufferedAmountLow):
            lows.append(engine.buffered_amount(event.channel))

    pair.a.host.on_event = note
    pair.run(3)
    assert engine.buffered_amount(channel) == 0
    assert len(lows) == 1
    assert lows[0] <= 30_000
    engine.send(channel, bytes(100), pair.now)  # never above the mark: nothing to tell
    pair.run(1)
    assert len(lows) == 1


def test_the_send_buffer_is_bounded() -> None:
    pair = Pair(options=SctpOptions(max_send_buffer_bytes=100_000), connect=False)
    channel = pair.a.engine.open("x", now=pair.now)
    pair.a.engine.send(channel, bytes(90_000), pair.now)
    with pytest.raises(OperationError, match="buffer is full"):
        pair.a.engine.send(channel, bytes(20_000), pair.now)
    assert channel.messages_sent == 1


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_closing_waits_for_what_is_queued_and_both_sides_learn_of_it(loss: float) -> None:
    for seed in range(10):
        pair = Pair(seed=seed, forth={"loss": loss}, back={"loss": loss}).establish()
        channel = pair.a.engine.open("x", now=pair.now)
        pair.run(2)
        sent = [bytes([number]) * 3000 for number in range(30)]
        for data in sent:
            pair.a.engine.send(channel, data, pair.now)
        pair.a.engine.close(channel, pair.now)
        assert channel.state is ChannelState.CLOSING
        with pytest.raises(InvalidStateError):
            pair.a.engine.send(channel, b"late", pair.now)
        assert pair.run(30, lambda p=pair: bool(p.a.gone() and p.b.gone()))
        assert pair.b.received("x") == sent
        there = pair.b.told(ChannelClosing)[0].channel
        assert there.state is channel.state is ChannelState.CLOSED
        assert pair.a.told(ChannelClosing) == []  # it was ours to close
        assert all(e.error is None for e in pair.a.told(ChannelClosed) + pair.b.told(ChannelClosed))
        assert pair.a.engine.channels == pair.b.engine.channels == ()


def test_both_close_at_once() -> None:
    pair = Pair().establish()
    channel = pair.a.engine.open("x", now=pair.now)
    pair.run(1)
    pair.a.engine.close(channel, pair.now)
    pair.b.engine.close(pair.b.announced("x"), pair.now)
    pair.run(5)
    assert len(pair.a.gone()) == len(pair.b.gone()) == 1


def test_a_channel_closed_before_the_association_stands() -> None:
    pair = Pair(connect=False)
    channel = pair.a.engine.open("x", now=pair.now)
    pair.a.engine.send(channel, b"x", pair.now)
    pair.a.engine.close(channel, pair.now)
    nameless = DataChannels(SctpAssociation())
    waiting = nameless.open("y", now=0.0)
    nameless.close(waiting, 0.0)
    assert [type(e) for e in nameless.events()] == [ChannelClosed]
    pair.a.engine.connect(pair.now)
    assert pair.run(10, lambda: bool(pair.a.gone() and pair.b.gone()))
    assert pair.b.received("x") == [b"x"]


def test_many_channels_open_and_close() -> None:
    pair = Pair(forth={"loss": 0.02}, back={"loss": 0.02})
    channels = [pair.a.engine.open(f"c{n}", now=pair.now) for n in range(1000)]
    for channel in channels:
        pair.a.engine.send(channel, channel.label, pair.now)
    assert pair.run(60, lambda: len(pair.b.received()) == 1000)
    for channel in channels:
        pair.a.engine.close(channel, pair.now)
    assert pair.run(60, lambda: len(pair.a.gone()) == len(pair.b.gone()) == 1000)
    assert pair.a.association._queue._streams == {}


def test_text_that_is_not_utf8_closes_its_channel_only() -> None:
    pair = Pair().establish()
    bad = pair.a.engine.open("bad", now=pair.now)
    good = pair.a.engine.open("good", now=pair.now)
    pair.run(1)
    assert bad.id is not None
    pair.a.association.send(bad.id, 51, b"\xff\xfe", now=pair.now)
    pair.run(5)
    assert pair.b.engine.drops == {ChannelDrop.TEXT: 1}
    (closed,) = pair.b.told(ChannelClosed)
    assert closed.channel.label == "bad"
    assert closed.error is not None
    assert pair.a.gone() == [bad]
    pair.a.engine.send(good, "still here", pair.now)
    pair.run(1)
    assert pair.b.received("good") == ["still here"]


@pytest.mark.parametrize(
    ("stream_id", "data"),
    [
        (0, b"\x03"),
        (0, b"\x03\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00"),
        (0, b"\x03\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
        (0, b"\x03\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\xff"),
        (1, b"\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
    ],
    ids=["cut off", "lying length", "unknown type", "not UTF-8", "wrong parity"],
)
def test_a_bad_open_is_answered_by_resetting_the_stream(stream_id: int, data: bytes) -> None:
    pair = Pair().establish()
    pair.a.association.send(stream_id, 50, data, now=pair.now)
    pair.run(2)
    assert pair.b.engine.drops == {ChannelDrop.DCEP: 1}
    assert pair.b.told(ChannelAnnounced) == []
    assert pair.b.engine.channels == ()
    assert pair.a.association._block is not None
    assert pair.a.association._block.reassembly._next.get(stream_id) is None


def test_a_second_open_and_unknown_ppids_are_dropped() -> None:
    pair = Pair().establish()
    channel = pair.a.engine.open("x", now=pair.now)
    pair.run(1)
    pair.a.association.send(0, 50, b"\x03" + bytes(11), now=pair.now)
    pair.a.association.send(0, 50, b"\x99", now=pair.now)
    pair.a.association.send(0, 52, b"old partial text", now=pair.now)
    pair.run(1)
    assert pair.b.engine.drops == {ChannelDrop.DCEP: 2, ChannelDrop.PPID: 1}
    assert channel.state is pair.b.announced("x").state is ChannelState.OPEN


def test_an_abort_closes_all_channels() -> None:
    pair = Pair().establish()
    for n in range(5):
        pair.a.engine.open(str(n), now=pair.now)
    pair.run(1)
    pair.b.association.abort(pair.now, "gone")
    pair.run(1)
    assert len(pair.a.gone()) == len(pair.b.gone()) == 5
    assert pair.a.closed is not None
    assert pair.a.closed.error is not None


def test_a_higher_priority_gets_a_greater_share() -> None:
    pair = Pair(forth={"rate_bytes_per_s": 1_000_000, "queue_bytes": 100_000}).establish()
    low = pair.a.engine.open("low", priority=128, now=pair.now)
    high = pair.a.engine.open("high", priority=512, now=pair.now)
    for _ in range(1000):
        pair.a.engine.send(low, bytes(1000), pair.now)
        pair.a.engine.send(high, bytes(1000), pair.now)
    pair.run(0.8)
    ratio = len(pair.b.received("high")) / len(pair.b.received("low"))
    assert 3.5 < ratio < 4.5


def test_interleaving_lets_small_messages_pass_a_large_one() -> None:
    def wait(interleaving: bool) -> float:
        options = SctpOptions(interleaving=interleaving)
        pair = Pair(options=options, forth={"rate_bytes_per_s": 500_000, "queue_bytes": 50_000}).establish()
        large = pair.a.engine.open("large", now=pair.now)
        small = pair.a.engine.open("small", now=pair.now)
        pair.run(1)
        pair.a.engine.send(large, bytes(250_000), pair.now)
        pair.flush()
        pair.a.engine.send(small, b"urgent", pair.now)
        start = pair.now
        assert pair.run(5, lambda: bool(pair.b.received("small")))
        return pair.now - start

    assert wait(interleaving=False) > 0.4
    assert wait(interleaving=True) < 0.1


def test_a_message_longer_than_allowed_ends_the_association() -> None:
    pair = Pair(options_b=SctpOptions(max_message_size=10_000)).establish()
    channel = pair.a.engine.open("x", now=pair.now)
    pair.a.engine.send(channel, bytes(20_000), pair.now)
    pair.run(2)
    assert pair.b.closed is not None
    assert pair.b.closed.error is not None
    assert "longer than" in str(pair.b.closed.error)
    assert pair.a.closed is not None


def test_messages_are_dropped_that_the_loss_of_their_retransmissions_condemns() -> None:
    pair = Pair(seed=4, forth={"loss": 0.3}).establish()
    channel = pair.a.engine.open("x", ordered=False, max_retransmits=0, now=pair.now)
    pair.run(5)
    for n in range(500):
        pair.a.engine.send(channel, b"%d" % n, pair.now)
        pair.run(0.005)
    pair.run(5)
    assert 250 < len(pair.b.received("x")) < 450
    assert pair.a.association._block is not None
    assert pair.a.association._block.outstanding.is_empty


@pytest.mark.parametrize("seed", range(8))
def test_any_sequence_of_opens_closes_and_messages(seed: int) -> None:
    """A random life: at its end both sides agree on which channels there are."""
    rng = random.Random(seed)
    pair = Pair(seed=seed, forth={"loss": 0.03, "reorder": 0.05}, back={"loss": 0.03}).establish()
    alive: list[tuple[Any, Channel]] = []
    for step in range(150):
        side = rng.choice((pair.a, pair.b))
        action = rng.random()
        if action < 0.3:
            alive.append((side, side.engine.open(f"{step}", ordered=rng.random() < 0.5, now=pair.now)))
        elif action < 0.5 and alive:
            side, channel = alive.pop(rng.randrange(len(alive)))
            side.engine.close(channel, pair.now)
        elif alive:
            side, channel = rng.choice(alive)
            if channel.state is ChannelState.OPEN:
                side.engine.send(channel, rng.randbytes(rng.randrange(3000)), pair.now)
        if rng.random() < 0.3:
            pair.run(rng.random() * 0.05)
    pair.run(60)
    names = {channel.label for _, channel in alive}
    assert {c.label for c in pair.a.engine.channels} == {c.label for c in pair.b.engine.channels} == names
    assert all(c.state is ChannelState.OPEN for c in pair.a.engine.channels)
    kinds = {type(e) for e in pair.a.host.events}
    assert {ChannelOpened, ChannelAnnounced, MessageReceived} <= kinds
    assert len(pair.a.gone()) == len(pair.b.gone())


def test_data_on_a_stream_that_does_not_exist_is_reported_and_harmless() -> None:
    pair = Pair(options_b=SctpOptions(streams=10)).establish()
    block = pair.a.association._block
    assert block is not None
    block.agreement.outbound_streams = 100
    pair.a.association.send(50, 53, b"nowhere", now=pair.now)
    channel = pair.a.engine.open("x", now=pair.now)
    pair.a.engine.send(channel, b"here", pair.now)
    pair.run(2)
    assert pair.b.received() == [b"here"]
    assert pair.b.association._block is not None
    assert pair.b.association._block.chunks_refused == 1
    assert block.outstanding.is_empty


def test_a_channel_whose_announcement_does_not_fit_the_send_buffer_does_not_exist() -> None:
    pair = Pair(options=SctpOptions(max_send_buffer_bytes=2000)).establish()
    with pytest.raises(OperationError):
        pair.a.engine.open("n" * 3000, now=pair.now)
    assert pair.a.engine.channels == ()
    channel = pair.a.engine.open("x", now=pair.now)
    pair.run(1)
    assert pair.b.announced("x").id == channel.id


def test_streams_that_the_peer_does_not_have_are_refused_before_it_is_connected_too() -> None:
    pair = Pair(connect=False, options_b=SctpOptions(streams=2))
    mine = [pair.a.engine.open("x", now=pair.now) for _ in range(2)]
    pair.a.engine.connect(pair.now)
    pair.b.engine.receive(pair.a.engine.drain(pair.now), pair.now)
    pair.a.engine.receive(pair.b.engine.drain(pair.now), pair.now)
    with pytest.raises(InvalidStateError):
        pair.a.engine.send(mine[1], b"nowhere", pair.now)
    with pytest.raises(OperationError):
        pair.a.engine.open("y", now=pair.now)
