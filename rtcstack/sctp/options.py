"""What an SCTP association is configured with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rtcstack.sctp.congestion import CongestionController
from rtcstack.sctp.shared_delay import SharedDelay

__all__ = ["SctpOptions"]


@dataclass(frozen=True, slots=True)
class SctpOptions:
    """Settings of one association; the defaults are what browsers use, or wire-compatible with it.

    Attributes:
        mtu_bytes: largest SCTP packet that is sent. 1191 leaves room for DTLS, UDP and IPv6
            within 1280 bytes. At least 512.
        receive_window_bytes: how much undelivered data the peer may have us hold.
        streams: streams offered in each direction, 1 to 65535.
        max_message_size: largest message that is accepted, in bytes. A longer one ends the
            association: nothing else bounds the memory a message may take.
        max_send_buffer_bytes: most user data queued and not yet sent; `send` raises beyond it. Each
            message that waits counts for `send_queue.MESSAGE_OVERHEAD_BYTES` more than it has.
        rto_initial_s: retransmission timeout before the first measurement, and for INIT.
        handshake_rto_max_s: upper bound of the timeout of INIT and COOKIE ECHO. Below the RFC's:
            consent stands already on a path of ICE, and a user waits.
        rto_min_s: lower bound of the retransmission timeout. Peers delay SACKs by up to 200 ms.
        rto_max_s: upper bound of the retransmission timeout, doubled or not.
        delayed_ack_s: longest time for which the SACK of a lone packet is held back. Short,
            because the peer's loss detection and window growth wait for it; as long as this,
            because a request's answer usually leaves within it and takes the SACK along.
        heartbeat_interval_s: time without traffic after which the path is probed; 0 for never.
        max_retransmissions: consecutive timeouts after which the association is given up, or
            None. ICE consent (RFC 7675) ends a dead path, so there is no limit by default.
        max_init_retransmissions: the same for INIT and COOKIE ECHO.
        handshake_timeout_s: time after which an association that has not come up is given up, with
            an error, or None. RFC 9260 sends nine INITs (section 16, Max.Init.Retransmits = 8); with
            a timeout that doubles from `rto_initial_s` to `rto_max_s` these take as long.
        cookie_lifetime_s: age at which a state cookie is stale.
        zero_checksum: whether to offer zero checksums, with DTLS as the alternate method (RFC 9653).
        interleaving: whether to offer I-DATA (RFC 8260).
        partial_reliability: whether to offer FORWARD-TSN (RFC 3758).
        reuse_lowest_ids: give a channel the lowest stream that is free, not each once before any again.
        initial_window_packets: congestion window to start with, in packets.
        congestion: makes the congestion controller; is given the MTU and the initial window, in bytes.
            `shared_delay.SharedDelay`, `cubic.Cubic`, `congestion.Reno` (RFC 9260), or
            `delay_target.DelayTarget`, for lossy links that are nobody else's: it takes them whole.
    """

    mtu_bytes: int = 1191
    receive_window_bytes: int = 5 * 1024 * 1024
    streams: int = 65535
    max_message_size: int = 262144
    max_send_buffer_bytes: int = 16 * 1024 * 1024
    rto_initial_s: float = 0.5
    handshake_rto_max_s: float = 1.0
    rto_min_s: float = 0.4
    rto_max_s: float = 3.0
    delayed_ack_s: float = 0.02
    heartbeat_interval_s: float = 30.0
    max_retransmissions: int | None = None
    max_init_retransmissions: int | None = None
    handshake_timeout_s: float | None = 20.0
    cookie_lifetime_s: float = 60.0
    zero_checksum: bool = True
    interleaving: bool = False
    partial_reliability: bool = True
    reuse_lowest_ids: bool = False
    initial_window_packets: int = 10
    congestion: Callable[[int, int], CongestionController] = SharedDelay

    def __post_init__(self) -> None:
        if self.mtu_bytes < 512:
            raise ValueError(f"mtu_bytes must be at least 512, not {self.mtu_bytes}")
        if not 1 <= self.streams <= 65535:
            raise ValueError(f"streams must be 1 to 65535, not {self.streams}")
        if self.receive_window_bytes < 1500:  # RFC 9260, section 3.3.2
            raise ValueError(f"receive_window_bytes must be at least 1500, not {self.receive_window_bytes}")
