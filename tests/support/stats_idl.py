"""The dictionaries of webrtc-stats and of its provisional list, as names and types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["EXTRA", "IDL", "OURS", "TYPES", "Member", "faults", "members"]

IDL: Mapping[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "webrtc_stats.json").read_text())

TYPES: Mapping[str, tuple[str, ...]] = {
    "codec": ("RTCCodecStats",),
    "inbound-rtp": ("RTCInboundRtpStreamStats",),
    "remote-inbound-rtp": ("RTCRemoteInboundRtpStreamStats",),
    "outbound-rtp": ("RTCOutboundRtpStreamStats",),
    "remote-outbound-rtp": ("RTCRemoteOutboundRtpStreamStats",),
    "media-source": ("RTCAudioSourceStats", "RTCVideoSourceStats"),
    "media-playout": ("RTCAudioPlayoutStats",),
    "peer-connection": ("RTCPeerConnectionStats",),
    "data-channel": ("RTCDataChannelStats",),
    "transport": ("RTCTransportStats",),
    "candidate-pair": ("RTCIceCandidatePairStats",),
    "local-candidate": ("RTCIceCandidateStats",),
    "remote-candidate": ("RTCIceCandidateStats",),
    "certificate": ("RTCCertificateStats",),
}
"""The dictionaries of each type."""

EXTRA: Mapping[str, tuple[str, ...]] = {"inbound-rtp": ("RTCAudioReceiverStats", "RTCVideoReceiverStats")}
"""Provisional dictionaries that extend ones that are gone: their members are those of receivers."""

OURS: Mapping[str, Mapping[str, str]] = {"inbound-rtp": {"rid": "DOMString"}}
"""Members that no specification has, and their types: the page names them, too."""

_KEPT = ("id", "type", "timestamp")


@dataclass(frozen=True)
class Member:
    """One member: its IDL type, whether it must be there, and whether it is of the provisional list."""

    type: str
    is_required: bool
    is_provisional: bool


@cache
def members(kind: str) -> Mapping[str, Member]:
    """The members that an object of a type may have, beside those of RTCStats."""
    agreed = IDL["webrtc-stats"]["dictionaries"]
    provisional = IDL["webrtc-provisional-stats"]["dictionaries"]
    names: list[str] = []
    for name in TYPES[kind]:
        each: str | None = name
        while each is not None and each != "RTCStats":
            names.append(each)
            each = agreed[each]["inherits"]
    found: dict[str, Member] = {}
    for dictionaries, is_provisional in ((agreed, False), (provisional, True)):
        for name in (*names, *(EXTRA.get(kind, ()) if is_provisional else ())):
            for member, written in dictionaries.get(name, {"members": {}})["members"].items():
                required = written.startswith("required ")
                found.setdefault(member, Member(written.removeprefix("required "), required, is_provisional))
    return found


def _fits(written: str, value: object) -> bool:
    if written.startswith("record<"):
        return isinstance(value, dict) and all(type(each) in (int, float) for each in value.values())
    if written.endswith("?"):
        return value is None or _fits(written[:-1], value)
    if written in ("double", "DOMHighResTimeStamp"):
        return type(value) in (int, float)
    if written.startswith("unsigned"):
        return type(value) is int and value >= 0
    if written.startswith("long"):
        return type(value) is int
    if written == "boolean":
        return type(value) is bool
    values = IDL["webrtc-stats"]["enums"].get(written)
    return type(value) is str and (values is None or value in values)


def faults(report: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is wrong with a report's shape: members, their types, references that lead nowhere."""
    found = []
    for identifier, stats in report.items():
        kind = stats["type"]
        known = members(kind)
        if stats["id"] != identifier or type(stats["timestamp"]) is not float:
            found.append(f"{kind}: id or timestamp")
        found += [
            f"{kind}.{name} is missing"
            for name, each in known.items()
            if each.is_required and name not in stats
        ]
        for name, value in stats.items():
            if name in _KEPT:
                continue
            ours = OURS.get(kind, {}).get(name)
            if ours is not None:
                found += [] if _fits(ours, value) else [f"{kind}.{name} is {value!r}, which is no {ours}"]
            elif name not in known:
                found.append(f"{kind}.{name} is in no dictionary")
            elif not _fits(known[name].type, value):
                found.append(f"{kind}.{name} is {value!r}, which is no {known[name].type}")
            elif name.endswith("Id") and value not in report:
                found.append(f"{kind}.{name} leads nowhere")
    return found
