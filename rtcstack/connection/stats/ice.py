"""Candidates and candidate pairs.

Spec: webrtc-stats, sections on RTCIceCandidateStats and RTCIceCandidatePairStats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rtcstack.clock import monotonic, timestamp_ms
from rtcstack.connection.transports import TransportEntry
from rtcstack.ice import AnyIceAgent, IceServer, IceState, PairReport
from rtcstack.sdp.candidate import Candidate

__all__ = ["Add", "add_ice", "ice_role"]

Add = Callable[[str, str, float, Mapping[str, Any]], str]
"""Adds an object to the report; see `Statistics`."""


def ice_role(ice: AnyIceAgent) -> str:
    """RTCIceRole."""
    if ice.state is IceState.NEW:
        return "unknown"
    return "controlling" if ice.controlling else "controlled"


def _candidate_members(
    candidate: Candidate, transport_id: str, ufrag: str | None, server: IceServer | None = None
) -> dict[str, Any]:
    is_relayed = candidate.type == "relay"
    return {
        "transportId": transport_id,
        "address": candidate.address,
        "port": candidate.port,
        "protocol": candidate.transport.lower(),
        "candidateType": candidate.type,
        "priority": candidate.priority,
        "foundation": candidate.foundation,
        "relatedAddress": candidate.related_address,
        "relatedPort": candidate.related_port,
        "usernameFragment": ufrag,
        "tcpType": candidate.tcp_type,
        "url": None if server is None else server.url,
        "relayProtocol": server.relay_protocol if is_relayed and server is not None else None,
    }


def _epoch_ms(time_s: float | None) -> float | None:
    """A monotonic time as webrtc-stats has it."""
    return None if not time_s else timestamp_ms() - 1000.0 * (monotonic() - time_s)


def _pair_members(pair: PairReport) -> dict[str, Any]:
    return {
        "state": pair.state,
        "nominated": pair.nominated,
        "currentRoundTripTime": pair.rtt_s,
        "totalRoundTripTime": pair.rtt_total_s,
        "requestsSent": pair.requests_sent,
        "requestsReceived": pair.requests_received,
        "responsesReceived": pair.responses_received,
        "responsesSent": pair.responses_sent,
        "consentRequestsSent": pair.consent_requests_sent,
        "packetsSent": pair.packets_sent,
        "bytesSent": pair.bytes_sent,
        "packetsReceived": pair.packets_received,
        "bytesReceived": pair.bytes_received,
        "lastPacketSentTimestamp": _epoch_ms(pair.data_sent_at),
        "lastPacketReceivedTimestamp": _epoch_ms(pair.data_received_at),
        "packetsDiscardedOnSend": pair.packets_discarded,
        "bytesDiscardedOnSend": pair.bytes_discarded,
    }


def _ends(candidate: Candidate) -> tuple[str, int, str]:
    """Where a candidate is."""
    return candidate.address, candidate.port, candidate.transport


def _name(prefix: str, candidate: Candidate) -> str:
    """A candidate's id."""
    tcp_type = candidate.tcp_type if candidate.transport.lower() == "tcp" else ""
    return f"{prefix}{candidate.address}:{candidate.port}{candidate.type}{tcp_type}"


def add_ice(add: Add, entry: TransportEntry, now: float, estimate_bps: float | None) -> str | None:
    """Candidates and pairs of the generation that packets take.

    Args:
        add: adds an object to the report; see `Statistics`.
        entry: the transport.
        now: milliseconds since the Unix epoch.
        estimate_bps: what media may send over the selected pair, or None.

    Returns:
        The id of the selected pair, or None.
    """
    key, report = entry.key, entry.agent.report()
    transport_id = f"T{key}"
    local_names: dict[tuple[str, int, str], str] = {}
    for local in report.local:
        candidate = local.candidate
        name = local_names[_ends(candidate)] = _name(f"I{key}L", candidate)
        add(
            "local-candidate",
            name,
            now,
            _candidate_members(candidate, transport_id, report.ufrag, local.server),
        )
    for candidate in report.remote:
        members = _candidate_members(candidate, transport_id, report.remote_ufrag)
        add("remote-candidate", _name(f"I{key}R", candidate), now, members)
    selected = None
    for pair in report.pairs:
        identifier = f"CP{key}{pair.key}"
        names = {
            "transportId": transport_id,
            "localCandidateId": local_names.get(_ends(pair.local)),
            "remoteCandidateId": _name(f"I{key}R", pair.remote),
        }
        members = names | _pair_members(pair)
        if pair.is_selected:
            selected = identifier
            members["availableOutgoingBitrate"] = estimate_bps
        add("candidate-pair", identifier, now, members)
    return selected
