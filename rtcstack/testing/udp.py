"""A UDP socket on a virtual host, in batches as the product's own is."""

from __future__ import annotations

from collections.abc import Sequence

from rtcstack.engine import Address, Run
from rtcstack.platform import Counters, Received, UdpFeatures, UdpOptions, UdpSink
from rtcstack.testing.host import Host
from rtcstack.testing.packets import Payload, family_of

__all__ = ["MAX_DATAGRAM_BYTES", "MAX_RUN_BYTES", "MAX_RUN_DATAGRAMS", "RECEIVE_BUFFER_BYTES", "VirtualUdp"]

RECEIVE_BUFFER_BYTES = 212_992
"""What waits to be read at one instant, unless the options ask for something else: Linux' own choice.
What comes beyond is lost, and counted."""

MAX_DATAGRAM_BYTES = 65_507
"""What IPv4 has room for in a datagram: one that is longer does not leave, and counts as an error."""

MAX_RUN_DATAGRAMS, MAX_RUN_BYTES = 64, 65_000
"""What comes as one run, as the kernel coalesces it."""

_USUAL = UdpOptions()
_FEATURES = UdpFeatures(batched=True, segments=True, coalesces=True, arrival_times=True)
_EXACT = UdpFeatures(batched=True, segments=True)


class VirtualUdp:
    """A bound UDP socket; see `rtcstack.platform.Udp`.

    Args:
        host: whose it is.
        local: address and port, as bound.
        sink: who takes what comes.
        options: how it was opened.
        coalesces: whether equal datagrams in a row come as one run.
        empty_too: whether empty datagrams are handed on, of size 0, which `rtcstack.platform.Received` has
            none of.
    """

    __slots__ = (
        "_coalesces",
        "_empty_too",
        "_host",
        "_inbox",
        "_inbox_bytes",
        "_is_closed",
        "_receive_buffer_bytes",
        "_sink",
        "counters",
        "sockname",
    )

    def __init__(
        self,
        host: Host,
        local: Address,
        sink: UdpSink,
        options: UdpOptions = _USUAL,
        *,
        coalesces: bool = True,
        empty_too: bool = False,
    ) -> None:
        self._host = host
        self._sink = sink
        self._coalesces = coalesces
        self._empty_too = empty_too
        self._inbox: list[tuple[Address, bytes]] = []
        self._inbox_bytes = 0
        self._receive_buffer_bytes = options.receive_buffer_bytes or RECEIVE_BUFFER_BYTES
        self._is_closed = False
        self.counters = Counters()
        self.sockname: Address = host.bind(local, self._take, is_tcp=False, port_range=options.port_range)

    @property
    def features(self) -> UdpFeatures:
        """See `rtcstack.platform.Udp`."""
        return _FEATURES if self._coalesces else _EXACT

    @property
    def is_full(self) -> bool:
        """Never: what is too much is lost in the queue of the interface's link."""
        return False

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    def send(self, data: bytes, to: Address) -> None:
        """Send one datagram."""
        if self._is_closed:
            return
        source = self._source(to)
        if source is None or len(data) > MAX_DATAGRAM_BYTES or not self._host.transmit(source, to, data):
            self.counters.send_errors += 1
            return
        self.counters.packets_sent += 1
        self.counters.bytes_sent += len(data)

    def send_runs(self, runs: Sequence[Run], to: Address) -> None:
        """Send runs of datagrams, in order; on the way each datagram is by itself."""
        for run in runs:
            for datagram in run.datagrams():
                self.send(datagram, to)

    def close(self) -> None:
        """Send and read nothing more."""
        if not self._is_closed:
            self._is_closed = True
            self._inbox.clear()
            self._host.unbind(self.sockname, is_tcp=False)

    def _source(self, to: Address) -> Address | None:
        """From where a datagram leaves: of a socket for all addresses, by the way to there."""
        local = self.sockname
        if local[0] not in ("0.0.0.0", "::"):
            return local if family_of(local[0]) == family_of(to[0]) else None
        try:
            return self._host.local_address_for(to[0]), local[1]
        except OSError:
            return None

    def _take(self, _: Address, source: Address, data: Payload) -> None:
        assert isinstance(data, bytes)
        if not data and not self._empty_too:
            return
        if self._inbox_bytes + len(data) > self._receive_buffer_bytes:
            self.counters.dropped_queue_full += 1
            return
        if not self._inbox:
            self._host.internet.agenda.soon(self._deliver)
        self._inbox.append((source, data))
        self._inbox_bytes += len(data)

    def _deliver(self) -> None:
        inbox, self._inbox, self._inbox_bytes = self._inbox, [], 0
        if not inbox:  # closed meanwhile
            return
        now = self._host.internet.agenda.now
        self.counters.packets_received += len(inbox)
        self.counters.bytes_received += sum(len(data) for _, data in inbox)
        batch = _in_runs(inbox, now) if self._coalesces else [(d, len(d), source, now) for source, d in inbox]
        with self._host:
            self._sink.on_batch(batch, now)


def _in_runs(inbox: list[tuple[Address, bytes]], now: float) -> list[Received]:
    """Datagrams of equal size in a row from one address, joined; the last of them may be shorter."""
    batch: list[Received] = []
    run: list[bytes] = []
    source, size, total = inbox[0][0], len(inbox[0][1]), 0
    for address, data in inbox:
        if run and (
            address != source
            or len(data) > size
            or len(run[-1]) < size
            or not data
            or len(run) >= MAX_RUN_DATAGRAMS
            or total + len(data) > MAX_RUN_BYTES
        ):
            batch.append((b"".join(run), size, source, now))
            run = []
        if not run:
            source, size, total = address, len(data), 0
        run.append(data)
        total += len(data)
    batch.append((b"".join(run), size, source, now))
    return batch
