"""Whole transports on a virtual internet: ICE, DTLS and SCTP by one pump, and what it does at each pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from rtcstack.clock import monotonic
from rtcstack.dtls.certificate import Certificate
from rtcstack.dtls.events import DtlsEvent, DtlsRole, DtlsState
from rtcstack.ice import Address, GatheringState, IceConfig, IceServer, IceState, PairNews, PairView
from rtcstack.network import network
from rtcstack.platform import Network
from rtcstack.sctp.association import SctpAssociation
from rtcstack.sctp.channel import Channel
from rtcstack.sctp.channels import DataChannels
from rtcstack.sctp.events import (
    AssociationClosed,
    ChannelAnnounced,
    ChannelClosed,
    ChannelEvent,
    ChannelOpened,
    MessageReceived,
)
from rtcstack.sctp.options import SctpOptions
from rtcstack.sdp.candidate import Candidate
from rtcstack.testing import Host, Internet, run
from rtcstack.transport.transport import Transport


class Side:
    """A transport's owner: hands candidates to the other side, and keeps what it is told, in order."""

    def __init__(self, host: Host, role: DtlsRole, config: IceConfig, network: Network) -> None:
        self.host = host
        self.role = role
        self.other: Side | None = None
        self.transport = Transport(config, Certificate.usual(), self, network=network)
        self.channels = DataChannels(SctpAssociation(SctpOptions()))
        self.channels.set_role(role is DtlsRole.CLIENT, monotonic())
        self.transport.attach_channels(self.channels)
        self.told: list[Any] = []
        self.messages: list[bytes | str] = []
        self.on_message: Callable[[Channel, bytes | str], None] = lambda channel, data: None
        self.changed = asyncio.Event()
        self.drained: list[int] = []

    def begin(self) -> None:
        assert self.other is not None
        ice, other = self.transport.ice, self.other.transport
        ice.gather()
        ice.start(other.ice.ufrag, other.ice.pwd, controlling=self.role is DtlsRole.CLIENT)
        self.transport.start_dtls(self.role, [other.certificate.fingerprint()])

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def tell(self, what: Any) -> None:
        self.told.append(what)
        self.changed.set()

    def on_ice_candidate(self, candidate: Candidate, ufrag: str, server: IceServer | None) -> None:
        if self.other is not None:
            self.other.transport.ice.add_remote_candidate(candidate)

    def on_ice_gathering(self, state: GatheringState) -> None: ...

    def on_ice_server_error(self, server: IceServer, local: Address | None, code: int, text: str) -> None: ...

    def on_ice_path(
        self, state: IceState | None, pair: PairView | None, *, is_unselected: bool = False
    ) -> None:
        if pair:
            self.tell("pair")
        if state:
            self.tell(state)

    def on_ice_pair(self, news: PairNews, pair: PairView) -> None: ...

    def on_dtls_state(self, state: DtlsState, event: DtlsEvent | None) -> None:
        self.tell(state)

    def on_channel_events(self, events: list[ChannelEvent]) -> None:
        for event in events:
            if isinstance(event, MessageReceived):
                self.messages.append(event.data)
                self.on_message(event.channel, event.data)
            self.tell(event)

    def on_media_events(self, events: list[Any], now: float) -> None: ...

    def on_peer_left(self) -> None:
        self.tell("left")

    def on_media_lost(self, reason: str) -> None:
        self.tell(reason)

    def heard(self, kind: type) -> list[Any]:
        return [each for each in self.told if isinstance(each, kind)]

    def send(self, channel: Channel, data: bytes | str) -> None:
        self.channels.send(channel, data, monotonic())
        self.transport.wake()


FAST = IceConfig(keepalive_s=0.5, disconnected_timeout_s=2.0, failed_timeout_s=5.0)


@asynccontextmanager
async def two(internet: Internet, config: IceConfig = FAST) -> AsyncIterator[tuple[Side, Side, Channel]]:
    """Two transports on two hosts with an open channel; at the end nothing is left open."""
    sides = []
    for name, role in (("client", DtlsRole.CLIENT), ("server", DtlsRole.SERVER)):
        host = internet.add_host(name)
        sides.append(host.call(lambda h=host, r=role: Side(h, r, config, network())))
    a, b = sides
    a.other, b.other = b, a
    channel = a.channels.open(label="x", now=monotonic())
    for each in sides:
        each.host.call(each.begin)
    try:
        await a.until(lambda: a.heard(ChannelOpened))
        await b.until(lambda: b.heard(ChannelAnnounced))
        yield a, b, channel
    finally:
        for each in sides:
            await each.transport.close()
        await asyncio.sleep(1)
    for each in sides:
        assert each.host.open_ports == []
    assert len(asyncio.all_tasks()) == 1


def test_they_connect_and_carry_messages() -> None:
    async def main() -> None:
        async with two(internet) as (a, b, channel):
            assert a.heard(DtlsState) == b.heard(DtlsState) == [DtlsState.CONNECTING, DtlsState.CONNECTED]
            first = [a.told.index(each) for each in ("pair", IceState.CONNECTED, DtlsState.CONNECTING)]
            assert first == sorted(first)
            b.on_message = b.send
            a.send(channel, b"x" * 100_000)
            await a.until(lambda: a.messages)
            assert a.messages == b.messages == [b"x" * 100_000]
            assert len(a.transport.refusals) == len(b.transport.refusals) == 0

    internet = Internet(seed=1)
    run(main(), internet=internet)


def test_an_answer_leaves_with_the_acknowledgement_of_what_it_answers() -> None:
    packets: list[tuple[str, float]] = []
    internet = Internet(seed=2)

    def note(source: Address, destination: Address, data: Any) -> bool:
        if 20 <= data[0] < 64:
            packets.append((source[0], internet.now))
        return True

    async def main() -> None:
        async with two(internet) as (a, b, channel):
            await asyncio.sleep(1)
            b.on_message = b.send
            packets.clear()
            internet.filter = note
            began = monotonic()
            a.send(channel, "ping")
            await a.until(lambda: a.messages)
            answered = monotonic()
            await asyncio.sleep(1)
            internet.filter = None
        here, there = a.host.addresses()[0], b.host.addresses()[0]
        # the message; its acknowledgement with the answer; after a while that of the answer
        assert [source for source, _ in packets] == [here, there, here]
        assert began <= packets[0][1] < began + 0.001
        assert answered <= packets[2][1] < answered + 0.25

    run(main(), internet=internet)


def test_when_all_is_said_nothing_is_left_to_be_sent() -> None:
    async def main() -> None:
        async with two(internet) as (a, b, channel):
            for i in range(20):
                a.send(channel, bytes(1000 * i + 1))
                await asyncio.sleep(0.01 * (i % 3))
                for each in (a, b):
                    transport, now = each.transport, monotonic()
                    if transport._flush_pending:
                        continue
                    assert each.channels.drain(now) == []
                    assert transport.dtls.drain_runs(now) == []
                    dues = (transport.dtls.next_timeout(), each.channels.next_timeout())
                    due = min((d for d in dues if d is not None), default=None)
                    assert due is None or (transport._timer is not None and transport._timer_due <= due)
            await b.until(lambda: len(b.messages) == 20)

    internet = Internet(seed=3)
    run(main(), internet=internet)


def test_a_peer_that_leaves_is_told_last() -> None:
    async def main() -> None:
        async with two(internet) as (a, b, _):
            await b.transport.close()
            await a.until(lambda: "left" in a.told)
            [closed] = a.heard(ChannelClosed)
            [ended] = a.heard(AssociationClosed)
            order = [a.told.index(each) for each in (closed, ended, "left")]
            assert order[2] == max(order)
            assert a.heard(DtlsState)[-1] is DtlsState.CLOSED

    internet = Internet(seed=4)
    run(main(), internet=internet)


def test_a_way_that_is_lost_for_good() -> None:
    async def main() -> None:
        async with two(internet) as (a, b, channel):
            internet.filter = lambda source, destination, data: False
            a.send(channel, "into the void")
            for each in (a, b):
                await each.until(lambda e=each: e.heard(IceState)[-1] is IceState.FAILED)
                assert IceState.DISCONNECTED in each.told
                each.transport.give_up("no way")
                await each.until(lambda e=each: e.heard(ChannelClosed))
                assert str(each.heard(ChannelClosed)[0].error) == "no way"
            assert b.messages == []

    internet = Internet(seed=5)
    run(main(), internet=internet)


def test_an_outage_costs_nothing_but_time() -> None:
    async def main() -> None:
        async with two(internet) as (a, b, channel):
            internet.filter = lambda source, destination, data: False
            a.send(channel, "late")
            await a.until(lambda: IceState.DISCONNECTED in a.told)
            internet.filter = None
            await b.until(lambda: b.messages)
            assert b.messages == ["late"]
            await a.until(lambda: a.heard(IceState)[-1] is not IceState.DISCONNECTED)
            assert IceState.FAILED not in a.told + b.told

    internet = Internet(seed=6)
    run(main(), internet=internet)


def test_a_restart_goes_on_with_the_same_association() -> None:
    async def main() -> None:
        async with two(internet) as (a, b, channel):
            for each in (a, b):
                each.transport.ice.restart()
            for each in (a, b):
                each.host.call(each.begin)
            await a.until(lambda: a.told.count("pair") == 2)
            await b.until(lambda: b.transport.ice.engine.active is b.transport.ice.engine.newest)
            a.send(channel, "on the new way")
            await b.until(lambda: b.messages)
            assert a.heard(DtlsState) == [DtlsState.CONNECTING, DtlsState.CONNECTED]
            assert len(a.heard(ChannelOpened)) == 1

    internet = Internet(seed=7)
    run(main(), internet=internet)


def test_closing_within_a_handler() -> None:
    async def main() -> None:
        async with two(internet) as (a, b, channel):

            def close(channel: Channel, data: bytes | str) -> None:
                if b.transport.closed:
                    return
                b.send(channel, "never mind")
                b.transport.abandon()

            b.on_message = close
            for i in range(10):
                a.send(channel, str(i))
            await a.until(lambda: "left" in a.told)
            assert b.transport.closed
            assert 1 <= len(b.messages) <= 10

    internet = Internet(seed=8)
    run(main(), internet=internet)


def test_it_is_the_same_each_time() -> None:
    def once() -> list[tuple[float, int]]:
        packets: list[tuple[float, int]] = []
        internet = Internet(seed=9, loss=0.05)

        def note(source: Address, destination: Address, data: Any) -> bool:
            packets.append((internet.now, len(data)))
            return True

        async def main() -> None:
            internet.filter = note
            async with two(internet) as (a, b, channel):
                a.send(channel, b"x" * 200_000)
                await b.until(lambda: b.messages)

        run(main(), internet=internet)
        return packets

    first = once()
    assert len(first) > 200
    assert once() == first
