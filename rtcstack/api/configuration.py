"""RTCConfiguration and what it is made of.

Spec: webrtc-pc, section 4.2; webrtc-extensions (alwaysNegotiateDataChannels, targetLatency,
rtpHeaderEncryptionPolicy).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from rtcstack import jsep
from rtcstack.api.certificate import RTCCertificate, certificate_key
from rtcstack.api.dictionaries import as_dictionary, enforce_range, enum_member
from rtcstack.clock import timestamp_ms
from rtcstack.config import Settings
from rtcstack.errors import InvalidAccessError, InvalidModificationError, ParseError
from rtcstack.errors import SyntaxError as UrlSyntaxError
from rtcstack.ice import GatherPolicy, IceConfig, IceServer, check_features, parse_server_uri, shown_uri

if TYPE_CHECKING:
    from rtcstack.connection.config import ConnectionConfig

__all__ = [
    "RTCBundlePolicy",
    "RTCConfiguration",
    "RTCConfigurationTargetLatency",
    "RTCIceServer",
    "RTCIceTransportPolicy",
    "RTCRtcpMuxPolicy",
    "RTCRtpHeaderEncryptionPolicy",
    "check_modification",
    "connection_config",
    "ice_config",
    "validated",
]

MAX_USERNAME_BYTES = 509
"""Longest TURN username (RFC 8489, section 14.3)."""

MAX_ICE_SERVERS = 32
"""Most URLs over all servers: each costs a request from each local address."""


class RTCIceTransportPolicy(StrEnum):
    """Which candidates ICE may use (webrtc-pc, section 4.2.4)."""

    RELAY = "relay"
    ALL = "all"


class RTCBundlePolicy(StrEnum):
    """How an offer treats a peer that cannot bundle (webrtc-pc, section 4.2.5)."""

    BALANCED = "balanced"
    MAX_COMPAT = "max-compat"
    MAX_BUNDLE = "max-bundle"


class RTCRtcpMuxPolicy(StrEnum):
    """Whether RTCP must share RTP's port (webrtc-pc, section 4.2.6)."""

    REQUIRE = "require"


class RTCRtpHeaderEncryptionPolicy(StrEnum):
    """What if the peer does not encrypt RTP's header extensions (webrtc-extensions)."""

    NEGOTIATE = "negotiate"
    REQUIRE = "require"


class RTCConfigurationTargetLatency(StrEnum):
    """What the network link is to be optimized for (webrtc-extensions, RTCConfiguration target latency)."""

    LOWEST = "lowest"
    NONE = "none"


@dataclass(slots=True)
class RTCIceServer:
    """One STUN or TURN service.

    Attributes:
        urls: one URL or several: ``stun:``, ``stuns:``, ``turn:``, ``turns:``.
        username, credential: for TURN.

    Spec: webrtc-pc, section 4.2.3.
    """

    urls: str | Sequence[str]
    username: str | None = None
    credential: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class RTCConfiguration:
    """How an RTCPeerConnection is set up.

    Attributes:
        iceServers: STUN and TURN services.
        iceTransportPolicy: "all" or "relay".
        bundlePolicy: "balanced", "max-compat" or "max-bundle".
        rtcpMuxPolicy: "require".
        certificates: what identifies this end; one is generated when none is given.
        iceCandidatePoolSize: 0 to 255; candidates gathered ahead of the first description.
        alwaysNegotiateDataChannels: offer the data section even without a data channel.
        targetLatency: "lowest" or "none"; may be changed at any time. A hint for the network link (a slice of
            a mobile network), which a Python program has no say in: it is kept, and changes nothing. How
            long media waits here is `RTCRtpReceiver.jitterBufferTarget`.
        rtpHeaderEncryptionPolicy: "negotiate" or "require". Header extensions and contributing sources of RTP
            packets (sound levels among them) are encrypted where the peer does so, too; with "require", a
            description of one that does not is refused with InvalidAccessError.
        settings: what lies beyond the W3C, see `Settings`.

    Spec: webrtc-pc, section 4.2.1; webrtc-extensions.
    """

    iceServers: Sequence[RTCIceServer] = field(default_factory=list, repr=False)
    iceTransportPolicy: RTCIceTransportPolicy | str = RTCIceTransportPolicy.ALL
    bundlePolicy: RTCBundlePolicy | str = RTCBundlePolicy.BALANCED
    rtcpMuxPolicy: RTCRtcpMuxPolicy | str = RTCRtcpMuxPolicy.REQUIRE
    certificates: Sequence[RTCCertificate] = field(default_factory=list)
    iceCandidatePoolSize: int = 0
    alwaysNegotiateDataChannels: bool = False
    targetLatency: RTCConfigurationTargetLatency | str = RTCConfigurationTargetLatency.LOWEST
    rtpHeaderEncryptionPolicy: RTCRtpHeaderEncryptionPolicy | str = RTCRtpHeaderEncryptionPolicy.NEGOTIATE
    settings: Settings = field(default_factory=Settings)


def validated(value: object) -> RTCConfiguration:
    """A copy of the configuration, checked.

    Raises:
        TypeError: a member has the wrong type or an unknown enumeration value.
        SyntaxError: a server's URL cannot be read.
        InvalidAccessError: a TURN server without credentials, an expired certificate.
        NotSupportedError: the settings name an ICE agent that lacks what they ask for.
    """
    given = as_dictionary(RTCConfiguration, value)
    if given.iceServers is None:
        raise TypeError("iceServers must be a sequence, not None")
    servers = [_listed(as_dictionary(RTCIceServer, server)) for server in given.iceServers]
    for certificate in given.certificates or ():
        if not isinstance(certificate, RTCCertificate):
            raise TypeError(f"certificates must be RTCCertificate, not {type(certificate).__name__}")
        if certificate.expires <= timestamp_ms():
            raise InvalidAccessError("a certificate of the configuration has expired")
    if not isinstance(given.settings, Settings):
        raise TypeError(f"settings must be Settings, not {type(given.settings).__name__}")
    result = dataclasses.replace(
        given,
        iceServers=servers,
        iceTransportPolicy=enum_member(RTCIceTransportPolicy, "iceTransportPolicy", given.iceTransportPolicy),
        bundlePolicy=enum_member(RTCBundlePolicy, "bundlePolicy", given.bundlePolicy),
        rtcpMuxPolicy=enum_member(RTCRtcpMuxPolicy, "rtcpMuxPolicy", given.rtcpMuxPolicy),
        certificates=list(given.certificates or ()),
        iceCandidatePoolSize=enforce_range("iceCandidatePoolSize", given.iceCandidatePoolSize, 0, 255),
        alwaysNegotiateDataChannels=bool(given.alwaysNegotiateDataChannels),
        targetLatency=enum_member(RTCConfigurationTargetLatency, "targetLatency", given.targetLatency),
        rtpHeaderEncryptionPolicy=enum_member(
            RTCRtpHeaderEncryptionPolicy, "rtpHeaderEncryptionPolicy", given.rtpHeaderEncryptionPolicy
        ),
    )
    check_features(ice_config(result))
    return result


def _listed(server: RTCIceServer) -> RTCIceServer:
    """A server with a list of its URLs, in whichever form they were given."""
    urls = [server.urls] if isinstance(server.urls, str) else list(server.urls)
    return dataclasses.replace(server, urls=urls)


def check_modification(old: RTCConfiguration, new: RTCConfiguration, *, described: bool) -> None:
    """Refuse what setConfiguration must not change.

    Args:
        old: in force.
        new: wanted; an empty list of certificates means no change.
        described: whether a local description was set.

    Raises:
        InvalidModificationError: with the member that must not change.
    """
    if new.certificates and [certificate_key(c) for c in new.certificates] != [
        certificate_key(c) for c in old.certificates
    ]:
        raise InvalidModificationError("setConfiguration cannot change certificates")
    for name in (
        *("bundlePolicy", "rtcpMuxPolicy", "rtpHeaderEncryptionPolicy"),
        *("alwaysNegotiateDataChannels", "settings"),
    ):
        if getattr(old, name) != getattr(new, name):
            raise InvalidModificationError(f"setConfiguration cannot change {name}")
    if described and old.iceCandidatePoolSize != new.iceCandidatePoolSize:
        raise InvalidModificationError(
            "setConfiguration cannot change iceCandidatePoolSize after a local description was set"
        )


def _ice_servers(configuration: RTCConfiguration) -> tuple[IceServer, ...]:
    servers: list[IceServer] = []
    for server in configuration.iceServers:
        if not server.urls:
            raise UrlSyntaxError("an ICE server needs at least one URL")
        for url in server.urls:
            try:
                parsed = parse_server_uri(url, server.username, server.credential)
            except ParseError as exc:
                raise UrlSyntaxError(str(exc)) from None
            if parsed.scheme.is_turn:
                if server.username is None or server.credential is None:
                    raise InvalidAccessError(f"{shown_uri(url)} needs a username and a credential")
                if len(server.username.encode()) > MAX_USERNAME_BYTES:
                    raise InvalidAccessError(
                        f"the username of {shown_uri(url)} is longer than {MAX_USERNAME_BYTES} bytes"
                    )
            servers.append(parsed)
    if len(servers) > MAX_ICE_SERVERS:
        raise InvalidAccessError(f"{len(servers)} ICE server URLs; at most {MAX_ICE_SERVERS} are allowed")
    return tuple(servers)


def ice_config(configuration: RTCConfiguration) -> IceConfig:
    """The ICE agent's settings that a validated configuration asks for."""
    settings = configuration.settings
    policy = GatherPolicy(configuration.iceTransportPolicy)
    if policy is GatherPolicy.ALL and settings.ice.no_host:
        policy = GatherPolicy.NO_HOST
    return IceConfig(
        servers=_ice_servers(configuration),
        policy=policy,
        options=settings.ice,
        use_ipv4=settings.use_ipv4,
        use_ipv6=settings.use_ipv6,
        include_loopback=settings.include_loopback,
        gather_timeout_s=settings.gather_timeout_s,
        keepalive_s=settings.ice_keepalive_s,
        disconnected_timeout_s=settings.ice_disconnected_timeout_s,
        failed_timeout_s=settings.ice_failed_timeout_s,
    )


def connection_config(configuration: RTCConfiguration) -> ConnectionConfig:
    """What a validated configuration asks of a connection."""
    from rtcstack.connection.config import ConnectionConfig

    certificates = configuration.certificates
    return ConnectionConfig(
        ice=ice_config(configuration),
        settings=configuration.settings,
        bundle_policy=jsep.BundlePolicy(configuration.bundlePolicy),
        candidate_pool_size=configuration.iceCandidatePoolSize,
        always_negotiate_data_channels=configuration.alwaysNegotiateDataChannels,
        requires_cryptex=configuration.rtpHeaderEncryptionPolicy is RTCRtpHeaderEncryptionPolicy.REQUIRE,
        certificate=certificate_key(certificates[0]) if certificates else None,
    )
