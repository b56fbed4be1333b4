"""Numbers that order candidates and pairs, and the names that group them.

Spec: RFC 8445, sections 5.1.2 (priority), 5.1.1.3 (foundation), 6.1.2.3 (pairs); RFC 6544,
section 4.2 (TCP).
"""

from __future__ import annotations

import zlib

__all__ = ["candidate_priority", "foundation", "pair_priority", "type_preference"]

_TYPE_PREFERENCE = {"host": 126, "prflx": 110, "srflx": 100, "relay": 0}
_TCP_DIRECTION = {"active": 6, "passive": 4, "so": 2}
_TCP_DIRECTION_REFLEXIVE = {"so": 6, "active": 4, "passive": 2}
_TCP_PENALTY = 40
"""TCP candidates come after all UDP candidates but relayed ones."""


def type_preference(kind: str, transport: str = "udp", over: str = "udp") -> int:
    """The preference of a candidate's type, 0 to 126.

    Args:
        kind: "host", "prflx", "srflx" or "relay".
        transport: of the candidate.
        over: for "relay", how the relay is reached: "udp", "tcp" or "tls".
    """
    if kind == "relay":
        return {"udp": 2, "tcp": 1}.get(over, 0)
    preference = _TYPE_PREFERENCE[kind]
    return preference - _TCP_PENALTY if transport == "tcp" else preference


def local_preference(index: int, kind: str, tcp_type: str | None) -> int:
    """The preference among candidates of a type, 0 to 65,535.

    Args:
        index: 0 for the address that is liked best, 1 for the next.
        kind: the candidate's type.
        tcp_type: "active", "passive" or "so" for TCP.
    """
    if tcp_type is None:
        return max(0, 65535 - index)
    directions = _TCP_DIRECTION if kind in ("host", "relay") else _TCP_DIRECTION_REFLEXIVE
    return (directions[tcp_type] << 13) + max(0, 8191 - index)


def candidate_priority(
    kind: str, index: int, *, tcp_type: str | None = None, over: str = "udp", component: int = 1
) -> int:
    """A candidate's priority, 1 to 2**31 - 1; see `type_preference` and `local_preference`."""
    transport = "udp" if tcp_type is None else "tcp"
    return (
        (type_preference(kind, transport, over) << 24)
        + (local_preference(index, kind, tcp_type) << 8)
        + (256 - component)
    )


def foundation(kind: str, base_host: str, transport: str, server: str = "") -> str:
    """Equal for candidates of one type, base address, transport and server; else different."""
    return str(zlib.crc32(f"{kind} {base_host} {transport} {server}".encode()))


def pair_priority(controlling: int, controlled: int) -> int:
    """A pair's priority from its candidates', the controlling side's first."""
    return (
        (min(controlling, controlled) << 32)
        + 2 * max(controlling, controlled)
        + (1 if controlling > controlled else 0)
    )
