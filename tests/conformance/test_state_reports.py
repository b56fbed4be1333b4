"""Reports of state changes: to a function, and to an HTTP endpoint that fails now and then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from rtcstack.observe.statereports import MAX_WAITING, HttpSink, StateReporter
from tests.conformance.helpers import open_channels, pair


async def test_every_transition_is_reported() -> None:
    records: list[dict[str, Any]] = []
    async with pair() as (a, b):
        reporter = StateReporter(a, records.append, localID="alice", remoteID="bob", deviceID="d")
        await open_channels(a, b)
    await reporter.close()
    changes: dict[str, list[str]] = {}
    for record in records:
        assert set(record) == {
            *("localID", "originID", "remoteID", "deviceID", "connectionID"),
            *("timestamp", "prevState", "newState", "changedState"),
        }
        assert (record["localID"], record["remoteID"], record["deviceID"]) == ("alice", "bob", "d")
        states = changes.setdefault(record["changedState"], [record["prevState"]])
        assert states[-1] == record["prevState"]
        states.append(record["newState"])
    assert changes["signalingState"] == ["stable", "have-local-offer", "stable", "closed"]
    assert changes["iceGatheringState"][:3] == ["new", "gathering", "complete"]
    assert changes["iceConnectionState"][:3] == ["new", "checking", "connected"]
    assert changes["connectionState"] == ["new", "connecting", "connected", "closed"]
    assert len({r["connectionID"] for r in records}) == 1
    times = [r["timestamp"] for r in records]
    assert times == sorted(times)


class Endpoint:
    """An HTTP server that answers with these statuses in turn, the last one for ever."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.batches: list[list[dict[str, Any]]] = []
        self.headers: list[Any] = []

    async def __aenter__(self) -> str:
        async def take(request: web.Request) -> web.Response:
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            if status < 300:
                self.batches.append(await request.json())
                self.headers.append(request.headers)
            return web.Response(status=status)

        app = web.Application()
        app.router.add_post("/states", take)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self.runner.addresses[0][1]}/states"

    async def __aexit__(self, *_: object) -> None:
        await self.runner.cleanup()


async def drained(sink: HttpSink) -> None:
    assert sink._task is not None
    await asyncio.wait_for(sink._task, 10)


async def test_records_are_posted_in_batches() -> None:
    endpoint = Endpoint(200)
    async with endpoint as url:
        sink = HttpSink(url, interval_s=0.02, headers={"Authorization": "Bearer x"})
        for i in range(250):
            sink({"i": i})
        await drained(sink)
        assert [len(b) for b in endpoint.batches] == [100, 100, 50]
        assert [r["i"] for b in endpoint.batches for r in b] == list(range(250))
        assert endpoint.headers[0]["Authorization"] == "Bearer x"
        assert (sink.sent, sink.dropped) == (250, 0)


async def test_failures_are_repeated() -> None:
    endpoint = Endpoint(503, 429, 200)
    async with endpoint as url:
        sink = HttpSink(url, interval_s=0.01, retry_delay_s=0.01)
        sink({"i": 1})
        await drained(sink)
        assert endpoint.batches == [[{"i": 1}]]
        sink({"i": 2})
        await sink.close()
        assert endpoint.batches[1:] == [[{"i": 2}]]


@pytest.mark.parametrize("status", [401, 500])
async def test_an_endpoint_that_never_takes_anything(status: int) -> None:
    async with Endpoint(status) as url:
        sink = HttpSink(url, interval_s=0.01, retries=2, retry_delay_s=0.01)
        sink({"i": 1})
        await drained(sink)
        assert (sink.sent, sink.dropped) == (0, 1)


async def test_an_endpoint_that_is_not_there_takes_no_memory_and_no_time() -> None:
    sink = HttpSink("http://127.0.0.1:1/states", retry_delay_s=60)
    for i in range(MAX_WAITING + 10):
        sink({"i": i})
    assert len(sink._waiting) == MAX_WAITING
    assert sink.dropped == 10
    await asyncio.wait_for(sink.close(), 5)
    assert sink.sent == 0
    assert sink.dropped == MAX_WAITING + 10
