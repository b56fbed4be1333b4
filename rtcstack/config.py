"""What the application may set beyond the W3C's RTCConfiguration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["MediaSettings", "Settings"]


PTIMES_MS = (2.5, 5, 10, 20, 40, 60)
"""Packet times that Opus has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSettings:
    """How media is encoded, beyond what RTCRtpSender.setParameters says.

    Attributes:
        opus_stereo: send two channels where the track has two, and ask the peer for them.
        opus_dtx: send nothing in silence, and ask the peer to do likewise.
        opus_fec: let packets carry a copy of the one before, as far as the peer takes it.
        opus_ptime_ms: sound in a packet: 2.5, 5, 10, 20, 40 or 60.
        opus_complexity: 0 (cheapest) to 10; None for the default.
        encoders: names of PyAV's encoders by codec, e.g. ``{"h264": "h264_nvenc"}``; one that cannot
            be opened gives way to the software encoder.
        congestion_controller: makes a `rtcstack.rtp.bwe.estimator.BandwidthEstimator` for each
            transport; None for the one of the house.
    """

    opus_stereo: bool = False
    opus_dtx: bool = False
    opus_fec: bool = True
    opus_ptime_ms: float = 20
    opus_complexity: int | None = None
    encoders: Mapping[str, str] = field(default_factory=dict)
    congestion_controller: Callable[[], Any] | None = None

    def __post_init__(self) -> None:
        if self.opus_ptime_ms not in PTIMES_MS:
            raise ValueError(f"opus_ptime_ms must be one of {PTIMES_MS}, not {self.opus_ptime_ms}")
        if self.opus_complexity is not None and not 0 <= self.opus_complexity <= 10:
            raise ValueError(f"opus_complexity must be 0 to 10, not {self.opus_complexity}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings that a browser keeps to itself; given as ``RTCConfiguration(settings=...)``.

    Attributes:
        max_message_size: largest data channel message that is accepted, in bytes; offered to the
            peer as ``a=max-message-size``. At least 1.
        receive_window_bytes: how much undelivered data an association holds.
        max_send_buffer_bytes: most that `RTCDataChannel.send` queues over all channels of a
            connection; beyond, it raises OperationError.
        interleaving: offer message interleaving (RFC 8260) to the peer.
        zero_checksum: offer to leave out SCTP's checksum under DTLS (RFC 9653).
        use_ipv4, use_ipv6: address families of ICE.
        include_loopback: offer loopback candidates.
        ice_keepalive_s: how often the selected pair is checked, in seconds.
        ice_disconnected_timeout_s: silence after which ICE is "disconnected", in seconds.
        ice_failed_timeout_s: time without consent after which ICE is "failed", in seconds.
        abandon_after_failed_s: how long after "failed" an ICE restart may still save the data
            channels; then they close with an error. None keeps them for ever, as browsers do.
        gather_timeout_s: how long a STUN or TURN server may take to answer, in seconds.
        keylog_path: file to which DTLS secrets are appended in NSS key log format, so that
            Wireshark can read a capture; None (the default) for none.
        media: see `MediaSettings`.
    """

    max_message_size: int = 262_144
    receive_window_bytes: int = 5 << 20
    max_send_buffer_bytes: int = 16 << 20
    interleaving: bool = False
    zero_checksum: bool = True
    use_ipv4: bool = True
    use_ipv6: bool = True
    include_loopback: bool = False
    ice_keepalive_s: float = 2.0
    ice_disconnected_timeout_s: float = 5.0
    ice_failed_timeout_s: float = 30.0
    abandon_after_failed_s: float | None = 15.0
    gather_timeout_s: float = 5.0
    keylog_path: str | None = None
    media: MediaSettings = field(default_factory=MediaSettings)

    def __post_init__(self) -> None:
        if self.max_message_size < 1:
            raise ValueError(f"max_message_size must be at least 1, not {self.max_message_size}")
        for name in (
            "ice_keepalive_s",
            "ice_disconnected_timeout_s",
            "ice_failed_timeout_s",
            "gather_timeout_s",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
