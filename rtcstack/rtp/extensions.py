"""RTP header extensions: their names, their ids on the wire, and what their bytes mean.

Spec: RFC 8285 (the mechanism); each value's own specification beside its functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

__all__ = [
    "AbsCaptureTime",
    "AudioLevel",
    "Extension",
    "ExtensionIds",
    "PlayoutDelay",
    "VideoOrientation",
    "read_abs_capture_time",
    "read_abs_send_time",
    "read_audio_level",
    "read_mixer_levels",
    "read_name",
    "read_playout_delay",
    "read_time_offset",
    "read_video_orientation",
    "write_abs_capture_time",
    "write_abs_send_time",
    "write_audio_level",
    "write_mixer_levels",
    "write_playout_delay",
    "write_time_offset",
    "write_video_orientation",
]

_HDREXT = "urn:ietf:params:rtp-hdrext:"
_EXPERIMENTS = "http://www.webrtc.org/experiments/rtp-hdrext/"


class Extension(StrEnum):
    """The extensions that the engine knows, by URI."""

    MID = _HDREXT + "sdes:mid"
    RID = _HDREXT + "sdes:rtp-stream-id"
    REPAIRED_RID = _HDREXT + "sdes:repaired-rtp-stream-id"
    AUDIO_LEVEL = _HDREXT + "ssrc-audio-level"
    MIXER_LEVELS = _HDREXT + "csrc-audio-level"
    ABS_SEND_TIME = _EXPERIMENTS + "abs-send-time"
    ABS_CAPTURE_TIME = _EXPERIMENTS + "abs-capture-time"
    TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
    TIME_OFFSET = _HDREXT + "toffset"
    VIDEO_ORIENTATION = "urn:3gpp:video-orientation"
    PLAYOUT_DELAY = _EXPERIMENTS + "playout-delay"
    DEPENDENCY_DESCRIPTOR = (
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
    )
    VIDEO_LAYERS_ALLOCATION = _EXPERIMENTS + "video-layers-allocation00"


_KNOWN = {each.value: each for each in Extension}


class ExtensionIds:
    """Which number means which extension. Numbers hold for a whole bundle (RFC 8843, section 9).

    Attributes:
        by_id, by_name: both ways.
        mid, rid, repaired_rid, transport_cc, audio_level, ...: the number, or 0 for none.
    """

    __slots__ = (
        "abs_capture_time",
        "abs_send_time",
        "audio_level",
        "by_id",
        "by_name",
        "dependency_descriptor",
        "layers_allocation",
        "mid",
        "mixer_levels",
        "repaired_rid",
        "rid",
        "time_offset",
        "transport_cc",
        "video_orientation",
    )

    def __init__(self, ids: Mapping[str, int] | Iterable[tuple[str, int]] = ()) -> None:
        pairs = ids.items() if isinstance(ids, Mapping) else ids
        self.by_id: dict[int, Extension] = {}
        self.by_name: dict[Extension, int] = {}
        for uri, identifier in pairs:
            name = _KNOWN.get(uri)
            if name is not None and 1 <= identifier <= 255:
                self.by_id[identifier] = name
                self.by_name[name] = identifier
        get = self.by_name.get
        self.mid = get(Extension.MID, 0)
        self.rid = get(Extension.RID, 0)
        self.repaired_rid = get(Extension.REPAIRED_RID, 0)
        self.audio_level = get(Extension.AUDIO_LEVEL, 0)
        self.mixer_levels = get(Extension.MIXER_LEVELS, 0)
        self.abs_send_time = get(Extension.ABS_SEND_TIME, 0)
        self.abs_capture_time = get(Extension.ABS_CAPTURE_TIME, 0)
        self.transport_cc = get(Extension.TRANSPORT_CC, 0)
        self.time_offset = get(Extension.TIME_OFFSET, 0)
        self.video_orientation = get(Extension.VIDEO_ORIENTATION, 0)
        self.dependency_descriptor = get(Extension.DEPENDENCY_DESCRIPTOR, 0)
        self.layers_allocation = get(Extension.VIDEO_LAYERS_ALLOCATION, 0)

    def merged(self, other: ExtensionIds) -> ExtensionIds:
        """Both tables as one; where they disagree, `other` counts."""
        return ExtensionIds([*self.by_name.items(), *other.by_name.items()])


# -- values ---------------------------------------------------------------------------------------


def read_name(value: bytes | None) -> str | None:
    """A MID or RID: text, one to sixteen characters in practice. None if it is neither.

    Spec: RFC 8843, section 15; RFC 8852, section 3.
    """
    if not value:
        return None
    value = value.rstrip(b"\0")
    return value.decode("ascii") if value and value.isascii() else None


class AudioLevel(NamedTuple):
    """Loudness of the audio in a packet.

    Attributes:
        level: -dBov from 0 (loudest) to 127 (silence).
        voice: whether the sender takes it for speech.
    """

    level: int
    voice: bool


def read_audio_level(value: bytes | None) -> AudioLevel | None:
    """Spec: RFC 6464, section 3."""
    return AudioLevel(value[0] & 0x7F, value[0] > 0x7F) if value else None


def write_audio_level(level: int, voice: bool) -> bytes:
    """Spec: RFC 6464, section 3."""
    return bytes((min(max(level, 0), 127) | voice << 7,))


def read_mixer_levels(value: bytes | None) -> tuple[int, ...]:
    """Loudness per CSRC, -dBov, in the order of the CSRC list. Spec: RFC 6465, section 3."""
    return tuple(byte & 0x7F for byte in value or b"")


def write_mixer_levels(levels: Iterable[int]) -> bytes:
    """Spec: RFC 6465, section 3."""
    return bytes(min(max(level, 0), 127) for level in levels)


def read_abs_send_time(value: bytes | None) -> float | None:
    """Seconds modulo 64, in steps of 1/2**18."""
    return int.from_bytes(value, "big") / (1 << 18) if value and len(value) == 3 else None


def write_abs_send_time(seconds: float) -> bytes:
    """Any clock will do; only differences count."""
    return (int(seconds * (1 << 18)) & 0xFF_FFFF).to_bytes(3, "big")


def read_time_offset(value: bytes | None) -> int | None:
    """Ticks by which transmission came after the timestamp. Spec: RFC 5450, section 3."""
    return int.from_bytes(value, "big", signed=True) if value and len(value) == 3 else None


def write_time_offset(ticks: int) -> bytes:
    """Spec: RFC 5450, section 3."""
    return max(-(1 << 23), min(ticks, (1 << 23) - 1)).to_bytes(3, "big", signed=True)


class VideoOrientation(NamedTuple):
    """How the picture is to be turned for display.

    Attributes:
        rotation: degrees clockwise: 0, 90, 180 or 270.
        flip: mirrored horizontally.
        back_camera: it comes from the camera at the back.
    """

    rotation: int
    flip: bool = False
    back_camera: bool = False


def read_video_orientation(value: bytes | None) -> VideoOrientation | None:
    """Spec: 3GPP TS 26.114, section 7.4.5 (coordination of video orientation)."""
    if not value:
        return None
    return VideoOrientation((value[0] & 3) * 90, bool(value[0] & 4), bool(value[0] & 8))


def write_video_orientation(orientation: VideoOrientation) -> bytes:
    """Spec: 3GPP TS 26.114, section 7.4.5."""
    quarter = orientation.rotation // 90 & 3
    return bytes((quarter | orientation.flip << 2 | orientation.back_camera << 3,))


class PlayoutDelay(NamedTuple):
    """Bounds of the delay between capture and display that the sender asks for, in milliseconds."""

    minimum_ms: int
    maximum_ms: int


def read_playout_delay(value: bytes | None) -> PlayoutDelay | None:
    """Two times 12 bits, in steps of 10 ms; None when the minimum exceeds the maximum."""
    if not value or len(value) != 3:
        return None
    both = int.from_bytes(value, "big")
    low, high = (both >> 12) * 10, (both & 0xFFF) * 10
    return PlayoutDelay(low, high) if low <= high else None


def write_playout_delay(delay: PlayoutDelay) -> bytes:
    """Rounded down to steps of 10 ms."""
    low, high = (min(max(each // 10, 0), 0xFFF) for each in delay)
    return (low << 12 | high).to_bytes(3, "big")


class AbsCaptureTime(NamedTuple):
    """When the first frame of a packet was captured.

    Attributes:
        ntp: 64-bit NTP timestamp by the capturer's clock.
        clock_offset_s: the capturer's clock as the sender estimates it, minus the sender's; None
            when not told.
    """

    ntp: int
    clock_offset_s: float | None = None


def read_abs_capture_time(value: bytes | None) -> AbsCaptureTime | None:
    """Eight bytes, or sixteen with the clock offset (signed 32.32 fixed point)."""
    if not value or len(value) not in (8, 16):
        return None
    ntp = int.from_bytes(value[:8], "big")
    if len(value) == 8:
        return AbsCaptureTime(ntp)
    return AbsCaptureTime(ntp, int.from_bytes(value[8:], "big", signed=True) / (1 << 32))


def write_abs_capture_time(time: AbsCaptureTime) -> bytes:
    """The short form without a clock offset."""
    value = (time.ntp & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "big")
    if time.clock_offset_s is not None:
        offset = max(-(1 << 63), min(int(time.clock_offset_s * (1 << 32)), (1 << 63) - 1))
        value += offset.to_bytes(8, "big", signed=True)
    return value
