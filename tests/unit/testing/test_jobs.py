"""Work in modelled time."""

from __future__ import annotations

import asyncio

from rtcstack.clock import monotonic
from rtcstack.testing import START_S, Internet, VirtualJobs, VirtualLoop, run
from rtcstack.testing.jobs import DEFAULT_COST_S


def jobs() -> VirtualJobs:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop.jobs


def test_workers_take_the_time_that_jobs_are_said_to_take() -> None:
    ends: list[tuple[str, float]] = []

    def job(name: str) -> None:
        ends.append((name, round(monotonic() - START_S, 6)))

    async def main() -> None:
        for name, cost_s, urgent in (
            ("a", 0.1, False),
            ("b", 0.2, False),
            ("c", 0.1, False),
            ("d", 0.1, True),
        ):
            jobs().submit(lambda name=name: job(name), cost_s=cost_s, urgent=urgent)  # type: ignore[misc]
        await asyncio.sleep(1)
        assert jobs().done == 4
        assert jobs().work_s() == 0.0

    run(main())
    assert ends == [("a", 0.1), ("b", 0.2), ("d", 0.2), ("c", 0.3)]


def test_a_job_of_unknown_cost_takes_the_usual() -> None:
    async def main() -> None:
        done = asyncio.get_running_loop().create_future()
        jobs().submit(lambda: jobs().post(lambda: done.set_result(monotonic())))
        assert await done == START_S + DEFAULT_COST_S

    run(main())


def test_hosts_have_workers_of_their_own_and_jobs_stand_on_them() -> None:
    internet = Internet()
    ends: list[tuple[str, float]] = []

    def job() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        ends.append((loop.host().name, loop.time() - START_S))

    async def main() -> None:
        for name in ("a", "a", "b"):
            with internet.host(name):
                jobs().submit(job, cost_s=1.0)
        await asyncio.sleep(5)

    run(main(), internet=internet, workers=1)
    assert ends == [("a", 1.0), ("b", 1.0), ("a", 2.0)]
