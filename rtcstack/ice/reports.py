"""What the engine says of its candidates and pairs, as values.

Spec: webrtc-stats, RTCIceCandidateStats and RTCIceCandidatePairStats.
"""

from __future__ import annotations

from rtcstack.ice.contract import IceReport, LocalCandidate, PairReport
from rtcstack.ice.engine import IceEngine, Pair

__all__ = ["report_of"]


def report_of(engine: IceEngine) -> IceReport:
    """Candidates and pairs of the generation that packets take."""
    generation = engine.active
    return IceReport(
        generation.ufrag,
        generation.remote_ufrag,
        tuple(LocalCandidate(each.candidate, each.server) for each in generation.gathering.local),
        tuple(remote.candidate for remote in generation.remotes.values()),
        tuple(_pair(pair, is_selected=pair is engine.selected) for pair in generation.checklist),
    )


def _pair(pair: Pair, *, is_selected: bool) -> PairReport:
    address, port = pair.remote.address
    return PairReport(
        key=f"{pair.path.id}_{address}:{port}",
        local=pair.local,
        remote=pair.remote.candidate,
        state=pair.state.value,
        nominated=pair.nominated,
        is_selected=is_selected,
        rtt_s=pair.rtt_s,
        rtt_total_s=pair.rtt_total_s,
        requests_sent=pair.requests_sent,
        requests_received=pair.requests_received,
        responses_sent=pair.responses_sent,
        responses_received=pair.responses_received,
        consent_requests_sent=pair.consent_requests_sent,
        packets_sent=pair.packets_sent,
        bytes_sent=pair.bytes_sent,
        packets_received=pair.packets_received,
        bytes_received=pair.bytes_received,
        packets_discarded=pair.packets_discarded,
        bytes_discarded=pair.bytes_discarded,
        data_sent_at=pair.data_sent_at,
        data_received_at=pair.data_received_at,
    )
