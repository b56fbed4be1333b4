"""What stands behind the W3C's objects, for tests that look there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rtcstack import RTCDataChannel, RTCPeerConnection, RTCRtpReceiver, RTCRtpSender
from rtcstack.api.peerconnection import connection_part
from rtcstack.api.receiver import receiver_part
from rtcstack.api.sender import sender_part
from rtcstack.connection.transportentry import TransportEntry
from rtcstack.connection.transports import TransportSet
from rtcstack.ice.agent import IceAgent
from rtcstack.media.pipeline.audio_in import AudioInbound
from rtcstack.media.pipeline.audio_out import AudioOutbound
from rtcstack.media.pipeline.video_in import VideoInbound
from rtcstack.media.pipeline.video_out import VideoOutbound
from rtcstack.sctp.association import SctpAssociation
from rtcstack.sctp.congestion import CongestionController

__all__ = [
    "association_of",
    "held_bytes",
    "inbound_of",
    "outbound_of",
    "own_agent",
    "remembered_streams",
    "transports_of",
    "use_congestion",
]


def remembered_streams(pc: RTCPeerConnection) -> list[str]:
    """Ids of the streams that a connection knows of its peer."""
    return list(connection_part(pc).negotiator._tracks._streams)


def transports_of(pc: RTCPeerConnection) -> TransportSet:
    """The transports of a connection."""
    return connection_part(pc).transports


def own_agent(entry: TransportEntry) -> IceAgent:
    """A transport's agent, where it is the engine of ours."""
    assert isinstance(entry.agent, IceAgent)
    return entry.agent


def association_of(pc: RTCPeerConnection) -> SctpAssociation:
    """The association of a connection that has data channels."""
    channels = connection_part(pc).channels
    assert channels is not None
    return channels.engine.association


def use_congestion(pc: RTCPeerConnection, congestion: Callable[[int, int], CongestionController]) -> None:
    """Have a connection's association, which is not under way yet, use another congestion controller."""
    association = association_of(pc)
    association._options = replace(association.options, congestion=congestion)


def held_bytes(channel: RTCDataChannel) -> int:
    """What is held for a channel's reader."""
    holding = channel._delivery._holding
    return 0 if holding is None else holding.held_bytes


def outbound_of(sender: RTCRtpSender) -> AudioOutbound | VideoOutbound | None:
    """What sends for a sender."""
    return sender_part(sender).outbound


def inbound_of(receiver: RTCRtpReceiver) -> AudioInbound | VideoInbound | None:
    """What receives for a receiver."""
    return receiver_part(receiver).inbound
