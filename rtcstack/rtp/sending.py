"""The way out: from the pacer's queues to bytes, and the congestion control that sets the pace."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rtcstack.rtp.bwe.allocation import Demand, allocate
from rtcstack.rtp.bwe.estimator import BandwidthEstimator, LoadAware, OtherLoad, PathAware, SentPackets
from rtcstack.rtp.bwe.gcc import GoogleCongestionControl
from rtcstack.rtp.bwe.used import UsedRate
from rtcstack.rtp.events import BitrateAllocated, KeyFrameRequested, RtpEvent
from rtcstack.rtp.outgoing import Outgoing
from rtcstack.rtp.pacer import BURST_S, SMALL_BURST_S, Lane, Pacer
from rtcstack.rtp.rtcp.transport_cc import TransportFeedback
from rtcstack.rtp.send import SendStream

__all__ = ["Sending"]

START_BPS = 300_000
"""The estimate to begin with."""

DEFAULT_MAX_BPS = 5_000_000
"""What a video stream without a bound is taken to want at most, as far as probing goes."""

OTHER_MAX_BPS = 50_000_000
"""What data in bulk is taken to want, as far as probing goes. Where twice as much is to be had nothing needs
sharing."""

AUDIO_BPS = 64_000
"""What an audio stream without a bound is taken to want."""

FLOOR_BPS = 30_000
"""The estimate does not fall below this, however many streams there are: those that do not fit pause. That of
sound alone falls to what it needs at least."""

MIN_PACING_BPS = 8_000
"""Whatever an estimator says, what is queued leaves at this pace."""

RESUME_MARGIN = 1.25
"""A stream that pauses comes back when all that is sent would fit into the estimate so many times: one
decrease of the estimate must not make it pause again."""

HOLD_S, MAX_HOLD_S = 4.0, 32.0
"""How long a stream pauses at least. The time doubles each time that it must pause soon after it came
back, and is forgotten when it did not for ten times as long."""

MIN_CHANGE = 0.02
"""A share that changed by less is not told of."""


STALE_QUEUE_S = 0.5
"""When the way is open again, or another, a queue of so long is of the past and is dropped."""


class _Pause:
    """When a stream may come back or, after it has, when it did; and how long it had to wait."""

    __slots__ = ("hold_s", "until")

    def __init__(self, hold_s: float) -> None:
        self.hold_s = hold_s
        self.until = 0.0


class Sending:
    """Takes packets from the pacer, gives them their last numbers, and tells streams their shares.

    Args:
        events: gets `BitrateAllocated`.
        make_estimator: makes the estimator; None for the one of the house.

    Attributes:
        pacer: the queues.
        estimator: or None while no stream has congestion control: then nothing is paced.
        sent: packets on their way.
        sent_bytes: of RTP, in all.
        other_bps: what data in bulk may send beside media; None for no bound.
    """

    __slots__ = (
        "_can_pad",
        "_events",
        "_has_enough",
        "_is_unsettled",
        "_look_at",
        "_make_estimator",
        "_may_pad",
        "_media_bps",
        "_other",
        "_pauses",
        "_rest_bps",
        "_shared_bps",
        "_sound_bps",
        "_streams",
        "_told",
        "_told_estimate",
        "_used",
        "estimator",
        "other_bps",
        "pacer",
        "sent",
        "sent_bytes",
    )

    def __init__(
        self, events: list[RtpEvent], make_estimator: Callable[[], BandwidthEstimator] | None
    ) -> None:
        self._events = events
        self._make_estimator = make_estimator
        self._streams: list[SendStream] = []
        self._told: dict[SendStream, int] = {}
        self._told_estimate = 0
        self._pauses: dict[SendStream, _Pause] = {}
        self._is_unsettled = False
        self._look_at: float | None = None  # when a pause may end
        self._sound_bps: int | None = None  # what is wanted where sound is alone
        self._may_pad = False  # a stream has numbers for padding,
        self._can_pad = False  # and has sent what goes before it
        self.pacer = Pacer(self._pad)
        self._other: OtherLoad | None = None
        self._has_enough = False  # media has all that it can use, and data the rest
        self._shared_bps = self._rest_bps = self._media_bps = 0  # what is shared, shares of data and media
        self._used = UsedRate()
        self.sent_bytes = 0
        self.other_bps: int | None = None
        self.estimator: BandwidthEstimator | None = None
        self.sent = SentPackets()

    @property
    def estimate_bps(self) -> int | None:
        """The estimate, or None without congestion control."""
        return self.estimator.estimate_bps if self.estimator is not None else None

    @property
    def available_bps(self) -> int | None:
        """What of the estimate is media's; None without congestion control."""
        estimate = self.estimate_bps
        if estimate is None or self._other is None:
            return estimate
        return min(estimate, self._shared_bps - self._rest_bps)

    def set_streams(self, streams: Sequence[SendStream], now: float) -> None:
        """These are sent now; their bounds may have changed."""
        self._streams = list(streams)
        known = set(self._streams)
        self._told = {stream: bps for stream, bps in self._told.items() if stream in known}
        self._pauses = {stream: pause for stream, pause in self._pauses.items() if stream in known}
        controlled = self._is_controlled(streams)
        for stream in streams:
            stream.set_numbered(controlled)
        if not controlled:
            self.estimator = None
            self._other = self.other_bps = None
            self.pacer.rate_bps = None
            for stream in streams:
                stream.bitrate_bps = None
            return
        if self.estimator is None or self._outgrows_sound(streams):
            self.estimator = self._make()
        self._sound_bps = _sound_alone(streams)
        active = [s for s in streams if s.active]
        padding = [s for s in active if s.parameters.kind == "video" and s.history.has_rtx]
        self._may_pad = bool(padding)
        self._can_pad = any(s.counts.packets for s in padding)
        self._set_bounds()
        self._told_estimate = 0
        self._allocate(now)

    def _set_bounds(self) -> None:
        assert self.estimator is not None
        most = sum(_most(s) for s in self._streams if s.active)
        if self._other is not None:
            most += OTHER_MAX_BPS
        self.estimator.set_bounds(_floor([s for s in self._streams if s.active]), START_BPS, most)

    def set_other_load(self, load: OtherLoad | None, now: float) -> None:
        """Data in bulk goes over this transport, or does no more: `other_bps` is its share from now on.

        It is bounded only while media flows, and feedback tells of every packet of it.
        """
        estimator = self.estimator
        if not isinstance(estimator, GoogleCongestionControl | LoadAware):
            self._other = self.other_bps = None
            return
        if load is not None:
            load = load._replace(has_rest=self._has_enough)
            self._used.look(self.sent_bytes, now)
        estimator.on_other_load(load, now)
        has_feedback = any(s.parameters.transport_cc for s in self._streams if s.active)
        if load is not None and not (has_feedback and estimator.is_live(now)):
            load = None
        before, self._other = self._other, load
        if (before is None) != (load is None):
            self._set_bounds()
        elif load is None or before is None:
            return
        capacity = estimator.capacity_bps
        if load is None or before is None or load.weight != before.weight:
            self._told_estimate = 0
        elif abs(capacity - self._shared_bps) >= MIN_CHANGE * self._shared_bps:
            self._told_estimate = 0  # losses may bound the estimate, and not this
        self._allocate(now)
        if load is None or capacity >= 2 * OTHER_MAX_BPS:
            self.other_bps = None
        else:
            self.other_bps = self._rest_bps + self._unused_bps()
        if load is None:
            self._has_enough = False

    def _is_controlled(self, streams: Sequence[SendStream]) -> bool:
        """Whether an estimate is of use: the peer helps, and there is what follows it.

        That is video, and sound that is encoded here. Sound that comes encoded keeps its bit rate;
        numbering it would only cost both sides feedback. An estimator that the application brings is always
        asked.
        """
        if not any(s.parameters.transport_cc or s.parameters.remb for s in streams):
            return False
        return self._make_estimator is not None or any(
            s.parameters.kind == "video" or s.wanted_bps is not None for s in streams
        )

    def _outgrows_sound(self, streams: Sequence[SendStream]) -> bool:
        """Whether pictures come to sound that had all that it wants, of which nothing was learnt: then the
        search for what there is begins as without it."""
        before, estimate = self._sound_bps, self.estimate_bps
        if before is None or estimate is None or self._make_estimator is not None:
            return False
        return _sound_alone(streams) is None and estimate >= before

    def _make(self) -> BandwidthEstimator:
        if self._make_estimator is not None:
            return self._make_estimator()
        return GoogleCongestionControl()

    def take(self, now: float) -> list[bytes]:
        """The RTP packets to send now."""
        estimator, pacer = self.estimator, self.pacer
        if estimator is not None:
            self._take_up_probes(estimator)
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
            total += packet.size
            packet.counts.has_left(packet)
        self.sent_bytes += total
        if estimator is not None:
            estimator.on_sent(total, now)
            self._take_up_probes(estimator)  # which what was sent may have called for: they are due at once
        return out

    def _take_up_probes(self, estimator: BandwidthEstimator) -> None:
        # Before there is anything to probe with probes wait: sound may be sent long before pictures.
        pacer = self.pacer
        if pacer.queued_bytes and (self._can_pad or pacer.has_video):
            self._can_pad = self._may_pad
            for probe in estimator.take_probes():
                pacer.probe(probe)

    def _pad(self, wanted_bytes: int, now: float) -> list[Outgoing]:
        for stream in self._streams:
            if stream.active and stream.parameters.kind == "video":
                packets = stream.make_padding(wanted_bytes)
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
            if isinstance(estimator, GoogleCongestionControl):
                self.pacer.burst_s = SMALL_BURST_S if estimator.is_smooth else BURST_S
        else:
            estimator.on_results(results, now)
        self._is_unsettled = True

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
            if stream.active and stream.parameters.kind == "video" and stream.counts.packets:
                self._want_key_frame(stream, now)

    def _drop_stale(self, now: float) -> None:
        if self.pacer.queue_s > STALE_QUEUE_S:
            dropped = self.pacer.drop([s.counts for s in self._streams], (Lane.RETRANSMISSION, Lane.VIDEO))
            for stream in self._streams:
                if stream.counts in dropped:
                    self._want_key_frame(stream, now)

    def _want_key_frame(self, stream: SendStream, now: float) -> None:
        if stream.parameters.kind == "video" and stream.want_key_frame(now):
            self._events.append(KeyFrameRequested(stream.name))

    def on_remote_estimate(self, bitrate_bps: int, now: float) -> None:
        """The peer's own estimate came."""
        if self.estimator is not None:
            self.estimator.on_remote_estimate(bitrate_bps, now)
            self._is_unsettled = True

    def on_loss(self, fraction_lost: float, now: float) -> None:
        """A report told of losses."""
        if self.estimator is not None:
            self.estimator.on_report(fraction_lost, now)
            self._is_unsettled = True
            if fraction_lost:
                self._told_estimate = 0  # what streams can use has changed: their repairs have

    def settle(self, now: float) -> None:
        """All that came together was taken: give each stream its share of the estimate."""
        if self._is_unsettled:
            self._is_unsettled = False
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

    def _demand(self, stream: SendStream, now: float) -> Demand:
        parameters = stream.parameters
        margin = 1.0
        if self._told.get(stream) == 0:
            pause = self._pauses.get(stream)
            margin = RESUME_MARGIN if pause is None or now >= pause.until else float("inf")
        urgent = parameters.kind == "audio"
        least = _least(stream)
        return Demand(least, _bound(stream), parameters.priority, urgent, margin, takes_less=urgent)

    def _note_pause(self, stream: SendStream, before: int | None, share: int, now: float) -> None:
        """Remember when a stream began to pause, or came back."""
        pause = self._pauses.get(stream)
        if share:
            if not before and pause is not None:
                pause.until = now
        elif before and _least(stream):
            if pause is None or now - pause.until > 10 * pause.hold_s:
                pause = self._pauses[stream] = _Pause(HOLD_S / 2)
            pause.hold_s = min(2 * pause.hold_s, MAX_HOLD_S)
            pause.until = now + pause.hold_s
            if self._look_at is None or pause.until < self._look_at:
                self._look_at = pause.until

    def _share_with(self, other: OtherLoad, demands: list[Demand]) -> list[int]:
        """The streams' shares, when data in bulk has one, too."""
        estimator = self.estimator
        assert isinstance(estimator, GoogleCongestionControl | LoadAware)
        capacity, estimate = estimator.capacity_bps, estimator.estimate_bps
        *shares, rest = allocate(capacity, [*demands, Demand(0, None, other.weight)])
        self._has_enough = all(share == demand.max_bps for share, demand in zip(shares, demands, strict=True))
        if sum(shares) > estimate:  # which losses bound: data has its own answer to them
            shares = allocate(estimate, demands)
            rest = capacity - sum(shares)
        self._shared_bps, self._rest_bps, self._media_bps = capacity, rest, sum(shares)
        pacing = estimator.pacing_bps * (capacity - rest) / max(estimate, 1)
        self.pacer.rate_bps = max(pacing, MIN_PACING_BPS)
        return shares

    def _unused_bps(self) -> int:
        """What media has not used of its share lately: data may, until media does."""
        used = self._used.bps(self.sent_bytes)
        return 0 if used is None else max(0, self._media_bps - int(used))

    def _allocate(self, now: float) -> None:
        estimator = self.estimator
        if estimator is None:
            return
        estimate = estimator.estimate_bps
        if self._other is None:
            self.pacer.rate_bps = max(estimator.pacing_bps, MIN_PACING_BPS)
        if self._look_at is not None and now >= self._look_at:
            self._look_at = None
        elif abs(estimate - self._told_estimate) < MIN_CHANGE * self._told_estimate:
            return
        self._told_estimate = estimate
        active = [s for s in self._streams if s.active]
        demands = [self._demand(s, now) for s in active]
        pictures = [i for i, s in enumerate(active) if s.parameters.kind == "video" and _bound(s) != 0]
        if pictures:
            # One always has what there is: without it nothing would show that there is more.
            smallest = min(pictures, key=lambda i: demands[i].min_bps)
            demands[smallest] = demands[smallest]._replace(margin=1.0, takes_less=True)
        if self._other is None:
            shares = allocate(estimate, demands)
        else:
            shares = self._share_with(self._other, demands)
        for stream, share in zip(active, shares, strict=True):
            stream.bitrate_bps = share
            told = self._told.get(stream)
            changed = told is None or (share != told and abs(share - told) >= MIN_CHANGE * told)
            if changed or (not share) != (not told):
                self._told[stream] = share
                self._note_pause(stream, told, share, now)
                self._events.append(BitrateAllocated(stream.name, share, estimate))


def _sound_alone(streams: Sequence[SendStream]) -> int | None:
    """What sound wants that keeps to less; None where there is anything else, or nothing."""
    wanted = [s.wanted_bps for s in streams if s.wanted_bps is not None]
    return sum(wanted) if wanted and len(wanted) == len(streams) else None


def _floor(streams: Sequence[SendStream]) -> int:
    return FLOOR_BPS if _sound_alone(streams) is None else sum(s.least_bps for s in streams)


def _least(stream: SendStream) -> int:
    parameters = stream.parameters
    bound = _bound(stream)
    return parameters.min_bitrate_bps if bound is None else min(parameters.min_bitrate_bps, bound)


def _bound(stream: SendStream) -> int | None:
    """What a stream can use, with what protects and repairs it."""
    if stream.wanted_bps is not None:
        return stream.wanted_bps
    bound = stream.parameters.max_bitrate_bps
    if bound is None:
        return AUDIO_BPS if stream.parameters.kind == "audio" else None
    return int(bound / stream.media_share)


def _most(stream: SendStream) -> int:
    bound = _bound(stream)
    return DEFAULT_MAX_BPS if bound is None else bound


def _padded(header: bytes, padding: int) -> bytes:
    first = header[0] | 0x20
    return bytes((first,)) + header[1:] + bytes(padding - 1) + bytes((padding,))
