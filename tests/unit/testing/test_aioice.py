"""aioice knows nothing of virtual time, and connects there all the same."""

from __future__ import annotations

import asyncio

import aioice
import pytest

from rtcstack.testing import Internet, Nat, TurnServer, VirtualLoop, run


def test_two_connections_of_aioice(monkeypatch: pytest.MonkeyPatch) -> None:
    internet = Internet(seed=3)
    server = TurnServer(internet, "203.0.113.53")
    hosts = [internet.add_host(name, behind=Nat(internet, inside=f"10.0.{name}")) for name in "12"]

    def addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        return loop.host().addresses()

    monkeypatch.setattr("aioice.ice.get_host_addresses", addresses)

    async def main() -> None:
        ends = []
        for is_controlling, host in zip((True, False), hosts, strict=True):
            with host:
                ends.append(aioice.Connection(is_controlling, stun_server=(server.host, 3478)))
        await asyncio.gather(*(h.run(e.gather_candidates()) for h, e in zip(hosts, ends, strict=True)))
        for one, other in (ends, ends[::-1]):
            for candidate in other.local_candidates:
                await one.add_remote_candidate(candidate)
            await one.add_remote_candidate(None)
            one.remote_username, one.remote_password = other.local_username, other.local_password
        await asyncio.gather(*(h.run(e.connect()) for h, e in zip(hosts, ends, strict=True)))
        await ends[0].send(b"hello")
        assert await ends[1].recv() == b"hello"
        await asyncio.sleep(60)
        await ends[1].send(b"still there")
        assert await ends[0].recv() == b"still there"
        for end in ends:
            await end.close()

    run(main(), internet=internet, limit_s=200)


def test_an_endpoint_whose_maker_is_cancelled_is_closed() -> None:
    """As on asyncio's own loops: nobody else could close it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        making = asyncio.ensure_future(
            loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=(loop.host().addresses()[0], 0)
            )
        )
        await asyncio.sleep(0)
        making.cancel()
        await asyncio.wait([making])
        assert making.cancelled()
        assert [port for port in loop.host().open_ports if not port[0]] == []

    run(main())
