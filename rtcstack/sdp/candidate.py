"""ICE candidates as SDP writes them.

Spec: RFC 8839, section 5.1 (candidate attribute); RFC 6544, section 4.5 (tcptype).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import ClassVar

from rtcstack.errors import ParseError
from rtcstack.sdp.attributes import AttributeValue
from rtcstack.sdp.grammar import shorten, token, uint

__all__ = ["Candidate"]

MAX_LENGTH = 4096
"""Characters of a candidate; a hundred is usual."""
_MAX_FOUNDATION = 32
_MAX_ADDRESS = 255
_MAX_EXTENSIONS = 32
"""Extension pairs kept of one candidate; a peer that writes more is refused."""
_MDNS_NAME = re.compile(r"[a-z0-9-]{1,63}\.local", re.IGNORECASE | re.ASCII)
_ADDRESS = re.compile(r"[0-9A-Za-z.:%_\-\[\]]+")


@dataclass(frozen=True, slots=True)
class Candidate(AttributeValue):
    """One transport address that a peer may be reached at.

    ``candidate:<foundation> <component> <transport> <priority> <address> <port> typ <type>
    [raddr <address>] [rport <port>] *(<name> <value>)``

    Attributes:
        foundation: 1 to 32 characters, equal for candidates that are reached the same way.
        component: 1 for RTP (and all that is multiplexed with it), 2 for RTCP; up to 256.
        transport: as written, "udp" or "tcp" in either case.
        priority: 0 to 2**32 - 1, larger is preferred.
        address: an IPv4 or IPv6 address, or a host name (mDNS names end in ".local").
        port: 0 to 65535; 9 for active TCP candidates.
        type: "host", "srflx", "prflx", "relay" or a token that this version does not know.
        related_address, related_port: what a reflexive or relayed candidate was derived from.
        extensions: further pairs in the order in which they were written, tcptype among them.
    """

    NAME: ClassVar[str] = "candidate"

    foundation: str
    component: int
    transport: str
    priority: int
    address: str
    port: int
    type: str
    related_address: str | None = None
    related_port: int | None = None
    extensions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, value: str) -> Candidate:
        """Read a candidate-attribute.

        Args:
            value: the attribute with or without the leading ``a=`` and ``candidate:``.

        Raises:
            ParseError: it does not follow the grammar.
        """
        text = value.removeprefix("a=").removeprefix("candidate:")
        if len(text) > MAX_LENGTH:
            raise ParseError(f"candidate is longer than {MAX_LENGTH} characters")
        parts = text.split()
        if len(parts) < 8:
            raise ParseError(f"candidate has {len(parts)} fields, needs at least 8: {shorten(text)}")
        foundation, component, transport, priority, address, port, typ, kind = parts[:8]
        if typ.lower() != "typ":
            raise ParseError(f"candidate has {shorten(typ)} where 'typ' must stand")
        if len(foundation) > _MAX_FOUNDATION:
            raise ParseError(f"candidate foundation is longer than {_MAX_FOUNDATION}")
        pairs = parts[8:]
        related_address, related_port = None, None
        if len(pairs) >= 2 and pairs[0] == "raddr":
            related_address = _address(pairs[1])
            pairs = pairs[2:]
        if len(pairs) >= 2 and pairs[0] == "rport":
            related_port = uint(pairs[1], "candidate rport", 65535)
            pairs = pairs[2:]
        if len(pairs) > 2 * _MAX_EXTENSIONS:
            raise ParseError(f"candidate has more than {_MAX_EXTENSIONS} extensions")
        if len(pairs) % 2:
            # the grammar lets a value be empty, and peers then leave out its space too
            pairs.append("")
        return cls(
            foundation=foundation,
            component=uint(component, "candidate component", 256, 1),
            transport=token(transport, "candidate transport"),
            priority=uint(priority, "candidate priority", 0xFFFF_FFFF),
            address=_address(address),
            port=uint(port, "candidate port", 65535),
            type=token(kind, "candidate type"),
            related_address=related_address,
            related_port=related_port,
            extensions=tuple(zip(pairs[::2], pairs[1::2], strict=True)),
        )

    def __str__(self) -> str:
        """The attribute's value, without ``candidate:``."""
        text = (
            f"{self.foundation} {self.component} {self.transport} {self.priority}"
            f" {self.address} {self.port} typ {self.type}"
        )
        if self.related_address is not None:
            text += f" raddr {self.related_address}"
        if self.related_port is not None:
            text += f" rport {self.related_port}"
        for name, value in self.extensions:
            text += f" {name} {value}" if value else f" {name}"
        return text

    def extension(self, name: str) -> str | None:
        """The value of the first extension called `name`, or None."""
        return next((value for key, value in self.extensions if key == name), None)

    @property
    def tcp_type(self) -> str | None:
        """ "active", "passive" or "so" for a TCP candidate, else None."""
        return self.extension("tcptype")

    @property
    def username_fragment(self) -> str | None:
        """The ufrag of the generation that the candidate says it belongs to, if it says so."""
        return self.extension("ufrag")

    @property
    def is_mdns(self) -> bool:
        """Whether the address is a name that multicast DNS must resolve.

        Spec: draft-ietf-mmusic-mdns-ice-candidates, section 3.2.1: one label before ".local".
        """
        return _MDNS_NAME.fullmatch(self.address) is not None

    @property
    def ip_version(self) -> int | None:
        """4 or 6, or None when the address is a host name."""
        try:
            return ip_address(self.address).version
        except ValueError:
            return None


def _address(text: str) -> str:
    if len(text) > _MAX_ADDRESS or _ADDRESS.fullmatch(text) is None:
        raise ParseError(f"candidate address is malformed: {shorten(text)}")
    return text
