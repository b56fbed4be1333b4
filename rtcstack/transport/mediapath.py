"""Media on a transport: the RTP session, and SRTP between it and the wire.

Spec: RFC 5764 (keys from DTLS); RFC 5761 (RTP and RTCP on one port); RFC 9335 (encrypted headers).
"""

from __future__ import annotations

from collections.abc import Callable

from rtcstack.clock import NTP_EPOCH_S, monotonic, unix_time
from rtcstack.dtls.cryptex import CryptexContext
from rtcstack.dtls.srtp import SrtpContext
from rtcstack.dtls.srtp_keys import SrtpKeys
from rtcstack.engine import Run
from rtcstack.platform import Inspector
from rtcstack.refusals import Refusals
from rtcstack.rtp.bwe.estimator import BandwidthEstimator
from rtcstack.rtp.session import RtpSession

__all__ = ["MAX_EARLY_PACKETS", "MediaPath", "join_runs"]

MAX_EARLY_PACKETS = 64
"""Packets kept that arrive before the handshake is done: the peer may be done first and send its
first key frame with its last flight."""

MAX_RUN_BYTES = 64_000
MAX_RUN_DATAGRAMS = 64
"""What one call of UDP segmentation offload takes."""

TOGETHER_S = 0.000_5
"""Packets that came within this count as one arrival: feedback is told in quarters of a millisecond."""


def join_runs(packets: list[bytes]) -> list[Run]:
    """Neighbours of equal size as one run each; a shorter one may end a run."""
    first, count = 0, len(packets)
    if count == 1:
        return [Run(packets[0], len(packets[0]))]
    runs: list[Run] = []
    while first < count:
        segment = total = len(packets[first])
        end = first + 1
        while end < count and end - first < MAX_RUN_DATAGRAMS:
            size = len(packets[end])
            if size > segment or total + size > MAX_RUN_BYTES:
                break
            total += size
            end += 1
            if size < segment:
                break
        data = packets[first] if end == first + 1 else b"".join(packets[first:end])
        runs.append(Run(data, segment))
        first = end
    return runs


class MediaPath:
    """What RTP and RTCP of one transport pass through.

    Args:
        make_estimator: see `RtpSession`.
        refusals: who is told of packets that are dropped.

    Attributes:
        session: the media engine; nothing leaves it before `connect`.
        srtp: both directions' protection, once there are keys.
        early_dropped: packets that came before there were keys, and were too many.
        inspector: who sees what is to be protected, and under which name; in virtual time alone.
        packets_sent, bytes_sent, packets_received, bytes_received: on the wire.
    """

    __slots__ = (
        "_early",
        "_encrypts_headers",
        "_requires_cryptex",
        "bytes_received",
        "bytes_sent",
        "early_dropped",
        "inspector",
        "packets_received",
        "packets_sent",
        "refusals",
        "session",
        "srtp",
    )

    def __init__(
        self,
        make_estimator: Callable[[], BandwidthEstimator] | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self.refusals = refusals if refusals is not None else Refusals()
        self.session = RtpSession(
            ntp_offset_s=unix_time() + NTP_EPOCH_S - monotonic(),
            make_estimator=make_estimator,
            refusals=self.refusals,
        )
        self.srtp: SrtpContext | CryptexContext | None = None
        self._encrypts_headers = self._requires_cryptex = False
        self._early: list[bytes] = []
        self.early_dropped = 0
        self.inspector: tuple[Inspector, str] | None = None
        self.packets_sent = 0
        self.bytes_sent = 0
        self.packets_received = 0
        self.bytes_received = 0

    def connect(self, keys: SrtpKeys, now: float) -> None:
        """There are keys: from now on media flows. New keys replace the old ones."""
        if self._encrypts_headers:
            self.srtp = CryptexContext(keys, self.refusals, required=self._requires_cryptex)
        else:
            self.srtp = SrtpContext(keys, self.refusals)
        self.session.start(now)
        early, self._early = self._early, []
        if early:
            self.session.receive(self.srtp.unprotect(early), now)

    def disconnect(self) -> None:
        """The keys are worth nothing: nothing leaves, and what comes waits, until there are others."""
        self.srtp = None
        self.session.pause()

    def encrypt_headers(self, wanted: bool, *, required: bool) -> None:
        """What was negotiated: RTP goes through libsrtp alone, until headers are to be encrypted.

        Args:
            wanted: whether they are.
            required: see `CryptexContext`.
        """
        self._encrypts_headers, self._requires_cryptex = wanted, required
        if isinstance(self.srtp, CryptexContext):
            self.srtp.encrypt_headers(wanted)
        elif self.srtp is not None and wanted:
            self.srtp = CryptexContext(self.srtp.keys, self.refusals, required=required, before=self.srtp)

    def receive(self, packets: list[bytes], now: float, arrived: list[float] | None = None) -> None:
        """Take protected packets that were read together.

        Args:
            packets: in order of arrival.
            now: monotonic seconds.
            arrived: when each of them came, if that was earlier.
        """
        self.packets_received += len(packets)
        self.bytes_received += sum(map(len, packets))
        if self.srtp is None:
            room = MAX_EARLY_PACKETS - len(self._early)
            self._early += packets[:room]
            for packet in packets[room:]:
                self.early_dropped += 1
                self.refusals.add("srtp", "too many before there were keys", packet)
            return
        if arrived is not None:
            self._receive_late(packets, now, arrived)
            return
        plain = self.srtp.unprotect(packets)
        if plain:
            self.session.receive(plain, now)

    def _receive_late(self, packets: list[bytes], now: float, arrived: list[float]) -> None:
        """The loop was busy: what came in different milliseconds is told apart."""
        assert self.srtp is not None
        if len(packets) == 1:
            plain = self.srtp.unprotect(packets)
            if plain:
                self.session.receive(plain, now, arrived[0])
            return
        first = 0
        while first < len(packets):
            at, end = arrived[first], first + 1
            while end < len(packets) and arrived[end] - at < TOGETHER_S:
                end += 1
            plain = self.srtp.unprotect(packets[first:end])
            if plain:
                self.session.receive(plain, now, at)
            first = end

    def drain_runs(self, now: float) -> list[Run]:
        """Take the protected packets to send now."""
        if self.srtp is None:
            return []
        packets = self.session.drain(now)
        if not packets:
            return []
        if self.inspector is not None:
            self.inspector[0].on_plain(self.inspector[1], packets, now)
        packets = self.srtp.protect(packets)
        self.packets_sent += len(packets)
        self.bytes_sent += sum(map(len, packets))
        return join_runs(packets)
