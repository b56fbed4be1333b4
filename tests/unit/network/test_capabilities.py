"""What a system cannot do is found out without harm."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from rtcstack.network import capabilities
from rtcstack.network.batched import BatchedUdp
from rtcstack.network.sockets import listening_socket, stream_socket
from rtcstack.platform import Received
from tests.unit.network.test_batched import bound


class Old:
    """A socket of a system that knows no options."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def setsockopt(self, *_: Any) -> None:
        raise OSError("protocol not available")


class Sink:
    def __init__(self) -> None:
        self.data: list[bytes] = []

    def on_batch(self, batch: list[Received], now: float) -> None:
        self.data += [data for data, *_ in batch]


async def test_a_kernel_that_knows_no_options() -> None:
    sink = Sink()
    receiver = BatchedUdp(asyncio.get_running_loop(), Old(bound()), sink)  # type: ignore[arg-type]
    assert not receiver.features.coalesces
    assert not receiver.features.arrival_times
    receiver.send(b"to itself", receiver.sockname)
    for _ in range(5):
        await asyncio.sleep(0)
    assert sink.data == [b"to itself"]
    receiver.close()


@pytest.mark.parametrize("name", ["HAS_MESSAGES", "HAS_SEGMENTATION", "HAS_KERNEL_TIMES"])
async def test_a_system_that_lacks_something(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, name, False)
    form = capabilities.form_for(asyncio.get_running_loop())
    assert (form is capabilities.Form.PORTABLE) is (name == "HAS_MESSAGES")
    with bound() as sock:
        if name != "HAS_KERNEL_TIMES":
            assert not capabilities.enable_gro(sock) or name == "HAS_MESSAGES"
        if name != "HAS_SEGMENTATION":
            assert not capabilities.enable_kernel_times(sock)


async def test_without_netlink(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_NETLINK", raising=False)
    assert capabilities.open_netlink(asyncio.get_running_loop()) is None


def test_on_windows_no_port_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities.sys, "platform", "win32")
    with listening_socket(("127.0.0.1", 0), None) as listening:
        assert not listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        with pytest.raises(OSError, match=r".+"):
            listening_socket(listening.getsockname(), None)
        with pytest.raises(OSError, match=r".+"):
            stream_socket(("127.0.0.1", 9), listening.getsockname())


def test_a_port_is_shared_only_where_that_is_asked_for() -> None:
    with listening_socket(("127.0.0.1", 0), None) as listening:
        for shares_port in (False, True):
            with pytest.raises(OSError, match=r".+"):
                listening_socket(listening.getsockname(), None, shares_port=shares_port)
    with (
        listening_socket(("127.0.0.1", 0), None, shares_port=True) as listening,
        stream_socket(("127.0.0.1", 9), listening.getsockname()) as connecting,
    ):
        assert connecting.getsockname() == listening.getsockname()
