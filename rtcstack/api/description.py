"""RTCSessionDescription and RTCIceCandidate.

Spec: webrtc-pc, sections 4.6.2 and 4.8.1.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rtcstack import sdp
from rtcstack.api.dictionaries import enforce_range, enum_member
from rtcstack.errors import ParseError

if TYPE_CHECKING:
    from rtcstack.sdp.candidate import Candidate

_TYPES = frozenset(("offer", "pranswer", "answer", "rollback"))

__all__ = ["RTCIceCandidate", "RTCSdpType", "RTCSessionDescription", "parsed_candidate"]


class RTCSdpType(StrEnum):
    """What a description is for (webrtc-pc, section 4.6.1)."""

    OFFER = "offer"
    PRANSWER = "pranswer"
    ANSWER = "answer"
    ROLLBACK = "rollback"


class RTCSessionDescription:
    """A session description and what it is for.

    Args:
        type: "offer", "pranswer", "answer" or "rollback"; or a mapping with both members.
        sdp: the text; empty for a rollback.

    The two may be given in either order by keyword, or as one mapping (as JSON brings it).
    """

    __slots__ = ("sdp", "type")

    def __init__(
        self,
        type: RTCSdpType | str | Mapping[str, Any] | None = None,  # noqa: A002 - the W3C's name
        sdp: str = "",
    ) -> None:
        if isinstance(type, Mapping):
            members = type
            type, sdp = members.get("type"), members.get("sdp", "")  # noqa: A001
        if isinstance(type, str) and type not in _TYPES and sdp in _TYPES:
            type, sdp = sdp, type  # noqa: A001 - (sdp, type), the order that aiortc has
        if not isinstance(sdp, str):
            raise TypeError(f"sdp must be a str, not {sdp.__class__.__name__}")
        self.type: RTCSdpType = enum_member(RTCSdpType, "type", type)
        self.sdp: str = sdp

    def toJSON(self) -> dict[str, str]:
        """A mapping that JSON can carry and the constructor takes back."""
        return {"type": str(self.type), "sdp": self.sdp}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RTCSessionDescription):
            return NotImplemented
        return self.type is other.type and self.sdp == other.sdp

    def __hash__(self) -> int:
        return hash((self.type, self.sdp))

    def __repr__(self) -> str:
        return f"<RTCSessionDescription {self.type}, {len(self.sdp)} characters>"


_COMPONENTS = {1: "rtp", 2: "rtcp"}
_PROTOCOLS = frozenset(("udp", "tcp"))
_CANDIDATE_TYPES = frozenset(("host", "srflx", "prflx", "relay"))
_TCP_TYPES = frozenset(("active", "passive", "so", None))


def _is_valid(candidate: Candidate) -> bool:
    """Whether each field is a value of its attribute (webrtc-pc, section 4.8.1)."""
    protocol = candidate.transport.lower()
    return (
        candidate.component in _COMPONENTS
        and protocol in _PROTOCOLS
        and candidate.type in _CANDIDATE_TYPES
        and (protocol == "udp" or candidate.tcp_type in _TCP_TYPES)
    )


class RTCIceServerTransportProtocol(StrEnum):
    """How a TURN server is spoken to (webrtc-pc, section 4.8.1.6)."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class RTCIceCandidate:
    """An ICE candidate.

    Args:
        candidate: the candidate-attribute, e.g. ``"candidate:1 1 udp 2130706431 192.0.2.1 5000 typ
            host"``; empty for "no more of this generation". Or a mapping with all members.
        sdpMid: mid of the media section it belongs to.
        sdpMLineIndex: index of the media section it belongs to, from 0.
        usernameFragment: ufrag of the generation it belongs to.
        relayProtocol: how we speak to the TURN server: "udp", "tcp" or "tls"; of local relayed candidates.
        url: the server that told it; of local candidates.

    Raises:
        TypeError: neither `sdpMid` nor `sdpMLineIndex` is given, or one is of a wrong type.

    Spec: webrtc-pc, section 4.8.1.
    """

    __slots__ = (
        "_fields",
        "_parsed",
        "candidate",
        "relayProtocol",
        "sdpMLineIndex",
        "sdpMid",
        "url",
        "usernameFragment",
    )

    def __init__(
        self,
        candidate: str | Mapping[str, Any] = "",
        sdpMid: str | None = None,
        sdpMLineIndex: int | None = None,
        usernameFragment: str | None = None,
        *,
        relayProtocol: str | None = None,
        url: str | None = None,
    ) -> None:
        if isinstance(candidate, Mapping):
            members = candidate
            candidate = members.get("candidate", "")
            sdpMid = members.get("sdpMid")
            sdpMLineIndex = members.get("sdpMLineIndex")
            usernameFragment = members.get("usernameFragment")
            relayProtocol = members.get("relayProtocol")
            url = members.get("url")
        if sdpMid is None and sdpMLineIndex is None:
            raise TypeError("an RTCIceCandidate needs sdpMid or sdpMLineIndex")
        if not isinstance(candidate, str):
            raise TypeError(f"candidate must be a str, not {type(candidate).__name__}")
        if sdpMLineIndex is not None:
            sdpMLineIndex = enforce_range("sdpMLineIndex", sdpMLineIndex, 0, 65535)
        self.candidate: str = candidate
        self.sdpMid: str | None = sdpMid
        self.sdpMLineIndex: int | None = sdpMLineIndex
        self.usernameFragment: str | None = usernameFragment
        self.relayProtocol: str | None = None
        if relayProtocol is not None:
            self.relayProtocol = enum_member(RTCIceServerTransportProtocol, "relayProtocol", relayProtocol)
        self.url: str | None = url
        self._parsed: Candidate | None = None
        if candidate:
            # one that cannot be read has no fields; addIceCandidate is where it fails
            with contextlib.suppress(ParseError):
                self._parsed = sdp.Candidate.parse(candidate)
        # nor has one of which a field has a value that its attribute cannot have
        parsed = self._parsed
        self._fields = parsed if parsed is not None and _is_valid(parsed) else None

    @property
    def foundation(self) -> str | None:
        """What candidates that are reached the same way have in common."""
        fields = self._fields
        return None if fields is None else fields.foundation

    @property
    def component(self) -> str | None:
        """ "rtp" or "rtcp"."""
        fields = self._fields
        return None if fields is None else _COMPONENTS[fields.component]

    @property
    def priority(self) -> int | None:
        """0 to 2**32 - 1; larger is preferred."""
        fields = self._fields
        return None if fields is None else fields.priority

    @property
    def address(self) -> str | None:
        """IP address or mDNS name."""
        fields = self._fields
        return None if fields is None else fields.address

    @property
    def protocol(self) -> str | None:
        """ "udp" or "tcp"."""
        fields = self._fields
        return None if fields is None else fields.transport.lower()

    @property
    def port(self) -> int | None:
        """0 to 65535."""
        fields = self._fields
        return None if fields is None else fields.port

    @property
    def type(self) -> str | None:
        """ "host", "srflx", "prflx" or "relay"."""
        fields = self._fields
        return None if fields is None else fields.type

    @property
    def tcpType(self) -> str | None:
        """ "active", "passive" or "so" for TCP."""
        fields = self._fields
        return None if fields is None or fields.transport.lower() != "tcp" else fields.tcp_type

    @property
    def relatedAddress(self) -> str | None:
        """What a reflexive or relayed candidate was derived from."""
        fields = self._fields
        return None if fields is None else fields.related_address

    @property
    def relatedPort(self) -> int | None:
        """What a reflexive or relayed candidate was derived from."""
        fields = self._fields
        return None if fields is None else fields.related_port

    def toJSON(self) -> dict[str, Any]:
        """A mapping that JSON can carry and the constructor takes back."""
        return {
            "candidate": self.candidate,
            "sdpMid": self.sdpMid,
            "sdpMLineIndex": self.sdpMLineIndex,
            "usernameFragment": self.usernameFragment,
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RTCIceCandidate):
            return NotImplemented
        return self.toJSON() == other.toJSON()

    def __hash__(self) -> int:
        return hash((self.candidate, self.sdpMid, self.sdpMLineIndex, self.usernameFragment))

    def __repr__(self) -> str:
        return f"<RTCIceCandidate {self.candidate or '(end)'} mid={self.sdpMid}>"


def parsed_candidate(candidate: RTCIceCandidate) -> Candidate | None:
    """A candidate as a value, or None when it is empty or cannot be read."""
    return candidate._parsed
