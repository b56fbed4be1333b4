"""The URIs of STUN and TURN servers (RFC 7064, RFC 7065)."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["parse_stun_turn_uri"]

_URI = re.compile(
    r"(?P<scheme>stuns?|turns?):(?P<host>[^?:]+)(:(?P<port>[0-9]+))?(\?transport=(?P<transport>.*))?"
)


def parse_stun_turn_uri(uri: str) -> dict[str, Any]:
    """The parts of a server's URI: "scheme", "host", "port", and of TURN "transport".

    Raises:
        ValueError: it is none.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        scheme = uri.partition(":")[0]
        known = scheme.startswith(("stun", "turn"))
        raise ValueError("malformed uri" if known else "malformed uri: invalid scheme")
    parsed: dict[str, Any] = match.groupdict()
    is_secure = parsed["scheme"].endswith("s")
    parsed["port"] = int(parsed["port"]) if parsed["port"] else 5349 if is_secure else 3478
    if parsed["scheme"].startswith("turn"):
        parsed["transport"] = parsed["transport"] or ("tcp" if is_secure else "udp")
    elif parsed.pop("transport") is not None:
        raise ValueError(f"malformed uri: {parsed['scheme']} must not contain transport")
    return parsed
