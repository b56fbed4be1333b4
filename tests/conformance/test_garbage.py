"""Connections that the application forgets: which are collected, and which the loop keeps.

Spec: webrtc-pc, section 4.4.1 (garbage collection). Closed and idle ones: tests/unit/api/test_home.py.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from dataclasses import replace
from typing import Any

import pytest

from rtcstack import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, TestPatternSource
from rtcstack.testing import VirtualLoop
from tests.conformance.helpers import FAST, negotiate, open_channels, stand_on, trickle, until
from tests.support.leaks import _virtual_sockets

pytestmark = pytest.mark.virtual


def sockets() -> list[str]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return _virtual_sockets(loop)


def cut() -> None:
    """From here on nothing arrives anywhere."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.internet.filter = lambda *_: False


def mend() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.internet.filter = None


def two(**settings: Any) -> tuple[RTCPeerConnection, RTCPeerConnection]:
    configuration = RTCConfiguration(settings=replace(FAST, **settings))
    with stand_on("alice"):
        a = RTCPeerConnection(configuration)
    with stand_on("bob"):
        b = RTCPeerConnection(configuration)
    trickle(a, b)
    return a, b


async def connect(a: RTCPeerConnection, b: RTCPeerConnection, *, media: bool) -> Any:
    if media:
        a.addTransceiver(MediaStreamTrack("video", source=TestPatternSource()))
        a.addTransceiver("audio")
    channels = await open_channels(a, b)
    for connection in (a, b):
        await until(
            lambda connection=connection: connection.connectionState == "connected",  # type: ignore[misc]
            connection,
            "connectionstatechange",
        )
    return channels


async def collected(*alive: weakref.ref[Any]) -> bool:
    for _ in range(50):
        await asyncio.sleep(0.1)
        gc.collect()
        if not any(each() for each in alive):
            return True
    return False


@pytest.mark.parametrize("media", [False, True])
@pytest.mark.parametrize("abandon_after_s", [0.3, None])
async def test_failed_connections_are_collected_with_what_they_hold(
    media: bool, abandon_after_s: float | None
) -> None:
    a, b = two(abandon_after_failed_s=abandon_after_s)
    told: list[Any] = []
    channels = await connect(a, b, media=media)
    a.on("connectionstatechange", lambda event: told.append(event.target.connectionState))
    alive = [weakref.ref(each) for each in (a, b, *channels)]
    assert sockets()
    cut()
    while "failed" not in told or b.connectionState != "failed":
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    del a, b, channels
    assert await collected(*alive)
    await asyncio.sleep(0.1)
    assert sockets() == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_connection_that_its_peer_has_left_is_collected_once_it_has_failed() -> None:
    a, b = two()
    channels = await connect(a, b, media=True)
    alive = [weakref.ref(each) for each in (a, b, *channels)]
    await b.close()
    while a.connectionState != "failed":
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    del a, b, channels
    assert await collected(*alive)
    await asyncio.sleep(0.1)
    assert sockets() == []


@pytest.mark.of_the_engine  # whose time until "failed" can be set
async def test_one_whose_channels_may_still_fail_is_told_so_first() -> None:
    """Until an event can be fired no more, the loop holds whom it concerns."""
    a, b = two(abandon_after_failed_s=20.0)
    told: list[str] = []
    channels = await connect(a, b, media=False)
    for channel in channels:
        channel.on("close", lambda event: told.append(event.target.label))
    alive = [weakref.ref(each) for each in (a, b, *channels)]
    cut()
    del a, b, channels, channel
    await asyncio.sleep(10)
    gc.collect()
    assert all(each() for each in alive)
    await asyncio.sleep(15)
    assert told == ["test", "test"]
    assert await collected(*alive)


async def test_one_that_a_restart_has_saved_is_kept_again() -> None:
    a, b = two(abandon_after_failed_s=None)
    channels = await connect(a, b, media=False)
    heard: list[str] = []
    channels[1].on("message", lambda event: heard.append(event.data))
    cut()
    while not a.connectionState == b.connectionState == "failed":
        await asyncio.sleep(0.1)
    gc.collect()
    mend()
    a.restartIce()
    await negotiate(a, b)
    while not a.connectionState == b.connectionState == "connected":
        await asyncio.sleep(0.1)
    alive = [weakref.ref(each) for each in (a, b)]
    mine = channels[0]
    del a, b, channels
    gc.collect()
    mine.send("still there?")
    await asyncio.sleep(1)
    assert heard == ["still there?"]
    for each in alive:
        connection = each()
        assert connection is not None
        await connection.close()


async def test_open_ones_are_kept_and_closed_ones_are_not() -> None:
    a, b = two()
    channels = await connect(a, b, media=True)
    offered, _ = two()  # it has sockets, and waits for an answer
    offered.createDataChannel("x")
    await offered.setLocalDescription()
    alive = [weakref.ref(each) for each in (a, b, offered)]
    heard: list[str] = []
    channels[1].on("message", lambda event: heard.append(event.data))
    mine = channels[0]
    del a, b, offered, channels, _
    await asyncio.sleep(1)
    gc.collect()
    assert all(each() for each in alive)
    mine.send("kept")
    await asyncio.sleep(1)
    assert heard == ["kept"]
    del mine
    for each in alive:
        connection = each()
        assert connection is not None
        await connection.close()
        del connection
    assert await collected(*alive)
    assert sockets() == []


async def test_a_log_that_is_kept_keeps_no_connection(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "rtcstack")
    a, b = two()
    await connect(a, b, media=True)
    alive = [weakref.ref(each) for each in (a, b)]
    await a.close()
    await b.close()
    del a, b
    assert await collected(*alive)
    assert any("packets take" in each.getMessage() for each in caplog.records)


async def test_one_that_never_negotiated_is_collected() -> None:
    idle, pooled = RTCPeerConnection(), RTCPeerConnection(RTCConfiguration(iceCandidatePoolSize=0))
    described = RTCPeerConnection()
    described.addTransceiver("video")
    described.createDataChannel("x")
    await described.createOffer()
    alive = [weakref.ref(each) for each in (idle, pooled, described)]
    del idle, pooled, described
    assert await collected(*alive)
    assert sockets() == []
