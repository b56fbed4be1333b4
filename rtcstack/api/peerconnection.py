"""RTCPeerConnection: the facade. What it knows, other objects hold; here is who asks whom.

Spec: webrtc-pc, section 4.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from rtcstack.api.capabilities import capabilities_with
from rtcstack.api.certificate import RTCCertificate
from rtcstack.api.channelset import ChannelSet
from rtcstack.api.configuration import RTCConfiguration, check_modification, validated
from rtcstack.api.datachannel import RTCDataChannel, RTCDataChannelInit
from rtcstack.api.description import RTCIceCandidate, RTCSessionDescription
from rtcstack.api.dictionaries import as_dictionary, enum_member
from rtcstack.api.dtlstransport import RTCDtlsTransportState
from rtcstack.api.events import (
    RTCDataChannelEvent,
    RTCErrorEvent,
    RTCPeerConnectionIceErrorEvent,
    RTCPeerConnectionIceEvent,
)
from rtcstack.api.home import Home, at_home
from rtcstack.api.negotiator import Negotiator, as_session_description
from rtcstack.api.operations import Operation, OperationsChain
from rtcstack.api.parameters import RTCRtpTransceiverDirection
from rtcstack.api.receiver import RTCRtpReceiver
from rtcstack.api.sctptransport import RTCSctpTransport
from rtcstack.api.sender import RTCRtpSender
from rtcstack.api.states import (
    RTCIceConnectionState,
    RTCIceGatheringState,
    RTCPeerConnectionState,
    sum_connection,
    sum_gathering,
    sum_ice,
)
from rtcstack.api.stats import RTCStatsReport, collect
from rtcstack.api.transceiver import RTCRtpTransceiver, RTCRtpTransceiverInit
from rtcstack.api.transceiverset import TransceiverSet
from rtcstack.api.transportset import TransportEntry, TransportSet
from rtcstack.dtls import DtlsRole
from rtcstack.errors import InvalidStateError, OperationError
from rtcstack.events import Event, EventTarget, HandlerAttribute
from rtcstack.ice import Address, GatheringState, IceServer
from rtcstack.jsep import Capabilities, Negotiation, SdpType
from rtcstack.jsep import SignalingState as RTCSignalingState
from rtcstack.media.stream import MediaStream
from rtcstack.media.track import MediaStreamTrack
from rtcstack.sctp.events import ChannelEvent
from rtcstack.sdp import Candidate
from rtcstack.workers import jobs, run

__all__ = ["RTCPeerConnection", "RTCSignalingState"]


class RTCPeerConnection(EventTarget):
    """A connection to one peer.

    Methods that the W3C gives a promise begin at once and return an `Operation`, to be awaited.
    ``async with RTCPeerConnection() as pc`` closes it at the end.

    A connection belongs to the event loop on which it was made or first used; so do its channels,
    transceivers, senders and receivers. A call from another thread or another loop raises
    InvalidStateError and changes nothing.

    Args:
        configuration: an `RTCConfiguration` or a mapping with its members.

    Raises:
        TypeError, SyntaxError, InvalidAccessError: see `RTCConfiguration`.

    Events: negotiationneeded, icecandidate, icecandidateerror, signalingstatechange,
    iceconnectionstatechange, icegatheringstatechange, connectionstatechange, track, datachannel.
    Beyond the W3C's: peerleft (the peer has closed DTLS on every transport: it has hung up), error
    (an `RTCErrorEvent`: a fault inside this stack ended a part of the connection).

    Spec: webrtc-pc, section 4.4.
    """

    onnegotiationneeded = HandlerAttribute("negotiationneeded")
    onicecandidate = HandlerAttribute("icecandidate")
    onicecandidateerror = HandlerAttribute("icecandidateerror")
    onsignalingstatechange = HandlerAttribute("signalingstatechange")
    oniceconnectionstatechange = HandlerAttribute("iceconnectionstatechange")
    onicegatheringstatechange = HandlerAttribute("icegatheringstatechange")
    onconnectionstatechange = HandlerAttribute("connectionstatechange")
    ontrack = HandlerAttribute("track")
    ondatachannel = HandlerAttribute("datachannel")
    onpeerleft = HandlerAttribute("peerleft")
    onerror = HandlerAttribute("error")

    def __init__(self, configuration: RTCConfiguration | Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.configuration = validated(configuration)
        self.is_closed = False
        self.home = Home()
        self.chain = OperationsChain(lambda: self.is_closed, self._on_chain_empty)
        self.transports = TransportSet(self.configuration, self, self.chain.after)
        self.transceivers = TransceiverSet(self)
        self.negotiator = Negotiator(self)
        self._channels: ChannelSet | None = None
        self._sctp: RTCSctpTransport | None = None
        self._ice_gathering_state = RTCIceGatheringState.NEW
        self._ice_connection_state = RTCIceConnectionState.NEW
        self._connection_state = RTCPeerConnectionState.NEW
        self._closing: Operation[None] | None = None
        self._peer_left = False
        self._gathering_waiters: list[asyncio.Future[None]] = []

    # -- descriptions -----------------------------------------------------------------------------

    @property
    def negotiation(self) -> Negotiation:
        """The state of negotiation, as one frozen value."""
        return self.negotiator.negotiation

    @property
    def localDescription(self) -> RTCSessionDescription | None:
        """The pending local description, else the current one, with the candidates gathered so far."""
        return as_session_description(self.negotiation.local_description)

    @property
    def currentLocalDescription(self) -> RTCSessionDescription | None:
        """The local description of the last exchange that was completed."""
        return as_session_description(self.negotiation.current_local)

    @property
    def pendingLocalDescription(self) -> RTCSessionDescription | None:
        """The local description of the exchange under way."""
        return as_session_description(self.negotiation.pending_local)

    @property
    def remoteDescription(self) -> RTCSessionDescription | None:
        """The pending remote description, else the current one, with the candidates added so far."""
        return as_session_description(self.negotiation.remote_description)

    @property
    def currentRemoteDescription(self) -> RTCSessionDescription | None:
        """The remote description of the last exchange that was completed."""
        return as_session_description(self.negotiation.current_remote)

    @property
    def pendingRemoteDescription(self) -> RTCSessionDescription | None:
        """The remote description of the exchange under way."""
        return as_session_description(self.negotiation.pending_remote)

    @property
    def canTrickleIceCandidates(self) -> bool | None:
        """Whether the peer takes trickled candidates; None before its first description."""
        return self.negotiation.can_trickle_ice_candidates

    # -- states -----------------------------------------------------------------------------------

    @property
    def signalingState(self) -> RTCSignalingState:
        """Where the exchange of descriptions stands."""
        return self.negotiation.state

    @property
    def iceGatheringState(self) -> RTCIceGatheringState:
        """How far gathering is."""
        return self._ice_gathering_state

    @property
    def iceConnectionState(self) -> RTCIceConnectionState:
        """How ICE is."""
        return self._ice_connection_state

    @property
    def connectionState(self) -> RTCPeerConnectionState:
        """How the connection is."""
        return self._connection_state

    @property
    def sctp(self) -> RTCSctpTransport | None:
        """The association for data channels; None before it was negotiated."""
        return self._sctp

    # -- offer and answer -------------------------------------------------------------------------

    @at_home
    def createOffer(
        self, options: Mapping[str, Any] | None = None, *, iceRestart: bool = False
    ) -> Operation[RTCSessionDescription]:
        """Make an offer. It changes nothing until it is set.

        Args:
            options: may have "iceRestart", and the legacy "offerToReceiveAudio" and
                "offerToReceiveVideo".
            iceRestart: whether the offer starts new ICE generations.

        Raises:
            InvalidStateError: closed, or not in "stable" or "have-local-offer".
        """
        wanted = dict(options or {})
        restart = iceRestart or bool(wanted.get("iceRestart"))

        def run() -> RTCSessionDescription:
            self._offer_to_receive(wanted)
            offer = self.negotiator.create_offer(ice_restart=restart)
            return RTCSessionDescription(offer.type.value, offer.sdp)

        return self.chain.run("createOffer", run)

    @at_home
    def createAnswer(self, options: Mapping[str, Any] | None = None) -> Operation[RTCSessionDescription]:
        """Make an answer to the pending remote offer. It changes nothing until it is set.

        Raises:
            InvalidStateError: closed, or there is no remote offer.
        """

        def run() -> RTCSessionDescription:
            answer = self.negotiator.create_answer()
            return RTCSessionDescription(answer.type.value, answer.sdp)

        return self.chain.run("createAnswer", run)

    @at_home
    def setLocalDescription(
        self, description: RTCSessionDescription | Mapping[str, Any] | None = None
    ) -> Operation[None]:
        """Apply a local description, and begin to gather candidates.

        Args:
            description: what createOffer or createAnswer gave, or a rollback. Without it, or
                without its text, the right one is made.

        Raises:
            InvalidStateError: not allowed in this signaling state, or closed.
            InvalidModificationError: not what createOffer or createAnswer last gave.
        """
        sdp_type: SdpType | None = None
        given: RTCSessionDescription | None = None
        if isinstance(description, RTCSessionDescription):
            given, sdp_type = description, SdpType(description.type.value)
        elif description is not None:
            members = as_mapping(description)
            if members.get("type") is not None:
                given = RTCSessionDescription(members["type"], members.get("sdp") or "")
                sdp_type = SdpType(given.type.value)
        return self.chain.run("setLocalDescription", lambda: self.negotiator.set_local(given, sdp_type))

    @at_home
    def setRemoteDescription(self, description: RTCSessionDescription | Mapping[str, Any]) -> Operation[None]:
        """Apply the peer's description. An offer while ours is pending rolls ours back first.

        Raises:
            RTCError: the text is not SDP ("sdp-syntax-error", with its line).
            InvalidStateError: not allowed in this signaling state, or closed.
            InvalidAccessError, OperationError: it contradicts itself or the session so far.
        """
        if isinstance(description, RTCSessionDescription):
            given = description
        else:
            given = RTCSessionDescription(as_mapping(description))
        return self.chain.run("setRemoteDescription", lambda: self.negotiator.set_remote(given))

    @at_home
    def addIceCandidate(
        self, candidate: RTCIceCandidate | Mapping[str, Any] | None = None
    ) -> Operation[None]:
        """Take a candidate of the peer.

        Args:
            candidate: None, or one with an empty string, for "no more".

        Raises:
            TypeError: neither sdpMid nor sdpMLineIndex is given.
            InvalidStateError: there is no remote description, or closed.
            OperationError: it cannot be read, or belongs to no section or generation.
        """
        given: RTCIceCandidate | None
        if candidate is None or isinstance(candidate, RTCIceCandidate):
            given = candidate
        else:
            members = as_mapping(candidate)
            if (
                not members.get("candidate")
                and members.get("sdpMid") is None
                and members.get("sdpMLineIndex") is None
            ):
                given = None
            else:
                given = RTCIceCandidate(members)
        return self.chain.run("addIceCandidate", lambda: self.negotiator.add_ice_candidate(given))

    async def gathered(self) -> RTCSessionDescription:
        """Wait until all candidates are in the local description, for signalling that cannot
        trickle.

        Returns:
            The local description.

        Raises:
            InvalidStateError: there is no local description, or the connection is closed.
        """
        while True:
            description = self.localDescription
            if self.is_closed or description is None:
                raise InvalidStateError("gathered: there is no local description, or it is closed")
            if self._ice_gathering_state is RTCIceGatheringState.COMPLETE or not any(self.transports):
                return description  # without any section in use, there is nothing to gather
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._gathering_waiters.append(waiter)
            await waiter

    def _wake_gathering_waiters(self) -> None:
        waiters, self._gathering_waiters = self._gathering_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    @at_home
    def restartIce(self) -> None:
        """Let the next offer restart ICE; "negotiationneeded" is fired."""
        if not self.is_closed:
            self.negotiator.restart_ice()

    def _offer_to_receive(self, options: Mapping[str, Any]) -> None:
        """The legacy options, as transceivers (webrtc-pc, section 4.4.3.2)."""
        for kind in ("audio", "video"):
            wanted = options.get(f"offerToReceive{kind.capitalize()}")
            if wanted is None:
                continue
            mine = [t for t in self.transceivers.all if t.kind == kind and not t.stopping]
            if wanted and not any(t.direction.receives for t in mine):
                self.addTransceiver(kind, direction="recvonly")
            elif not wanted:
                for transceiver in mine:
                    if transceiver.direction is RTCRtpTransceiverDirection.SENDRECV:
                        transceiver.set_direction(RTCRtpTransceiverDirection.SENDONLY)
                    elif transceiver.direction is RTCRtpTransceiverDirection.RECVONLY:
                        transceiver.set_direction(RTCRtpTransceiverDirection.INACTIVE)

    # -- configuration ----------------------------------------------------------------------------

    def getConfiguration(self) -> RTCConfiguration:
        """A copy of the configuration."""
        return validated(self.configuration)

    @at_home
    def setConfiguration(self, configuration: RTCConfiguration | Mapping[str, Any] | None = None) -> None:
        """Change the configuration: servers and policy count from the next gathering on.

        Raises:
            InvalidStateError: closed.
            InvalidModificationError: what must not change would.
            TypeError, SyntaxError, InvalidAccessError: see `RTCConfiguration`.
        """
        if self.is_closed:
            raise InvalidStateError("setConfiguration on a connection that is closed")
        new = validated(configuration)
        check_modification(self.configuration, new, described=self.negotiation.local_description is not None)
        new.certificates = self.configuration.certificates
        self.configuration = self.transports.configuration = new
        if self.negotiation.local_description is None:
            self.transports.fill_pool()

    @staticmethod
    def generateCertificate(keygenAlgorithm: str | Mapping[str, Any]) -> Operation[RTCCertificate]:
        """Make a certificate for ``RTCConfiguration.certificates``.

        Args:
            keygenAlgorithm: ``{"name": "ECDSA", "namedCurve": "P-256"}`` or ``{"name":
                "RSASSA-PKCS1-v1_5", "modulusLength": 2048, "publicExponent": 65537, "hash":
                "SHA-256"}``, each with "expires" in milliseconds from now; or a name alone.

        Raises:
            NotSupportedError: another algorithm.
            TypeError: "expires" is not a number.
        """
        if isinstance(keygenAlgorithm, Mapping) and "RSA" in str(keygenAlgorithm.get("name", "")).upper():
            # an RSA key takes a good part of a second
            return Operation(run(lambda: RTCCertificate.generate(keygenAlgorithm), jobs()))
        return Operation.of(lambda: RTCCertificate.generate(keygenAlgorithm))

    # -- data channels ----------------------------------------------------------------------------

    def createDataChannel(
        self,
        label: str,
        dataChannelDict: RTCDataChannelInit | Mapping[str, Any] | None = None,
        **members: Any,
    ) -> RTCDataChannel:
        """Make a data channel; it opens when the connection stands.

        Args:
            label: a name, at most 65,535 bytes of UTF-8.
            dataChannelDict: see `RTCDataChannelInit`.
            members: members of it by keyword.

        Raises:
            InvalidStateError: closed.
            TypeError: a value is out of range, or two exclude each other.
            OperationError: the id is in use or too high, or no id is left.
        """
        self.home.check("createDataChannel")
        if self.is_closed:
            raise InvalidStateError("createDataChannel on a connection that is closed")
        init = as_dictionary(RTCDataChannelInit, dataChannelDict, members)
        first = self._channels is None
        channel = self._channel_set().create(label, init)
        if first:
            self.update_negotiation_needed()
        return channel

    @property
    def capabilities(self) -> Capabilities:
        """What this connection can do, and asks for."""
        media = self.configuration.settings.media
        return capabilities_with(stereo=media.opus_stereo, dtx=media.opus_dtx, fec=media.opus_fec)

    @property
    def wants_data_channels(self) -> bool:
        """Whether the application section is to be negotiated."""
        return self._channels is not None

    @property
    def channels(self) -> ChannelSet | None:
        """The data channels, once there was one."""
        return self._channels

    def _channel_set(self) -> ChannelSet:
        if self._channels is None:
            self._channels = ChannelSet(
                self.configuration.settings,
                home=self.home,
                on_channel=self._on_channel,
                on_connected=self._on_association_connected,
                on_closed=self._on_association_closed,
            )
        return self._channels

    def update_sctp(self) -> None:
        """Bring the association up to what has been agreed."""
        negotiation = self.negotiation
        section = negotiation.session.data_section
        if section is None:
            if self._sctp is None and self._channels is not None and negotiation.stable is not None:
                rejected = any(s.kind == "application" and s.rejected for s in negotiation.session.sections)
                if rejected and negotiation.working is None:
                    self._channels.fail("the peer rejected data channels")
            return
        entry = self.transports.get(section.transport)
        agreement = negotiation.session.transport(section.transport)
        if entry is None or section.sctp is None or agreement is None or agreement.dtls_role is None:
            return
        limit = section.sctp.max_message_size
        if self._sctp is None:
            self._sctp = RTCSctpTransport(entry.dtls_transport, limit)
        else:
            self._sctp.set_max_message_size(limit)
        self._channel_set().attach(
            entry.transport,
            is_dtls_client=agreement.dtls_role == DtlsRole.CLIENT,
            remote_max_message_size=limit,
        )

    def _on_channel(self, channel: RTCDataChannel) -> None:
        self.dispatchEvent(RTCDataChannelEvent("datachannel", channel))

    def _on_association_connected(self, max_channels: int) -> None:
        if self._sctp is not None:
            self._sctp.on_connected(max_channels)

    def _on_association_closed(self) -> None:
        if self._sctp is not None:
            self._sctp.on_closed()

    # -- media ------------------------------------------------------------------------------------

    def getSenders(self) -> list[RTCRtpSender]:
        """The senders of all transceivers that are not stopped."""
        return [t.sender for t in self.transceivers.all if not t.stopped]

    def getReceivers(self) -> list[RTCRtpReceiver]:
        """The receivers of all transceivers that are not stopped."""
        return [t.receiver for t in self.transceivers.all if not t.stopped]

    def getTransceivers(self) -> list[RTCRtpTransceiver]:
        """All transceivers, in the order in which they were made."""
        return self.transceivers.all

    @at_home
    def addTrack(self, track: MediaStreamTrack, *streams: MediaStream) -> RTCRtpSender:
        """Send a track.

        Args:
            track: what to send.
            streams: what it belongs to at the peer.

        Raises:
            InvalidStateError: closed.
            InvalidAccessError: it is being sent already.
        """
        if self.is_closed:
            raise InvalidStateError("addTrack on a connection that is closed")
        if not isinstance(track, MediaStreamTrack):
            raise TypeError(f"addTrack takes a MediaStreamTrack, not {type(track).__name__}")
        sender = self.transceivers.add_track(track, streams)
        self.update_negotiation_needed()
        return sender

    @at_home
    def removeTrack(self, sender: RTCRtpSender) -> None:
        """Stop sending a track; the transceiver stays.

        Raises:
            InvalidStateError: closed.
            InvalidAccessError: the sender belongs to another connection.
        """
        if self.is_closed:
            raise InvalidStateError("removeTrack on a connection that is closed")
        if not isinstance(sender, RTCRtpSender):
            raise TypeError(f"removeTrack takes an RTCRtpSender, not {type(sender).__name__}")
        if self.transceivers.remove_track(sender):
            self.update_negotiation_needed()

    def addTransceiver(
        self,
        trackOrKind: MediaStreamTrack | str,
        init: RTCRtpTransceiverInit | Mapping[str, Any] | None = None,
        **members: Any,
    ) -> RTCRtpTransceiver:
        """Make a transceiver.

        Args:
            trackOrKind: what to send, or "audio" or "video".
            init: see `RTCRtpTransceiverInit`.
            members: members of it by keyword.

        Raises:
            InvalidStateError: closed.
            TypeError: an unknown kind, or encodings that contradict each other.
            ValueError: an encoding's number is out of range.
        """
        self.home.check("addTransceiver")
        if self.is_closed:
            raise InvalidStateError("addTransceiver on a connection that is closed")
        wanted = as_dictionary(RTCRtpTransceiverInit, init, members)
        wanted.direction = enum_member(RTCRtpTransceiverDirection, "direction", wanted.direction)
        if wanted.direction is RTCRtpTransceiverDirection.STOPPED:
            raise TypeError("a transceiver cannot begin as 'stopped'")
        track = trackOrKind if isinstance(trackOrKind, MediaStreamTrack) else None
        kind = track.kind if track is not None else trackOrKind
        if kind not in ("audio", "video"):
            raise TypeError(f"addTransceiver takes a track, 'audio' or 'video', not {kind!r}")
        transceiver = self.transceivers.add(str(kind), track, wanted)
        self.update_negotiation_needed()
        return transceiver

    # -- statistics -------------------------------------------------------------------------------

    @at_home
    def getStats(
        self, selector: MediaStreamTrack | RTCRtpSender | RTCRtpReceiver | None = None
    ) -> Operation[RTCStatsReport]:
        """Statistics of the whole connection, or of a track, sender or receiver.

        Raises:
            InvalidAccessError: the track is not sent or received here, or more than once.
        """
        return Operation.of(lambda: collect(self, selector))

    # -- the end ----------------------------------------------------------------------------------

    def close(self) -> Operation[None]:
        """Close the connection: at once, and without events.

        Also possible while its event loop does not run, or has been closed: then everything is
        released before this returns.

        Returns:
            May be awaited, to know that every socket and task is gone.

        Raises:
            InvalidStateError: called from another thread than its event loop's.
        """
        may_wait = self.home.check_end("close")
        if self._closing is not None:
            return self._closing
        self.is_closed = True
        self.negotiator.close()
        if not may_wait:
            self.transports.close()  # first, so that nothing below asks for a turn of the loop
        for transceiver in self.transceivers.all:
            transceiver.finish(tell=False)
        if self._channels is not None:
            self._channels.shut()
        if self._sctp is not None:
            self._sctp.on_closed(tell=False)
        self._wake_gathering_waiters()
        tasks = self.transports.close()
        self._ice_connection_state = RTCIceConnectionState.CLOSED
        self._connection_state = RTCPeerConnectionState.CLOSED
        self._closing = Operation(_settle(tasks)) if may_wait else Operation.settled(None)
        return self._closing

    async def __aenter__(self) -> RTCPeerConnection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- what the other objects ask of the connection ---------------------------------------------

    def fire(self, name: str) -> None:
        """Fire an event that carries nothing but its name."""
        self.dispatchEvent(Event(name))

    def update_negotiation_needed(self) -> None:
        """Something was changed that the peer may have to be told of."""
        self.negotiator.update_needed()

    def soon(self, callback: Callable[[], None]) -> None:
        """Run something in the loop's next turn."""
        asyncio.get_running_loop().call_soon(callback)

    def _on_chain_empty(self) -> None:
        self.negotiator.on_chain_empty()

    # TransportSetObserver

    def on_network_change(self) -> None:
        """This machine's addresses have changed."""
        self.restartIce()

    def on_candidate(
        self, entry: TransportEntry, candidate: Candidate, ufrag: str, server: IceServer | None
    ) -> None:
        """A local candidate was found."""
        if self.is_closed:
            return
        told = self.negotiator.on_local_candidate(entry, candidate, ufrag, server)
        if told is not None:
            self.dispatchEvent(RTCPeerConnectionIceEvent("icecandidate", told, told.url))

    def on_gathering(self, entry: TransportEntry) -> None:
        """A transport's gathering state changed."""
        ice = entry.transport.ice
        if self.is_closed:
            return
        if ice.gathering_state is GatheringState.COMPLETE and entry.ended_ufrag != ice.ufrag:
            entry.ended_ufrag = ice.ufrag
            told = self.negotiator.on_local_candidate(entry, None, ice.ufrag, None)
            if told is not None:
                self.dispatchEvent(RTCPeerConnectionIceEvent("icecandidate", told))
        self.update_states()

    def on_server_error(self, server: IceServer, local: Address | None, code: int, text: str) -> None:
        """A STUN or TURN server failed."""
        address, port = local if local is not None else (None, None)
        self.dispatchEvent(
            RTCPeerConnectionIceErrorEvent(
                "icecandidateerror",
                address=address,
                port=port,
                url=server.url,
                errorCode=code,
                errorText=text,
            )
        )

    def on_transport_state(self, entry: TransportEntry) -> None:
        """A transport's state changed."""
        self.update_states()

    def on_peer_left(self) -> None:
        """The peer has closed DTLS on a transport; when none is left, it has hung up."""
        if self._peer_left or any(e.dtls_state is not RTCDtlsTransportState.CLOSED for e in self.transports):
            return
        self._peer_left = True
        self.fire("peerleft")
        if self.configuration.settings.close_when_peer_left:
            self.close()

    def on_media_lost(self, entry: TransportEntry, reason: str) -> None:
        """Media has ended on a transport, for a fault of ours."""
        self.dispatchEvent(RTCErrorEvent("error", OperationError(reason)))

    def on_channel_events(self, events: list[ChannelEvent]) -> None:
        """What the data channels have to say."""
        if self._channels is not None:
            self._channels.on_events(events)

    def update_states(self) -> None:
        """Sum up the transports' states; fire what changed."""
        if self.is_closed:
            return
        entries = list(self.transports)
        gathering = sum_gathering([e.transport.ice.gathering_state for e in entries])
        ice = sum_ice([e.transport.ice.state for e in entries])
        connection = sum_connection([e.transport.ice.state for e in entries], [e.dtls_state for e in entries])
        changed = []
        if gathering is not self._ice_gathering_state:
            self._ice_gathering_state = gathering
            changed.append(Event("icegatheringstatechange"))
            self._wake_gathering_waiters()
            if gathering is RTCIceGatheringState.COMPLETE:
                changed.append(RTCPeerConnectionIceEvent("icecandidate", None))
        if ice is not self._ice_connection_state:
            self._ice_connection_state = ice
            changed.append(Event("iceconnectionstatechange"))
        if connection is not self._connection_state:
            self._connection_state = connection
            changed.append(Event("connectionstatechange"))
        for event in changed:
            self.dispatchEvent(event)

    def __repr__(self) -> str:
        return f"<RTCPeerConnection {self.signalingState} {self.connectionState}>"


def as_mapping(value: object) -> Mapping[str, Any]:
    """What stands for a dictionary: a mapping, or an object with toJSON.

    Raises:
        TypeError: neither.
    """
    if isinstance(value, Mapping):
        return value
    to_json = getattr(value, "toJSON", None)
    if callable(to_json):
        return as_mapping(to_json())
    raise TypeError(f"a mapping was expected, not {type(value).__name__}")


def _settle(tasks: Sequence[asyncio.Task[None]] | set[asyncio.Task[None]]) -> asyncio.Future[None]:
    """A future that ends when all tasks have, whatever became of them."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    if not tasks:
        future.set_result(None)
        return future
    left = len(tasks)

    def done(task: asyncio.Task[None]) -> None:
        nonlocal left
        left -= 1
        if not task.cancelled():
            task.exception()  # looked at, so that the loop does not report it
        if not left and not future.done():
            future.set_result(None)

    for task in tasks:
        task.add_done_callback(done)
    return future
