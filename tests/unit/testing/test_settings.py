"""What makes no sense is refused at once, by its name: settings, addresses, arguments."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest

from rtcstack.testing import (
    BurstLoss,
    Internet,
    Lan,
    Link,
    Nat,
    NothingHappensError,
    TurnServer,
    VirtualLoop,
    run,
)

DELAYS = ("delay_s", "jitter_s", "access_delay_s", "reorder_s", "rate_bytes_per_s")
SIZES = ("queue_bytes", "bucket_bytes", "mtu_bytes", "overhead_bytes")
PROBABILITIES = ("loss", "reorder", "duplicate")
WRONG = [
    *((name, value) for name in (*DELAYS, *SIZES, *PROBABILITIES) for value in (-1, nan, inf)),
    *((name, 1.001) for name in PROBABILITIES),
    ("rate_bytes_per_s", 0),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_link_that_cannot_be_is_refused(name: str, value: float) -> None:
    internet = Internet()
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        internet.link(**{name: value})
    link = internet.link(loss=0.5, rate_bytes_per_s=1000)
    before = getattr(link, name)
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        setattr(link, name, value)
    assert getattr(link, name) == before


def test_what_is_no_number_is_named() -> None:
    for value in ("1", None, True):
        with pytest.raises(TypeError, match=r"delay_s is .*, which is no number"):
            Internet().link(delay_s=value)


def test_a_rate_of_nothing_is_no_rate() -> None:
    link = Internet().link(rate_bytes_per_s=1000)
    for rate in (0, -1, nan):
        with pytest.raises(ValueError, match="rate_bytes_per_s"):
            link.set_rate(rate)
    assert link.rate_bytes_per_s == 1000


@pytest.mark.parametrize("values", [(2, 0.5), (0.5, -1), (0.5, 0.5, nan)])
def test_losses_in_bursts_have_probabilities(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must be at least 0, at most 1"):
        BurstLoss(*values)


@pytest.mark.parametrize("settings", [{"delay_s": -1}, {"delay_s": nan}, {"loss": 3}])
def test_so_is_the_public_net(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Internet(**settings)


def test_settings_are_read_as_they_were_set() -> None:
    assert isinstance(Link.delay_s, object)
    link = Internet().link(delay_s=1, queue_bytes=0, loss=1)
    assert (link.delay_s, link.queue_bytes, link.loss, link.mtu_bytes) == (1, 0, 1, None)


@pytest.mark.parametrize("address", ["", "here", "192.168.1", "fe80::1%eth0", "1.2.3.4:5"])
def test_what_is_no_address_is_refused(address: str) -> None:
    internet = Internet()
    makers: list[Callable[[], object]] = [
        lambda: internet.add_host("alice", address),
        lambda: Nat(internet, address),
        lambda: TurnServer(internet, address),
    ]
    for make in makers:
        with pytest.raises(ValueError, match="address"):
            make()
    assert list(internet.hosts) == []
    host = internet.add_host("alice", "192.0.2.1")
    with pytest.raises(ValueError, match="address"):
        host.set_addresses("eth0", "192.0.2.2", address)
    assert host.addresses() == ["192.0.2.1"]
    with pytest.raises(ValueError, match="address"):
        host.add_interface("eth1", address)
    assert list(host.interfaces) == ["eth0"]
    internet.add_host("bob", "192.0.2.2")  # what came before the wrong one was given back


def test_an_address_is_one_hosts_alone() -> None:
    internet = Internet()
    home = Nat(internet)
    internet.add_host("public", "192.0.2.1")
    private = internet.add_host("private", "192.0.2.1", behind=home)
    for net in (internet, Lan(internet), home):
        with pytest.raises(ValueError, match=r"192\.0\.2\.1 is somebody else's"):
            internet.add_host("second", "192.0.2.1", behind=net)
    private.remove_interface("eth0")
    internet.add_host("second", "192.0.2.1", behind=home)  # free again


def test_made_up_addresses_are_nobody_elses() -> None:
    internet = Internet()
    home = Nat(internet, "198.51.100.51")
    internet.add_host("alice", "192.168.1.2", behind=home)
    assert internet.add_host("bob", behind=home).addresses() == ["192.168.1.3"]
    assert internet.add_host("carol").addresses() == ["198.51.100.52"]
    made_up = {internet.new_address() for _ in range(60_000)}
    assert len(made_up) == 60_000
    assert all(int(number) < 256 for address in made_up for number in address.split("."))


def test_an_address_of_ipv6_is_the_same_however_it_is_written() -> None:
    internet = Internet()
    host = internet.add_host("alice", "2001:DB8:0::1")
    assert host.addresses() == ["2001:db8::1"]
    with pytest.raises(ValueError, match="somebody else's"):
        internet.add_host("bob", "2001:db8::0:1")


def test_rules_and_workers() -> None:
    internet = Internet()
    with pytest.raises(ValueError, match="Rule"):
        Nat(internet, mapping="endpoint")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="workers is 0"):
        VirtualLoop(workers=0)


def test_hosts_are_left_in_order() -> None:
    internet = Internet()
    alice, bob = internet.add_host("alice"), internet.add_host("bob")
    with alice, bob, pytest.raises(RuntimeError, match="another order"):
        alice.__exit__()


def test_a_loop_in_a_loop_is_refused_and_nothing_is_left() -> None:
    async def inner() -> None:
        raise AssertionError("never begun")

    async def main() -> None:
        with pytest.raises(RuntimeError, match="running event loop"):
            run(inner())
        with pytest.raises(RuntimeError, match="running event loop"):
            run(inner)  # type: ignore[arg-type]

    run(main())
    asyncio.run(main())


def test_a_timer_for_no_time_is_refused_and_one_for_never_is_no_event() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="NaN"):
            asyncio.get_running_loop().call_later(nan, print)
        await asyncio.sleep(inf)

    with pytest.raises(NothingHappensError, match="sleep"):
        run(main(), limit_s=None)


def test_asyncios_debug_mode_sees_wrong_callbacks_and_threads() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(TypeError, match="coroutines cannot be used with call_at"):
            loop.call_later(1, main)
        raised: list[Exception] = []

        def elsewhere() -> None:
            try:
                loop.call_later(1, print)
            except RuntimeError as error:
                raised.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert "Non-thread-safe" in str(raised[0])

    run(main(), debug=True)


def test_an_internet_moves_on_with_one_loop_at_a_time() -> None:
    internet = Internet()
    loop = VirtualLoop(internet)
    try:
        with pytest.raises(RuntimeError, match="another loop's"):
            VirtualLoop(internet)
    finally:
        loop.close()
    VirtualLoop(internet).close()


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_there_is_not(port: int) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(OverflowError):
            await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("0.0.0.0", port))
        with pytest.raises(OverflowError):
            await loop.create_server(asyncio.Protocol, "0.0.0.0", port)

    run(main())
