"""RTCIceCandidate and RTCIceParameters: what descriptions say of ICE, and their lines."""

from __future__ import annotations

from dataclasses import dataclass

from rtcstack.api.description import RTCIceCandidate as NativeCandidate

__all__ = [
    "RTCIceCandidate",
    "RTCIceParameters",
    "candidate_from_native",
    "candidate_from_sdp",
    "candidate_to_native",
    "candidate_to_sdp",
]


@dataclass
class RTCIceCandidate:
    """A candidate by its fields (RFC 8839, section 5.1)."""

    component: int
    foundation: str
    ip: str
    port: int
    priority: int
    protocol: str
    type: str
    relatedAddress: str | None = None
    relatedPort: int | None = None
    sdpMid: str | None = None
    sdpMLineIndex: int | None = None
    tcpType: str | None = None


@dataclass
class RTCIceParameters:
    """ICE's credentials, and whether the agent is a lite one."""

    usernameFragment: str | None = None
    password: str | None = None
    iceLite: bool = False


def candidate_from_sdp(sdp: str) -> RTCIceCandidate:
    """A candidate from its line, without "candidate:".

    Raises:
        ValueError: it is none.
    """
    bits = sdp.split()
    if len(bits) < 8:
        raise ValueError("a candidate has at least eight fields")
    more = dict(zip(bits[8::2], bits[9::2], strict=False))
    port = more.get("rport")
    return RTCIceCandidate(
        component=int(bits[1]),
        foundation=bits[0],
        ip=bits[4],
        port=int(bits[5]),
        priority=int(bits[3]),
        protocol=bits[2],
        type=bits[7],
        relatedAddress=more.get("raddr"),
        relatedPort=None if port is None else int(port),
        tcpType=more.get("tcptype"),
    )


def candidate_to_sdp(candidate: RTCIceCandidate) -> str:
    """A candidate's line, without "candidate:"."""
    fields: list[object] = [
        candidate.foundation,
        candidate.component,
        candidate.protocol,
        candidate.priority,
        candidate.ip,
        candidate.port,
        "typ",
        candidate.type,
    ]
    for name, value in (
        ("raddr", candidate.relatedAddress),
        ("rport", candidate.relatedPort),
        ("tcptype", candidate.tcpType),
    ):
        if value is not None:
            fields += [name, value]
    return " ".join(map(str, fields))


def candidate_from_native(candidate: NativeCandidate) -> RTCIceCandidate:
    """A candidate by its fields."""
    result = candidate_from_sdp(candidate.candidate.partition(":")[2])
    result.sdpMid, result.sdpMLineIndex = candidate.sdpMid, candidate.sdpMLineIndex
    return result


def candidate_to_native(candidate: RTCIceCandidate) -> NativeCandidate:
    """A candidate as a line."""
    return NativeCandidate(
        f"candidate:{candidate_to_sdp(candidate)}",
        sdpMid=candidate.sdpMid,
        sdpMLineIndex=candidate.sdpMLineIndex,
    )
