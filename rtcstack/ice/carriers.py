"""What packets leave on: a socket with its packets sorted, a socket or a stream to a relay.

A carrier belongs to one path of an agent's engine and tells the agent what comes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rtcstack.engine import Address, Run
from rtcstack.ice.sorting import Receiver, open_sorted
from rtcstack.platform import Network, Received, Stream, UdpOptions

__all__ = ["Carrier", "HostCarrier", "RelayCarrier", "StreamCarrier", "StreamOwner"]

MAX_STREAM_BYTES = 1 << 20
"""What may wait for a stream that its receiver does not empty; beyond, packets are dropped: over a
relay they would be lost as well."""


class Carrier(Protocol):
    """Where an agent's engine sends what it sends."""

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be sent that more would be dropped."""

    def send(self, data: bytes, address: Address) -> None:
        """Send one datagram."""

    def send_runs(self, runs: Sequence[Run], address: Address) -> None:
        """Send runs of datagrams, in order."""

    def close(self) -> None:
        """Send nothing more, and release the socket."""


class StreamOwner(Protocol):
    """What carriers tell their agent."""

    def on_stun(self, path: int, data: bytes, address: Address, now: float) -> None:
        """One STUN message on a path."""

    def on_relayed(
        self, path: int, address: Address, runs: list[Run], now: float, arrived: list[float] | None = None
    ) -> None:
        """Packets, or pieces of a stream, from a relay's server; `arrived` says of each run when it reached
        this machine, None that all of them just have."""

    def receiver(self, path: int, address: Address) -> Receiver | None:
        """Who takes other packets from there."""

    def on_carrier_lost(self, path: int, reason: str) -> None:
        """A stream has ended."""


class HostCarrier:
    """A socket of our own that peers send to.

    Args:
        owner: the agent.
        network: that the socket is on.
        local: its address; port 0 for one that the options allow.
        options: see `UdpOptions`.

    Attributes:
        path: whose it is, set by who opens it before anything can come.

    Raises:
        OSError: the socket cannot be had.
    """

    def __init__(self, owner: StreamOwner, network: Network, local: Address, options: UdpOptions) -> None:
        self._owner = owner
        self.path = 0
        self.sorter = open_sorted(network, local, self, options)
        self.udp = self.sorter.udp
        self.send = self.udp.send
        self.send_runs = self.udp.send_runs
        self.close = self.udp.close

    @property
    def is_full(self) -> bool:
        """See `Carrier`."""
        return self.udp.is_full

    def route(self, address: Address) -> Receiver | None:
        """See `DatagramSink`."""
        return self._owner.receiver(self.path, address)

    def on_stun(self, data: bytes, address: Address, now: float) -> None:
        """See `DatagramSink`."""
        self._owner.on_stun(self.path, data, address, now)


class RelayCarrier:
    """A socket that leads to a TURN server; see `HostCarrier`."""

    def __init__(self, owner: StreamOwner, network: Network, local: Address, options: UdpOptions) -> None:
        self._owner = owner
        self.path = 0
        self.udp = network.open_udp(local, self, options)
        self.send = self.udp.send
        self.send_runs = self.udp.send_runs
        self.close = self.udp.close

    @property
    def is_full(self) -> bool:
        """See `Carrier`."""
        return self.udp.is_full

    def on_batch(self, batch: list[Received], now: float) -> None:
        """See `rtcstack.platform.UdpSink`; what is not from one server in a row is told apart."""
        start = 0
        for i in range(1, len(batch) + 1):
            if i == len(batch) or batch[i][2] != batch[start][2]:
                runs = [Run(data, segment) for data, segment, _, _ in batch[start:i]]
                arrived: list[float] | None = [at for _, _, _, at in batch[start:i]]
                if arrived == [now] * len(runs):
                    arrived = None
                self._owner.on_relayed(self.path, batch[start][2], runs, now, arrived)
                if self.udp.is_closed:
                    return
                start = i


class StreamCarrier:
    """A TCP or TLS connection to a TURN server; the sink of its stream.

    Attributes:
        path: whose it is, set by who opens it before anything can come.
        stream: the connection, set by who has opened it.
        dropped: packets that found too much waiting.
    """

    def __init__(self, owner: StreamOwner, server: Address) -> None:
        self._owner = owner
        self._server = server
        self._is_over = False
        self.stream: Stream | None = None
        self.path = 0
        self.dropped = 0

    def on_data(self, data: bytes, now: float) -> None:
        """See `rtcstack.platform.StreamSink`."""
        if not self._is_over:
            self._owner.on_relayed(self.path, self._server, [Run(data, len(data))], now)

    def on_lost(self, reason: str) -> None:
        """See `rtcstack.platform.StreamSink`."""
        if not self._is_over:
            self._is_over = True
            self._owner.on_carrier_lost(self.path, reason)

    @property
    def is_full(self) -> bool:
        """See `Carrier`."""
        return self.stream is not None and self.stream.waiting_bytes > MAX_STREAM_BYTES

    def send(self, data: bytes, address: Address) -> None:
        """See `Carrier`; there is one address only."""
        self.send_runs((Run(data, len(data)),), address)

    def send_runs(self, runs: Sequence[Run], address: Address) -> None:
        """See `Carrier`."""
        if self.stream is None or self._is_over:
            return
        if self.is_full:
            self.dropped += len(runs)
            return
        self.stream.write(b"".join([run.data for run in runs]))

    def close(self) -> None:
        """See `Carrier`; what was written before still leaves."""
        self._is_over = True
        if self.stream is not None:
            self.stream.close()
