"""Between the engine's channels and the W3C's objects, without a network."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from typing import Any

import pytest

from rtcstack.api.datachannel import (
    RTCDataChannel,
    RTCDataChannelInit,
    announce_channel,
    open_channel,
)
from rtcstack.api.home import Home
from rtcstack.config import Settings
from rtcstack.connection.channels import MAX_UNHEARD_TOLD, USER_INITIATED_ABORT, ChannelSet
from rtcstack.connection.delivery import MAX_EARLY_TOTAL_BYTES
from rtcstack.errors import InvalidStateError, OperationError, ProtocolError
from rtcstack.sctp.association import SctpAssociation
from rtcstack.sctp.channel import Channel
from rtcstack.sctp.channels import DataChannels
from rtcstack.sctp.chunks import ChunkType
from rtcstack.sctp.events import (
    AssociationClosed,
    ChannelAnnounced,
    ChannelClosed,
    ChannelEvent,
    MessageReceived,
)
from rtcstack.sctp.holdings import Holdings
from rtcstack.sctp.options import SctpOptions
from rtcstack.sctp.packet import chunk_bytes


class Objects(ChannelSet):
    """Channels, and the objects that an application has of them."""

    def __init__(self, on_channel: Callable[[RTCDataChannel], None], **settings: Any) -> None:
        super().__init__(Settings(**settings), self)
        self._home = Home()
        self._tell = on_channel

    def on_channel(self, channel: Channel) -> None:
        """See `ChannelSetObserver`."""
        announce_channel(self, self._home, channel, self._tell)

    def on_association_state(self) -> None:
        """See `ChannelSetObserver`."""

    def create(self, label: str, init: RTCDataChannelInit) -> RTCDataChannel:
        """As createDataChannel does."""
        return open_channel(lambda: self, self._home, label, init)

    @property
    def objects(self) -> list[RTCDataChannel]:
        """Of the channels that are not closed."""
        return [observer._channel for observer in self._observers.values()]  # type: ignore[attr-defined]


def channel_set(on_channel: Callable[[RTCDataChannel], None] = lambda _: None, **settings: Any) -> Objects:
    return Objects(on_channel, **settings)


def holdings_of(channels: ChannelSet) -> Holdings:
    return channels.engine.association._holdings


def announced(number: int) -> Channel:
    return Channel(f"c{number}", "", True, None, None, 256, False, number)


async def test_one_bad_event_loses_none_of_its_batch(expects_faults: list[logging.LogRecord]) -> None:
    got: list[str] = []

    def on_channel(channel: RTCDataChannel) -> None:
        if channel.label == "c1":
            raise RuntimeError("boom")
        channel.on("message", lambda e: got.append(f"{channel.label} {e.data}"))

    channels = channel_set(on_channel)
    records = [announced(number) for number in range(3)]
    events: list[ChannelEvent] = [ChannelAnnounced(record) for record in records]
    events += [MessageReceived(record, "hello") for record in records]
    events += [ChannelClosed(record) for record in records]
    channels.on_events(events)
    assert [str(record.exc_info[1]) for record in expects_faults if record.exc_info] == ["boom"]
    assert got == ["c0 hello", "c2 hello"]
    assert channels.objects == []

    channels.on_events([ChannelAnnounced(records[0])])
    (target,) = channels.objects
    target.has_listeners = lambda name: name == "message" and 1 / 0  # type: ignore[assignment,method-assign,return-value]
    channels.on_events([MessageReceived(records[0], "x"), ChannelClosed(records[0])])
    assert len(expects_faults) == 2
    assert target.readyState == "closed"


async def test_an_association_that_does_not_come_up_fires_error_and_then_close() -> None:
    channels = channel_set()
    association = SctpAssociation(SctpOptions(handshake_timeout_s=3.0))
    channels.engine = DataChannels(association, is_dtls_client=True)
    channel = channels.create("x", RTCDataChannelInit())
    told: list[Any] = []
    channel.on("error", lambda e: told.append((e.type, e.error.errorDetail, str(channel.readyState))))
    channel.on("close", lambda e: told.append(e.type))
    channels.engine.connect(0.0)
    now = 0.0
    while (deadline := channels.engine.next_timeout()) is not None:
        now = deadline
        channels.engine.handle_timeout(now)
        channels.engine.drain(now)
    channels.on_events(list(channels.engine.events()))
    assert 3.0 <= now <= 4.0
    assert told == [("error", "sctp-failure", "closed"), "close"]


async def test_early_messages_are_bounded_for_the_whole_connection() -> None:
    channels = channel_set()
    records = [announced(2 * number + 1) for number in range(40)]
    told: list[Any] = []
    channels.on_events([ChannelAnnounced(record) for record in records])
    objects = channels.objects
    for target in objects:
        target.on("error", lambda e: told.append((e.target, e.error.errorDetail)))
        target.on("close", lambda e: told.append(e.target))
    for size in (100_000, 0):
        for record in records:
            channels.on_events([MessageReceived(record, bytes(size)) for _ in range(1000)])
    budget = channels.early_budget
    assert MAX_EARLY_TOTAL_BYTES - 400_000 < budget.held_bytes <= MAX_EARLY_TOTAL_BYTES
    assert budget.held_bytes == sum(target._delivery.early_bytes for target in objects)
    kept = [target for target in objects if target.readyState == "open"]
    closed = [target for target in objects if target.readyState == "closed"]
    assert kept
    assert closed
    assert len(kept) + len(closed) == 40
    assert told == [entry for target in closed for entry in ((target, "sctp-failure"), target)]
    got: list[bytes] = []
    for target in kept:
        target.on("message", lambda e: got.append(e.data))
    await asyncio.sleep(0)
    assert sum(map(len, got)) > MAX_EARLY_TOTAL_BYTES * 3 // 4
    assert budget.held_bytes == 0
    channels.shut()  # the streams of those that were refused have yet to be reset


async def test_early_messages_of_a_channel_that_nobody_holds_any_more_are_not_counted() -> None:
    channels = channel_set()
    for number in range(200):
        record = announced(2 * number + 1)
        channels.on_events([ChannelAnnounced(record), MessageReceived(record, bytes(100_000))])
        channels.on_events([ChannelClosed(record)])
        assert record.label
    gc.collect()
    assert channels.early_budget.held_bytes == 0


@pytest.mark.parametrize("data", ["", b"", "x"])
async def test_messages_that_async_for_has_not_taken_close_the_window_however_small(
    data: str | bytes,
) -> None:
    channels = channel_set()
    record = announced(1)
    channels.on_events([ChannelAnnounced(record)])
    (target,) = channels.objects
    messages = aiter(target)
    first = asyncio.ensure_future(anext(messages))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    channels.on_events([MessageReceived(record, data) for _ in range(1000)])
    assert await first == data
    (holding,) = holdings_of(channels).readers
    assert 64 * 999 <= holding.held_bytes == holdings_of(channels).held_bytes <= 66 * 999
    channels.shut()


@pytest.mark.parametrize("first", ["channels", "association"])
@pytest.mark.parametrize("code", [USER_INITIATED_ABORT, 13, None])
async def test_an_association_s_end_is_said_once_whatever_the_peer_opened(
    code: int | None, first: str, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    def on_channel(channel: RTCDataChannel) -> None:
        if channel.label == "c7":
            channel.on("error", lambda e: heard.append(str(e.error)))

    channels = channel_set(on_channel)
    records = [announced(number) for number in range(1000)]
    channels.on_events([ChannelAnnounced(record) for record in records])
    error = ProtocolError("it is over", code=code)
    events: list[ChannelEvent] = [AssociationClosed(error, graceful=False)]
    if first == "channels":
        events[:0] = [ChannelClosed(record, error) for record in records]
    with caplog.at_level(logging.WARNING, "rtcstack"):
        channels.on_events(events)
    assert heard == ["it is over"]
    assert len(caplog.records) == (0 if code == USER_INITIATED_ABORT else 1)  # who hangs up makes no mistake
    assert channels.objects == []


async def test_what_the_log_says_of_failing_channels_has_an_end(caplog: pytest.LogCaptureFixture) -> None:
    channels = channel_set()
    with caplog.at_level(logging.WARNING, "rtcstack"):
        for number in range(3 * MAX_UNHEARD_TOLD):
            record = announced(number)
            channels.on_events([ChannelAnnounced(record), ChannelClosed(record, ProtocolError("not UTF-8"))])
    assert len(caplog.records) == MAX_UNHEARD_TOLD


@pytest.mark.parametrize("end", ["shutdown", "reset", "abort"])
async def test_whoever_answers_a_message_whose_packet_ends_the_channel_is_not_told_off(end: str) -> None:
    """The object is open still while it is told of the message: what it sends is lost, and raises nothing."""
    channels = channel_set()
    channels.engine, peer = (
        DataChannels(SctpAssociation(), is_dtls_client=client) for client in (True, False)
    )
    channel = channels.create("x", RTCDataChannelInit())
    channels.engine.connect(0.0)
    for _ in range(6):
        peer.receive(channels.engine.drain(0.0), 0.0)
        channels.engine.receive(peer.drain(0.0), 0.0)
        channels.on_events(list(channels.engine.events()))
        peer.events()
    (theirs,) = peer.channels
    told: list[str] = []

    def answer(event: Any) -> None:
        assert channel.readyState == "open"
        channel.send(event.data)
        told.append(event.data)

    channel.on("message", answer)
    for name in ("closing", "close"):
        channel.on(name, lambda event: told.append(event.type))
    peer.send(theirs, "hello", 1.0)
    packets = peer.drain(1.0)
    if end == "shutdown":
        assert peer.association._block is not None
        packets.append(peer.association._block.writer.write([chunk_bytes(ChunkType.SHUTDOWN, 0, bytes(4))]))
    elif end == "abort":
        peer.association.abort(1.0, "enough")
    else:
        channels.engine.receive(packets, 1.0)
        channels.engine.handle_timeout(1.1)
        peer.receive(channels.engine.drain(1.1), 1.1)
        peer.close(theirs, 1.1)
        packets = []
    channels.engine.receive(packets + peer.drain(1.1), 1.1)
    channels.on_events(list(channels.engine.events()))
    assert told == ["hello", "close" if end == "abort" else "closing"]
    assert channel.readyState == ("closed" if end == "abort" else "closing")
    with pytest.raises(InvalidStateError):
        channel.send("more")
    if end != "reset":
        with pytest.raises(OperationError):  # whether the peer has ended it yet or not
            channels.create("another", RTCDataChannelInit())
