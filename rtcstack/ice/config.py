"""What an ICE agent is configured with.

Spec: RFC 7064 and RFC 7065 (server URIs), RFC 8445, RFC 7675 (consent), webrtc-pc section 4.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from rtcstack.config import IceSettings
from rtcstack.errors import ParseError

__all__ = ["GatherPolicy", "IceConfig", "IceServer", "ServerScheme", "parse_server_uri", "shown_uri"]


class GatherPolicy(StrEnum):
    """Which candidates are made (RTCIceTransportPolicy, and one that hides this machine's addresses)."""

    ALL = "all"
    NO_HOST = "no-host"
    RELAY = "relay"


class ServerScheme(StrEnum):
    """Scheme of a server's URI."""

    STUN = "stun"
    STUNS = "stuns"
    TURN = "turn"
    TURNS = "turns"

    @property
    def is_turn(self) -> bool:
        """Whether the server relays."""
        return self in (ServerScheme.TURN, ServerScheme.TURNS)

    @property
    def is_secure(self) -> bool:
        """Whether the server is reached over TLS."""
        return self in (ServerScheme.STUNS, ServerScheme.TURNS)


@dataclass(frozen=True, slots=True)
class IceServer:
    """One STUN or TURN server, from one URI.

    Attributes:
        url: the URI as the application gave it.
        scheme: what it serves, and whether over TLS.
        host: name or address, without the brackets of an IPv6 literal.
        port: 1 to 65535.
        transport: "udp" or "tcp", how the server itself is reached.
        username, password: long-term credentials, for TURN.
    """

    url: str
    scheme: ServerScheme
    host: str
    port: int
    transport: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def relay_protocol(self) -> str:
        """How a relayed candidate of this server says that the server is reached: "udp", "tcp" or "tls"
        (webrtc-pc, section 4.8.1.5, RTCIceServerTransportProtocol)."""
        return "tls" if self.scheme.is_secure else self.transport


_MAX_URI_LENGTH = 512
_URI = re.compile(
    r"(?P<scheme>[a-z]+):"
    r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9._~%!$&'()*+,;=-]+))"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<query>\?.*)?",
    re.ASCII,
)


def shown_uri(url: str) -> str:
    """A URI for an error message: short, and without what stands before an ``@``, as in other URIs
    a password does."""
    return repr(re.sub(r":[^@]*@", ":...@", url[:_MAX_URI_LENGTH])[:80])


def parse_server_uri(url: str, username: str | None = None, password: str | None = None) -> IceServer:
    """Read a server URI.

    Args:
        url: e.g. ``"turns:relay.example.org:443?transport=tcp"``.
        username, password: long-term credentials for TURN.

    Raises:
        ParseError: not a URI of RFC 7064 or RFC 7065, with what is wrong with it.
    """
    match = _URI.fullmatch(url.strip()) if len(url) <= _MAX_URI_LENGTH else None
    if match is None:
        raise ParseError(f"not a STUN or TURN URI: {shown_uri(url)}")
    try:
        scheme = ServerScheme(match["scheme"])
    except ValueError:
        raise ParseError(f"unknown scheme {match['scheme']!r} in {shown_uri(url)}") from None
    port = int(match["port"]) if match["port"] else (5349 if scheme.is_secure else 3478)
    if not 0 < port < 65536:
        raise ParseError(f"port {port} is out of range in {shown_uri(url)}")
    transport = "tcp" if scheme.is_secure else "udp"
    if match["query"]:
        if not scheme.is_turn:
            raise ParseError(f"a {scheme} URI takes no query: {shown_uri(url)}")
        name, _, value = match["query"][1:].partition("=")
        if name != "transport" or value not in ("udp", "tcp"):
            raise ParseError(f"only ?transport=udp or ?transport=tcp is allowed: {shown_uri(url)}")
        transport = value
    return IceServer(url, scheme, match["v6"] or match["host"], port, transport, username, password)


@dataclass(frozen=True, slots=True)
class IceConfig:
    """Settings of an ICE agent.

    Attributes:
        servers: STUN and TURN servers, all of them used.
        policy: which candidates may be used.
        use_ipv4, use_ipv6: address families to gather.
        include_loopback: gather loopback addresses too. A machine that has no other address
            uses them in any case.
        options: see `rtcstack.config.IceSettings`.
        gather_timeout_s: how long a server may take to answer.
        keepalive_s: how often the selected pair is checked; each interval is randomised by a
            fifth (RFC 7675, section 5.1). Must stay well below `disconnected_timeout_s`.
        disconnected_timeout_s: silence after which the state is "disconnected".
        failed_timeout_s: time without consent after which the state is "failed"
            (RFC 7675, section 5.1: 30 s), and time that the first connection may take.
        receive_buffer_bytes, send_buffer_bytes: what is asked of the kernel for each socket.
    """

    servers: tuple[IceServer, ...] = ()
    policy: GatherPolicy = GatherPolicy.ALL
    use_ipv4: bool = True
    use_ipv6: bool = True
    include_loopback: bool = False
    options: IceSettings = field(default_factory=IceSettings)
    gather_timeout_s: float = 5.0
    keepalive_s: float = 2.0
    disconnected_timeout_s: float = 5.0
    failed_timeout_s: float = 30.0
    receive_buffer_bytes: int = 4 << 20
    send_buffer_bytes: int = 1 << 20
