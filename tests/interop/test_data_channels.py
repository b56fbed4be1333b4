"""Data channels with every other stack at hand, offered by either side.

Candidates are trickled both ways in every one of these tests: no description holds any.
"""

from __future__ import annotations

import asyncio
import re

import pytest

from rtcstack.config import Settings
from tests.interop.conftest import Hosts, Pair, start_host
from tests.support.peers import Channel, ChannelOptions, Description, Message, connect, pause_trickling
from tests.support.rtcstack_peer import RtcstackPeer
from tests.support.w3c_peer import W3CChannel

pytestmark = pytest.mark.asyncio(loop_scope="session")

MESSAGES: list[Message] = [
    "text",
    b"binary",
    "",
    b"",
    "þæö — 漢字 — 🦊👩‍👩‍👧",
    "nul \0 inside",
    b"\0",
    bytes(range(256)),
    "x" * 16384,
    bytes(16384),
]

LARGEST_BYTES = 262_144
"""What browsers take at most."""

TRANSFER_BYTES = 5_000_000


def max_message_size(description: Description) -> int:
    """What the other side takes (RFC 8841, section 6.1: 64 KiB if it does not say; 0 is no limit)."""
    match = re.search(r"a=max-message-size:(\d+)", description["sdp"])
    size = int(match[1]) if match else 65536
    return min(size or LARGEST_BYTES, LARGEST_BYTES)


async def exchange(ours: Channel, theirs: Channel) -> None:
    """A message each way, so that a channel is known to work."""
    await ours.opened()
    await theirs.opened()
    await ours.send("ping")
    assert await theirs.receive() == "ping"
    await theirs.send(b"pong")
    assert await ours.receive() == b"pong"


PION_MAX_BYTES = 65_535
"""Pion reads messages into a buffer of this size, and says nothing of it in its descriptions."""


async def transfer(source: Channel, target: Channel, total_bytes: int, message_bytes: int) -> None:
    """Send that much; what was sent and what arrived must have the same hash."""
    sent, received = await asyncio.gather(
        source.send_hashed(total_bytes, message_bytes), target.receive_hashed(total_bytes)
    )
    assert sent == received


async def test_every_kind_of_message_arrives_as_it_was_sent(pair: Pair) -> None:
    created = await pair.offerer.create_channel(ChannelOptions("messages"))
    async with pair.connect():
        other = await pair.answerer.next_channel()
        ours, theirs = await pair.opened(created, other, by=pair.offerer)
        for source, target in ((ours, theirs), (theirs, ours)):
            # werift queues an empty message, and nothing leaves behind it
            messages = [m for m in MESSAGES if m or source is ours or pair.remote.name != "werift"]
            for message in messages:
                await source.send(message)
            for message in messages:
                assert await target.receive() == message


async def test_a_channel_tells_the_other_side_what_it_is(pair: Pair) -> None:
    # aiortc 1.16 and werift count characters where RFC 8832 counts bytes, and cut the label that they send
    cuts_labels = pair.offerer is pair.remote and pair.remote.name in ("aiortc", "werift")
    # werift announces every partially reliable channel as ordered
    orders_partial = pair.offerer is pair.remote and pair.remote.name == "werift"
    options = [
        ChannelOptions("plain"),
        ChannelOptions("name" if cuts_labels else "名前 🦊", protocol="chat.v2"),
        ChannelOptions("", ordered=False),
        ChannelOptions("partial", ordered=False, maxRetransmits=0),
        ChannelOptions("retries", maxRetransmits=3),
        ChannelOptions("lifetime", ordered=False, maxPacketLifeTime=500),
    ]
    created = [await pair.offerer.create_channel(option) for option in options]
    async with pair.connect():
        found = {}
        for _ in options:
            channel = await pair.answerer.next_channel()
            found[(await channel.info())["label"]] = channel
        for option, one in zip(options, created, strict=True):
            other = found[option.label]
            ours, theirs = await pair.opened(one, other, by=pair.offerer)
            told, known = await other.info(), await one.info()
            expected = {
                "label": option.label,
                "protocol": option.protocol,
                "ordered": option.ordered
                or (orders_partial and (option.maxRetransmits, option.maxPacketLifeTime) != (None, None)),
                "maxRetransmits": option.maxRetransmits,
                "maxPacketLifeTime": option.maxPacketLifeTime,
                "id": known["id"],
            }
            assert {name: told[name] for name in expected if name in told} == {
                name: value for name, value in expected.items() if name in told
            }
            await exchange(ours, theirs)


async def test_either_side_creates_channels_later(pair: Pair) -> None:
    await pair.offerer.create_channel(ChannelOptions("first"))
    async with pair.connect():
        await pair.answerer.next_channel()
        for side in (pair.local, pair.remote, pair.local):
            ours, theirs = await pair.open(ChannelOptions("later"), by=side)
            await exchange(ours, theirs)


async def test_ten_channels_keep_their_messages_apart(pair: Pair) -> None:
    created = [await pair.offerer.create_channel(ChannelOptions(f"channel {i}")) for i in range(10)]
    async with pair.connect():
        for one in created:
            await one.opened()
        others = {(await (c := await pair.answerer.next_channel()).info())["label"]: c for _ in created}
        for i, one in enumerate(created):
            await one.send(f"to {i}")
            await others[f"channel {i}"].send(f"from {i}")
        for i, one in enumerate(created):
            assert await others[f"channel {i}"].receive() == f"to {i}"
            assert await one.receive() == f"from {i}"


async def test_messages_of_every_size_come_back(pair: Pair) -> None:
    created = await pair.offerer.create_channel(ChannelOptions("sizes"))
    async with pair.connect() as (offer, answer):
        other = await pair.answerer.next_channel()
        ours, theirs = await pair.opened(created, other, by=pair.offerer)
        await theirs.echo()
        largest = min(max_message_size(offer), max_message_size(answer))
        if pair.remote.name == "pion":
            largest = min(largest, PION_MAX_BYTES)
        sizes = [1, 1023, 1024, 1100, 1171, 1200, 2400, 16384, 65535, 65536, 100_000, 262_143, 262_144]
        for size in [size for size in sizes if size <= largest]:
            message = bytes(i * 31 & 0xFF for i in range(size))
            await ours.send(message)
            assert await ours.receive() == message
        text = "日本" * (largest // 6)
        await ours.send(text)
        assert await ours.receive() == text


async def test_thousands_of_small_messages_keep_their_order(pair: Pair) -> None:
    created = await pair.offerer.create_channel(ChannelOptions("order"))
    async with pair.connect():
        other = await pair.answerer.next_channel()
        ours, theirs = await pair.opened(created, other, by=pair.offerer)
        # each message starts with its number, so that the hash knows the order
        total = 20_000 if pair.remote.name == "werift" else 200_000  # it takes some 4 ms for each
        await transfer(ours, theirs, total, 100)
        await transfer(theirs, ours, total, 100)


async def test_large_transfers_each_way(pair: Pair) -> None:
    created = await pair.offerer.create_channel(ChannelOptions("transfer"))
    async with pair.connect():
        other = await pair.answerer.next_channel()
        ours, theirs = await pair.opened(created, other, by=pair.offerer)
        await transfer(ours, theirs, TRANSFER_BYTES, 16384)
        await transfer(theirs, ours, TRANSFER_BYTES, 16384)


async def test_large_transfers_both_ways_at_once(pair: Pair) -> None:
    created = await pair.offerer.create_channel(ChannelOptions("duplex"))
    async with pair.connect():
        other = await pair.answerer.next_channel()
        ours, theirs = await pair.opened(created, other, by=pair.offerer)
        size = PION_MAX_BYTES if pair.remote.name == "pion" else 65536
        await asyncio.gather(
            transfer(ours, theirs, TRANSFER_BYTES, size), transfer(theirs, ours, TRANSFER_BYTES, size)
        )


async def test_unordered_channels_deliver_everything_on_a_good_path(pair: Pair) -> None:
    options = [
        ChannelOptions("unordered", ordered=False),
        ChannelOptions("once", ordered=False, maxRetransmits=5),
    ]
    created = [await pair.offerer.create_channel(option) for option in options]
    async with pair.connect():
        for _ in created:
            other = await pair.answerer.next_channel()
            one = created[0] if (await other.info())["label"] == "unordered" else created[1]
            ours, theirs = await pair.opened(one, other, by=pair.offerer)
            for source, target in ((ours, theirs), (theirs, ours)):
                messages = [f"{i} " + "x" * (i * 37 % 3000) for i in range(50)]
                for message in messages:
                    await source.send(message)
                assert sorted([await target.receive() for _ in messages], key=str) == sorted(
                    messages, key=str
                )


async def test_negotiated_channels_meet_by_id(pair: Pair) -> None:
    options = [ChannelOptions("agreed", negotiated=True, id=number) for number in (0, 5, 1000)]
    pairs = [(await pair.local.create_channel(o), await pair.remote.create_channel(o)) for o in options]
    async with pair.connect():
        for ours, theirs in pairs:
            await ours.opened()
            await theirs.opened()
        for ours, theirs in pairs:
            await exchange(ours, theirs)


@pytest.mark.parametrize("closer", ["local", "remote"])
async def test_closing_a_channel_closes_it_at_both_sides(pair: Pair, closer: str) -> None:
    created = await pair.offerer.create_channel(ChannelOptions("closing"))
    kept = await pair.offerer.create_channel(ChannelOptions("kept"))
    async with pair.connect():
        found = {(await (c := await pair.answerer.next_channel()).info())["label"]: c for _ in range(2)}
        ours, theirs = await pair.opened(created, found["closing"], by=pair.offerer)
        await exchange(ours, theirs)
        await (ours if closer == "local" else theirs).close()
        await ours.closed()
        await theirs.closed()
        assert (await ours.info())["readyState"] == "closed"
        await exchange(*await pair.opened(kept, found["kept"], by=pair.offerer))
        # its stream is free for another
        await exchange(*await pair.open(ChannelOptions("next"), by=pair.offerer))


async def test_what_was_sent_before_close_arrives(pair: Pair) -> None:
    created = await pair.offerer.create_channel(ChannelOptions("last words"))
    async with pair.connect():
        other = await pair.answerer.next_channel()
        ours, theirs = await pair.opened(created, other, by=pair.offerer)
        messages = [f"{i}" + "x" * 4000 for i in range(30)]
        for message in messages:
            await ours.send(message)
        await ours.close()
        assert [await theirs.receive() for _ in messages] == messages
        await theirs.closed()
        await ours.closed()


async def test_bufferedamountlow_fires_at_either_side(pair: Pair) -> None:
    created = await pair.offerer.create_channel(ChannelOptions("low"))
    async with pair.connect():
        other = await pair.answerer.next_channel()
        ours, theirs = await pair.opened(created, other, by=pair.offerer)
        size = PION_MAX_BYTES if pair.remote.name == "pion" else 65536
        # more than any stack hands to its SCTP at once
        assert await ours.low(100_000, 48, size) <= 100_000
        assert await theirs.low(100_000, 48, size) <= 100_000


@pytest.mark.parametrize("closer", ["local", "remote"])
async def test_closing_the_connection_closes_the_channels_of_the_other_side(pair: Pair, closer: str) -> None:
    created = await pair.offerer.create_channel(ChannelOptions("whole"))
    async with pair.connect():
        other = await pair.answerer.next_channel()
        ours, theirs = await pair.opened(created, other, by=pair.offerer)
        await exchange(ours, theirs)
        await pause_trickling(pair.local)
        await (pair.local if closer == "local" else pair.remote).close()
        await (theirs if closer == "local" else ours).closed()


@pytest.mark.parametrize("peer_name", ["chromium", "firefox"], indirect=True)
async def test_our_channel_closes_when_the_page_is_gone(pair: Pair) -> None:
    created = await pair.offerer.create_channel(ChannelOptions("page"))
    async with pair.connect():
        other = await pair.answerer.next_channel()
        ours, theirs = await pair.opened(created, other, by=pair.offerer)
        await exchange(ours, theirs)
        await pause_trickling(pair.local)
        await pair.remote.vanish()
        await ours.closed()


@pytest.mark.parametrize("name", ["wrtc", "aiortc", "node", "rtcstack"])
async def test_our_channel_closes_with_an_error_when_the_process_is_killed(name: str) -> None:
    # a dead peer is known by its silence alone (RFC 7675): do not wait for it as long as usual
    settings = Settings(
        ice_keepalive_s=0.2,
        ice_disconnected_timeout_s=0.5,
        ice_failed_timeout_s=1.0,
        abandon_after_failed_s=0.2,
    )
    async with await start_host(name) as host, RtcstackPeer(settings=settings) as local:
        remote = await host.peer()
        ours = await local.create_channel(ChannelOptions("killed"))
        async with connect(local, remote):
            theirs = await remote.next_channel()
            await ours.opened()
            await exchange(ours, theirs)
        await host.kill()
        await ours.closed()
        assert isinstance(ours, W3CChannel)
        assert len(ours.errors) == 1


@pytest.mark.parametrize("name", ["chromium-mdns", "firefox-mdns"])
async def test_hosts_hidden_behind_mdns_names_are_found(hosts: Hosts, name: str, local_offers: bool) -> None:
    async with await (await hosts.get(name)).peer() as remote, RtcstackPeer() as local:
        names: list[str] = []
        add_candidate = local.add_candidate

        async def add(candidate: dict[str, object] | None) -> None:
            if candidate is not None:
                names.append(str(candidate["candidate"]).split()[4])
            await add_candidate(candidate)  # type: ignore[arg-type]

        local.add_candidate = add  # type: ignore[method-assign, assignment]
        pair = Pair(local, remote, local_offers=local_offers)
        created = await pair.offerer.create_channel(ChannelOptions("hidden"))
        async with pair.connect():
            other = await pair.answerer.next_channel()
            await exchange(*await pair.opened(created, other, by=pair.offerer))
        assert names
        assert all(name.endswith(".local") for name in names)
