"""Which peers there are, and a pair of connections for each test.

A missing peer is a skip with its reason; where CI is set, a failure.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib.util import find_spec

import pytest
import pytest_asyncio

from rtcstack.engine import Buffer
from rtcstack.refusals import MAX_KEPT, MAX_KEPT_BYTES, Refusal, Refusals
from tests.support.chromium_peer import chromium_program, start_chromium
from tests.support.firefox_peer import firefox_program, start_firefox
from tests.support.gstreamer import gstreamer_available, start_gstreamer
from tests.support.host import Host, HostGoneError, StdioHost
from tests.support.leaks import lasting
from tests.support.node_peer import node_available, start_node, start_werift, werift_available
from tests.support.peers import Channel, ChannelOptions, Description, Peer, connect
from tests.support.pion_peer import pion_available, start_pion
from tests.support.rtcstack_peer import RtcstackPeer
from tests.support.sound_card import sound_card_available
from tests.support.wanted import missing

HOW = "(see tools/install_system.sh and `make install`)"
"""Where what is missing comes from."""


async def start_python(stack: str) -> StdioHost:
    return await StdioHost.start(stack, sys.executable, "-m", "tests.support.agent", stack)


@dataclass(frozen=True, slots=True)
class Kind:
    """How to start one kind of peer, and what it needs."""

    start: Callable[[], Awaitable[Host]]
    available: Callable[[], bool]
    needs: str


KINDS = {
    "chromium": Kind(start_chromium, lambda: chromium_program() is not None, "Chromium"),
    "chromium-mdns": Kind(
        lambda: start_chromium(mdns=True), lambda: chromium_program() is not None, "Chromium"
    ),
    "chromium-experimental": Kind(
        lambda: start_chromium(experimental=True), lambda: chromium_program() is not None, "Chromium"
    ),
    "firefox": Kind(start_firefox, lambda: firefox_program() is not None, "Firefox"),
    "firefox-mdns": Kind(lambda: start_firefox(mdns=True), lambda: firefox_program() is not None, "Firefox"),
    "wrtc": Kind(lambda: start_python("wrtc"), lambda: find_spec("wrtc") is not None, "the package wrtc"),
    "aiortc": Kind(
        lambda: start_python("aiortc"), lambda: find_spec("aiortc") is not None, "the package aiortc"
    ),
    "node": Kind(start_node, node_available, "Node with node-datachannel"),
    "werift": Kind(start_werift, werift_available, "Node with werift"),
    "pion": Kind(start_pion, pion_available, "Go with Debian's Pion"),
    "gstreamer": Kind(start_gstreamer, gstreamer_available, "GStreamer with webrtcbin"),
    "rtcstack": Kind(lambda: start_python("rtcstack"), lambda: True, ""),
}

PEERS = ("chromium", "firefox", "wrtc", "aiortc", "node", "werift", "pion", "rtcstack")
"""What every interop test runs with; the mDNS kinds are for the tests of candidates."""


class Hosts:
    """The processes of this test session, each started when it is first needed."""

    def __init__(self) -> None:
        self._hosts: dict[str, Host] = {}

    async def get(self, name: str) -> Host:
        """The host of that name, started again if it has ended."""
        host = self._hosts.get(name)
        if host is None or host.gone:
            with lasting():
                host = await start_host(name)
            self._hosts[name] = host
        return host

    async def kill(self) -> None:
        for host in self._hosts.values():
            await host.kill()


async def start_host(name: str) -> Host:
    """Start a host of that kind, or skip the test."""
    kind = KINDS[name]
    if not kind.available():
        missing(f"{kind.needs} is not installed {HOW}")
    return await kind.start()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def hosts() -> AsyncIterator[Hosts]:
    result = Hosts()
    yield result
    await result.kill()


class Pair:
    """rtcstack here, another peer there, and who offers."""

    def __init__(self, local: Peer, remote: Peer, *, local_offers: bool) -> None:
        self.local = local
        self.remote = remote
        self.local_offers = local_offers
        self.offerer, self.answerer = (local, remote) if local_offers else (remote, local)

    def connect(self) -> AbstractAsyncContextManager[tuple[Description, Description]]:
        """Negotiate, trickling both ways; yields offer and answer."""
        return connect(self.offerer, self.answerer)

    def reconnect(
        self, *, by: Peer, restart: bool = False
    ) -> AbstractAsyncContextManager[tuple[Description, Description]]:
        """Negotiate again, offered by either side."""
        return connect(by, self.remote if by is self.local else self.local, restart=restart)

    async def open(self, options: ChannelOptions, *, by: Peer) -> tuple[Channel, Channel]:
        """Create a channel at `by` over a connection that stands; (ours, theirs), both open."""
        created = await by.create_channel(options)
        other = await (self.remote if by is self.local else self.local).next_channel()
        return await self.opened(created, other, by=by)

    async def opened(self, created: Channel, other: Channel, *, by: Peer) -> tuple[Channel, Channel]:
        """Wait until both are open; (ours, theirs)."""
        await created.opened()
        await other.opened()
        return (created, other) if by is self.local else (other, created)


@pytest.fixture(params=["local-offers", "remote-offers"])
def local_offers(request: pytest.FixtureRequest) -> bool:
    """By name, or as it is where a test says it itself."""
    return request.param in (True, "local-offers")


@pytest.fixture(params=PEERS)
def peer_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sound_card(peer_name: str) -> None:
    """For tests of media: Firefox's sound does not run without."""
    if peer_name == "firefox" and not sound_card_available():
        missing(f"PulseAudio is not installed {HOW}")


@pytest.fixture(autouse=True)
def nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that a real peer sends may be refused by any engine of ours; what was is printed."""
    refused: list[Refusal] = []
    add = Refusals.add

    def note(self: Refusals, protocol: str, reason: str, data: Buffer = b"", count: int = 1) -> None:
        refused.append(Refusal(protocol, reason, bytes(data[:MAX_KEPT_BYTES])))
        add(self, protocol, reason, data, count)

    monkeypatch.setattr(Refusals, "add", note)
    yield
    shown = "\n".join(str(each) for each in refused[:MAX_KEPT])
    assert not refused, f"{len(refused)} packets were refused; the first of them:\n{shown}"


@pytest_asyncio.fixture(loop_scope="session")
async def pair(hosts: Hosts, peer_name: str, local_offers: bool) -> AsyncIterator[Pair]:
    host = await hosts.get(peer_name)
    remote = await host.peer()
    local = RtcstackPeer()
    try:
        yield Pair(local, remote, local_offers=local_offers)
    finally:
        await local.close()
        try:
            await remote.close()
        except (HostGoneError, TimeoutError):
            await host.kill()
