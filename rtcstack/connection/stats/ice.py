"""Candidates and candidate pairs.

Spec: webrtc-stats, sections on RTCIceCandidateStats and RTCIceCandidatePairStats.
"""

from __future__ import annotations

from typing import Any

from rtcstack.connection.stats.report import Report
from rtcstack.connection.transportentry import TransportEntry
from rtcstack.ice import AnyIceAgent, IceServer, IceState, PairReport
from rtcstack.sdp.candidate import Candidate

__all__ = ["add_ice", "ice_role"]


def ice_role(ice: AnyIceAgent) -> str:
    """RTCIceRole."""
    if ice.state is IceState.NEW:
        return "unknown"
    return "controlling" if ice.controlling else "controlled"


class _Candidates:
    """The candidates of one transport in a report."""

    def __init__(self, report: Report, key: str, transport_id: str) -> None:
        self._report = report
        self._key = key
        self._transport_id = transport_id
        self._local: dict[tuple[str, int, str], str] = {}
        self._remote: dict[str, str] = {}

    def local(self, candidate: Candidate, ufrag: str | None, server: IceServer | None = None) -> str:
        """The id of one of ours; it is added the first time."""
        ends = candidate.address, candidate.port, candidate.transport
        found = self._local.get(ends)
        if found is None:
            members = self._members(candidate, ufrag)
            members["address"] = candidate.address
            if server is not None:
                members["url"] = server.url
                if candidate.type == "relay":
                    members["relayProtocol"] = server.relay_protocol
            name = f"I{self._key}L{_name(candidate)}"
            found = self._local[ends] = self._report.add("local-candidate", name, members)
        return found

    def remote(self, candidate: Candidate, ufrag: str | None) -> str:
        """The id of one of the peer's; it is added the first time."""
        name = f"I{self._key}R{_name(candidate)}"
        found = self._remote.get(name)
        if found is None:
            members = self._members(candidate, ufrag)
            found = self._remote[name] = self._report.add("remote-candidate", name, members)
            # what only checks have shown is not told: webrtc-stats, section 8.12.1
            told = None if candidate.type == "prflx" else candidate.address
            self._report.objects[found]["address"] = told
        return found

    def _members(self, candidate: Candidate, ufrag: str | None) -> dict[str, Any]:
        return {
            "transportId": self._transport_id,
            "port": candidate.port,
            "protocol": candidate.transport.lower(),
            "candidateType": candidate.type,
            "priority": candidate.priority,
            "foundation": candidate.foundation,
            "relatedAddress": candidate.related_address,
            "relatedPort": candidate.related_port,
            "usernameFragment": ufrag,
            "tcpType": candidate.tcp_type,
        }


def _name(candidate: Candidate) -> str:
    tcp_type = candidate.tcp_type if candidate.transport.lower() == "tcp" else ""
    return f"{candidate.address}:{candidate.port}{candidate.type}{tcp_type}"


def _pair_members(report: Report, pair: PairReport) -> dict[str, Any]:
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
        "lastPacketSentTimestamp": report.unix_ms(pair.data_sent_at),
        "lastPacketReceivedTimestamp": report.unix_ms(pair.data_received_at),
        "packetsDiscardedOnSend": pair.packets_discarded,
        "bytesDiscardedOnSend": pair.bytes_discarded,
    }


def add_ice(
    report: Report, entry: TransportEntry, transport_id: str, available: dict[str, int | None]
) -> str | None:
    """Candidates and pairs of the generation that packets take.

    Args:
        report: the report.
        entry: the transport.
        transport_id: its id.
        available: what may be sent and received over the selected pair, by the members' names.

    Returns:
        The id of the selected pair, or None.
    """
    ice = entry.agent.report()
    generation = f"{report.monitored.number(entry)}/{ice.ufrag}/"
    candidates = _Candidates(report, generation, transport_id)
    for local in ice.local:
        candidates.local(local.candidate, ice.ufrag, local.server)
    for candidate in ice.remote:
        candidates.remote(candidate, ice.remote_ufrag)
    selected = None
    for pair in ice.pairs:
        members = {
            "transportId": transport_id,
            "localCandidateId": candidates.local(pair.local, ice.ufrag),
            "remoteCandidateId": candidates.remote(pair.remote, ice.remote_ufrag),
        } | _pair_members(report, pair)
        if pair.is_selected:
            members |= available
        name = f"P{generation}{pair.key}"
        identifier = report.add("candidate-pair", name, members)
        if pair.is_selected:
            selected = identifier
    return selected
