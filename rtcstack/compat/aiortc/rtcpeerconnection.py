"""RTCPeerConnection: the face of that name on a connection of this stack."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pyee.asyncio import AsyncIOEventEmitter

from rtcstack.api.description import RTCSessionDescription as NativeDescription
from rtcstack.api.peerconnection import RTCPeerConnection as NativeConnection
from rtcstack.api.peerconnection import set_altered_description
from rtcstack.api.transceiver import let_offers_take
from rtcstack.compat.aiortc.candidates import RTCIceCandidate, candidate_to_native
from rtcstack.compat.aiortc.checks import (
    check_answers_offer,
    check_codecs,
    check_description,
    check_state,
    parsed,
    track_ids,
)
from rtcstack.compat.aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError
from rtcstack.compat.aiortc.mediastreams import MediaStreamTrack
from rtcstack.compat.aiortc.nativetracks import RemoteStreamTrack, native_track
from rtcstack.compat.aiortc.rtcconfiguration import RTCConfiguration, native
from rtcstack.compat.aiortc.rtcdatachannel import RTCDataChannel
from rtcstack.compat.aiortc.rtcdtlstransport import RTCCertificate
from rtcstack.compat.aiortc.rtcrtpreceiver import RTCRtpReceiver
from rtcstack.compat.aiortc.rtcrtpsender import RTCRtpSender
from rtcstack.compat.aiortc.rtcrtptransceiver import DIRECTIONS, RTCRtpTransceiver
from rtcstack.compat.aiortc.rtcsctptransport import MAX_MESSAGE_SIZE, RTCSctpTransport
from rtcstack.compat.aiortc.rtcsessiondescription import RTCSessionDescription
from rtcstack.compat.aiortc.sending import adjust_senders
from rtcstack.compat.aiortc.stats import RTCStatsReport
from rtcstack.compat.aiortc.transports import Transports
from rtcstack.config import Settings
from rtcstack.errors import OperationError
from rtcstack.media.stream import MediaStream

if TYPE_CHECKING:
    from rtcstack.api.connectionevents import RTCDataChannelEvent
    from rtcstack.api.connectionevents import RTCTrackEvent as NativeTrackEvent
    from rtcstack.api.transceiver import RTCRtpTransceiver as NativeTransceiver

__all__ = ["RTCPeerConnection"]

logger = logging.getLogger("rtcstack.compat.aiortc")

MAX_EARLY_CANDIDATES = 100
"""Candidates that come before the description that they belong to, and wait for it."""

_ICE_STATES = {"connected": "completed", "disconnected": "completed"}
_STATES = {"disconnected": "connected"}


class RTCPeerConnection(AsyncIOEventEmitter):
    """A connection to one peer.

    Args:
        configuration: see `RTCConfiguration`.

    Events: track (with the track), datachannel (with the channel), signalingstatechange,
    connectionstatechange, iceconnectionstatechange, icegatheringstatechange.
    """

    def __init__(self, configuration: RTCConfiguration | None = None) -> None:
        super().__init__()
        self._configuration = configuration or RTCConfiguration()
        wrong: ValueError | None = None
        try:
            settings = native(self._configuration)
        except ValueError as exc:  # it is told when a transport is needed
            wrong, settings = exc, native(replace(self._configuration, iceServers=[]))
        self._certificates = [RTCCertificate.generateCertificate()]
        self._native = NativeConnection(
            {
                **settings,
                "certificates": [each.native for each in self._certificates],
                "settings": Settings(max_message_size=MAX_MESSAGE_SIZE, reuse_lowest_channel_ids=True),
            }
        )
        self._transports = Transports(self._configuration.bundlePolicy, self._certificates, wrong)
        self._stream = MediaStream()
        self._transceivers: list[RTCRtpTransceiver] = []
        self._faces: dict[NativeTransceiver, RTCRtpTransceiver] = {}
        self._channels: set[RTCDataChannel] = set()
        self._sctp: RTCSctpTransport | None = None
        self._early: list[RTCIceCandidate | None] = []
        self._track_ids: dict[str, str] = {}
        self._connection_state = "new"
        self._ice_state = "new"
        self._closed: asyncio.Future[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        on = self._native.on
        on("signalingstatechange", lambda: self.emit("signalingstatechange"))
        on("icegatheringstatechange", lambda: self.emit("icegatheringstatechange"))
        on("iceconnectionstatechange", self._on_ice_state)
        on("connectionstatechange", self._on_state)
        on("datachannel", self._on_channel)
        on("track", self._on_track)
        on("peerleft", self._on_peer_left)

    # -- states -----------------------------------------------------------------------------------

    @property
    def connectionState(self) -> str:
        """ "new", "connecting", "connected", "failed" or "closed"."""
        return self._connection_state

    @property
    def iceConnectionState(self) -> str:
        """ "new", "checking", "completed", "failed" or "closed"."""
        return self._ice_state

    @property
    def iceGatheringState(self) -> str:
        """ "new", "gathering" or "complete"."""
        return str(self._native.iceGatheringState)

    @property
    def signalingState(self) -> str:
        """ "stable", "have-local-offer", "have-remote-offer" or "closed"."""
        return "closed" if self._closed is not None else str(self._native.signalingState)

    @property
    def localDescription(self) -> RTCSessionDescription | None:
        """This end's description, with its candidates."""
        return _description(self._native.localDescription)

    @property
    def remoteDescription(self) -> RTCSessionDescription | None:
        """The peer's."""
        return _description(self._native.remoteDescription)

    @property
    def sctp(self) -> RTCSctpTransport | None:
        """What data channels travel over; None before there is one."""
        return self._sctp

    def _on_state(self) -> None:
        state = str(self._native.connectionState)
        self._set_state(_STATES.get(state, state))

    def _set_state(self, state: str) -> None:
        if state != self._connection_state:
            self._connection_state = state
            self.emit("connectionstatechange")

    def _on_ice_state(self) -> None:
        state = str(self._native.iceConnectionState)
        self._set_ice_state(_ICE_STATES.get(state, state))

    def _set_ice_state(self, state: str) -> None:
        if state != self._ice_state:
            self._ice_state = state
            self.emit("iceconnectionstatechange")

    def _on_peer_left(self) -> None:
        if self._closing is None and self._closed is None:
            self._closing = asyncio.ensure_future(self.close())

    # -- descriptions -----------------------------------------------------------------------------

    async def createOffer(self) -> RTCSessionDescription:
        """Make an offer.

        Raises:
            InvalidStateError: closed, or not in "stable" or "have-local-offer".
        """
        self._check_open()
        if self._configuration.alwaysNegotiateDataChannels:
            self._need_sctp()
        offer = await self._native.createOffer()
        return RTCSessionDescription(offer.sdp, str(offer.type))

    async def createAnswer(self) -> RTCSessionDescription:
        """Make an answer.

        Raises:
            InvalidStateError: closed, or there is no offer of the peer's.
        """
        self._check_open()
        answer = await self._native.createAnswer()
        return RTCSessionDescription(answer.sdp, str(answer.type))

    async def setLocalDescription(self, sessionDescription: RTCSessionDescription | None = None) -> None:
        """Apply a description of this end, and return when all candidates are in it.

        Args:
            sessionDescription: what `createOffer` or `createAnswer` gave; codecs, mids and directions may
                have been changed in it. None for the one that is due.

        Raises:
            InvalidStateError: closed, or it is not due.
            ValueError: it cannot be one of this end's.
        """
        self._check_open()
        if sessionDescription is None:
            is_answer = self.signalingState == "have-remote-offer"
            sessionDescription = await (self.createAnswer() if is_answer else self.createOffer())
        given = sessionDescription
        check_state(given.type, self.signalingState, is_local=True)
        if given.type != "rollback":
            description = parsed(given)
            check_description(description, is_offer=given.type == "offer")
            if given.type != "offer":
                check_answers_offer(description, self._native.remoteDescription)
        await set_altered_description(self._native, NativeDescription(given.type, given.sdp))
        self._applied()
        await adjust_senders(self._transceivers)
        with contextlib.suppress(InvalidStateError):  # closed meanwhile
            await self._native.gathered()

    async def setRemoteDescription(self, sessionDescription: RTCSessionDescription) -> None:
        """Apply a description of the peer.

        Raises:
            InvalidStateError: closed, or it is not due.
            OperationError: a section has no codec that this end has, too.
            ValueError: it lacks something, or does not answer the offer.
        """
        given = sessionDescription
        check_state(given.type, self.signalingState, is_local=False)
        if given.type != "rollback":
            description = parsed(given)
            check_description(description, is_offer=given.type == "offer")
            if given.type != "offer":
                check_answers_offer(description, self._native.localDescription)
            self._transports.check()
            check_codecs(description, {each.mid: each.preferred for each in self._transceivers})
            self._track_ids = track_ids(description)
        await self._native.setRemoteDescription(NativeDescription(given.type, given.sdp))
        self._applied()
        early, self._early = self._early, []
        for candidate in early:
            await self.addIceCandidate(candidate)
        await adjust_senders(self._transceivers)

    async def addIceCandidate(self, candidate: RTCIceCandidate | None) -> None:
        """Take a candidate of the peer's; before its description it is kept until that comes.

        Args:
            candidate: None for "no more".

        Raises:
            ValueError: it says of no section that it belongs to it.
        """
        if candidate is not None and candidate.sdpMid is None and candidate.sdpMLineIndex is None:
            raise ValueError("Candidate must have either sdpMid or sdpMLineIndex")
        if self._closed is not None:
            return
        if self._native.remoteDescription is None:
            if len(self._early) < MAX_EARLY_CANDIDATES:
                self._early.append(candidate)
            return
        try:
            await self._native.addIceCandidate(None if candidate is None else candidate_to_native(candidate))
        except OperationError as exc:
            logger.warning("a candidate is of no use: %s", exc)

    def _check_open(self) -> None:
        if self._closed is not None:
            raise InvalidStateError("RTCPeerConnection is closed")

    def _applied(self) -> None:
        """A description was applied: what there is, and what it travels over."""
        for native_transceiver in self._native.getTransceivers():
            face = self._face(native_transceiver)
            face.applied()
        if self._native.sctp is not None:
            sctp = self._need_sctp()
            sctp.bind(self._native.sctp)
            sctp.mid = self._sctp_mid()
        self._transports.follow(self._transceivers, self._sctp)

    def _sctp_mid(self) -> str | None:
        description = self._native.localDescription or self._native.remoteDescription
        if description is None:
            return None
        return next((each.mid for each in parsed(description).media if each.kind == "application"), None)

    # -- data channels ----------------------------------------------------------------------------

    def _need_sctp(self) -> RTCSctpTransport:
        if self._sctp is None:
            self._sctp = RTCSctpTransport(self._transports.of_data())
        return self._sctp

    def createDataChannel(
        self,
        label: str,
        maxPacketLifeTime: int | None = None,
        maxRetransmits: int | None = None,
        ordered: bool = True,
        protocol: str = "",
        negotiated: bool = False,
        id: int | None = None,  # noqa: A002 - its name there
    ) -> RTCDataChannel:
        """Make a data channel.

        Args:
            label: its name.
            maxPacketLifeTime, maxRetransmits: how long, in milliseconds, or how often a message is sent
                again.
            ordered: whether messages arrive in order.
            protocol: the subprotocol's name.
            negotiated: whether the peer makes it, too, with the same `id`.
            id: of a negotiated one, 0 to 65534.

        Raises:
            ValueError: arguments that exclude each other, or an id that is none or taken.
        """
        self._transports.check()
        if maxPacketLifeTime is not None and maxRetransmits is not None:
            raise ValueError("Cannot specify both maxPacketLifeTime and maxRetransmits")
        if negotiated and (id is None or not 0 <= id <= 65_534):
            raise ValueError("ID must be in range 0-65534 if data channel is negotiated out-of-band")
        try:
            channel = self._native.createDataChannel(
                label,
                {
                    "maxPacketLifeTime": maxPacketLifeTime,
                    "maxRetransmits": maxRetransmits,
                    "ordered": ordered,
                    "protocol": protocol,
                    "negotiated": negotiated,
                    "id": id,
                },
            )
        except OperationError as exc:
            raise ValueError(f"Data channel with ID {id} already registered: {exc}") from None
        return self._channel(channel)

    def _channel(self, channel: Any) -> RTCDataChannel:
        face = RTCDataChannel(self._need_sctp(), channel)
        self._channels.add(face)
        channel.on("close", lambda: self._channels.discard(face))
        return face

    def _on_channel(self, event: RTCDataChannelEvent) -> None:
        face = self._channel(event.channel)
        face.announced()
        self.emit("datachannel", face)

    # -- media ------------------------------------------------------------------------------------

    def _face(
        self, transceiver: NativeTransceiver, track: MediaStreamTrack | None = None
    ) -> RTCRtpTransceiver:
        """The transceiver that shows one of this stack's; made when it is new."""
        face = self._faces.get(transceiver)
        if face is None:
            kind = transceiver.receiver.track.kind
            dtls = self._transports.of_media(kind)
            face = self._faces[transceiver] = RTCRtpTransceiver(
                transceiver,
                RTCRtpSender(transceiver.sender, kind, track, dtls),
                RTCRtpReceiver(transceiver.receiver, kind, dtls),
                str(transceiver.direction),
            )
            self._transceivers.append(face)
        return face

    def addTrack(self, track: MediaStreamTrack) -> RTCRtpSender:
        """Send a track.

        Raises:
            InvalidStateError: closed.
            InvalidAccessError: it is being sent already.
            InternalError: its kind is neither "audio" nor "video".
        """
        self._check_addable(track.kind, track)
        for face in self._transceivers:
            if face.kind == track.kind and face.sender.track is None and not face.stopped:
                face.sender.replaceTrack(track)
                face.native.sender.setStreams(self._stream)
                face.direction = "sendrecv" if face.direction in ("sendrecv", "recvonly") else "sendonly"
                face.added()
                return face.sender
        return self._add(track.kind, track, "sendrecv").sender

    def addTransceiver(
        self, trackOrKind: MediaStreamTrack | str, direction: str = "sendrecv"
    ) -> RTCRtpTransceiver:
        """Make a transceiver.

        Args:
            trackOrKind: what to send, or "audio" or "video".
            direction: "sendrecv", "sendonly", "recvonly" or "inactive".

        Raises:
            InvalidStateError: closed.
            InvalidAccessError: the track is being sent already.
            InternalError: an unknown kind or direction.
        """
        track = trackOrKind if isinstance(trackOrKind, MediaStreamTrack) else None
        kind = trackOrKind.kind if isinstance(trackOrKind, MediaStreamTrack) else trackOrKind
        self._check_addable(kind, track)
        if direction not in DIRECTIONS:
            raise InternalError(f'Invalid direction "{direction}"')
        return self._add(kind, track, direction)

    def _add(self, kind: str, track: MediaStreamTrack | None, direction: str) -> RTCRtpTransceiver:
        self._transports.check()
        transceiver = self._native.addTransceiver(
            kind if track is None else native_track(track),
            {"direction": direction, "streams": [self._stream]},
        )
        let_offers_take(transceiver)
        return self._face(transceiver, track)

    def _check_addable(self, kind: str, track: MediaStreamTrack | None) -> None:
        self._check_open()
        if kind not in ("audio", "video"):
            raise InternalError(f'Invalid track kind "{kind}"')
        if track is not None and any(each.track is track for each in self.getSenders()):
            raise InvalidAccessError("Track already has a sender")

    def _on_track(self, event: NativeTrackEvent) -> None:
        face = self._face(event.transceiver)
        if face.receiver.track is None:
            mid = event.transceiver.mid
            track = RemoteStreamTrack(event.track.kind, self._track_ids.get(mid or ""), event.track)
            face.receiver.described(track)
            self.emit("track", track)

    def getReceivers(self) -> list[RTCRtpReceiver]:
        """The receivers of all transceivers."""
        return [each.receiver for each in self._transceivers]

    def getSenders(self) -> list[RTCRtpSender]:
        """The senders of all transceivers."""
        return [each.sender for each in self._transceivers]

    def getTransceivers(self) -> list[RTCRtpTransceiver]:
        """All transceivers, in the order in which they were made."""
        return list(self._transceivers)

    async def getStats(self) -> RTCStatsReport:
        """Statistics of all senders and receivers, and of their transports."""
        merged = RTCStatsReport()
        parts: Sequence[RTCRtpSender | RTCRtpReceiver] = [*self.getSenders(), *self.getReceivers()]
        for part in parts:
            merged.update(await part.getStats())
        return merged

    # -- the end ----------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close the connection; it and its channels, tracks and transports say that they are closed."""
        if self._closed is not None:
            await asyncio.shield(self._closed)
            return
        self._closed = asyncio.get_running_loop().create_future()
        self.emit("signalingstatechange")
        await asyncio.sleep(0)  # what was sent just now leaves first
        ending = self._native.close()
        for transceiver in self._transceivers:
            transceiver.ended()
        for channel in list(self._channels):
            channel.ended()
        if self._sctp is not None:
            self._sctp.end()
        self._transports.close()
        self._set_ice_state("closed")
        self._set_state("closed")
        await ending
        self.remove_all_listeners()
        self._closed.set_result(None)


def _description(description: NativeDescription | None) -> RTCSessionDescription | None:
    return None if description is None else RTCSessionDescription(description.sdp, str(description.type))
