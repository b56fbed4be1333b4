"""This stack's statistics as objects with attributes."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from rtcstack.compat.aiortc.mediastreams import MediaStreamTrack
from rtcstack.compat.aiortc.stats import (
    RTCInboundRtpStreamStats,
    RTCOutboundRtpStreamStats,
    RTCRemoteInboundRtpStreamStats,
    RTCRemoteOutboundRtpStreamStats,
    RTCStats,
    RTCStatsReport,
    RTCTransportStats,
)

__all__ = ["receiver_stats", "sender_stats"]

Report = Mapping[str, Mapping[str, Any]]


def sender_stats(report: Report, track: MediaStreamTrack | None) -> RTCStatsReport:
    """Of a sender."""
    return _report(_sent(each, report, track) for each in report.values())


def receiver_stats(report: Report) -> RTCStatsReport:
    """Of a receiver."""
    return _report(_received(each, report) for each in report.values())


def _report(found: Iterable[RTCStats | None]) -> RTCStatsReport:
    result = RTCStatsReport()
    for each in found:
        if each is not None:
            result.add(each)
    return result


def _common(stats: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "timestamp": datetime.datetime.fromtimestamp(stats["timestamp"] / 1000, datetime.UTC),
        "type": stats["type"],
        "id": stats["id"],
    }


def _stream(stats: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_common(stats),
        "ssrc": stats.get("ssrc", 0),
        "kind": stats.get("kind", ""),
        "transportId": stats.get("transportId", ""),
    }


def _reception(stats: Mapping[str, Any], report: Report) -> dict[str, Any]:
    codec = report.get(stats.get("codecId", ""), {})
    jitter = stats.get("jitter", 0.0) * codec.get("clockRate", 90_000)
    return {
        **_stream(stats),
        "packetsReceived": stats.get("packetsReceived", 0),
        "packetsLost": stats.get("packetsLost", 0),
        "jitter": int(jitter),
    }


def _sending(stats: Mapping[str, Any]) -> dict[str, Any]:
    sent = {name: stats.get(name, 0) for name in ("packetsSent", "bytesSent")}
    return {**_stream(stats), **sent}


def _sent(stats: Mapping[str, Any], report: Report, track: MediaStreamTrack | None) -> RTCStats | None:
    if stats["type"] == "outbound-rtp":
        return RTCOutboundRtpStreamStats(**_sending(stats), trackId="" if track is None else track.id)
    if stats["type"] == "remote-inbound-rtp":
        return RTCRemoteInboundRtpStreamStats(
            **_reception(stats, report),
            roundTripTime=stats.get("roundTripTime", 0.0),
            fractionLost=stats.get("fractionLost", 0.0),
        )
    return _transport(stats)


def _received(stats: Mapping[str, Any], report: Report) -> RTCStats | None:
    if stats["type"] == "inbound-rtp":
        return RTCInboundRtpStreamStats(**_reception(stats, report))
    if stats["type"] == "remote-outbound-rtp":
        at = stats.get("remoteTimestamp")
        return RTCRemoteOutboundRtpStreamStats(
            **_sending(stats),
            remoteTimestamp=None if at is None else datetime.datetime.fromtimestamp(at / 1000, datetime.UTC),
        )
    return _transport(stats)


def _transport(stats: Mapping[str, Any]) -> RTCStats | None:
    if stats["type"] != "transport":
        return None
    counted = {
        name: stats.get(name, 0) for name in ("packetsSent", "packetsReceived", "bytesSent", "bytesReceived")
    }
    return RTCTransportStats(
        **_common(stats),
        **counted,
        iceRole=str(stats.get("iceRole", "unknown")),
        dtlsState=str(stats.get("dtlsState", "new")),
    )
