"""Two ICE agents on the loopback interface."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtcstack.engine import Run
from rtcstack.ice import (
    GatheringState,
    IceConfig,
    IceState,
    parse_server_uri,
)
from rtcstack.ice.engine.generation import MAX_LEARNT_CANDIDATES, MAX_REMOTE_CANDIDATES
from rtcstack.sdp.candidate import Candidate
from rtcstack.testing import VirtualNetwork
from tests.support.iceagents import Observer, agents, connect, start
from tests.support.virtual import in_virtual_time


async def test_connects_completes_and_carries_data() -> None:
    async with agents() as (a, b):
        await connect(a, b)
        for each in (a, b):
            await each.until(lambda e=each: e.agent.state is IceState.COMPLETED)
            assert each.states == [IceState.CHECKING, IceState.CONNECTED, IceState.COMPLETED]
            assert each.agent.rtt_s is not None
        assert a.agent.controlling
        assert not b.agent.controlling
        a.agent.send_runs([Run(b"\x16hello", 6)])
        await b.until(lambda: b.data)
        assert b.data == [b"\x16hello"]


@in_virtual_time
async def test_role_conflict_is_repaired() -> None:
    async with agents() as (a, b):
        for me, other in ((a, b), (b, a)):
            me.agent.gather()
            me.agent.start(other.agent.ufrag, other.agent.pwd, controlling=True)
        for each in (a, b):
            await each.until(lambda e=each: e.agent.state in (IceState.CONNECTED, IceState.COMPLETED))
        assert a.agent.controlling is not b.agent.controlling


@in_virtual_time
async def test_silence_is_disconnected_then_failed() -> None:
    async with agents() as (a, b):
        await connect(a, b)
        await b.agent.close()
        await a.until(lambda: a.agent.state is IceState.FAILED)
        assert a.states[-2:] == [IceState.DISCONNECTED, IceState.FAILED]
        a.agent.send_runs([Run(b"\x16x", 2)])


@in_virtual_time
async def test_silence_that_ends_is_connected_again() -> None:
    async with agents() as (a, b):
        await connect(a, b)
        kept = dict(b.agent._carriers)
        b.agent._carriers.clear()
        await a.until(lambda: IceState.DISCONNECTED in a.states)
        b.agent._carriers.update(kept)
        await a.until(lambda: a.agent.state in (IceState.CONNECTED, IceState.COMPLETED))
        assert IceState.FAILED not in a.states


@in_virtual_time
async def test_wrong_password_never_connects_and_fails() -> None:
    async with agents() as (a, b):
        a.agent.gather()
        b.agent.gather()
        a.agent.start(b.agent.ufrag, "x" * 24, controlling=True)
        b.agent.start(a.agent.ufrag, "y" * 24, controlling=False)
        await a.until(lambda: a.agent.state is IceState.FAILED)
        assert a.agent.selected_pair is None


@in_virtual_time
async def test_a_peer_without_candidates_is_found_by_its_checks() -> None:
    async with agents() as (a, b):
        b.other = None  # b's candidates are never signalled
        await connect(a, b)
        assert a.agent.selected_pair is not None
        assert a.agent.selected_pair.remote.type == "prflx"


@in_virtual_time
async def test_restart_keeps_the_old_pair_until_there_is_a_new_one() -> None:
    async with agents() as (a, b):
        await connect(a, b)
        old = a.agent.ufrag
        for each in (a, b):
            each.agent.restart()
        assert a.agent.ufrag != old
        a.agent.send_runs([Run(b"\x16meanwhile", 10)])
        await b.until(lambda: b.data)
        pairs = len(a.pairs)
        start(a, b)
        await a.until(lambda: len(a.pairs) > pairs)
        await b.until(lambda: b.agent.engine.active is b.agent.engine.newest)
        a.agent.send_runs([Run(b"\x16after", 6)])
        await b.until(lambda: len(b.data) == 2)
        assert b.data == [b"\x16meanwhile", b"\x16after"]
        assert IceState.DISCONNECTED not in a.states


@in_virtual_time
async def test_a_cancelled_restart_changes_nothing() -> None:
    async with agents() as (a, b):
        await connect(a, b)
        ufrag = a.agent.ufrag
        a.agent.restart()
        a.agent.gather()
        a.agent.cancel_restart()
        assert a.agent.ufrag == ufrag
        a.agent.send_runs([Run(b"\x16still", 6)])
        await b.until(lambda: b.data)


@in_virtual_time
async def test_a_server_that_does_not_answer_is_reported() -> None:
    server = parse_server_uri("stun:127.0.0.1:9")
    config = IceConfig(servers=(server,), include_loopback=True, use_ipv6=False, gather_timeout_s=0.2)
    async with agents(config) as (a, b):
        await connect(a, b)
        await a.until(lambda: a.errors and a.agent.gathering_state is GatheringState.COMPLETE)
        assert {code for _, code in a.errors} == {701}


@in_virtual_time
async def test_too_many_candidates_are_counted_and_dropped() -> None:
    async with agents() as (a, b):
        start(a, b)
        for i in range(10_000):
            address = f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}"
            a.agent.add_remote_candidate(Candidate.parse(f"{i} 1 udp 1 {address} 9 typ host"))
        engine = a.agent.engine
        assert len(engine.newest.remotes) <= MAX_REMOTE_CANDIDATES + MAX_LEARNT_CANDIDATES
        assert engine.counters.candidates >= 10_000 - MAX_REMOTE_CANDIDATES


@pytest.mark.parametrize(
    "text",
    [
        "1 1 tcp 1 127.0.0.1 9 typ host tcptype active",
        "1 2 udp 1 127.0.0.1 9 typ host",
        "1 1 udp 1 127.0.0.1 0 typ host",
        "1 1 udp 1 not-a-number.example 9 typ host",
        "1 1 udp 1 127.0.0.1 9 typ future",
    ],
)
@in_virtual_time
async def test_candidates_that_cannot_be_used_are_ignored(text: str) -> None:
    async with agents() as (a, b):
        start(a, b)
        a.agent.add_remote_candidate(Candidate.parse(text))
        await a.until(lambda: a.agent.state in (IceState.CONNECTED, IceState.COMPLETED))


@in_virtual_time
async def test_a_name_that_nobody_answers_for() -> None:
    async with agents() as (a, b):
        start(a, b)
        name = "3f2a7c60-0000-4000-8000-000000000000.local"
        a.agent.add_remote_candidate(Candidate.parse(f"1 1 udp 1 {name} 9 typ host"))
        await a.until(lambda: a.agent.state in (IceState.CONNECTED, IceState.COMPLETED))


@in_virtual_time
async def test_closing_twice_and_calling_afterwards() -> None:
    async with agents() as (a, b):
        await connect(a, b)
        await a.agent.close()
        await a.agent.close()
        a.agent.restart()
        a.agent.gather()
        a.agent.start("abcd", "p" * 24, controlling=True)
        a.agent.add_remote_candidate(Candidate.parse("1 1 udp 1 127.0.0.1 9 typ host"))
        a.agent.end_of_remote_candidates()
        a.agent.send_runs([Run(b"\x16x", 2)])
        assert a.agent.state is IceState.CLOSED
    assert len(asyncio.all_tasks()) == 1


@in_virtual_time
async def test_names_of_one_generation_do_not_end_the_candidates_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: dict[str, asyncio.Future[list[str]]] = {}

    async def resolve(_: Any, name: str) -> list[str]:
        answers[name] = asyncio.get_running_loop().create_future()
        return await answers[name]

    monkeypatch.setattr(VirtualNetwork, "resolve", resolve)

    async def give(name: str) -> None:
        observer.agent.add_remote_candidate(Candidate.parse(f"1 1 udp 1 {name} 9 typ host"))
        await asyncio.sleep(0)

    async def answer(name: str) -> None:
        answers[name].set_result(["127.0.0.1"])
        for _ in range(3):
            await asyncio.sleep(0)

    observer = Observer()
    try:
        agent = observer.agent
        agent.gather()
        agent.start("abcd", "p" * 24, controlling=True)
        await give("first.local")
        agent.end_of_remote_candidates()
        await give("slow.local")
        await answer("first.local")
        assert not agent.engine.newest.remote_ended, "one of its names is still asked for"
        agent.restart()
        agent.gather()
        agent.start("efgh", "q" * 24, controlling=True)
        await give("one.local")
        await give("two.local")
        await answer("slow.local")
        await answer("one.local")
        assert not agent.engine.newest.remote_ended
        agent.end_of_remote_candidates()
        assert not agent.engine.newest.remote_ended
        await answer("two.local")
        assert agent.engine.newest.remote_ended
        agent.restart()
        agent.start("ijkl", "r" * 24, controlling=True)
        await give("three.local")
        await answer("three.local")
        assert not agent.engine.newest.remote_ended, "nobody has said so of this generation"
        agent.end_of_remote_candidates()
        assert agent.engine.newest.remote_ended
    finally:
        await observer.agent.close()


@in_virtual_time
async def test_closing_when_gathering_begins_opens_no_socket() -> None:
    observer = Observer()
    observer.on_ice_gathering = lambda state: observer.agent.abandon()  # type: ignore[method-assign,assignment]
    observer.agent.gather()
    await asyncio.sleep(0.05)
    assert observer.agent._carriers == {}
    await observer.agent.close()
