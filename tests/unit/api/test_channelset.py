"""Between the engine's channels and the W3C's objects, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rtcstack.api.channelset import ChannelSet
from rtcstack.api.datachannel import RTCDataChannel, RTCDataChannelInit
from rtcstack.config import Settings
from rtcstack.sctp.association import SctpAssociation
from rtcstack.sctp.channels import Channel, DataChannels
from rtcstack.sctp.events import (
    ChannelAnnounced,
    ChannelClosed,
    ChannelEvent,
    MessageReceived,
)
from rtcstack.sctp.options import SctpOptions


def channel_set(on_channel: Callable[[RTCDataChannel], None] = lambda _: None, **settings: Any) -> ChannelSet:
    return ChannelSet(
        Settings(**settings),
        on_channel=on_channel,
        on_connected=lambda _: None,
        on_closed=lambda: None,
    )


def announced(number: int) -> Channel:
    return Channel(f"c{number}", "", True, None, None, 256, False, number)


async def test_one_bad_event_loses_none_of_its_batch() -> None:
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
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
    assert [str(error) for error in errors] == ["boom"]
    assert got == ["c0 hello", "c2 hello"]
    assert channels.channels == []

    channels.on_events([ChannelAnnounced(records[0])])
    (target,) = channels.channels
    target.on_message = lambda data: 1 / 0  # type: ignore[assignment]
    channels.on_events([MessageReceived(records[0], "x"), ChannelClosed(records[0])])
    assert len(errors) == 2
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
