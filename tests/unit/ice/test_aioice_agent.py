"""The agent around aioice's connection: what it uses of aioice, its bounds, and what it lacks, by name."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import aioice
import pytest
from aioice import ice as aioice_ice

from rtcstack import NotSupportedError, RTCConfiguration, RTCPeerConnection, Settings
from rtcstack.config import AddressRule, IceSettings
from rtcstack.engine import Run
from rtcstack.ice import (
    FEATURES,
    GatheringState,
    IceConfig,
    IceFeature,
    IceServer,
    IceState,
    check_features,
    features,
    make_agent,
    parse_server_uri,
)
from rtcstack.ice.aioice_agent import GOODBYE_S, LINGER_S, MAX_LINGERING, AioiceAgent
from rtcstack.ice.aioice_connection import MAX_REMOTE_CANDIDATES, AioiceConnection
from rtcstack.ice.contract import IceObserver
from rtcstack.ice.lookups import MAX_RESOLUTIONS
from rtcstack.network import network_here
from rtcstack.sdp.candidate import Candidate
from rtcstack.testing import Internet, TurnServer, VirtualLoop, run
from tests.support.iceagents import Observed, start
from tests.support.loops import stand_on
from tests.support.virtual import in_virtual_time

AIOICE = IceConfig(use_ipv6=False, options=IceSettings(agent="aioice"))


class End(Observed[AioiceAgent]):
    """An agent of aioice's, which takes its time."""

    def __init__(self, config: IceConfig) -> None:
        def make(observer: IceObserver) -> AioiceAgent:
            agent = make_agent(config, observer, network=network_here())
            assert isinstance(agent, AioiceAgent)
            return agent

        super().__init__(make)

    async def until(self, condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
        await super().until(condition, timeout_s)


@contextlib.asynccontextmanager
async def ends(config: IceConfig = AIOICE) -> AsyncIterator[tuple[End, End]]:
    with stand_on("alice"):
        a = End(config)
    with stand_on("bob"):
        b = End(config)
    a.other, b.other = b, a
    try:
        yield a, b
    finally:
        await a.agent.close()
        await b.agent.close()


async def connect(a: End, b: End) -> None:
    start(a, b)
    for each in (a, b):
        await each.until(lambda e=each: e.agent.state is IceState.COMPLETED)


# -- what is used of aioice -------------------------------------------------------------------------------


def test_the_private_names_that_are_used_are_there() -> None:
    """A version of aioice that calls them otherwise fails here, and not in a call."""
    connection = aioice.Connection(ice_controlling=True)
    assert connection._nominated == {}
    assert connection._protocols == []
    assert connection._check_list == []


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (aioice.Connection, "get_component_candidates"),
        (aioice.Connection, "check_incoming"),
        (aioice.Connection, "check_start"),
        (aioice.Connection, "check_complete"),
        (aioice.Connection, "data_received"),
        (aioice_ice.StunProtocol, "datagram_received"),
        (aioice_ice.StunProtocol, "request"),
    ],
)
def test_what_is_overridden_is_there_and_takes_the_same(owner: Any, name: str) -> None:
    from rtcstack.ice.aioice_connection import _Socket

    ours = AioiceConnection if owner is aioice.Connection else _Socket
    theirs = inspect.signature(getattr(owner, name)).parameters
    mine = inspect.signature(getattr(ours, name)).parameters
    assert list(mine) == list(theirs)
    assert inspect.iscoroutinefunction(getattr(ours, name)) is inspect.iscoroutinefunction(
        getattr(owner, name)
    )


def test_a_relay_takes_a_context_where_its_annotation_says_a_flag() -> None:
    from aioice.turn import create_turn_endpoint

    assert "SSLContext" in str(inspect.signature(create_turn_endpoint).parameters["ssl"].annotation)


# -- the setting, and what is lacking ---------------------------------------------------------------------


def test_an_unknown_agent_is_refused() -> None:
    with pytest.raises(ValueError, match="agent must be"):
        IceSettings(agent="libnice")


LACKING = [
    (IceFeature.TCP, {"tcp": ("active",)}),
    (IceFeature.LITE, {"lite": True}),
    (IceFeature.ADDRESS_RULES, {"address_rules": (AddressRule(external=("203.0.113.7",)),)}),
    (IceFeature.HIDDEN_ADDRESSES, {"hide_host_addresses": True}),
    (IceFeature.HIDDEN_ADDRESSES, {"no_host": True}),
    (IceFeature.PORT_RANGE, {"port_range": (50000, 50100)}),
    (IceFeature.SHARED_PORTS, {"udp_mux": object()}),
    (IceFeature.NO_UDP, {"udp": False}),
    (IceFeature.RENOMINATION, {"renomination": True}),
]


@pytest.mark.parametrize(("feature", "settings"), LACKING)
async def test_what_it_lacks_is_refused_by_name(feature: IceFeature, settings: dict[str, Any]) -> None:
    [setting] = settings
    asked = Settings(ice=IceSettings(agent="aioice", **settings))
    with pytest.raises(NotSupportedError, match=rf"{feature.value} \({setting}\)"):
        RTCPeerConnection(RTCConfiguration(settings=asked))
    check_features(IceConfig(options=IceSettings(agent="rtcstack", **settings)))


def test_settings_ask_for_every_feature_that_a_setting_can_ask_for() -> None:
    behaviours = {
        IceFeature.TIMERS,
        IceFeature.EARLY_CHECKS,
        IceFeature.RECOVERY,
        IceFeature.RELAY_FAMILIES,
        IceFeature.SEEDED,
        IceFeature.CANDIDATE_POOL,
        IceFeature.FORKING,
        IceFeature.PAIRS,
    }
    assert {feature for feature, _ in LACKING} == set(IceFeature) - behaviours
    assert FEATURES["aioice"] == frozenset()
    assert FEATURES["rtcstack"] == frozenset(IceFeature)


def test_what_is_not_heeded_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "_said", set())
    for _ in range(2):
        check_features(IceConfig(options=IceSettings(agent="aioice", check_interval_s=0.1), keepalive_s=1.0))
    [record] = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "keepalive_s, check_interval_s" in record.getMessage()


# -- a path -----------------------------------------------------------------------------------------------


@in_virtual_time
async def test_it_connects_carries_data_and_counts() -> None:
    async with ends() as (a, b):
        await connect(a, b)
        for each in (a, b):
            assert each.states == [IceState.CHECKING, IceState.CONNECTED, IceState.COMPLETED]
            assert each.gathering == [GatheringState.GATHERING, GatheringState.COMPLETE]
            assert each.agent.rtt_s is not None
        assert (a.agent.controlling, b.agent.controlling) == (True, False)
        a.agent.send_runs([Run(b"\x16one\x16two", 4), Run(b"\x80rtp", 4), Run(b"\x40odd", 4)])
        await b.until(lambda: len(b.data) == 3)
        assert b.data == [b"\x16one", b"\x16two", b"\x80rtp"]
        [sent] = [pair for pair in a.agent.report().pairs if pair.is_selected]
        [received] = [pair for pair in b.agent.report().pairs if pair.is_selected]
        assert (sent.packets_sent, sent.bytes_sent) == (4, 16)
        assert (received.packets_received, received.bytes_received) == (4, 16)
        assert sent.requests_sent >= 1
        assert sent.state == "succeeded"


@in_virtual_time
async def test_a_role_conflict_is_repaired() -> None:
    async with ends() as (a, b):
        for me, other in ((a, b), (b, a)):
            me.agent.gather()
            me.agent.start(other.agent.ufrag, other.agent.pwd, controlling=True)
        for each in (a, b):
            await each.until(lambda e=each: e.agent.state is IceState.COMPLETED)
        assert a.agent.controlling is not b.agent.controlling


@in_virtual_time
async def test_a_restart_loses_nothing() -> None:
    """By either end; the old pair carries data until the new one is nominated."""
    async with ends() as (a, b):
        await connect(a, b)
        number = 0
        for first, second in ((a, b), (b, a)):
            changes = a.agent.selected_pair_changes
            first.agent.restart()
            second.agent.restart()
            for me, other in ((first, second), (second, first)):
                me.agent.gather()
                me.agent.start(other.agent.ufrag, other.agent.pwd, controlling=me is a)
            while a.agent.selected_pair_changes == changes or b.agent.state is not IceState.COMPLETED:
                for each in (a, b):
                    each.agent.send_runs([Run(b"\x80" + number.to_bytes(4, "big"), 5)])
                number += 1
                await asyncio.sleep(0.001)
            assert a.agent.controlling
        await asyncio.sleep(1)
        expected = [b"\x80" + i.to_bytes(4, "big") for i in range(number)]
        assert number > 20
        assert a.data == expected
        assert b.data == expected
        assert IceState.FAILED not in a.states + b.states


@in_virtual_time
async def test_old_generations_linger_for_a_while_and_few_of_them() -> None:
    async with ends() as (a, b):
        await connect(a, b)
        for _ in range(2 * MAX_LINGERING):
            changes = a.agent.selected_pair_changes
            for each in (a, b):
                each.agent.restart()
            for me, other in ((a, b), (b, a)):
                me.agent.gather()
                me.agent.start(other.agent.ufrag, other.agent.pwd, controlling=me is a)
            await a.until(lambda seen=changes: a.agent.selected_pair_changes > seen)
            await b.until(lambda: b.agent.state is IceState.COMPLETED)
            assert len(a.agent._open) <= 1 + MAX_LINGERING
        await asyncio.sleep(LINGER_S)
        assert a.agent._open == [a.agent._newest]


@in_virtual_time
async def test_a_restart_that_is_cancelled_changes_nothing() -> None:
    async with ends() as (a, b):
        await connect(a, b)
        before = a.agent.ufrag, a.agent.pwd
        a.other = None
        a.agent.restart()
        a.agent.gather()
        assert (a.agent.ufrag, a.agent.pwd) != before
        a.agent.restart()  # a second one replaces the first
        a.agent.cancel_restart()
        assert (a.agent.ufrag, a.agent.pwd) == before
        a.agent.send_runs([Run(b"\x80still", 6)])
        await b.until(lambda: b.data == [b"\x80still"])


@in_virtual_time
async def test_silence_is_disconnected_then_failed_and_a_restart_repairs_it() -> None:
    async with ends() as (a, b):
        await connect(a, b)
        b.agent.fail("for a test")
        assert b.states[-1] is IceState.FAILED
        await a.until(lambda: a.agent.state is IceState.FAILED)
        assert a.states[-2:] == [IceState.DISCONNECTED, IceState.FAILED]
        a.agent.send_runs([Run(b"\x16x", 2)])  # nowhere
        for each in (a, b):
            each.agent.restart()
        await connect(a, b)


@in_virtual_time
async def test_without_a_peer_it_fails_in_time() -> None:
    async with ends() as (a, _):
        a.other = None
        a.agent.gather()
        a.agent.start("none", "x" * 22, controlling=True)
        a.agent.add_remote_candidate(Candidate.parse("1 1 udp 1 192.0.2.9 9 typ host"))
        began = asyncio.get_running_loop().time()
        await a.until(lambda: a.agent.state is IceState.FAILED)
        assert asyncio.get_running_loop().time() - began <= AIOICE.failed_timeout_s + 0.1


@in_virtual_time
async def test_a_pool_is_told_of_nothing_until_it_is_used() -> None:
    async with ends() as (a, b):
        a.agent.gather_ahead()
        await asyncio.sleep(1)
        assert a.agent.gathering_state is GatheringState.NEW
        assert a.gathering == []
        await connect(a, b)


# -- what a peer, or a stranger, may do -------------------------------------------------------------------


@in_virtual_time
async def test_bytes_of_every_kind_reach_nobody() -> None:
    """Neither the loop's exception handler, which the test watches, nor the application."""
    from rtcstack.testing import VirtualNetwork

    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    heard: list[Any] = []

    class Sink:
        def on_batch(self, batch: list[Any], now: float) -> None:
            heard.extend(batch)

    async with ends() as (a, b):
        await connect(a, b)
        network = loop.network()
        assert isinstance(network, VirtualNetwork)
        stranger = network.open_udp((network.host.addresses()[0], 0), Sink())
        to = (a.candidates[0].address, a.candidates[0].port)
        short_priority = bytes.fromhex("000100082112a442") + bytes(12) + bytes.fromhex("0024000200000000")
        for data in (b"\x16from a stranger", b"\x80", b"\x01\x01", b"", short_priority):
            stranger.send(data, to)
        await asyncio.sleep(1)
        assert a.data == []
        assert [reason for _, reason in a.agent.refusals.counts] == [
            "aioice: not a STUN message",
            "aioice: error",
        ]
        stranger.close()
        a.agent.send_runs([Run(b"\x80fine", 5)])
        await b.until(lambda: b.data == [b"\x80fine"])


@in_virtual_time
async def test_a_peer_has_no_more_candidates_than_the_bound() -> None:
    async with ends() as (a, b):
        await connect(a, b)
        a.agent.restart()
        a.agent.gather()
        for i in range(3 * MAX_REMOTE_CANDIDATES):
            text = f"{i} 1 udp 1 10.1.{i >> 8}.{i & 255} 9 typ host"
            a.agent.add_remote_candidate(Candidate.parse(text))
        await asyncio.sleep(1)
        newest = a.agent._newest
        assert len(newest.remote_candidates) == MAX_REMOTE_CANDIDATES
        assert len(newest._check_list) <= MAX_REMOTE_CANDIDATES * len(a.candidates)


@in_virtual_time
async def test_names_are_looked_up_a_few_at_a_time() -> None:
    async with ends() as (a, _):
        a.other = None
        for i in range(3 * MAX_RESOLUTIONS):
            a.agent.add_remote_candidate(Candidate.parse(f"1 1 udp 1 {i}.local 9 typ host"))
        assert len(a.agent._lookups) == MAX_RESOLUTIONS
        await asyncio.sleep(5)
        assert len(a.agent._lookups) == 0


@in_virtual_time
async def test_candidates_that_it_cannot_use_are_left_out() -> None:
    async with ends() as (a, _):
        a.other = None
        a.agent.gather()
        for text in (
            "1 1 tcp 1 192.0.2.1 9 typ host tcptype active",
            "1 2 udp 1 192.0.2.2 9 typ host",
            "1 1 udp 1 192.0.2.3 9 typ unheardof",
            "1 1 udp 1 nobody.example 9 typ host",
            "1 1 udp 1 192.0.2.4 0 typ host",
            "1 1 udp 1 192.0.2.5 9 typ host",
        ):
            a.agent.add_remote_candidate(Candidate.parse(text))
        a.agent.end_of_remote_candidates()
        await asyncio.sleep(5)
        a.agent.add_remote_candidate(Candidate.parse("1 1 udp 1 192.0.2.6 9 typ host"))  # after the end
        await asyncio.sleep(1)
        assert [c.host for c in a.agent._newest.remote_candidates] == ["192.0.2.5"]


# -- servers and the end ----------------------------------------------------------------------------------


def relayed(server: TurnServer, query: str = "") -> IceServer:
    return parse_server_uri(f"turn:{server.host}{query}", server.USERNAME, server.password)


def test_several_servers_and_what_fails_is_told() -> None:
    internet = Internet(seed=5)
    first, second = TurnServer(internet, "203.0.113.53"), TurnServer(internet, "203.0.113.54")
    second.listen_tcp()

    async def main() -> None:
        config = IceConfig(
            use_ipv6=False,
            options=AIOICE.options,
            servers=(
                relayed(first),
                relayed(second, "?transport=tcp"),
                parse_server_uri("turn:203.0.113.53", "nobody", "wrong"),
                parse_server_uri("stun:203.0.113.99"),
                parse_server_uri("stuns:203.0.113.53"),
                parse_server_uri("turns:203.0.113.53?transport=udp", "u", "p"),
            ),
        )
        end = End(config)
        end.agent.gather()
        await end.until(lambda: end.agent.gathering_state is GatheringState.COMPLETE)
        assert [c.address for c in end.candidates if c.type == "relay"] == [first.host, second.host]
        assert sorted(code for _, code in end.errors) == [401, 701, 701, 701]
        await end.agent.close()
        assert first.allocations == second.allocations == 0

    run(main(), internet=internet)


def test_a_relay_that_does_not_answer_delays_the_end_by_a_bound() -> None:
    internet = Internet(seed=5)
    server = TurnServer(internet, "203.0.113.53")

    async def main() -> None:
        end = End(IceConfig(use_ipv6=False, options=AIOICE.options, servers=(relayed(server),)))
        end.agent.gather()
        await end.until(lambda: end.agent.gathering_state is GatheringState.COMPLETE)
        internet.loss = 1.0
        loop = asyncio.get_running_loop()
        began = loop.time()
        await end.agent.close()
        assert loop.time() - began <= GOODBYE_S
        await asyncio.sleep(100)  # aioice's own patience

    run(main(), internet=internet)


async def test_it_is_closed_where_its_loop_does_not_run() -> None:
    """On this machine's sockets: none is left open, which the test watches."""

    async def gather() -> End:
        end = End(AIOICE)
        end.agent.gather()
        await end.until(lambda: end.candidates)
        return end

    def elsewhere() -> None:
        loop = asyncio.new_event_loop()
        end = loop.run_until_complete(gather())
        assert end.agent.abandon() is None
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()

    await asyncio.to_thread(elsewhere)
