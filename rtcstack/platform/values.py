"""What the stack asks of the machine that it runs on: time, chance, workers and a network.

Each is a value with a small protocol, so that a test may hand in another one: `rtcstack.testing` has
them all in virtual time. Nothing else in the stack reads a clock, draws a number, starts a thread or
opens a socket.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from rtcstack.engine import Address, Run

__all__ = [
    "Clock",
    "Counters",
    "Entropy",
    "HostAddress",
    "Inspector",
    "Jobs",
    "Listener",
    "Network",
    "Received",
    "Stream",
    "StreamSink",
    "Udp",
    "UdpFeatures",
    "UdpOptions",
    "UdpSink",
    "Watch",
]


class Clock(Protocol):
    """Time, of a resolution that media need. One clock serves all of a loop."""

    def now(self) -> float:
        """Monotonic seconds: the `now` of every engine and timer.

        It need not be the loop's ``time()``, so timers are set by ``call_later(due - clock.now())``.
        """

    def wall(self) -> float:
        """Seconds since the Unix epoch: what they were when the clock was made, plus what `now` has
        counted since. It never jumps."""


class Entropy(Protocol):
    """Where what must not be guessed comes from: ufrags, SSRCs, sequence numbers, tags.

    Attributes:
        is_seeded: whether the same is drawn in each run. A real network refuses to work with it.
    """

    is_seeded: bool

    @property
    def random(self) -> random.Random:
        """The same source, as numbers."""

    def bytes(self, count: int) -> bytes:
        """So many random bytes."""


class Jobs(Protocol):
    """Who does what takes long: threads, or the loop itself in modelled time."""

    def submit(self, job: Callable[[], None], *, urgent: bool = False, cost_s: float | None = None) -> None:
        """Have a job done, once, soon, away from the loop; of equal urgency in the order of asking.

        Args:
            job: must not raise. What it wants told on the loop's thread it gives to `post`.
            urgent: before all that is not.
            cost_s: seconds of work that the job stands for, where time is modelled; None where nobody
                knows. Threads take the time that they take.
        """

    def post(self, callback: Callable[[], None]) -> None:
        """Have something called on the loop's thread, soon; may be called by any thread.

        Raises:
            RuntimeError: the loop is closed.
        """

    def work_s(self) -> float:
        """Seconds of work that the calling thread has done since some point: what a job has cost is the
        difference of two readings. Where time is modelled, work costs nothing that is read here."""


class HostAddress(NamedTuple):
    """One address of a machine.

    Attributes:
        host: the address, without a scope.
        interface: the interface that it is on.
        is_loopback: whether it leads nowhere else.
    """

    host: str
    interface: str
    is_loopback: bool = False


Received = tuple[bytes, int, Address, float]
"""Datagrams of equal size that came together from one address, as the kernel coalesces them:

the data, of which there is some: empty datagrams are left out; the size of each datagram (the last may be
shorter); where from; and when they reached this
machine, on the clock: `now` of the batch, unless the loop was late to look.
"""


class UdpSink(Protocol):
    """Whoever takes what a socket receives."""

    def on_batch(self, batch: list[Received], now: float) -> None:
        """All that was there at one look, in order of arrival. The sink may close the socket."""


class Counters:
    """What a socket counts.

    Attributes:
        packets_sent, bytes_sent, packets_received, bytes_received: datagrams, and their payload.
        dropped_queue_full: runs that found the queue before the socket full.
        send_errors: sends that the system refused, and errors that earlier ones caused.
    """

    __slots__ = (
        "bytes_received",
        "bytes_sent",
        "dropped_queue_full",
        "packets_received",
        "packets_sent",
        "send_errors",
    )

    def __init__(self) -> None:
        self.packets_sent = 0
        self.bytes_sent = 0
        self.packets_received = 0
        self.bytes_received = 0
        self.dropped_queue_full = 0
        self.send_errors = 0


@dataclass(frozen=True, slots=True)
class UdpFeatures:
    """What a socket does faster, or better, than one datagram at a time.

    Attributes:
        batched: all that is there is read at one look.
        segments: sends a run with one call (UDP segmentation offload).
        coalesces: may receive a run with one call (UDP receive offload).
        arrival_times: tells when each datagram reached the machine, however late the loop looks.
    """

    batched: bool = False
    segments: bool = False
    coalesces: bool = False
    arrival_times: bool = False


@dataclass(frozen=True, slots=True)
class UdpOptions:
    """How a socket is to be opened.

    Attributes:
        receive_buffer_bytes, send_buffer_bytes: what is asked of the system; None for its own choice.
        port_range: first and last port to choose from when none is named; None for any.
    """

    receive_buffer_bytes: int | None = None
    send_buffer_bytes: int | None = None
    port_range: tuple[int, int] | None = None


class Udp(Protocol):
    """A bound UDP socket."""

    @property
    def sockname(self) -> Address:
        """Its own address and port."""

    @property
    def counters(self) -> Counters:
        """What it has counted."""

    @property
    def features(self) -> UdpFeatures:
        """What it can do, as far as is known by now."""

    @property
    def is_full(self) -> bool:
        """Whether as much waits to be sent as may wait."""

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""

    def send(self, data: bytes, to: Address) -> None:
        """Send one datagram."""

    def send_runs(self, runs: Sequence[Run], to: Address) -> None:
        """Send runs of datagrams, in order. Never raises; what cannot leave is counted."""

    def close(self) -> None:
        """Send and read nothing more."""


class StreamSink(Protocol):
    """Whoever takes what a stream receives."""

    def on_data(self, data: bytes, now: float) -> None:
        """Bytes, in order."""

    def on_lost(self, reason: str) -> None:
        """The stream has ended, but not by our `close`; called once, and nothing after it."""


class Stream(Protocol):
    """A TCP connection, or what is made of one."""

    @property
    def sockname(self) -> Address:
        """This end."""

    @property
    def peername(self) -> Address:
        """The other end."""

    @property
    def waiting_bytes(self) -> int:
        """What was written and has not left: whoever writes keeps a bound on it."""

    def write(self, data: bytes) -> None:
        """Send bytes, in order, without delaying small pieces."""

    def close(self) -> None:
        """Close when what was written has left; nothing is told any more."""


class Listener(Protocol):
    """A TCP socket that accepts."""

    @property
    def sockname(self) -> Address:
        """Where it listens."""

    def close(self) -> None:
        """Accept nothing more."""


class Watch(Protocol):
    """A wish to be told of something."""

    def close(self) -> None:
        """Be told no more. Harmless when that is so."""


class Network(Protocol):
    """The network as one machine has it."""

    def interfaces(self) -> list[HostAddress]:
        """This machine's addresses now, in the system's order. Link-local ones of IPv6, which are of no
        use to a peer without their scope, are left out."""

    def watch(self, callback: Callable[[], None]) -> Watch:
        """Call back from the loop, soon, whenever the addresses have changed; see `Watch`."""

    def local_address_for(self, remote: Address) -> str:
        """The address from which this machine would send there.

        Raises:
            OSError: there is no way.
        """

    def open_udp(self, local: Address, sink: UdpSink, options: UdpOptions = UdpOptions()) -> Udp:
        """Bind a UDP socket.

        Args:
            local: address and port; port 0 for one that the options allow.
            sink: who takes what comes.
            options: see `UdpOptions`.

        Raises:
            OSError: it cannot be had.
        """

    async def open_tcp(self, remote: Address, sink: StreamSink, *, local: Address | None = None) -> Stream:
        """Connect. The sink is called from the loop's next turn on, not before whoever awaits this goes on.

        Args:
            remote: an address, not a name, and a port.
            sink: who takes what comes.
            local: from where, None for the system's choice. A port other than 0 may be one that a
                listener of ours has, too (RFC 6544, simultaneous open).

        Raises:
            OSError: there is no way.
        """

    async def listen_tcp(
        self,
        local: Address,
        accept: Callable[[Stream], StreamSink],
        *,
        port_range: tuple[int, int] | None = None,
        shares_port: bool = False,
    ) -> Listener:
        """Listen.

        Args:
            local: address and port; port 0 for any, or for one of the range.
            accept: called with each connection; says who takes what comes on it, and may close it.
            port_range: first and last port to choose from.
            shares_port: connections of ours are made from the same port (RFC 6544, simultaneous open).
                Without it a second listener on the port is refused.

        Raises:
            OSError: it cannot be had.
        """

    async def resolve(self, name: str) -> list[str]:
        """A name's addresses, in the order in which they are to be tried; one that is literal without
        asking anybody. Names of one label before ".local" are asked for by multicast DNS.

        Raises:
            OSError: there is no such name, or no way to ask.
        """

    async def publish(self, address: str) -> str:
        """Make up a ".local" name for one of this machine's addresses, and answer for it until
        `withdraw` (draft-ietf-mmusic-mdns-ice-candidates).

        Raises:
            OSError: this machine has no multicast, or the port is taken.
        """

    def withdraw(self, name: str) -> None:
        """Answer for a name no more. Harmless for one that was not published."""


class Inspector(Protocol):
    """Whoever looks on while transports work; there is one in virtual time alone."""

    def on_plain(self, name: str, packets: Sequence[bytes], now: float) -> None:
        """A transport is about to encrypt and send packets.

        Args:
            name: the transport's, as the log has it.
            packets: of SCTP, RTP or RTCP.
            now: monotonic seconds.
        """

    def on_pass(self, transport: object, now: float) -> None:
        """A transport's pass is done; see `rtcstack.transport.transport`."""
