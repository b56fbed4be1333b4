"""Changes of the machine's addresses: noticed by a listener, and in a real network namespace."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import subprocess
import sys
import weakref

import pytest

from rtcstack.network import capabilities, network
from rtcstack.network import monitor as module
from rtcstack.network.monitor import AddressMonitor

IN_NAMESPACE = """
import asyncio, subprocess
from rtcstack.network import network

def ip(*words):
    subprocess.run(("ip", *words), check=True)

async def main():
    ip("link", "set", "lo", "up")
    ip("link", "add", "test0", "type", "veth", "peer", "name", "test1")
    ip("link", "set", "test0", "up")
    changed = asyncio.Event()
    watch = network().watch(changed.set)
    for words in (("add", "10.7.7.7/24"), ("del", "10.7.7.7/24")):
        ip("addr", *words, "dev", "test0")
        await asyncio.wait_for(changed.wait(), 5)
        changed.clear()
    watch.close()
    print("noticed")

asyncio.run(main())
"""


async def test_listeners_are_told_of_changes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = frozenset({"10.0.0.1"})
    monkeypatch.setattr(module, "all_addresses", lambda: addresses)
    told: list[int] = []

    def listener() -> None:
        told.append(1)

    assert network() is network()
    monitor = AddressMonitor()
    watch = monitor.watch(listener)
    session = monitor.session
    assert session is not None
    monitor.look()
    assert told == []
    addresses = frozenset({"10.0.0.2"})
    monitor.look()
    monitor.look()
    assert told == [1]
    watch.close()
    watch.close()
    addresses = frozenset()
    monitor.look()
    assert told == [1]
    assert monitor.session is None
    assert session.netlink is None
    assert session.timer is None


async def test_without_netlink_the_addresses_are_read_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = frozenset({"10.0.0.1"})
    monkeypatch.setattr(module, "all_addresses", lambda: addresses)
    monkeypatch.setattr(module, "POLL_S", 0.01)

    def refuse(*_: object) -> None:
        raise OSError("no such family")

    monkeypatch.setattr(capabilities.socket, "socket", refuse)
    changed = asyncio.Event()
    watch = AddressMonitor().watch(changed.set)
    addresses = frozenset({"10.0.0.2"})
    await asyncio.wait_for(changed.wait(), 5)
    watch.close()


@pytest.mark.parametrize("polls", [False, True])
def test_a_loop_ends_with_those_who_watch_though_none_has_closed(polls: bool) -> None:
    monitor = AddressMonitor(polls=polls)

    async def use() -> object:
        watch = monitor.watch(lambda: None)
        session = monitor.session
        assert session is not None
        if session.netlink is not None:
            session.netlink.close()  # what is not closed says so when it is deleted
        if session.timer is not None:
            session.timer.cancel()
        return watch

    loop = asyncio.new_event_loop()
    watch = loop.run_until_complete(use())
    loop.close()
    gone = weakref.ref(loop)
    del loop, watch
    gc.collect()
    assert gone() is None
    assert monitor.session is None


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("unshare"), reason="needs Linux namespaces")
def test_a_real_change_is_noticed() -> None:
    unshare = ("unshare", "-n") if os.geteuid() == 0 else ("unshare", "-rn")
    probe = subprocess.run(
        (*unshare, "ip", "link", "add", "one", "type", "veth", "peer", "name", "two"), check=False
    )
    if probe.returncode:
        pytest.skip("no network namespaces here")
    command = (*unshare, sys.executable, "-c", IN_NAMESPACE)
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout.strip() == "noticed", result.stderr


async def test_a_system_that_does_not_say_its_addresses_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses: frozenset[str] | None = None

    def read() -> frozenset[str]:
        if addresses is None:
            raise OSError("too many open files")
        return addresses

    monkeypatch.setattr(module, "all_addresses", read)
    told: list[int] = []
    monitor = AddressMonitor()
    watch = monitor.watch(lambda: told.append(1))
    addresses = frozenset({"10.0.0.1"})
    monitor.look()
    assert told == [1]
    addresses = None
    monitor.look()
    addresses = frozenset({"10.0.0.1"})
    monitor.look()
    assert told == [1]
    watch.close()
