"""What the application may set beyond the W3C's RTCConfiguration."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Protocol

__all__ = ["AddressRule", "IceSettings", "MediaSettings", "Settings", "Trace"]

_ICE_CHARACTERS = re.compile(r"[A-Za-z0-9+/]+")
_NETWORKS = ("udp4", "udp6", "tcp4", "tcp6")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRule:
    """What the peer is told instead of, or beside, one of this machine's addresses.

    For machines behind a NAT that maps ports to themselves: cloud machines with a public address
    that is not on any interface, containers with published ports. Of the rules for a type, the
    first that matches an address is the one that counts for it.

    Attributes:
        external: the addresses that peers reach this machine at; empty to tell nothing.
        candidate_type: "host" rewrites host candidates; "srflx" makes server-reflexive ones without
            asking a server; "relay" rewrites what TURN servers give.
        local: only this address.
        interface: only addresses of this network interface.
        network: only addresses in this network, like "10.0.0.0/8".
        protocols: only these of "udp4", "udp6", "tcp4", "tcp6".
        append: tell the external addresses beside the address (of "srflx": beside what servers
            say) and not instead of it.
    """

    external: tuple[str, ...]
    candidate_type: str = "host"
    local: str | None = None
    interface: str | None = None
    network: str | None = None
    protocols: tuple[str, ...] = _NETWORKS
    append: bool = False

    def __post_init__(self) -> None:
        if self.candidate_type not in ("host", "srflx", "relay"):
            raise ValueError(
                f'candidate_type must be "host", "srflx" or "relay", not {self.candidate_type!r}'
            )
        versions = {ip_address(text).version for text in self.external}
        if not self.external and (self.append or self.candidate_type == "srflx"):
            raise ValueError("a rule without external addresses would do nothing")
        unknown = set(self.protocols) - set(_NETWORKS)
        if unknown or not self.protocols:
            raise ValueError(f"protocols must be some of {', '.join(_NETWORKS)}, not {self.protocols}")
        families = {int(name[-1]) for name in self.protocols}
        if self.local is not None:
            local = ip_address(self.local)
            families &= {local.version}
            if self.network is not None and local not in ip_network(self.network):
                raise ValueError(f"a rule that can never match: {self.local} is not in {self.network}")
        if self.network is not None:
            families &= {ip_network(self.network).version}
        if versions:
            families &= versions
        if not families:
            raise ValueError("a rule that can never match: its addresses and protocols share no IP version")

    def covers(self, other: AddressRule) -> bool:
        """Whether this rule matches wherever `other` does, so that `other` never counts after it."""
        if self.candidate_type != other.candidate_type:
            return False
        if self.local is not None and self.local != other.local:
            return False
        if self.interface is not None and self.interface != other.interface:
            return False
        if not set(other.protocols) <= set(self.protocols):
            return False
        if self.network is not None:
            if other.network is not None:
                if not _is_within(ip_network(other.network), ip_network(self.network)):
                    return False
            elif other.local is None or ip_address(other.local) not in ip_network(self.network):
                return False
        mine = {ip_address(text).version for text in self.external}
        theirs = {ip_address(text).version for text in other.external}
        return not mine or theirs <= mine


def _is_within(inner: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    return (
        inner.version == outer.version and inner.network_address in outer and inner.broadcast_address in outer
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class IceSettings:
    """How ICE finds its way, where an application must say more than a browser lets it.

    Attributes:
        agent: who makes the checks: "rtcstack", the engine of ours, or "aioice", the library of that name,
            which lacks some of the following: NotSupportedError where it is asked for; see docs/ice.md.
        lite: answer checks and make none (RFC 8445, section 2.5), for servers with a public address.
        no_host: tell no host candidate, and no address of this machine.
        hide_host_addresses: tell a random ".local" name for each of this machine's addresses, that
            multicast DNS resolves in the local network.
        interface_filter: says of a network interface's name whether its addresses are used.
        address_filter: says of an address of this machine whether it is used.
        bind_addresses: use these addresses and no others.
        port_range: first and last port that is bound, for host and relayed candidates' sockets.
        remote_candidate_filter: says of a peer's candidate (an `rtcstack.sdp.Candidate`) whether it
            is used.
        resolve_remote_names: look up host names in a peer's candidates (RFC 8839, section 5.1), a few at a
            time; names that end in ".local" are asked for in any case, by multicast. Neither is done
            where only relays are used.
        address_rules: see `AddressRule`; tried in order.
        ufrag, password: of the first generation of every connection, instead of random ones; 4 to
            256 and 22 to 256 characters of ICE's alphabet.
        udp: use UDP at all.
        tcp: kinds of TCP candidates (RFC 6544): some of "active", "passive" and "so".
        tcp_mux: an `rtcstack.ice.TcpMux`: one port on which many connections' passive candidates
            listen.
        tls_context: an `ssl.SSLContext` for TURN servers, where the system's authorities will not do.
        udp_mux: an `rtcstack.ice.UdpMux`: one port that many connections share.
        restart_on_network_change: restart ICE by itself when this machine's addresses change.
        renomination: number the nominations, so that the latest holds (a draft that libwebrtc knows).
        check_interval_s: time between two connectivity checks (Ta of RFC 8445).
    """

    agent: str = "rtcstack"
    lite: bool = False
    no_host: bool = False
    hide_host_addresses: bool = False
    interface_filter: Callable[[str], bool] | None = None
    address_filter: Callable[[str], bool] | None = None
    bind_addresses: tuple[str, ...] = ()
    port_range: tuple[int, int] | None = None
    remote_candidate_filter: Callable[[Any], bool] | None = None
    resolve_remote_names: bool = True
    address_rules: tuple[AddressRule, ...] = ()
    ufrag: str | None = None
    password: str | None = field(default=None, repr=False)
    udp: bool = True
    tcp: tuple[str, ...] = ()
    tcp_mux: Any = None
    tls_context: Any = None
    udp_mux: Any = None
    restart_on_network_change: bool = False
    renomination: bool = False
    check_interval_s: float = 0.02

    def __post_init__(self) -> None:
        if self.agent not in ("rtcstack", "aioice"):
            raise ValueError(f'agent must be "rtcstack" or "aioice", not {self.agent!r}')
        for address in self.bind_addresses:
            ip_address(address)
        if self.port_range is not None:
            first, last = self.port_range
            if not 0 < first <= last < 65536:
                raise ValueError(
                    f"port_range must be two ports from 1 to 65535 in order, not {self.port_range}"
                )
        if unknown := set(self.tcp) - {"active", "passive", "so"}:
            raise ValueError(f'tcp must be some of "active", "passive" and "so", not {sorted(unknown)}')
        if self.tcp_mux is not None and "passive" not in self.tcp:
            raise ValueError('a tcp_mux needs tcp=("passive",)')
        if (self.ufrag is None) is not (self.password is None):
            raise ValueError("ufrag and password go together")
        for name, value, least in (("ufrag", self.ufrag, 4), ("password", self.password, 22)):
            if value is not None and not (least <= len(value) <= 256 and _ICE_CHARACTERS.fullmatch(value)):
                raise ValueError(f"{name} must be {least} to 256 letters, digits, '+' and '/'")
        if not 0.005 <= self.check_interval_s <= 1.0:
            raise ValueError(f"check_interval_s must be 0.005 to 1, not {self.check_interval_s}")
        rules = self.address_rules
        for i, rule in enumerate(rules):
            for earlier in rules[:i]:
                if earlier.covers(rule):
                    raise ValueError(f"a rule that can never match: {rule} comes after {earlier}")


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
        max_decoded_pixels: of one picture that is received; larger ones are refused, with an error event.
        max_decoder_bytes: what the pictures of all decoders of a connection may take together, with
            those that wait to be read; a stream that does not fit is refused likewise.
        congestion_controller: makes a `rtcstack.rtp.bwe.estimator.BandwidthEstimator` for each
            transport; None for the one of the house.
    """

    opus_stereo: bool = False
    opus_dtx: bool = False
    opus_fec: bool = True
    opus_ptime_ms: float = 20
    opus_complexity: int | None = None
    encoders: Mapping[str, str] = field(default_factory=dict)
    max_decoded_pixels: int = 4096 * 2304
    max_decoder_bytes: int = 512 << 20
    congestion_controller: Callable[[], Any] | None = None

    def __post_init__(self) -> None:
        for name in ("max_decoded_pixels", "max_decoder_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.opus_ptime_ms not in PTIMES_MS:
            raise ValueError(f"opus_ptime_ms must be one of {PTIMES_MS}, not {self.opus_ptime_ms}")
        if self.opus_complexity is not None and not 0 <= self.opus_complexity <= 10:
            raise ValueError(f"opus_complexity must be 0 to 10, not {self.opus_complexity}")


class Trace(Protocol):
    """What keeps a record of connections."""

    def watch(self, connection: Any) -> None:
        """Keep one of this connection from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings that a browser keeps to itself; given as ``RTCConfiguration(settings=...)``.

    Attributes:
        max_message_size: largest data channel message that is accepted, in bytes; offered to the
            peer as ``a=max-message-size``. At least 1.
        receive_window_bytes: how much undelivered data an association holds. What is read with
            ``async for`` may have a quarter of it, at least two messages of the largest size.
        reader_idle_timeout_s: how long a reader of a data channel may take nothing while messages
            wait for it, in seconds; then they are let go, with an error. None for ever.
        max_send_buffer_bytes: most that `RTCDataChannel.send` queues over all channels of a
            connection; beyond, it raises OperationError.
        interleaving: offer message interleaving (RFC 8260) to the peer.
        reuse_lowest_channel_ids: give a new channel the lowest id that is free; else each is used once before
            any is used again.
        zero_checksum: offer to leave out SCTP's checksum under DTLS (RFC 9653).
        ice: more of ICE, see `IceSettings`.
        use_ipv4, use_ipv6: address families of ICE.
        include_loopback: offer loopback candidates.
        ice_keepalive_s: how often the selected pair is checked, in seconds.
        ice_disconnected_timeout_s: silence after which ICE is "disconnected", in seconds.
        ice_failed_timeout_s: time without consent after which ICE is "failed", in seconds.
        abandon_after_failed_s: how long after "failed" an ICE restart may still save the data
            channels; then they close with an error. None keeps them for ever, as browsers do.
        close_when_peer_left: close the connection when the peer has hung up (after "peerleft").
        gather_timeout_s: how long a STUN or TURN server may take to answer, in seconds.
        keylog_path: file to which DTLS secrets are appended in NSS key log format, so that
            Wireshark can read a capture; None (the default) for none.
        media: see `MediaSettings`.
        trace: what keeps a record of the connection's calls, events and statistics, from its beginning on;
            see `rtcstack.observe.ApiTrace`. None for none.
    """

    max_message_size: int = 262_144
    receive_window_bytes: int = 5 << 20
    reader_idle_timeout_s: float | None = 30.0
    max_send_buffer_bytes: int = 16 << 20
    interleaving: bool = False
    reuse_lowest_channel_ids: bool = False
    zero_checksum: bool = True
    ice: IceSettings = field(default_factory=IceSettings)
    use_ipv4: bool = True
    use_ipv6: bool = True
    include_loopback: bool = False
    ice_keepalive_s: float = 2.0
    ice_disconnected_timeout_s: float = 5.0
    ice_failed_timeout_s: float = 30.0
    abandon_after_failed_s: float | None = 15.0
    close_when_peer_left: bool = False
    gather_timeout_s: float = 5.0
    keylog_path: str | None = None
    media: MediaSettings = field(default_factory=MediaSettings)
    trace: Trace | None = field(default=None, compare=False, repr=False)

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
        if self.reader_idle_timeout_s is not None and self.reader_idle_timeout_s <= 0:
            raise ValueError(f"reader_idle_timeout_s must be above 0, not {self.reader_idle_timeout_s}")
