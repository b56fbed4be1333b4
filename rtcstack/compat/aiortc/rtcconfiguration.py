"""RTCConfiguration, and what of it the stack is given."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from rtcstack.compat.aiortc.serveruris import parse_stun_turn_uri

__all__ = ["RTCBundlePolicy", "RTCConfiguration", "RTCIceServer", "RTCIceTransportPolicy"]


@dataclass
class RTCIceServer:
    """A STUN or TURN server.

    Attributes:
        urls: one, or a list.
        username, credential: of a TURN server.
        credentialType: only "password" is known; servers of another are left out.
    """

    urls: str | list[str]
    username: str | None = None
    credential: str | None = None
    credentialType: str = "password"


class RTCBundlePolicy(Enum):
    """How many transports there are before the peer has said whether it bundles."""

    BALANCED = "balanced"
    MAX_COMPAT = "max-compat"
    MAX_BUNDLE = "max-bundle"


class RTCIceTransportPolicy(Enum):
    """Which candidates are used."""

    ALL = "all"
    RELAY = "relay"


@dataclass
class RTCConfiguration:
    """Settings of a connection.

    Attributes:
        iceServers: None for `DEFAULT_ICE_SERVERS`; an empty list for none.
        iceTransportPolicy, bundlePolicy: see there.
        alwaysNegotiateDataChannels: whether the first offer has a section for data channels in any case.
    """

    iceServers: list[RTCIceServer] | None = None
    iceTransportPolicy: RTCIceTransportPolicy = RTCIceTransportPolicy.ALL
    bundlePolicy: RTCBundlePolicy = RTCBundlePolicy.BALANCED
    alwaysNegotiateDataChannels: bool = False


def default_ice_servers() -> list[RTCIceServer]:
    """What is asked where a configuration names no servers."""
    return [RTCIceServer("stun:stun.l.google.com:19302")]


_RELAYS = (("turn", "udp"), ("turn", "tcp"), ("turns", "tcp"))


def _servers(servers: list[RTCIceServer]) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    for server in servers:
        urls = server.urls if isinstance(server.urls, list) else [server.urls]
        stun, turn = [], []
        for url in urls:
            parsed = parse_stun_turn_uri(url)
            if parsed["scheme"] == "stun":
                stun.append(url)
            elif (parsed["scheme"], parsed.get("transport")) in _RELAYS:
                turn.append(url)
        if stun:
            result.append({"urls": stun})
        if turn and server.credentialType == "password":
            credentials = {"username": server.username or "", "credential": server.credential or ""}
            result.append({"urls": turn, **credentials})
    return result


def native(configuration: RTCConfiguration) -> dict[str, Any]:
    """The same for this stack's own connections.

    Raises:
        ValueError: a URL cannot be read.
    """
    servers = configuration.iceServers
    return {
        "iceServers": _servers(default_ice_servers() if servers is None else servers),
        "iceTransportPolicy": configuration.iceTransportPolicy.value,
        "bundlePolicy": configuration.bundlePolicy.value,
        "alwaysNegotiateDataChannels": configuration.alwaysNegotiateDataChannels,
    }
