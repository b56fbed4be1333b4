"""When a frame was captured, and what else its packets' headers say of it.

Spec: RFC 3550, section 6.4.1 (the clock mapping in sender reports); the abs-capture-time
extension, which says it frame by frame.
"""

from __future__ import annotations

from rtcstack.errors import ParseError
from rtcstack.rtp.dependency import DependencyStructure, read_dependency_descriptor
from rtcstack.rtp.extensions import (
    ExtensionIds,
    read_abs_capture_time,
    read_audio_level,
    read_mixer_levels,
    read_video_orientation,
)
from rtcstack.rtp.frames import AudioUnit, EncodedFrame
from rtcstack.rtp.layers_allocation import read_layers_allocation
from rtcstack.rtp.packet import RtpPacket
from rtcstack.rtp.rtcp.reports import SenderReport
from rtcstack.serial import Unwrapper, unwrap

__all__ = ["CaptureClock", "HeaderReader"]

_NTP_FRACTION = 1 << 32

MAX_INTERPOLATION_S = 5.0
"""How far from a frame that told its capture time others are reckoned from it."""


class CaptureClock:
    """Maps the RTP timestamps of one stream to the sender's wall clock, for lip sync.

    Streams with the same CNAME share that clock: frames with the same capture time belong
    together.

    Args:
        clock_rate: of the timestamps, in Hz.
    """

    __slots__ = (
        "_absolute_ntp_s",
        "_absolute_timestamp",
        "_ntp_s",
        "_rate",
        "_timestamp",
        "clock_offset_s",
    )

    def __init__(self, clock_rate: int) -> None:
        self._rate = clock_rate
        self._ntp_s: float | None = None
        self._timestamp = 0
        self._absolute_ntp_s: float | None = None
        self._absolute_timestamp = 0
        self.clock_offset_s: float | None = None
        """The capturer's clock minus the sender's, as frames told it last."""

    def on_sender_report(self, report: SenderReport) -> None:
        """A new pair of both clocks' readings. One without wall-clock time says nothing."""
        if report.ntp:
            self._ntp_s = report.ntp / _NTP_FRACTION
            self._timestamp = report.rtp_timestamp

    def on_absolute(self, timestamp: int, ntp: int, clock_offset_s: float | None = None) -> None:
        """A frame that tells its capture time."""
        self._absolute_ntp_s = ntp / _NTP_FRACTION
        self._absolute_timestamp = timestamp
        if clock_offset_s is not None:
            self.clock_offset_s = clock_offset_s

    def absolute_capture_time(self, timestamp: int) -> float | None:
        """Seconds since 1900 by the capturer's clock, as a frame has told or reckoned from one that did.

        Args:
            timestamp: RTP timestamp, unwrapped or not.

        Spec: abs-capture-time, section on timestamp interpolation.
        """
        if self._absolute_ntp_s is None:
            return None
        distance = self._since(self._absolute_timestamp, timestamp)
        return self._absolute_ntp_s + distance if abs(distance) <= MAX_INTERPOLATION_S else None

    def capture_time(self, timestamp: int) -> float | None:
        """Seconds since 1900 by the sender's clock, or None while nothing is known.

        Args:
            timestamp: RTP timestamp, unwrapped or not.
        """
        absolute = self.absolute_capture_time(timestamp)
        if absolute is not None:
            return absolute
        if self._ntp_s is None:
            return None
        return self._ntp_s + self._since(self._timestamp, timestamp)

    def _since(self, reference: int, timestamp: int) -> float:
        return unwrap(timestamp & 0xFFFF_FFFF, reference, 32) / self._rate - reference / self._rate


class HeaderReader:
    """Writes into a frame what the headers of its packets say.

    Attributes:
        ids: numbers of the header extensions.
        clock: capture times.
        rotation: the last one that was told: senders tell changes, and with key frames.
        descriptors_malformed: dependency descriptors, and allocations of layers, that could not be read.
    """

    __slots__ = ("_frame_ids", "_structure", "clock", "descriptors_malformed", "ids", "rotation")

    def __init__(self, ids: ExtensionIds, clock_rate: int) -> None:
        self.ids = ids
        self.clock = CaptureClock(clock_rate)
        self.rotation = 0
        self.descriptors_malformed = 0
        self._frame_ids = Unwrapper(16)
        self._structure: DependencyStructure | None = None

    def set_clock_rate(self, clock_rate: int) -> None:
        """The codec changed to one with another RTP clock: reckon anew."""
        self.clock = CaptureClock(clock_rate)

    def sound_frame(self, unit: AudioUnit, timestamp: int, packet: RtpPacket, now: float) -> EncodedFrame:
        """The frame of one of a packet's units of sound.

        Args:
            unit: as it was cut out of the payload.
            timestamp: its own.
            packet: that brought it.
            now: monotonic seconds.
        """
        frame = EncodedFrame(unit.data, timestamp, packet.payload_type, packet.ssrc, now)
        frame.duration = unit.duration
        frame.marker = packet.marker
        frame.sequence_number = packet.index
        frame.first_received_at = now
        frame.has_fec = unit.has_fec
        # a copy counts as one that came again, which the original replaces
        frame.retransmitted = packet.retransmitted or unit.redundant
        self.describe(frame, packet, packet)
        return frame

    def describe(self, frame: EncodedFrame, first: RtpPacket, last: RtpPacket) -> None:
        """Complete a frame.

        Args:
            frame: with its timestamp set.
            first, last: its packets; may be the same.
        """
        if first.data[0] & 0x0F and not first.retransmitted:
            frame.contributing = first.csrcs
        if first.extension_start or last.extension_start:
            self._read_extensions(frame, first, last)
        frame.rotation = self.rotation
        clock = self.clock
        frame.capture_time = clock.capture_time(frame.timestamp)
        if self.ids.abs_capture_time:
            frame.absolute_capture_time = clock.absolute_capture_time(frame.timestamp)
            frame.capture_clock_offset_s = clock.clock_offset_s

    def _read_descriptor(self, frame: EncodedFrame, value: bytes) -> None:
        try:
            descriptor = read_dependency_descriptor(value, self._structure)
        except ParseError:
            self.descriptors_malformed += 1
            return
        if descriptor.structure is not None:
            self._structure = descriptor.structure
        frame.frame_id = number = self._frame_ids.unwrap(descriptor.number)
        frame.temporal_id = descriptor.frame.temporal_id
        if descriptor.frame.spatial_id > frame.spatial_id:
            frame.spatial_id = descriptor.frame.spatial_id
        frame.dependencies = tuple(number - each for each in descriptor.frame.differences)

    def _read_extensions(self, frame: EncodedFrame, first: RtpPacket, last: RtpPacket) -> None:
        ids = self.ids
        if ids.audio_level:
            level = read_audio_level(first.extension(ids.audio_level))
            if level is not None:
                frame.audio_level, frame.voice = level
        if ids.mixer_levels and frame.contributing:
            frame.contributing_levels = read_mixer_levels(first.extension(ids.mixer_levels))
        if ids.video_orientation:
            orientation = read_video_orientation(
                last.extension(ids.video_orientation) or first.extension(ids.video_orientation)
            )
            if orientation is not None:
                self.rotation = orientation.rotation
        if ids.dependency_descriptor:
            value = frame.dependency_descriptor = first.extension(ids.dependency_descriptor)
            if value:
                self._read_descriptor(frame, value)
        if ids.layers_allocation and (value := first.extension(ids.layers_allocation)):
            try:
                frame.allocation = read_layers_allocation(value)
            except ParseError:
                self.descriptors_malformed += 1
        if ids.abs_capture_time:
            absolute = read_abs_capture_time(first.extension(ids.abs_capture_time))
            if absolute is not None:
                self.clock.on_absolute(first.timestamp, absolute.ntp, absolute.clock_offset_s)
