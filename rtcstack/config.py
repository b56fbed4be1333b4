"""What the application may set beyond the W3C's RTCConfiguration."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]


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
