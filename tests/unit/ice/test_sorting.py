"""What a socket receives is told apart: by kind, by sender, in order, with the times at which it came."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from rtcstack.engine import Address, Run
from rtcstack.ice.sorting import PacketSorter
from rtcstack.platform import Received

A, B, STRANGER = ("192.0.2.1", 1), ("192.0.2.2", 2), ("192.0.2.3", 3)
STUN, DTLS, SRTP, UNKNOWN = 1, 22, 128, 200
NOW, LATE = 10.0, 9.5


class Udp:
    is_closed = False


class Receiver:
    """Keeps what one sender sent, in calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[Run], list[bytes], list[float] | None]] = []

    def on_datagrams(
        self, dtls: list[Run], srtp: list[bytes], now: float, arrived: list[float] | None = None
    ) -> None:
        assert now == NOW
        assert arrived is None or len(arrived) == len(srtp)
        self.calls.append((dtls, srtp, arrived))

    @property
    def dtls(self) -> list[bytes]:
        return [d for call in self.calls for run in call[0] for d in run.datagrams()]

    @property
    def srtp(self) -> list[tuple[bytes, float]]:
        return [
            pair
            for _, srtp, arrived in self.calls
            for pair in zip(srtp, arrived or [NOW] * len(srtp), strict=True)
        ]


class Sink:
    """Two peers and whoever else sends."""

    def __init__(self) -> None:
        self.receivers = {A: Receiver(), B: Receiver()}
        self.stun: list[tuple[bytes, Address]] = []
        self.routed = 0
        self.sorter = PacketSorter(self)
        self.sorter.udp = self.udp = Udp()  # type: ignore[assignment]

    def route(self, address: Address) -> Any:
        self.routed += 1
        return self.receivers.get(address)

    def on_stun(self, data: bytes, address: Address, now: float) -> None:
        self.stun.append((data, address))


def packet(kind: int, number: int) -> bytes:
    return bytes((kind, number, 0, 0))


runs = st.tuples(
    st.lists(st.sampled_from((STUN, DTLS, SRTP, UNKNOWN)), min_size=1, max_size=4),
    st.sampled_from((A, B, STRANGER)),
    st.sampled_from((NOW, NOW, LATE)),
)


@settings(deadline=None)
@given(st.lists(runs, max_size=12))
@example([([STUN], STRANGER, NOW), ([STUN, DTLS], STRANGER, NOW)])
def test_everything_goes_where_it_belongs(batch: list[tuple[list[int], Address, float]]) -> None:
    sink = Sink()
    received: list[Received] = []
    stun: list[tuple[bytes, Address]] = []
    dtls: dict[Address, list[bytes]] = {A: [], B: []}
    srtp: dict[Address, list[tuple[bytes, float]]] = {A: [], B: []}
    strangers = unknown = number = 0
    for kinds, address, at in batch:
        packets = []
        for kind in kinds:
            number += 1
            data = packet(kind, number)
            packets.append(data)
            if kind == STUN:
                stun.append((data, address))
            elif address == STRANGER:
                strangers += 1
            elif kind == DTLS:
                dtls[address].append(data)
            elif kind == SRTP:
                srtp[address].append((data, at))
            else:
                unknown += 1
        received.append((b"".join(packets), 4, address, at))
    sink.sorter.on_batch(received, NOW)
    assert sink.stun == stun
    for address, receiver in sink.receivers.items():
        assert receiver.dtls == dtls[address]
        assert receiver.srtp == srtp[address]
    assert sink.sorter.dropped_unknown_source == strangers
    assert sink.sorter.dropped_unknown_kind == unknown


def test_one_call_for_all_of_one_sender() -> None:
    sink = Sink()
    batch: list[Received] = [(packet(SRTP, i), 4, A, NOW) for i in range(50)]
    batch.insert(20, (packet(STUN, 0), 4, A, NOW))
    batch.insert(30, (packet(DTLS, 0) * 3, 4, A, NOW))
    sink.sorter.on_batch(batch, NOW)
    [(dtls, srtp, arrived)] = sink.receivers[A].calls
    assert dtls == [Run(packet(DTLS, 0) * 3, 4)]
    assert [p[1] for p in srtp] == list(range(50))
    assert arrived is None, "all of it has just come"
    assert sink.routed == 1


def test_a_check_makes_a_peer_of_a_stranger_within_one_batch() -> None:
    class Learning(Sink):
        def on_stun(self, data: bytes, address: Address, now: float) -> None:
            super().on_stun(data, address, now)
            self.receivers[address] = Receiver()

    sink = Learning()
    batch: list[Received] = [
        (packet(SRTP, 1), 4, STRANGER, NOW),
        (packet(STUN, 2), 4, STRANGER, NOW),
        (packet(SRTP, 3), 4, STRANGER, NOW),
    ]
    sink.sorter.on_batch(batch, NOW)
    assert sink.receivers[STRANGER].srtp == [(packet(SRTP, 3), NOW)]
    assert sink.sorter.dropped_unknown_source == 1


def test_nothing_goes_on_when_the_socket_is_closed() -> None:
    class Closing(Sink):
        def on_stun(self, data: bytes, address: Address, now: float) -> None:
            super().on_stun(data, address, now)
            self.udp.is_closed = True

    for first in ((packet(STUN, 1), 4, A, NOW), (packet(STUN, 1) + packet(UNKNOWN, 1), 4, STRANGER, NOW)):
        sink = Closing()
        sink.sorter.on_batch([first, (packet(STUN, 2), 4, A, NOW), (packet(SRTP, 2), 4, B, NOW)], NOW)
        assert len(sink.stun) == 1
        assert sink.receivers[B].calls == []
