"""getStats.

Spec: webrtc-stats; webrtc-pc, section 8.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rtcstack.api.icestats import add_ice
from rtcstack.api.mediastats import MediaStatistics
from rtcstack.clock import timestamp_ms
from rtcstack.dtls.fingerprint import certificate_fingerprint
from rtcstack.errors import InvalidAccessError
from rtcstack.media.track import MediaStreamTrack

if TYPE_CHECKING:
    from rtcstack.api.peerconnection import RTCPeerConnection
    from rtcstack.api.receiver import RTCRtpReceiver
    from rtcstack.api.sender import RTCRtpSender
    from rtcstack.api.transportset import TransportEntry

__all__ = ["RTCStats", "RTCStatsReport", "collect"]

RTCStats = dict[str, Any]
"""One object of a report: "id", "type", "timestamp" (milliseconds since the Unix epoch) and the
members of its type in webrtc-stats. A member that has no value yet is left out, as there."""


class RTCStatsReport(Mapping[str, RTCStats]):
    """Statistics by id.

    Spec: webrtc-pc, section 8.3.
    """

    def __init__(self) -> None:
        self._stats: dict[str, RTCStats] = {}

    def add(self, kind: str, identifier: str, timestamp: float, members: Mapping[str, Any]) -> str:
        """Add an object; members that are None are left out.

        Returns:
            The id.
        """
        stats = {"id": identifier, "type": kind, "timestamp": timestamp}
        stats.update((k, v) for k, v in members.items() if v is not None)
        self._stats[identifier] = stats
        return identifier

    def add_members(self, identifier: str, members: Mapping[str, Any]) -> None:
        """Add to an object that is there."""
        self._stats[identifier].update(members)

    def of_type(self, kind: str) -> list[RTCStats]:
        """All objects of a type."""
        return [s for s in self._stats.values() if s["type"] == kind]

    def __getitem__(self, identifier: str) -> RTCStats:
        return self._stats[identifier]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stats)

    def __len__(self) -> int:
        return len(self._stats)


def collect(
    connection: RTCPeerConnection, selector: MediaStreamTrack | RTCRtpSender | RTCRtpReceiver | None
) -> RTCStatsReport:
    """A report of the whole connection, or of what a selector depends on.

    Raises:
        InvalidAccessError: the selected track is not sent or received here exactly once.
        TypeError: the selector is something else.
    """
    report = RTCStatsReport()
    now = timestamp_ms()
    entries = list(connection.transports)
    transceivers = connection.transceivers.all
    senders = [t.sender for t in transceivers]
    receivers = [t.receiver for t in transceivers]
    if selector is not None:
        if isinstance(selector, MediaStreamTrack):
            matches = [
                t for t in transceivers if selector in (t.sender.track, t.receiver.track) and not t.stopped
            ]
            if len(matches) != 1:
                raise InvalidAccessError(
                    f"getStats: the track is used by {len(matches)} senders and receivers, not 1"
                )
        else:
            matches = [t for t in transceivers if selector in (t.sender, t.receiver)]
            if not matches:
                raise TypeError("getStats: the selector is no track, sender or receiver of this connection")
        chosen = matches[0]
        senders = [chosen.sender] if selector in (chosen.sender, chosen.sender.track) else []
        receivers = [chosen.receiver] if selector in (chosen.receiver, chosen.receiver.track) else []
        used = {chosen.sender.transport}
        entries = [e for e in entries if e.dtls_transport in used]
    else:
        _add_connection(report, connection, now)
        _add_channels(report, connection, now)
    names = {}
    for entry in entries:
        names[entry.dtls_transport] = _add_transport(report, connection, entry, now)
    media = MediaStatistics(report.add, now)
    for sender in senders:
        if sender.transport in names:
            media.add_sender(sender, names[sender.transport])
    for receiver in receivers:
        if receiver.transport in names:
            media.add_receiver(receiver, names[receiver.transport])
    return report


def _add_connection(report: RTCStatsReport, connection: RTCPeerConnection, now: float) -> None:
    channels = connection.channels
    report.add(
        "peer-connection",
        "PC",
        now,
        {
            "dataChannelsOpened": 0 if channels is None else channels.engine.channels_opened,
            "dataChannelsClosed": 0 if channels is None else channels.engine.channels_closed,
        },
    )


def _add_channels(report: RTCStatsReport, connection: RTCPeerConnection, now: float) -> None:
    if connection.channels is None:
        return
    for number, channel in enumerate(connection.channels.channels):
        record = channel.record
        report.add(
            "data-channel",
            f"D{channel.id if channel.id is not None else f'new{number}'}",
            now,
            {
                "label": channel.label,
                "protocol": channel.protocol,
                "dataChannelIdentifier": channel.id,
                "state": str(channel.readyState),
                "messagesSent": record.messages_sent,
                "bytesSent": record.bytes_sent,
                "messagesReceived": record.messages_received,
                "bytesReceived": record.bytes_received,
            },
        )


def _add_transport(
    report: RTCStatsReport, connection: RTCPeerConnection, entry: TransportEntry, now: float
) -> str:
    key = entry.key
    transport, ice = entry.transport, entry.transport.ice
    counters = transport.dtls.counters
    details = entry.dtls_details
    media = transport.media
    own = _add_certificate(report, f"CF{key}L", connection.transports.certificate.der, now)
    remote = None
    if entry.remote_certificates:
        remote = _add_certificate(report, f"CF{key}R", entry.remote_certificates[0], now)
    selected = add_ice(report, entry, now)
    if selected is not None and media is not None:
        estimate = media.session.sending.estimate_bps
        if estimate is not None:
            report.add_members(selected, {"availableOutgoingBitrate": estimate})
    return report.add(
        "transport",
        f"T{key}",
        now,
        {
            "packetsSent": counters.packets_sent + (media.packets_sent if media else 0),
            "bytesSent": counters.bytes_sent + (media.bytes_sent if media else 0),
            "packetsReceived": counters.packets_received + (media.packets_received if media else 0),
            "bytesReceived": counters.bytes_received + (media.bytes_received if media else 0),
            "iceRole": str(entry.ice_transport.role),
            "iceLocalUsernameFragment": ice.ufrag,
            "iceState": str(ice.state),
            "dtlsState": str(entry.dtls_state),
            "selectedCandidatePairId": selected,
            "localCertificateId": own,
            "remoteCertificateId": remote,
            "tlsVersion": None if details is None else f"{details.version:04X}",
            "tlsGroup": None if details is None else details.group,
            "dtlsCipher": None if details is None else details.cipher_suite,
            "dtlsRole": "unknown" if transport.dtls.role is None else str(transport.dtls.role),
            "srtpCipher": None if details is None else details.srtp_profile,
            "selectedCandidatePairChanges": ice.selected_pair_changes,
        },
    )


def _add_certificate(report: RTCStatsReport, identifier: str, der: bytes, now: float) -> str:
    fingerprint = certificate_fingerprint(der, "sha-256")
    return report.add(
        "certificate",
        identifier,
        now,
        {
            "fingerprint": fingerprint.value,
            "fingerprintAlgorithm": fingerprint.algorithm,
            "base64Certificate": base64.b64encode(der).decode("ascii"),
        },
    )
