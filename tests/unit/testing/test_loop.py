"""The virtual loop: order, jumps of time, and saying so instead of hanging."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from rtcstack.clock import monotonic, unix_time
from rtcstack.entropy import entropy, random_hex
from rtcstack.platform import installed
from rtcstack.testing import (
    START_S,
    START_WALL_S,
    Internet,
    NothingHappensError,
    RealWaitError,
    TimeLimitError,
    VirtualLoop,
    run,
)
from rtcstack.testing.loop import MAX_PASSES_AT_ONCE


def test_time_jumps_and_is_one_with_the_clock() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert loop.time() == monotonic() == START_S
        await asyncio.sleep(3600)
        assert loop.time() == monotonic() == START_S + 3600
        assert unix_time() == START_WALL_S + 3600

    run(main())
    assert installed() is None


def test_of_one_instant_in_the_order_of_asking() -> None:
    order: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + 1
        for number in range(500):
            loop.call_at(due if number % 2 else due + 1, order.append, number)
        await asyncio.sleep(5)

    run(main())
    assert order == [*range(1, 500, 2), *range(0, 500, 2)]


def test_cancelled_timers_are_dropped() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(100 + i, pytest.fail) for i in range(1000)]
        for timer in timers:
            timer.cancel()
        await asyncio.sleep(1)
        await asyncio.sleep(1)
        assert len(loop._scheduled) <= 1  # type: ignore[attr-defined]

    run(main())


def test_nothing_will_ever_happen_and_it_says_who_waits() -> None:
    async def forgotten() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.gather(forgotten(), asyncio.sleep(2))

    with pytest.raises(NothingHappensError, match=r"test_loop.py:\d+ in forgotten"):
        run(main())


def test_virtual_time_has_a_limit() -> None:
    async def ticks() -> None:
        while True:
            await asyncio.sleep(1)

    async def main() -> None:
        ticking = asyncio.create_task(ticks())
        await asyncio.Event().wait()
        ticking.cancel()

    with pytest.raises(TimeLimitError, match="in ticks"):
        run(main(), limit_s=60)


def test_time_that_stands_still_is_noticed() -> None:
    passes = 0

    async def main() -> None:
        nonlocal passes
        while True:
            passes += 1
            await asyncio.sleep(0)

    with pytest.raises(TimeLimitError, match="stands still"):
        run(main())
    assert passes <= MAX_PASSES_AT_ONCE + 2


REFUSED: list[tuple[str, Callable[[asyncio.AbstractEventLoop], Any]]] = [
    ("run_in_executor", lambda loop: loop.run_in_executor(None, print)),
    ("add_reader", lambda loop: loop.add_reader(0, print)),
    ("add_writer", lambda loop: loop.add_writer(0, print)),
    ("add_signal_handler", lambda loop: loop.add_signal_handler(2, print)),
    ("to_thread", lambda _: asyncio.to_thread(print)),
    ("subprocess_exec", lambda _: asyncio.create_subprocess_exec("true")),
    ("subprocess_shell", lambda _: asyncio.create_subprocess_shell("true")),
    ("unix_connection", lambda _: asyncio.open_unix_connection("/x")),
    ("unix_server", lambda _: asyncio.start_unix_server(lambda _r, _w: None, "/x")),
    ("pipe", lambda loop: loop.connect_read_pipe(asyncio.Protocol, None)),
]


@pytest.mark.parametrize("call", [call for _, call in REFUSED], ids=[name for name, _ in REFUSED])
def test_what_would_wait_for_the_real_world_is_refused(call: Callable[[Any], Any]) -> None:
    async def main() -> None:
        async def ask() -> None:
            waits = call(asyncio.get_running_loop())
            await waits

        with pytest.raises(RealWaitError, match="real world"):
            await ask()

    run(main())


def test_names_that_the_internet_does_not_know_are_unknown() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(OSError, match=r"example\.com"):
            await loop.getaddrinfo("example.com", 80)
        assert (await loop.getaddrinfo("192.0.2.1", 80))[0][4] == ("192.0.2.1", 80)
        assert isinstance(loop, VirtualLoop)
        loop.internet.names["example.com"] = ["2001:db8::1", "192.0.2.7"]
        assert await loop.run_in_executor(None, socket.gethostbyname, "example.com") == "192.0.2.7"
        found = await loop.run_in_executor(None, socket.getaddrinfo, "example.com", 80, socket.AF_INET6)
        assert [entry[4] for entry in found] == [("2001:db8::1", 80, 0, 0)]

    run(main())


def test_another_thread_may_wake_it() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(woken.set_result, 7))
        thread.start()
        thread.join()
        return await woken  # type: ignore[no-any-return]

    assert run(main()) == 7


def test_exceptions_where_packets_arrive_reach_the_loops_handler(
    expects_loop_exceptions: list[dict[str, Any]],
) -> None:
    def fails(_: object) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        agenda = loop.internet.agenda
        agenda.at(agenda.now + 1, fails, None)
        reached = loop.create_future()
        agenda.at(agenda.now + 1, reached.set_result, None)
        await reached

    run(main())
    assert isinstance(expects_loop_exceptions[0]["exception"], ZeroDivisionError)


def test_a_closed_loop_takes_no_timers() -> None:
    loop = VirtualLoop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_later(1, print)


def test_each_host_draws_from_its_own() -> None:
    async def drawn(more: int) -> list[str]:
        internet = Internet(seed=5)
        found = []
        for name, count in (("a", more), ("b", 1)):
            with internet.host(name):
                found += [random_hex(4) for _ in range(count)][:1]
        assert entropy().is_seeded
        return found

    one, other = run(drawn(1)), run(drawn(9))
    assert one == other
    assert one[0] != one[1]


def test_what_is_made_on_a_host_stands_there() -> None:
    internet = Internet()

    async def name() -> str:
        await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        return loop.host().name

    async def main() -> None:
        tasks = [internet.host(host).run(name()) for host in ("a", "b", "a")]
        assert await asyncio.gather(*tasks) == ["a", "b", "a"]
        assert await name() == "host"
        with internet.host("a"), internet.host("b"):
            assert await name() == "b"

    run(main(), internet=internet)
