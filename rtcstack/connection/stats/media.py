"""Statistics of senders and receivers.

Spec: webrtc-stats, sections 8.2 to 8.13 (codec, inbound-rtp, remote-inbound-rtp, outbound-rtp,
remote-outbound-rtp, media-source, media-playout).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rtcstack.clock import NTP_EPOCH_S, monotonic
from rtcstack.connection.binding import accepted_codecs
from rtcstack.connection.receiving import Receiver
from rtcstack.connection.sending import Sender
from rtcstack.connection.stats.ice import Add
from rtcstack.jsep.session import Codec
from rtcstack.media.pipeline.audio_in import AudioInbound
from rtcstack.media.pipeline.audio_out import AudioOutbound
from rtcstack.media.pipeline.video_in import VideoFeed, VideoInbound
from rtcstack.media.pipeline.video_out import VideoLayer, VideoOutbound
from rtcstack.rtp.receive import ReceiveStream
from rtcstack.rtp.send import SendStream

__all__ = ["MediaStatistics"]

_NTP_FRACTION = 1 << 32


class MediaStatistics:
    """Writes the statistics of one connection's media into a report.

    Args:
        add: adds an object to the report; see `Statistics`.
        now: milliseconds since the Unix epoch.
    """

    def __init__(self, add: Add, now: float) -> None:
        self._add = add
        self._now = now
        self._monotonic = monotonic()

    def _unix_ms(self, at: float) -> float:
        """A monotonic time on the clock of the report."""
        return self._now - (self._monotonic - at) * 1000

    def _codec(self, transport_id: str, codec: Codec | None, direction: str) -> str | None:
        if codec is None:
            return None
        return self._add(
            "codec",
            f"C{direction}{transport_id}_{codec.payload_type}_{codec.parameters}",
            self._now,
            {
                "payloadType": codec.payload_type,
                "transportId": transport_id,
                "mimeType": codec.mime_type,
                "clockRate": codec.clock_rate,
                "channels": codec.channels,
                "sdpFmtpLine": codec.parameters or None,
            },
        )

    # -- sending ----------------------------------------------------------------------------------

    def add_sender(self, sender: Sender, transport_id: str) -> None:
        """What a sender sends."""
        outbound, section = sender.outbound, sender.section
        source = self._source(sender)
        if outbound is None or section is None:
            return
        codecs = {c.payload_type: c for c in section.send_codecs}
        for index, (stream, more) in enumerate(_sent(outbound, self._monotonic)):
            parameters = stream.parameters
            codec_id = self._codec(transport_id, codecs.get(parameters.payload_type), "O")
            name = f"O{section.mid}{stream.ssrc}"
            shared = {
                "ssrc": stream.ssrc,
                "kind": sender.kind,
                "transportId": transport_id,
                "codecId": codec_id,
            }
            counts = stream.counts
            remote_id = self._remote_inbound(stream, name, shared)
            self._add(
                "outbound-rtp",
                name,
                self._now,
                {
                    **shared,
                    "mid": section.mid,
                    "rid": parameters.rid,
                    "encodingIndex": index if sender.kind == "video" else None,
                    "mediaSourceId": source,
                    "remoteId": remote_id,
                    "rtxSsrc": parameters.rtx_ssrc,
                    "active": stream.active,
                    "packetsSent": counts.packets,
                    "bytesSent": counts.bytes,
                    "headerBytesSent": counts.header_bytes,
                    # asked for, or sent again to probe for bandwidth
                    "retransmittedPacketsSent": counts.retransmitted_packets + counts.padding_retransmissions,
                    "retransmittedBytesSent": counts.retransmitted_bytes + counts.padding_bytes,
                    "nackCount": stream.nack_count,
                    **more,
                },
            )

    def _remote_inbound(self, stream: SendStream, local_id: str, shared: Mapping[str, Any]) -> str | None:
        remote = stream.remote
        if remote.reported_at is None:
            return None
        return self._add(
            "remote-inbound-rtp",
            f"R{local_id}",
            self._unix_ms(remote.reported_at),
            {
                **shared,
                "localId": local_id,
                "packetsLost": remote.packets_lost,
                "fractionLost": remote.fraction_lost,
                "jitter": remote.jitter / stream.parameters.clock_rate,
                "roundTripTime": remote.rtt_s,
                "totalRoundTripTime": remote.rtt_sum_s,
                "roundTripTimeMeasurements": remote.rtt_count,
            },
        )

    def _source(self, sender: Sender) -> str | None:
        track = sender.track
        if track is None:
            return None
        members: dict[str, Any] = {"trackIdentifier": track.id, "kind": track.kind}
        settings = track.getSettings()
        if sender.kind == "video":
            members["width"] = settings.get("width")
            members["height"] = settings.get("height")
            members["framesPerSecond"] = settings.get("frameRate")
            members["frames"] = track.source.frames
        elif isinstance(sender.outbound, AudioOutbound):
            outbound = sender.outbound
            members["audioLevel"] = outbound.level
            members["totalAudioEnergy"] = outbound.total_energy
            members["totalSamplesDuration"] = outbound.total_duration_s
        return self._add("media-source", f"S{sender.kind[0]}{track.id}", self._now, members)

    # -- receiving --------------------------------------------------------------------------------

    def add_receiver(self, receiver: Receiver, transport_id: str) -> None:
        """What a receiver receives."""
        inbound, section = receiver.inbound, receiver.section
        if inbound is None or section is None:
            return
        codecs = {c.payload_type: c for c in accepted_codecs(section)}
        for stream, more in _received(inbound, self._monotonic):
            reception = stream.reception
            name = f"I{section.mid}{stream.ssrc}"
            shared = {
                "ssrc": stream.ssrc,
                "kind": receiver.kind,
                "transportId": transport_id,
                "codecId": self._codec(transport_id, codecs.get(stream.payload_type), "I"),
            }
            self._add(
                "inbound-rtp",
                name,
                self._now,
                {
                    **shared,
                    "mid": section.mid,
                    "rid": stream.rid,
                    "trackIdentifier": receiver.track.id,
                    "remoteId": self._remote_outbound(stream, name, shared),
                    "rtxSsrc": stream.rtx_ssrc,
                    "packetsReceived": stream.packets_received,
                    "packetsLost": reception.packets_lost,
                    "packetsDiscarded": _discarded(stream),
                    "jitter": reception.jitter / reception.clock_rate,
                    "bytesReceived": stream.bytes_received,
                    "headerBytesReceived": stream.header_bytes_received,
                    "retransmittedPacketsReceived": stream.retransmitted_packets,
                    "retransmittedBytesReceived": stream.retransmitted_bytes,
                    "lastPacketReceivedTimestamp": self._unix_ms(stream.last_packet_at),
                    "nackCount": stream.nack_count,
                    **more,
                },
            )

    def _remote_outbound(self, stream: ReceiveStream, local_id: str, shared: Mapping[str, Any]) -> str | None:
        reception = stream.reception
        report = reception.sender_report
        if report is None:
            return None
        remote_ms = (report.ntp / _NTP_FRACTION - NTP_EPOCH_S) * 1000 if report.ntp else None
        return self._add(
            "remote-outbound-rtp",
            f"R{local_id}",
            self._unix_ms(reception.sender_report_at),
            {
                **shared,
                "localId": local_id,
                "remoteTimestamp": remote_ms,
                "packetsSent": report.packet_count,
                "bytesSent": report.octet_count,
                "reportsSent": reception.sender_reports,
            },
        )


def _sent(outbound: AudioOutbound | VideoOutbound, now: float) -> Iterator[tuple[SendStream, dict[str, Any]]]:
    """Each stream, and what is special to its kind."""
    if isinstance(outbound, AudioOutbound):
        yield (
            outbound.stream,
            {
                "targetBitrate": outbound.layer.max_bitrate_bps,
                "encoderImplementation": outbound.implementation or None,
            },
        )
        return
    for layer in outbound.layers:
        yield layer.stream, _sent_video(layer, now)


def _sent_video(layer: VideoLayer, now: float) -> dict[str, Any]:
    stream = layer.stream
    return {
        "targetBitrate": layer.target_bps,
        "frameWidth": layer.width or None,
        "frameHeight": layer.height or None,
        "framesPerSecond": layer.frame_rate.per_second(now),
        "framesSent": stream.frames_sent,
        "framesEncoded": layer.frames_encoded,
        "keyFramesEncoded": layer.key_frames_encoded,
        "totalEncodeTime": layer.encode_time_s,
        "encoderImplementation": layer.implementation or None,
        "qualityLimitationReason": layer.limited_by,
        "pliCount": stream.pli_count,
        "firCount": stream.fir_count,
    }


def _received(
    inbound: AudioInbound | VideoInbound, now: float
) -> Iterator[tuple[ReceiveStream, dict[str, Any]]]:
    """Each stream, and what is special to its kind."""
    if isinstance(inbound, AudioInbound):
        if inbound.stream is not None:
            yield inbound.stream, _received_audio(inbound, inbound.stream)
        return
    for feed in inbound.feeds.values():
        if feed.stream is not None:
            yield feed.stream, _received_video(feed, feed.stream, now)


def _discarded(stream: ReceiveStream) -> int:
    """Packets that the jitter buffer left out because they came too late, or too early to be kept."""
    buffer, assembler = stream.playout, stream.assembler
    if buffer is not None:
        return buffer.discarded
    return 0 if assembler is None else assembler.late_packets


def _received_audio(inbound: AudioInbound, stream: ReceiveStream) -> dict[str, Any]:
    members: dict[str, Any] = {
        "audioLevel": inbound.audio_level,
        "totalAudioEnergy": inbound.total_energy,
        "totalSamplesReceived": inbound.samples,
        "totalSamplesDuration": inbound.total_duration_s,
        "decoderImplementation": inbound.decoder_implementation or None,
    }
    buffer = stream.playout
    if buffer is not None:
        # the buffer counts in RTP ticks, of which G.722 has one for two samples (RFC 3551, section 4.5.2)
        per_tick = inbound.samples_per_tick
        members |= {
            "jitterBufferDelay": buffer.delay_s * per_tick,
            "jitterBufferTargetDelay": buffer.target_delay_s * per_tick,
            "jitterBufferMinimumDelay": buffer.minimum_delay_s * per_tick,
            "jitterBufferEmittedCount": buffer.emitted * per_tick,
            "concealedSamples": buffer.concealed * per_tick,
            "silentConcealedSamples": buffer.silent_concealed * per_tick,
            "concealmentEvents": buffer.concealment_events,
            "insertedSamplesForDeceleration": buffer.inserted * per_tick,
            "removedSamplesForAcceleration": buffer.removed * per_tick,
            "totalProcessingDelay": buffer.delay_s * per_tick + inbound.decoding_of_samples_s,
        }
    return members


def _received_video(feed: VideoFeed, stream: ReceiveStream, now: float) -> dict[str, Any]:
    smoothness = feed.display.smoothness
    return {
        "frameWidth": feed.width or None,
        "frameHeight": feed.height or None,
        "framesPerSecond": feed.display.frame_rate.per_second(now),
        "framesReceived": feed.frames_received,
        "framesDecoded": feed.frames_decoded,
        "keyFramesDecoded": feed.key_frames_decoded,
        "framesDropped": feed.frames_dropped + feed.failures,
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
        "jitterBufferEmittedCount": feed.frames_decoded,
        "decoderImplementation": feed.decoder_implementation or None,
        "pliCount": stream.pli_count,
        "firCount": stream.fir_count,
    }
