"""Statistics of receivers: what arrives, what the peer says of it, and what is played.

Spec: webrtc-stats, RTCInboundRtpStreamStats, RTCRemoteOutboundRtpStreamStats and RTCAudioPlayoutStats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rtcstack.clock import NTP_EPOCH_S, unix_time
from rtcstack.codecs.registry import video_decoder_name
from rtcstack.connection.binding import accepted_codecs
from rtcstack.connection.receiving import Receiver
from rtcstack.connection.stats.codecs import add_codec, is_power_efficient
from rtcstack.connection.stats.report import Report
from rtcstack.media.pipeline.audio_in import AudioInbound
from rtcstack.media.pipeline.level import linear_level
from rtcstack.media.pipeline.video_in import VideoFeed, VideoInbound
from rtcstack.rtp.playoutcounts import PlayoutCounts
from rtcstack.rtp.receive import ReceiveStream

__all__ = ["add_receiver"]

_NTP_FRACTION = 1 << 32


def add_receiver(report: Report, receiver: Receiver, transport: str, transport_id: str) -> None:
    """What a receiver receives, or has received until it was stopped.

    Args:
        report: the report.
        receiver: the receiver.
        transport: what its transport is known by, of `Monitored.number`.
        transport_id: its id.
    """
    inbound, section = receiver.inbound, receiver.section
    if inbound is None or section is None:
        return
    codecs = {codec.payload_type: codec for codec in accepted_codecs(section)}
    for owner, stream, more in _received(report, inbound):
        reception = stream.reception
        name = f"I{report.monitored.number(owner)}_{stream.ssrc}"
        shared = {
            "ssrc": stream.ssrc,
            "kind": receiver.kind,
            "transportId": transport_id,
            "codecId": add_codec(report, transport, transport_id, codecs.get(stream.payload_type)),
        }
        members = {
            **shared,
            "trackIdentifier": receiver.track.id,
            "mid": section.mid,
            "rid": stream.rid,
            "remoteId": _add_remote_outbound(report, stream, name, shared),
            "rtxSsrc": stream.rtx_ssrc,
            "packetsReceived": stream.packets_received,
            # senders mark where RFC 8888 is agreed, and it is not offered here
            "packetsReceivedWithEct1": 0,
            "packetsReceivedWithCe": 0,
            "packetsLost": reception.packets_lost,
            "packetsDuplicated": stream.duplicates,
            "jitter": reception.jitter / reception.clock_rate,
            "bytesReceived": stream.bytes_received,
            "headerBytesReceived": stream.header_bytes_received,
            "lastPacketReceivedTimestamp": report.unix_ms(stream.last_packet_at),
            "nackCount": stream.nack_count,
            **more,
        }
        if any(codec.apt is not None for codec in stream.section.codecs):
            members["retransmittedPacketsReceived"] = stream.retransmitted_packets
            members["retransmittedBytesReceived"] = stream.retransmitted_bytes
        report.add("inbound-rtp", name, members)


def _add_remote_outbound(
    report: Report, stream: ReceiveStream, local_name: str, shared: Mapping[str, Any]
) -> str | None:
    reception = stream.reception
    told = reception.sender_report
    if told is None:
        return None
    remote_ms = (told.ntp / _NTP_FRACTION - NTP_EPOCH_S) * 1000 if told.ntp else None
    return report.add(
        "remote-outbound-rtp",
        f"R{local_name}",
        {
            **shared,
            "localId": report.monitored.identify(local_name),
            "remoteTimestamp": remote_ms,
            "packetsSent": told.packet_count,
            "bytesSent": told.octet_count,
            "reportsSent": reception.sender_reports,
            "roundTripTime": reception.rtt_s,
            "totalRoundTripTime": reception.rtt_sum_s,
            "roundTripTimeMeasurements": reception.rtt_count,
        },
        report.unix_ms(reception.sender_report_at),
    )


def _received(
    report: Report, inbound: AudioInbound | VideoInbound
) -> Iterable[tuple[object, ReceiveStream, dict[str, Any]]]:
    """Whose each stream is, the stream, and what is special to its kind."""
    if isinstance(inbound, AudioInbound):
        stream = inbound.counted
        return [] if stream is None else [(inbound, stream, _received_audio(report, inbound, stream))]
    return [
        (feed, stream, _received_video(report, feed, stream))
        for feed in inbound.feeds.values()
        if (stream := feed.counted) is not None
    ]


def _playing_now_ms(report: Report, played: tuple[float, float] | None) -> float | None:
    """The time of a track by its sender's NTP clock; None while that is not known."""
    return None if played is None else (played[0] + report.now - played[1]) * 1000


def _received_audio(report: Report, inbound: AudioInbound, stream: ReceiveStream) -> dict[str, Any]:
    buffer = stream.playout
    counts = stream.played_before
    if buffer is not None:
        counts = PlayoutCounts().add(counts).add(buffer)
    # the buffer counts in RTP ticks, of which G.722 has one for two samples (RFC 3551, section 4.5.2)
    per_tick = inbound.samples_per_tick
    level = inbound.audio_level if inbound.is_playing else linear_level(stream.told_level)
    return {
        "playoutId": _add_playout(report, inbound),
        "audioLevel": 0.0 if level is None else level,
        "voiceActivityFlag": _voice(inbound, stream.ssrc),
        "totalAudioEnergy": inbound.total_energy,
        "totalSamplesReceived": inbound.samples,
        "totalSamplesDuration": inbound.total_duration_s,
        "estimatedPlayoutTimestamp": _playing_now_ms(report, inbound.played),
        "packetsDiscarded": counts.discarded,
        "fecPacketsReceived": counts.fec_packets,
        "fecPacketsDiscarded": counts.fec_discarded,
        "jitterBufferDelay": counts.delay_s * per_tick,
        "jitterBufferTargetDelay": counts.target_delay_s * per_tick,
        "jitterBufferMinimumDelay": counts.minimum_delay_s * per_tick,
        "jitterBufferEmittedCount": counts.emitted * per_tick,
        "jitterBufferFlushes": counts.flushes,
        "concealedSamples": counts.concealed * per_tick,
        "silentConcealedSamples": counts.silent_concealed * per_tick,
        "concealmentEvents": counts.concealment_events,
        "insertedSamplesForDeceleration": counts.inserted * per_tick,
        "removedSamplesForAcceleration": counts.removed * per_tick,
        "totalProcessingDelay": counts.delay_s * per_tick + inbound.decoding_of_samples_s,
    }


def _voice(inbound: AudioInbound, ssrc: int) -> bool | None:
    """Whether the last packet that was played says that somebody spoke; None where none says."""
    return next(
        (note.voice for note in inbound.notes.recent(unix_time(), contributing=False) if note.source == ssrc),
        None,
    )


def _add_playout(report: Report, inbound: AudioInbound) -> str | None:
    """What plays a receiver's sound; the id while it does."""
    if not inbound.is_playing and not inbound.samples:
        return None
    identifier = report.add(
        "media-playout",
        f"A{report.monitored.number(inbound)}",
        {
            "kind": "audio",
            # nothing is made up behind the jitter buffer: what it cannot give is concealed there
            "synthesizedSamplesDuration": 0.0,
            "synthesizedSamplesEvents": 0,
            "totalSamplesDuration": inbound.total_duration_s,
            "totalPlayoutDelay": inbound.output_delay_s,
            "totalSamplesCount": inbound.samples,
        },
    )
    return identifier if inbound.is_playing else None


def _received_video(report: Report, feed: VideoFeed, stream: ReceiveStream) -> dict[str, Any]:
    smoothness, assembler = feed.display.smoothness, stream.assembler
    codec = next((c for c in stream.section.codecs if c.payload_type == stream.payload_type), None)
    name = "" if codec is None else feed.codec_name(codec.payload_type)
    implementation = feed.decoder_implementation or video_decoder_name(name)
    return {
        "estimatedPlayoutTimestamp": _playing_now_ms(report, feed.played),
        "packetsDiscarded": 0 if assembler is None else assembler.late_packets,
        "frameWidth": feed.width or None,
        "frameHeight": feed.height or None,
        "framesPerSecond": feed.frame_rate.lately(report.now),
        "framesReceived": feed.frames_received,
        "framesDecoded": feed.frames_decoded,
        "keyFramesDecoded": feed.key_frames_decoded,
        "framesDropped": feed.frames_dropped + feed.failures,
        "qpSum": feed.qp_sum if name != "vp8" else feed.qp_sum or 0,
        "totalDecodeTime": feed.decode_time_s,
        "totalProcessingDelay": feed.processing_s,
        "framesAssembledFromMultiplePackets": feed.assembled,
        "totalAssemblyTime": feed.assembly_s,
        "framesRendered": smoothness.frames,
        "totalInterFrameDelay": smoothness.inter_frame_delay_s,
        "totalSquaredInterFrameDelay": smoothness.inter_frame_delay_squared_s2,
        "freezeCount": smoothness.freezes,
        "totalFreezesDuration": smoothness.freezes_s,
        "pauseCount": smoothness.pauses,
        "totalPausesDuration": smoothness.pauses_s,
        "jitterBufferDelay": feed.waiting_s,
        "jitterBufferTargetDelay": feed.target_s,
        "jitterBufferMinimumDelay": feed.minimum_s,
        "jitterBufferEmittedCount": feed.frames_decoded,
        "decoderImplementation": implementation or None,
        "powerEfficientDecoder": is_power_efficient(implementation),
        "pliCount": stream.pli_count,
        "firCount": stream.fir_count,
        **_corrected(stream),
    }


def _corrected(stream: ReceiveStream) -> dict[str, Any]:
    """What parity did; nothing where none was agreed."""
    if stream.correction.parity_type < 0:
        return {}
    recovery = stream.correction.recovery
    return {
        "fecPacketsReceived": 0 if recovery is None else recovery.packets,
        "fecBytesReceived": 0 if recovery is None else recovery.bytes,
        "fecPacketsDiscarded": 0 if recovery is None else recovery.discarded,
    }
