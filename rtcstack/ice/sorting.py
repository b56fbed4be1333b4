"""Tells apart what a socket receives, by kind and by sender, and hands it on in batches.

Spec: RFC 7983 (the first byte), RFC 8445, section 12.2 (who may send anything but STUN).
"""

from __future__ import annotations

from typing import Protocol

from rtcstack.engine import Address, Run
from rtcstack.platform import Network, Received, Udp, UdpOptions

__all__ = ["DatagramSink", "PacketSorter", "Receiver", "open_sorted"]


class Receiver(Protocol):
    """Takes what is not STUN from one address. All calls of a pass carry the same `now`."""

    def on_datagrams(
        self, dtls: list[Run], srtp: list[bytes], now: float, arrived: list[float] | None = None
    ) -> None:
        """Packets, in order of arrival within each list.

        Args:
            dtls, srtp: by protocol.
            now: monotonic seconds.
            arrived: when each of `srtp` reached this machine; None when all of them just have.
        """


class DatagramSink(Protocol):
    """Where sorted packets go. All calls of a pass carry the same `now`."""

    def route(self, address: Address) -> Receiver | None:
        """Who takes anything but STUN from there, or None (RFC 8445, section 12.2)."""

    def on_stun(self, data: bytes, address: Address, now: float) -> None:
        """One STUN message."""


class PacketSorter:
    """The sink of one socket: STUN goes on one message at a time, the rest by batches to the receiver of
    the sender's address.

    Attributes:
        udp: the socket.
        dropped_unknown_source: packets of addresses that may not send them.
        dropped_unknown_kind: packets of no protocol that there is here.
    """

    __slots__ = ("_sink", "dropped_unknown_kind", "dropped_unknown_source", "udp")

    udp: Udp

    def __init__(self, sink: DatagramSink) -> None:
        self._sink = sink
        self.dropped_unknown_source = 0
        self.dropped_unknown_kind = 0

    def on_batch(self, batch: list[Received], now: float) -> None:
        """See `rtcstack.platform.UdpSink`."""
        sink = self._sink
        dtls: list[Run] = []
        srtp: list[bytes] = []
        arrived: list[float] | None = None  # of each of srtp, once one of them was late
        sender: Address | None = None
        receiver: Receiver | None = None
        for data, segment, address, at in batch:
            size = len(data)
            if receiver is not None and 128 <= data[0] < 192 and segment == size and address == sender:
                srtp.append(data)
                if at != now and arrived is None:
                    arrived = [now] * (len(srtp) - 1)
                if arrived is not None:
                    arrived.append(at)
                continue
            # The first byte tells the protocols apart (RFC 7983, section 7).
            kinds = data[::segment]
            low, high = min(kinds), max(kinds)
            if high < 4:
                for start in range(0, size, segment):
                    sink.on_stun(data[start : start + segment], address, now)
                if self.udp.is_closed:
                    break
                if receiver is None:
                    sender = None  # a check may have made a peer of a stranger
                continue
            if address != sender:
                other = sink.route(address)
                if other is not receiver and receiver is not None and (dtls or srtp):
                    receiver.on_datagrams(dtls, srtp, now, arrived)
                    dtls, srtp, arrived = [], [], None
                    if self.udp.is_closed:
                        break
                sender, receiver = address, other
            if receiver is None:
                if low < 4:
                    self._take_stun(data, segment, address, now)
                    sender = None
                    if self.udp.is_closed:
                        break
                else:
                    self.dropped_unknown_source += len(kinds)
                continue
            if low >= 20 and high < 64:
                dtls.append(Run(data, segment))
                continue
            before = len(srtp)
            if low >= 128 and high < 192:
                srtp += [data[i : i + segment] for i in range(0, size, segment)]
            else:
                self._sort(data, segment, address, now, dtls, srtp)
            if at != now and arrived is None:
                arrived = [now] * before
            if arrived is not None:
                arrived += [at] * (len(srtp) - len(arrived))
            if self.udp.is_closed:
                break
        if receiver is not None and (dtls or srtp):
            receiver.on_datagrams(dtls, srtp, now, arrived)

    def _sort(
        self, data: bytes, segment: int, address: Address, now: float, dtls: list[Run], srtp: list[bytes]
    ) -> None:
        """Tell apart the packets of a run in which several protocols have come together."""
        for start in range(0, len(data), segment):
            packet = data[start : start + segment]
            kind = packet[0]
            if 20 <= kind < 64:
                dtls.append(Run(packet, len(packet)))
            elif 128 <= kind < 192:
                srtp.append(packet)
            elif kind < 4:
                self._sink.on_stun(packet, address, now)
            else:
                self.dropped_unknown_kind += 1

    def _take_stun(self, data: bytes, segment: int, address: Address, now: float) -> None:
        """Of a run that a stranger has sent nothing but STUN counts."""
        for start in range(0, len(data), segment):
            if data[start] < 4:
                self._sink.on_stun(data[start : start + segment], address, now)
            else:
                self.dropped_unknown_source += 1


def open_sorted(network: Network, local: Address, sink: DatagramSink, options: UdpOptions) -> PacketSorter:
    """Bind a UDP socket whose packets are sorted; it is the sorter's `udp`.

    Raises:
        OSError: it cannot be had.
    """
    sorter = PacketSorter(sink)
    sorter.udp = network.open_udp(local, sorter, options)
    return sorter
