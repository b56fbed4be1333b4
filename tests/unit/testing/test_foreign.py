"""Networks and workers of the application's own that fail: connections say so, and nothing else happens."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from rtcstack import (
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    TestPatternSource,
    ToneSource,
    platform,
)
from rtcstack.config import IceSettings, Settings
from rtcstack.platform.current import loops_with_their_own
from rtcstack.testing import Internet, TurnServer, VirtualLoop, VirtualNetwork
from tests.unit.testing.calls import Call, until

METHODS = (
    "interfaces",
    "watch",
    "local_address_for",
    "open_udp",
    "open_tcp",
    "listen_tcp",
    "resolve",
    "publish",
    "withdraw",
)

_ALWAYS = {"interfaces", "local_address_for", "open_udp", "open_tcp", "resolve"}
IS_CALLED = {False: {*_ALWAYS, "listen_tcp"}, True: {*_ALWAYS, "publish"}}
"""While candidates are gathered, by whether addresses are hidden."""


class Broken:
    """A network of which one method raises whatever is asked of it."""

    def __init__(self, network: VirtualNetwork, method: str, error: Exception) -> None:
        self._network = network
        self._method = method
        self._error = error

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._network, name)
        if name != self._method:
            return found

        def fail(*_: Any, **__: Any) -> Any:
            raise self._error

        async def fail_later(*_: Any, **__: Any) -> Any:
            raise self._error

        return fail_later if inspect.iscoroutinefunction(found) else fail


def in_loop_with(changes: Callable[[VirtualLoop], dict[str, Any]], main: Callable[[], Any]) -> list[Any]:
    """Run it in a loop with other values; what reached the loop's exception handler."""
    reached: list[Any] = []

    def make() -> VirtualLoop:
        loop = VirtualLoop(seed=1)
        loop.set_exception_handler(lambda _, context: reached.append(context))
        platform.install(loop, dataclasses.replace(loops_with_their_own[loop], **changes(loop)))
        return loop

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(main())
    return reached


@pytest.mark.parametrize("hides", [False, True])
@pytest.mark.parametrize("error", [OSError("broken"), RuntimeError("broken")], ids=["OSError", "other"])
@pytest.mark.parametrize("method", METHODS)
def test_a_network_that_raises_costs_candidates_or_the_connection(
    method: str, error: Exception, hides: bool, request: pytest.FixtureRequest
) -> None:
    ends = not isinstance(error, OSError) and method in IS_CALLED[hides]
    if ends:  # a fault, as anything that nobody foresees
        request.getfixturevalue("expects_faults")
    tcp = () if hides else ("active", "passive", "so")
    ice = IceSettings(hide_host_addresses=hides, tcp=tcp, restart_on_network_change=True)

    def changes(loop: VirtualLoop) -> dict[str, Any]:
        broken: list[Any] = []

        def network() -> Any:
            usual = loop.network()
            if usual.host.name != "alice":
                return usual
            if not broken:
                broken.append(Broken(usual, method, error))
            return broken[0]

        return {"network": network}

    async def main() -> None:
        internet: Internet = asyncio.get_running_loop().internet  # type: ignore[attr-defined]
        server = TurnServer(internet, "203.0.113.5")
        server.listen_tcp(3478)
        internet.names["relay.example"] = [server.host]
        urls = ["turn:relay.example", "turn:relay.example?transport=tcp"]
        servers = [
            RTCIceServer(urls="stun:relay.example"),
            RTCIceServer(urls=urls, username=server.USERNAME, credential=server.PASSWORD),
        ]
        configuration = RTCConfiguration(iceServers=servers, settings=Settings(ice=ice))
        call = Call(internet.add_host("alice"), internet.add_host("bob"), configuration)
        channel = call.alice.connection.createDataChannel("chat")
        channel.on("error", lambda event: None)
        await call.negotiate()
        await call.alice.connection.gathered()  # it has an end in any case
        await asyncio.sleep(60)
        states = {call.alice.connection.connectionState, call.bob.connection.connectionState}
        nowhere = hides and method == "resolve"  # Bob's names, and the relay's
        assert states == {"failed" if ends or nowhere else "connected"}
        await call.close()

    assert in_loop_with(changes, main) == []


class Workers:
    """Jobs of the application's own."""

    def __init__(self, usual: Any, error: Exception | None) -> None:
        self.post = usual.post
        self.work_s = usual.work_s
        self._error = error

    def submit(self, job: Callable[[], None], *, urgent: bool = False, cost_s: float | None = None) -> None:
        """Nothing is done of it."""
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize("error", [None, RuntimeError("no thread to be had")], ids=["never", "raises"])
def test_workers_that_do_nothing_cost_the_media_alone(error: Exception | None) -> None:
    async def main() -> None:
        internet: Internet = asyncio.get_running_loop().internet  # type: ignore[attr-defined]
        call = Call(internet.add_host("alice"), internet.add_host("bob"))
        errors: list[Any] = []
        with call.alice.host:
            for source in (TestPatternSource(), ToneSource()):
                call.alice.connection.addTrack(source.track()).on("error", errors.append)
            channel = call.alice.connection.createDataChannel("chat")
            channel.on("open", lambda: channel.send("hello"))
        await call.negotiate()
        await asyncio.sleep(10)
        assert call.bob.messages == ["hello"]
        assert bool(errors) is (error is not None)
        await call.close()

    assert in_loop_with(lambda loop: {"jobs": Workers(loop.jobs, error)}, main) == []


class Sticky:
    """A socket that does not close."""

    def __init__(self, udp: Any, asked: list[str]) -> None:
        self._udp = udp
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._udp, name)

    def close(self) -> None:
        """It is closed, and says that it is not."""
        self._asked.append(self._udp.sockname[0])
        self._udp.close()
        raise OSError("it sticks")


def test_a_socket_that_does_not_close_keeps_no_other_open() -> None:
    asked: list[str] = []

    def changes(loop: VirtualLoop) -> dict[str, Any]:
        class Sockets:
            def __getattr__(self, name: str) -> Any:
                return getattr(usual, name)

            def open_udp(self, *arguments: Any) -> Any:
                return Sticky(usual.open_udp(*arguments), asked)

        usual = VirtualNetwork(loop.internet.host())
        network = Sockets()
        return {"network": lambda: network}

    async def main() -> None:
        internet: Internet = asyncio.get_running_loop().internet  # type: ignore[attr-defined]
        internet.host().add_interface("wlan0")
        connection = RTCPeerConnection()
        connection.createDataChannel("chat")
        await connection.setLocalDescription()
        await connection.gathered()
        await connection.close()
        assert asked == internet.host().addresses()

    assert in_loop_with(changes, main) == []


def test_empty_datagrams_reach_nothing_of_ours() -> None:
    async def main() -> None:
        internet: Internet = asyncio.get_running_loop().internet  # type: ignore[attr-defined]
        alice, bob = internet.add_host("alice"), internet.add_host("bob")
        call = Call(alice, bob)
        channel = call.alice.connection.createDataChannel("chat")
        await call.connect()
        await until(lambda: channel.readyState == "open")
        ports = [port for is_tcp, _, port in alice.open_ports if not is_tcp]
        loop = asyncio.get_running_loop()
        with bob:
            nobody, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=("0.0.0.0", 9)
            )
        for port in ports:
            nobody.sendto(b"", (alice.addresses()[0], port))
        channel.send("hello")
        await asyncio.sleep(1)
        assert call.bob.messages == ["hello"]
        nobody.close()
        await call.close()

    assert in_loop_with(lambda _: {}, main) == []
