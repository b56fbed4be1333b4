"""Statistics of senders: sources, what leaves, and what the peer says of it.

Spec: webrtc-stats, RTCOutboundRtpStreamStats, RTCRemoteInboundRtpStreamStats and RTCMediaSourceStats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rtcstack.connection.sending import Sender
from rtcstack.connection.stats.codecs import add_codec, is_power_efficient
from rtcstack.connection.stats.report import Report
from rtcstack.media.pipeline.audio_out import AudioOutbound
from rtcstack.media.pipeline.inbound import EncodedReceiverSource, ReceiverSource
from rtcstack.media.pipeline.sourcemeter import SourceMeter
from rtcstack.media.pipeline.video_out import VideoLayer, VideoOutbound
from rtcstack.rtp.send import SendStream

__all__ = ["add_sender", "add_sources"]


def add_sources(report: Report, senders: Iterable[Sender]) -> dict[str, str]:
    """The tracks that are attached.

    Args:
        report: the report.
        senders: all of the connection.

    Returns:
        The ids of their sources, by track id.
    """
    attached: dict[str, list[SourceMeter]] = {}
    for sender in senders:
        if sender.meter is not None:
            attached.setdefault(sender.meter.track.id, []).append(sender.meter)
    report.monitored.keep_sources(attached)
    return {track_id: _add_source(report, track_id, meters) for track_id, meters in attached.items()}


def _add_source(report: Report, track_id: str, meters: list[SourceMeter]) -> str:
    known = report.monitored.source(track_id, meters)
    track = meters[0].track
    members: dict[str, Any] = {
        "trackIdentifier": track_id,
        "kind": track.kind,
        "relayedSource": isinstance(track.source, ReceiverSource | EncodedReceiverSource),
    }
    if track.kind == "video":
        form = track.source.form if track.source.frames else None
        settings = track.getSettings() if form is not None else {}
        members["width"] = settings.get("width") or (form and form.width)
        members["height"] = settings.get("height") or (form and form.height)
        members["frames"] = track.source.frames - known.frames_before
        rates = [meter.frame_rate.lately(report.now) for meter in meters]
        members["framesPerSecond"] = max((rate for rate in rates if rate is not None), default=None)
    else:
        members["audioLevel"] = known.level
        members["totalAudioEnergy"] = known.energy
        members["totalSamplesDuration"] = known.duration_s
    return report.add("media-source", f"S{known.number}", members)


def add_sender(
    report: Report, sender: Sender, transport: str, transport_id: str, source_id: str | None
) -> None:
    """What a sender sends, or has sent until it was stopped.

    Args:
        report: the report.
        sender: the sender.
        transport: what its transport is known by, of `Monitored.number`.
        transport_id: its id.
        source_id: of its track, or None.
    """
    outbound, section = sender.outbound or sender.ended, sender.section
    if outbound is None or section is None:
        return
    codecs = {codec.payload_type: codec for codec in section.send_codecs}
    number = report.monitored.number(outbound)
    for index, (stream, more) in enumerate(_sent(outbound, report.now)):
        parameters, counts = stream.parameters, stream.counts
        name = f"O{number}_{stream.ssrc}"
        shared = {
            "ssrc": stream.ssrc,
            "kind": sender.kind,
            "transportId": transport_id,
            "codecId": add_codec(report, transport, transport_id, codecs.get(parameters.payload_type)),
        }
        members = {
            **shared,
            "mid": section.mid,
            "mediaSourceId": source_id,
            "remoteId": _add_remote_inbound(report, stream, name, shared),
            "rtxSsrc": parameters.rtx_ssrc,
            "active": sender.outbound is not None and _is_active(outbound, index),
            "packetsSent": counts.packets,
            "packetsSentWithEct1": 0,  # nothing that is sent is marked
            "bytesSent": counts.bytes,
            "headerBytesSent": counts.header_bytes,
            # asked for, or sent again to probe for bandwidth
            "retransmittedPacketsSent": counts.retransmitted_packets + counts.padding_retransmissions,
            "retransmittedBytesSent": counts.retransmitted_bytes + counts.padding_bytes,
            "totalPacketSendDelay": counts.delay_s,
            "lastPacketSentTimestamp": report.unix_ms(counts.last_at),
            "nackCount": stream.nack_count,
            **more,
        }
        if sender.kind == "video":
            members |= {"rid": parameters.rid, "encodingIndex": index}
        report.add("outbound-rtp", name, members)


def _is_active(outbound: AudioOutbound | VideoOutbound, index: int) -> bool:
    """Whether the encoding is set to be sent, and the direction that was agreed lets it."""
    layer = outbound.layer if isinstance(outbound, AudioOutbound) else outbound.layers[index].layer
    return layer.active and outbound.is_sending


def _add_remote_inbound(
    report: Report, stream: SendStream, local_name: str, shared: Mapping[str, Any]
) -> str | None:
    remote = stream.remote
    if remote.reported_at is None:
        return None
    return report.add(
        "remote-inbound-rtp",
        f"R{local_name}",
        {
            **shared,
            "localId": report.monitored.identify(local_name),
            "packetsReceived": remote.packets_received,
            "packetsLost": remote.packets_lost,
            "packetsWithBleachedEct1Marking": 0,  # nothing that is sent is marked
            "jitter": remote.jitter / stream.parameters.clock_rate,
            "fractionLost": remote.fraction_lost,
            "roundTripTime": remote.rtt_s,
            "totalRoundTripTime": remote.rtt_sum_s,
            "roundTripTimeMeasurements": remote.rtt_count,
            "reportsReceived": remote.reports,
        },
        report.unix_ms(remote.reported_at),
    )


def _sent(outbound: AudioOutbound | VideoOutbound, now: float) -> Iterable[tuple[SendStream, dict[str, Any]]]:
    """Each stream, and what is special to its kind."""
    if isinstance(outbound, AudioOutbound):
        return [(outbound.stream, {"targetBitrate": outbound.target_bps})]
    return [(layer.stream, _sent_video(layer, now)) for layer in outbound.layers]


def _sent_video(layer: VideoLayer, now: float) -> dict[str, Any]:
    stream, counts = layer.stream, layer.counts
    has_sent = counts.frames or stream.frames_sent
    return {
        "targetBitrate": layer.target_bps,
        "totalEncodedBytesTarget": counts.target_bytes,
        "frameWidth": layer.width if has_sent else None,
        "frameHeight": layer.height if has_sent else None,
        "framesPerSecond": layer.frame_rate.lately(now),
        "framesSent": stream.frames_sent,
        "hugeFramesSent": counts.huge_frames,
        "framesEncoded": counts.frames,
        "keyFramesEncoded": counts.key_frames,
        "qpSum": counts.qp_sum if layer.layer.codec != "vp8" else counts.qp_sum or 0,
        "totalEncodeTime": layer.encode_time_s,
        "encoderImplementation": layer.implementation or None,
        "powerEfficientEncoder": is_power_efficient(layer.implementation),
        "qualityLimitationReason": layer.limited_by,
        "qualityLimitationDurations": layer.limited_s(now),
        "qualityLimitationResolutionChanges": layer.adaptation.changes,
        "scalabilityMode": layer.layer.scalability_mode,
        "pliCount": stream.pli_count,
        "firCount": stream.fir_count,
        "fecPacketsSent": stream.counts.parity_packets if stream.parameters.parity_type >= 0 else None,
    }
