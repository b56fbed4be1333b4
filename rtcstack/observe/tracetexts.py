"""Arguments, results and events as text, as Chrome's webrtc-internals has them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from rtcstack.api.configuration import RTCConfiguration
from rtcstack.api.datachannel import RTCDataChannel
from rtcstack.api.description import RTCIceCandidate, RTCSessionDescription
from rtcstack.api.iceevents import RTCPeerConnectionIceErrorEvent, RTCPeerConnectionIceEvent
from rtcstack.api.peerconnection import RTCPeerConnection
from rtcstack.events import Event

if TYPE_CHECKING:
    from rtcstack.api.transceiver import RTCRtpTransceiver

__all__ = ["call_text", "configuration_text", "event_text", "text", "transceiver_text"]

_SECRET = frozenset(("username", "credential", "certificates", "password", "ufrag"))
_STATES = {
    "signalingstatechange": "signalingState",
    "icegatheringstatechange": "iceGatheringState",
    "iceconnectionstatechange": "iceConnectionState",
    "connectionstatechange": "connectionState",
}


def call_text(target: object, arguments: Sequence[object], keywords: Mapping[str, object]) -> str:
    """What a method was called with; what is no method of the connection itself says whose it is."""
    words = [text(each) for each in arguments]
    words += [f"{name}: {text(value)}" for name, value in keywords.items()]
    said = ", ".join(words)
    if isinstance(target, RTCPeerConnection):
        return said
    return f"{text(target)}; {said}" if said else text(target)


def text(value: object) -> str:
    """One value."""
    media = next((_MEDIA[cls.__name__] for cls in type(value).__mro__ if cls.__name__ in _MEDIA), None)
    if media is not None:
        return media(value)
    match value:
        case RTCSessionDescription():
            return f"type: {value.type.value}, sdp: {value.sdp}"
        case RTCIceCandidate():
            return _candidate(value)
        case RTCDataChannel():
            return _channel(value)
        case RTCConfiguration():
            return configuration_text(value)
        case Mapping() if "sdp" in value and "type" in value:
            return f"type: {value['type']}, sdp: {value['sdp']}"
        case str() | int() | float() | None:
            return str(value)
    if isinstance(value, Mapping | list | tuple) or dataclasses.is_dataclass(value):
        return json.dumps(_plain(value), default=str)
    return repr(value)


# By name: these come with the packages of media, which need not be there.
_MEDIA: dict[str, Callable[[Any], str]] = {
    "MediaStreamTrack": lambda track: f"{track.kind} track {track.id}",
    "MediaStream": lambda stream: f"stream {stream.id}",
    "RTCRtpSender": lambda sender: f"sender of {'no track' if sender.track is None else text(sender.track)}",
    "RTCRtpReceiver": lambda receiver: f"receiver of {text(receiver.track)}",
    "RTCRtpTransceiver": lambda transceiver: f"transceiver of mid {_or_null(transceiver.mid)}",
}


def _plain(value: object) -> object:
    """A value as JSON has it, without secrets and without members that are not set."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {
            str(name): _plain(member)
            for name, member in value.items()
            if name not in _SECRET and member is not None
        }
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Enum):
        return value.value
    return value if isinstance(value, str | int | float) else text(value)


def configuration_text(configuration: RTCConfiguration) -> str:
    """A configuration, as JSON: the W3C's members without credentials."""
    members = {
        field.name: getattr(configuration, field.name)
        for field in dataclasses.fields(configuration)
        if field.name != "settings"
    }
    return json.dumps(_plain(members), default=str)


def _candidate(candidate: RTCIceCandidate) -> str:
    said = (
        f"sdpMid: {candidate.sdpMid}, sdpMLineIndex: {candidate.sdpMLineIndex}, "
        f"candidate: {candidate.candidate}"
    )
    if candidate.usernameFragment is not None:
        said += f", usernameFragment: {candidate.usernameFragment}"
    return said if candidate.url is None else f"{said}, url: {candidate.url}"


def _channel(channel: RTCDataChannel) -> str:
    said = f"label: {channel.label}, ordered: {str(channel.ordered).lower()}"
    for name in ("maxPacketLifeTime", "maxRetransmits"):
        value = getattr(channel, name)
        if value is not None:
            said += f", {name}: {value}"
    if channel.protocol:
        said += f", protocol: {channel.protocol}"
    return f"{said}, negotiated: {str(channel.negotiated).lower()}, id: {_or_null(channel.id)}"


def _or_null(value: object) -> str:
    return "null" if value is None else str(value)


def event_text(event: Event) -> str:
    """What an event tells."""
    target: Any = event.target
    if event.type in _STATES:
        return str(getattr(target, _STATES[event.type]))
    if isinstance(event, RTCPeerConnectionIceEvent):
        return "null" if event.candidate is None else _candidate(event.candidate)
    if isinstance(event, RTCPeerConnectionIceErrorEvent):
        return (
            f"url: {event.url}\naddress: {_or_null(event.address)}\nport: {_or_null(event.port)}\n"
            f"error_text: {event.errorText}\nerror_code: {event.errorCode}"
        )
    names = [name for name in type(event).__slots__ if name not in ("target", "type", "timeStamp")]
    said = ", ".join(f"{name}: {text(getattr(event, name))}" for name in names)
    if isinstance(target, RTCPeerConnection):
        return said
    return f"{text(target)}; {said}" if said else text(target)


def transceiver_text(index: int, transceiver: RTCRtpTransceiver) -> str:
    """One transceiver, as webrtc-internals writes it."""

    def quoted(value: object) -> str:
        return "null" if value is None else f"'{value}'"

    track = transceiver.sender.track
    return (
        f"getTransceivers()[{index}]:{{\n"
        f"  mid:{quoted(transceiver.mid)},\n"
        f"  kind:'{transceiver.receiver.track.kind}',\n"
        f"  sender:{{\n    track:{quoted(None if track is None else track.id)},\n  }},\n"
        f"  receiver:{{\n    track:'{transceiver.receiver.track.id}',\n  }},\n"
        f"  direction:'{transceiver.direction}',\n"
        f"  currentDirection:{quoted(transceiver.currentDirection)},\n"
        "}"
    )
