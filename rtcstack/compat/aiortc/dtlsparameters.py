"""What descriptions say of DTLS."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["RTCDtlsFingerprint", "RTCDtlsParameters"]


@dataclass
class RTCDtlsFingerprint:
    """A certificate's digest: pairs of hexadecimal digits, separated by colons."""

    algorithm: str
    value: str


@dataclass
class RTCDtlsParameters:
    """What a description says of DTLS; `role` is "auto", "client" or "server"."""

    fingerprints: list[RTCDtlsFingerprint] = field(default_factory=list)
    role: str = "auto"
