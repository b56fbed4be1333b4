"""Writes the objects of a report: of a whole connection, or of one sender or receiver.

Spec: webrtc-stats; webrtc-pc, section 8.5 (the stats selection algorithm).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtcstack.clock import timestamp_ms
from rtcstack.connection.channels import ChannelSet
from rtcstack.connection.connection import Connection
from rtcstack.connection.stats.ice import add_ice, ice_role
from rtcstack.connection.transports import TransportEntry
from rtcstack.dtls.fingerprint import certificate_fingerprint

if TYPE_CHECKING:
    from rtcstack.connection.receiving import Receiver
    from rtcstack.connection.sending import Sender

__all__ = ["Chosen", "Statistics"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a report is of, where it is not of everything.

    Attributes:
        sender, receiver: of one transceiver; either may be None.
    """

    sender: Sender | None
    receiver: Receiver | None


class Statistics:
    """One report, all of one moment.

    Attributes:
        objects: by id.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self._now = timestamp_ms()

    def _add(self, kind: str, identifier: str, timestamp: float, members: Mapping[str, Any]) -> str:
        """Add an object; members that are None are left out.

        Returns:
            The id.
        """
        stats: dict[str, Any] = {"id": identifier, "type": kind, "timestamp": timestamp}
        stats.update((k, v) for k, v in members.items() if v is not None)
        self.objects[identifier] = stats
        return identifier

    def add_all(self, connection: Connection) -> None:
        """All of a connection."""
        channels = connection.channels
        self._add(
            "peer-connection",
            "PC",
            self._now,
            {
                "dataChannelsOpened": 0 if channels is None else channels.engine.channels_opened,
                "dataChannelsClosed": 0 if channels is None else channels.engine.channels_closed,
            },
        )
        if channels is not None:
            self._add_channels(channels)
        transceivers = connection.transceivers.all
        self._add_media(
            connection,
            list(connection.transports),
            [t.sender for t in transceivers],
            [t.receiver for t in transceivers],
        )

    def add_chosen(self, connection: Connection, chosen: Chosen) -> None:
        """A sender or receiver, and what it depends on."""
        halves = (chosen.sender, chosen.receiver)
        used = {half.entry for half in halves if half is not None}
        entries = [entry for entry in connection.transports if entry in used]
        senders = [] if chosen.sender is None else [chosen.sender]
        receivers = [] if chosen.receiver is None else [chosen.receiver]
        self._add_media(connection, entries, senders, receivers)

    def _add_media(
        self,
        connection: Connection,
        entries: Iterable[TransportEntry],
        senders: Sequence[Sender],
        receivers: Sequence[Receiver],
    ) -> None:
        names = {entry: self._add_transport(connection, entry) for entry in entries}
        if not senders and not receivers:
            return
        from rtcstack.connection.stats.media import MediaStatistics

        media = MediaStatistics(self._add, self._now)
        for sender in senders:
            if sender.entry in names:
                media.add_sender(sender, names[sender.entry])
        for receiver in receivers:
            if receiver.entry in names:
                media.add_receiver(receiver, names[receiver.entry])

    def _add_channels(self, channels: ChannelSet) -> None:
        for number, channel in enumerate(channels.channels):
            self._add(
                "data-channel",
                f"D{channel.id if channel.id is not None else f'new{number}'}",
                self._now,
                {
                    "label": channel.label,
                    "protocol": channel.protocol,
                    "dataChannelIdentifier": channel.id,
                    "state": str(channel.state),
                    "messagesSent": channel.messages_sent,
                    "bytesSent": channel.bytes_sent,
                    "messagesReceived": channel.messages_received,
                    "bytesReceived": channel.bytes_received,
                },
            )

    def _add_transport(self, connection: Connection, entry: TransportEntry) -> str:
        key = entry.key
        transport, ice = entry.transport, entry.agent
        counters = transport.dtls.counters
        details = entry.dtls_details
        media = transport.media
        own = self._add_certificate(f"CF{key}L", connection.transports.certificate.der)
        remote = None
        if entry.remote_certificates:
            remote = self._add_certificate(f"CF{key}R", entry.remote_certificates[0])
        estimate = None if media is None else media.session.sending.estimate_bps
        selected = add_ice(self._add, entry, self._now, estimate)
        return self._add(
            "transport",
            f"T{key}",
            self._now,
            {
                "packetsSent": counters.packets_sent + (media.packets_sent if media else 0),
                "bytesSent": counters.bytes_sent + (media.bytes_sent if media else 0),
                "packetsReceived": counters.packets_received + (media.packets_received if media else 0),
                "bytesReceived": counters.bytes_received + (media.bytes_received if media else 0),
                "iceRole": ice_role(ice),
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

    def _add_certificate(self, identifier: str, der: bytes) -> str:
        fingerprint = certificate_fingerprint(der, "sha-256")
        return self._add(
            "certificate",
            identifier,
            self._now,
            {
                "fingerprint": fingerprint.value,
                "fingerprintAlgorithm": fingerprint.algorithm,
                "base64Certificate": base64.b64encode(der).decode("ascii"),
            },
        )
