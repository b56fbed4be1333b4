"""The way out: from the pacer's queues to bytes, and the congestion control that sets the pace."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rtcstack.rtp.bwe.allocation import Demand, allocate
from rtcstack.rtp.bwe.estimator import BandwidthEstimator, PathAware, SentPackets
from rtcstack.rtp.bwe.gcc import GoogleCongestionControl
from rtcstack.rtp.events import BitrateAllocated, KeyFrameRequested, RtpEvent
from rtcstack.rtp.outgoing import Outgoing
from rtcstack.rtp.pacer import Lane, Pacer
from rtcstack.rtp.rtcp.transport_cc import TransportFeedback
from rtcstack.rtp.send import SendStream

__all__ = ["Sending"]

START_BPS = 300_000
"""The estimate to begin with."""

DEFAULT_MAX_BPS = 5_000_000
"""What a video stream without a bound is taken to want at most, as far as probing goes."""

AUDIO_BPS = 64_000
"""What an audio stream without a bound is taken to want."""

MIN_CHANGE = 0.02
"""A share that changed by less is not told of."""


STALE_QUEUE_S = 0.5
"""When the way is open again, or another, a queue of so long is of the past and is dropped."""


class Sending:
    """Takes packets from the pacer, gives them their last numbers, and tells streams their shares.

    Args:
        events: gets `BitrateAllocated`.
        make_estimator: makes the estimator; None for the one of the house.

    Attributes:
        pacer: the queues.
        estimator: or None while no stream has congestion control: then nothing is paced.
        sent: packets on their way.
    """

    __slots__ = (
        "_can_pad",
        "_events",
        "_make_estimator",
        "_may_pad",
        "_streams",
        "_told",
        "_told_estimate",
        "estimator",
        "pacer",
        "sent",
    )

    def __init__(
        self, events: list[RtpEvent], make_estimator: Callable[[], BandwidthEstimator] | None
    ) -> None:
        self._events = events
        self._make_estimator = make_estimator
        self._streams: list[SendStream] = []
        self._told: dict[SendStream, int] = {}
        self._told_estimate = 0
        self._may_pad = False  # a stream has numbers for padding,
        self._can_pad = False  # and has sent what goes before it
        self.pacer = Pacer(self._pad)
        self.estimator: BandwidthEstimator | None = None
        self.sent = SentPackets()

    @property
    def estimate_bps(self) -> int | None:
        """The estimate, or None without congestion control."""
        return self.estimator.estimate_bps if self.estimator is not None else None

    def set_streams(self, streams: Sequence[SendStream], now: float) -> None:
        """These are sent now; their bounds may have changed."""
        self._streams = list(streams)
        self._told = {stream: bps for stream, bps in self._told.items() if stream in self._streams}
        controlled = self._is_controlled(streams)
        for stream in streams:
            stream.set_numbered(controlled)
        if not controlled:
            self.estimator = None
            self.pacer.rate_bps = None
            for stream in streams:
                stream.bitrate_bps = None
            return
        if self.estimator is None:
            self.estimator = self._make()
        active = [s for s in streams if s.active]
        padding = [s for s in active if s.parameters.kind == "video" and s.has_rtx]
        self._may_pad = bool(padding)
        self._can_pad = any(s.packets_sent for s in padding)
        least = sum(s.parameters.min_bitrate_bps for s in active)
        most = sum(_most(s) for s in active)
        self.estimator.set_bounds(least, START_BPS, most)
        self._told_estimate = 0
        self._allocate(now)

    def _is_controlled(self, streams: Sequence[SendStream]) -> bool:
        """Whether an estimate is of use: the peer helps, and there is video, which follows it.

        Sound alone keeps to its bit rate; numbering it would only cost both sides feedback. An
        estimator that the application brings is always asked.
        """
        if not any(s.parameters.transport_cc or s.parameters.remb for s in streams):
            return False
        return self._make_estimator is not None or any(s.parameters.kind == "video" for s in streams)

    def _make(self) -> BandwidthEstimator:
        if self._make_estimator is not None:
            return self._make_estimator()
        return GoogleCongestionControl()

    def take(self, now: float) -> list[bytes]:
        """The RTP packets to send now."""
        estimator, pacer = self.estimator, self.pacer
        # Before there is anything to probe with probes wait: sound may be sent long before pictures.
        if estimator is not None and pacer.queued_bytes and (self._can_pad or pacer.has_video):
            self._can_pad = self._may_pad
            for probe in estimator.take_probes():
                pacer.probe(probe)
        if not pacer.queued_bytes and not pacer.has_probes:
            return []
        packets = pacer.take(now)
        if not packets:
            return []
        out: list[bytes] = []
        append = out.append
        sent = self.sent
        send_time = int(now * 262_144) & 0xFF_FFFF
        total = 0
        for packet in packets:
            stream = packet.stream
            payload = packet.payload
            data = packet.wire
            if data is None:
                header = packet.header
                second = packet.second
                number = packet.sequence_number & 0xFFFF
                if header.wide:
                    wide = sent.next_number()
                    data = header.write(second, number, packet.timestamp, send_time, wide & 0xFFFF)
                    if packet.padding:
                        data = _padded(data, packet.padding)
                    elif payload:
                        data += payload
                    sent.sent(len(data), now, packet.probe)
                else:
                    data = header.write(second, number, packet.timestamp, send_time, 0)
                    data = _padded(data, packet.padding) if packet.padding else data + payload
                if packet.keep:
                    packet.wire = data
            packet.sent_at = now
            append(data)
            size = packet.size
            total += size
            stream.packets_sent += 1
            stream.bytes_sent += len(payload)
            stream.header_bytes_sent += size - len(payload)
            if packet.repeats:
                _count_repeated(stream, packet)
            else:
                stream.earn_resend_credit(size)
        if estimator is not None:
            estimator.on_sent(total, now)
        return out

    def _pad(self, wanted_bytes: int, now: float) -> list[Outgoing]:
        for stream in self._streams:
            if stream.active and stream.parameters.kind == "video":
                packets = stream.make_padding(wanted_bytes, now)
                if packets:
                    return packets
        return []

    # -- what the peer tells ----------------------------------------------------------------------

    def on_feedback(self, feedback: TransportFeedback, now: float) -> None:
        """Transport-wide feedback came."""
        results = self.sent.results(feedback)
        estimator = self.estimator
        if estimator is None or not results:
            return
        if isinstance(estimator, GoogleCongestionControl | PathAware):
            before = estimator.interruptions
            estimator.on_results(results, now)
            if estimator.interruptions != before:
                self._begin_anew(now)
        else:
            estimator.on_results(results, now)
        self._allocate(now)

    def on_path_change(self, now: float) -> None:
        """Packets take another way from now on."""
        if isinstance(self.estimator, GoogleCongestionControl | PathAware):
            self.estimator.on_path_change(now)
            self._drop_stale(now)
            self._allocate(now)

    def _begin_anew(self, now: float) -> None:
        """Nothing came through for a while: go on with a key frame instead of repairing the past."""
        self._drop_stale(now)
        for stream in self._streams:
            if stream.active and stream.parameters.kind == "video" and stream.packets_sent:
                self._want_key_frame(stream, now)

    def _drop_stale(self, now: float) -> None:
        if self.pacer.queue_s > STALE_QUEUE_S:
            for stream in self.pacer.drop(self._streams, (Lane.REPEATED, Lane.VIDEO)):
                self._want_key_frame(stream, now)

    def _want_key_frame(self, stream: SendStream, now: float) -> None:
        if stream.parameters.kind == "video" and stream.want_key_frame(now):
            self._events.append(KeyFrameRequested(stream))

    def on_remote_estimate(self, bitrate_bps: int, now: float) -> None:
        """The peer's own estimate came."""
        if self.estimator is not None:
            self.estimator.on_remote_estimate(bitrate_bps, now)
            self._allocate(now)

    def on_loss(self, fraction_lost: float, now: float) -> None:
        """A report told of losses."""
        if self.estimator is not None:
            self.estimator.on_report(fraction_lost, now)
            self._allocate(now)

    def on_rtt(self, rtt_s: float) -> None:
        """The round-trip time was measured."""
        if self.estimator is not None:
            self.estimator.on_rtt(rtt_s)

    # -- time and shares --------------------------------------------------------------------------

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        estimator = self.estimator
        if estimator is not None:
            due = estimator.next_timeout()
            if due is not None and now >= due:
                estimator.handle_timeout(now)
                self._allocate(now)

    def next_timeout(self, now: float) -> float | None:
        """When a packet may leave or the estimator wants to be called."""
        due = self.pacer.next_at(now)
        if self.estimator is not None:
            other = self.estimator.next_timeout()
            if other is not None and (due is None or other < due):
                due = other
        return due

    def _allocate(self, now: float) -> None:
        estimator = self.estimator
        if estimator is None:
            return
        self.pacer.rate_bps = estimator.pacing_bps
        estimate = estimator.estimate_bps
        if abs(estimate - self._told_estimate) < MIN_CHANGE * self._told_estimate:
            return
        self._told_estimate = estimate
        active = [s for s in self._streams if s.active]
        demands = [Demand(s.parameters.min_bitrate_bps, _bound(s), s.parameters.priority) for s in active]
        for stream, share in zip(active, allocate(estimate, demands), strict=True):
            stream.bitrate_bps = share
            told = self._told.get(stream)
            if told is None or abs(share - told) >= MIN_CHANGE * told or (not share) != (not told):
                self._told[stream] = share
                self._events.append(BitrateAllocated(stream, share, estimate))


def _bound(stream: SendStream) -> int | None:
    bound = stream.parameters.max_bitrate_bps
    return AUDIO_BPS if bound is None and stream.parameters.kind == "audio" else bound


def _most(stream: SendStream) -> int:
    bound = _bound(stream)
    return DEFAULT_MAX_BPS if bound is None else bound


def _padded(header: bytes, padding: int) -> bytes:
    first = header[0] | 0x20
    return bytes((first,)) + header[1:] + bytes(padding - 1) + bytes((padding,))


def _count_repeated(stream: SendStream, packet: Outgoing) -> None:
    if packet.origin is not None:
        packet.origin.resent_at = packet.sent_at
    if packet.padding:
        stream.padding_packets += 1
    else:
        stream.repeated_packets += 1
        stream.repeated_bytes += len(packet.payload)
