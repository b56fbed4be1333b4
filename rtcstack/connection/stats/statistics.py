"""Writes the objects of a report: of a whole connection, or of one sender or receiver.

Spec: webrtc-stats; webrtc-pc, section 8.5 (the stats selection algorithm).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rtcstack.connection.channels import ChannelSet
from rtcstack.connection.connection import Connection
from rtcstack.connection.stats.ice import add_ice, ice_role
from rtcstack.connection.stats.report import Report
from rtcstack.connection.transportentry import TransportEntry
from rtcstack.dtls.fingerprint import certificate_fingerprint

if TYPE_CHECKING:
    from rtcstack.connection.receiving import Receiver
    from rtcstack.connection.sending import Sender

__all__ = ["Chosen", "statistics"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a report is of, where it is not of everything.

    Attributes:
        sender, receiver: of one transceiver; either may be None.
    """

    sender: Sender | None
    receiver: Receiver | None


def statistics(connection: Connection, chosen: Chosen | None = None) -> dict[str, dict[str, Any]]:
    """A report as of now.

    Args:
        connection: whose.
        chosen: a sender or receiver; what it references comes along. None for everything.

    Returns:
        Its objects by id.
    """
    report = Report(connection.monitored)
    transceivers = connection.transceivers.all
    entries = connection.transports.ended or tuple(connection.transports)
    if chosen is None:
        _add_connection(report, connection)
        senders = [each.sender for each in transceivers]
        receivers = [each.receiver for each in transceivers]
        _add_media(report, connection, entries, senders, receivers)
        return report.objects
    halves = (chosen.sender, chosen.receiver)
    used = {half.entry for half in halves if half is not None}
    _add_media(
        report,
        connection,
        [entry for entry in entries if entry in used],
        [] if chosen.sender is None else [chosen.sender],
        [] if chosen.receiver is None else [chosen.receiver],
    )
    report.keep_referenced(("outbound-rtp", "inbound-rtp"))
    return report.objects


def _add_connection(report: Report, connection: Connection) -> None:
    channels = connection.channels
    opened = closed = 0
    if channels is not None:
        opened, closed = channels.engine.channels_opened, channels.engine.channels_closed
        closed = opened if channels.is_closed else closed
    members = {
        "dataChannelsOpened": opened,
        "dataChannelsClosed": closed,
        "dataChannelsRequested": 0 if channels is None else channels.requested,
        "dataChannelsAccepted": 0 if channels is None else channels.accepted,
    }
    report.add("peer-connection", "PC", members)
    if channels is not None:
        _add_channels(report, channels)


def _add_channels(report: Report, channels: ChannelSet) -> None:
    for channel, number in channels.numbers.items():
        members = {
            "label": channel.label,
            "protocol": channel.protocol,
            "dataChannelIdentifier": channel.id,
            "state": "closed" if channels.is_closed else str(channel.state),
            "messagesSent": channel.messages_sent,
            "bytesSent": channel.bytes_sent,
            "messagesReceived": channel.messages_received,
            "bytesReceived": channel.bytes_received,
        }
        report.add("data-channel", f"D{number}", members)


def _add_media(
    report: Report,
    connection: Connection,
    entries: Iterable[TransportEntry],
    senders: Sequence[Sender],
    receivers: Sequence[Receiver],
) -> None:
    names = {entry: _add_transport(report, connection, entry) for entry in entries}
    if not senders and not receivers:
        return
    from rtcstack.connection.stats.receiving import add_receiver
    from rtcstack.connection.stats.sending import add_sender, add_sources

    sources = add_sources(report, [each.sender for each in connection.transceivers.all])
    number = report.monitored.number
    for sender in senders:
        entry = sender.entry
        if entry is not None and entry in names:
            source = None if sender.track is None else sources.get(sender.track.id)
            add_sender(report, sender, number(entry), names[entry], source)
    for receiver in receivers:
        entry = receiver.entry
        if entry is not None and entry in names:
            add_receiver(report, receiver, number(entry), names[entry])


def _add_transport(report: Report, connection: Connection, entry: TransportEntry) -> str:
    transport, ice, details = entry.transport, entry.agent, entry.dtls_details
    counters, media = transport.dtls.counters, transport.media
    name = f"T{report.monitored.number(entry)}"
    identifier = report.monitored.identify(name)
    available: dict[str, int | None] = {}
    if media is not None:
        available = {
            "availableOutgoingBitrate": media.session.sending.available_bps,
            "availableIncomingBitrate": media.session.receive_estimate_bps,
        }
    members = {
        "packetsSent": counters.packets_sent + (media.packets_sent if media else 0),
        "bytesSent": counters.bytes_sent + (media.bytes_sent if media else 0),
        "packetsReceived": counters.packets_received + (media.packets_received if media else 0),
        "bytesReceived": counters.bytes_received + (media.bytes_received if media else 0),
        "iceRole": ice_role(ice),
        "iceLocalUsernameFragment": ice.ufrag,
        "iceState": str(ice.state),
        "dtlsState": str(entry.dtls_state),
        "selectedCandidatePairId": add_ice(report, entry, identifier, available),
        "localCertificateId": _add_certificates(report, (connection.transports.certificate.der,)),
        "remoteCertificateId": _add_certificates(report, entry.remote_certificates),
        "tlsVersion": None if details is None else f"{details.version:04X}",
        "tlsGroup": None if details is None else details.group,
        "dtlsCipher": None if details is None else details.cipher_suite,
        "dtlsRole": "unknown" if transport.dtls.role is None else str(transport.dtls.role),
        "srtpCipher": None if details is None else details.srtp_profile,
        "selectedCandidatePairChanges": ice.selected_pair_changes,
    }
    return report.add("transport", name, members)


@lru_cache(maxsize=256)
def _certificate(der: bytes) -> dict[str, str]:
    fingerprint = certificate_fingerprint(der, "sha-256")
    return {
        "fingerprint": fingerprint.value,
        "fingerprintAlgorithm": fingerprint.algorithm,
        "base64Certificate": base64.b64encode(der).decode("ascii"),
    }


def _add_certificates(report: Report, chain: Sequence[bytes]) -> str | None:
    """The certificates of one end, each with the one that it was issued by.

    Returns:
        The id of the first; None if there is none.
    """
    issuer = None
    for der in reversed(chain):
        members = _certificate(der)
        issuer = report.add(
            "certificate", f"F{members['fingerprint']}", {**members, "issuerCertificateId": issuer}
        )
    return issuer
