"""RTCPeerConnection: the facade. What it knows, other objects hold; here is who asks whom.

Spec: webrtc-pc, section 4.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rtcstack import jsep, sdp
from rtcstack.api.certificate import generate_certificate
from rtcstack.api.configuration import RTCConfiguration, check_modification, connection_config, validated
from rtcstack.api.connectionevents import RTCDataChannelEvent, RTCTrackEvent
from rtcstack.api.description import RTCIceCandidate, RTCSdpType, RTCSessionDescription, parsed_candidate
from rtcstack.api.dictionaries import as_dictionary, enum_member
from rtcstack.api.errorevent import RTCErrorEvent
from rtcstack.api.faces import Faces
from rtcstack.api.home import Home, Resident, at_home
from rtcstack.api.iceevents import RTCPeerConnectionIceEvent, server_error
from rtcstack.api.promises import Operation, OperationsChain, Steps, Task, Then, promise, settled
from rtcstack.api.states import (
    RTCIceConnectionState,
    RTCIceGatheringState,
    RTCPeerConnectionState,
    sum_connection,
    sum_gathering,
    sum_ice,
)
from rtcstack.connection.happened import (
    Happened,
    SignalingStateChanged,
    TrackAppeared,
    TrackEnded,
    TrackGained,
    TrackLost,
    TrackMuted,
)
from rtcstack.errors import (
    InvalidAccessError,
    InvalidModificationError,
    InvalidStateError,
    OperationError,
    RTCError,
)
from rtcstack.events import Event, EventTarget, HandlerAttribute
from rtcstack.jsep.states import SdpType, Side, next_state
from rtcstack.jsep.states import SignalingState as RTCSignalingState
from rtcstack.workers import jobs, run

if TYPE_CHECKING:
    from rtcstack.api.certificate import RTCCertificate
    from rtcstack.api.datachannel import RTCDataChannel, RTCDataChannelInit
    from rtcstack.api.dtlstransport import RTCDtlsTransport
    from rtcstack.api.receiver import RTCRtpReceiver
    from rtcstack.api.sctptransport import RTCSctpTransport
    from rtcstack.api.sender import RTCRtpSender
    from rtcstack.api.stats import RTCStatsReport
    from rtcstack.api.transceiver import RTCRtpTransceiver, RTCRtpTransceiverInit
    from rtcstack.api.transportslots import TransportSlots
    from rtcstack.connection.connection import Connection
    from rtcstack.connection.receiving import Receiver
    from rtcstack.connection.sending import Sender
    from rtcstack.connection.transports import TransportEntry
    from rtcstack.dtls.events import DtlsFailed
    from rtcstack.ice import Address, IceServer
    from rtcstack.jsep import Description
    from rtcstack.media.stream import MediaStream
    from rtcstack.media.track import MediaStreamTrack
    from rtcstack.sctp.channel import Channel
    from rtcstack.sdp import Candidate

__all__ = ["RTCPeerConnection", "RTCSignalingState", "connection_part"]


class RTCPeerConnection(Resident, EventTarget):
    """A connection to one peer.

    Methods that the W3C gives a promise begin at once and return an `Operation`, to be awaited. An
    argument of a wrong type raises within the call.
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
        from rtcstack.connection.connection import Connection

        super().__init__()
        self._configuration = validated(configuration)
        self._home = Home()
        self._chain = OperationsChain(lambda: self._home.is_closed, self._on_chain_empty)
        self._connection = Connection(
            connection_config(self._configuration), _Observer(self), self._chain.after
        )
        self._faces = Faces(self._home, self._chain, self._update_negotiation_needed, self._opus_parameters)
        self._sctp: RTCSctpTransport | None = None
        self._ice_gathering_state = RTCIceGatheringState.NEW
        self._ice_connection_state = RTCIceConnectionState.NEW
        self._connection_state = RTCPeerConnectionState.NEW
        self._is_applying = False
        self._negotiation_needed = False
        self._update_when_empty = False
        self._check_pending = False
        self._closing: Operation[None] | None = None
        self._gathering_waiters: list[asyncio.Future[None]] = []

    # -- descriptions -----------------------------------------------------------------------------

    @property
    def localDescription(self) -> RTCSessionDescription | None:
        """The pending local description, else the current one, with the candidates gathered so far."""
        return _shown(self._connection.negotiation.local_description)

    @property
    def currentLocalDescription(self) -> RTCSessionDescription | None:
        """The local description of the last exchange that was completed."""
        return _shown(self._connection.negotiation.current_local)

    @property
    def pendingLocalDescription(self) -> RTCSessionDescription | None:
        """The local description of the exchange under way."""
        return _shown(self._connection.negotiation.pending_local)

    @property
    def remoteDescription(self) -> RTCSessionDescription | None:
        """The pending remote description, else the current one, with the candidates added so far."""
        return _shown(self._connection.negotiation.remote_description)

    @property
    def currentRemoteDescription(self) -> RTCSessionDescription | None:
        """The remote description of the last exchange that was completed."""
        return _shown(self._connection.negotiation.current_remote)

    @property
    def pendingRemoteDescription(self) -> RTCSessionDescription | None:
        """The remote description of the exchange under way."""
        return _shown(self._connection.negotiation.pending_remote)

    @property
    def canTrickleIceCandidates(self) -> bool | None:
        """Whether the peer takes trickled candidates; None before its first description."""
        return self._connection.negotiation.can_trickle_ice_candidates

    # -- states -----------------------------------------------------------------------------------

    @property
    def signalingState(self) -> RTCSignalingState:
        """Where the exchange of descriptions stands."""
        return self._connection.negotiation.state

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
        if not self._home.is_closed:
            self._offer_to_receive(wanted)
        return self._chain.run("createOffer", lambda: self._create_offer(ice_restart=restart))

    def _create_offer(self, *, ice_restart: bool = False) -> Task[RTCSessionDescription]:
        """To create an offer (webrtc-pc, section 4.4.2)."""
        # 1. Only where an offer may follow.
        if self.signalingState not in (RTCSignalingState.STABLE, RTCSignalingState.HAVE_LOCAL_OFFER):
            raise InvalidStateError(f"createOffer in signaling state {self.signalingState}")
        # 2. to 4. In parallel there is nothing to do: the final steps read the state as it is by then.
        return lambda: _as_session_description(
            self._connection.negotiator.create_offer(ice_restart=ice_restart)
        )

    @at_home
    def createAnswer(self, options: Mapping[str, Any] | None = None) -> Operation[RTCSessionDescription]:
        """Make an answer to the pending remote offer. It changes nothing until it is set.

        Raises:
            InvalidStateError: closed, or there is no remote offer.
        """
        return self._chain.run("createAnswer", self._create_answer)

    def _create_answer(self) -> Task[RTCSessionDescription]:
        """To create an answer (webrtc-pc, section 4.4.2); its steps are those of an offer."""
        if self.signalingState not in (
            RTCSignalingState.HAVE_REMOTE_OFFER,
            RTCSignalingState.HAVE_LOCAL_PRANSWER,
        ):
            raise InvalidStateError(f"createAnswer in signaling state {self.signalingState}")
        return lambda: _as_session_description(self._connection.negotiator.create_answer())

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
        text = ""
        if isinstance(description, RTCSessionDescription):
            sdp_type, text = SdpType(description.type.value), description.sdp
        elif description is not None:
            members = _as_mapping(description)
            if members.get("type") is not None:
                given = RTCSessionDescription(members["type"], members.get("sdp") or "")
                sdp_type, text = SdpType(given.type.value), given.sdp
        return self._chain.run("setLocalDescription", lambda: self._set_local(sdp_type, text))

    def _set_local(self, wanted: SdpType | None, text: str) -> Task[None]:
        """The chained steps of setLocalDescription."""
        negotiator = self._connection.negotiator
        # 1. Let type be the description's, or what comes next.
        sdp_type = wanted or self._next_local_type()
        if sdp_type is SdpType.ROLLBACK:
            return self._set(Side.LOCAL, jsep.Description.parse(sdp_type, ""))()
        # 2. and 3. A text that was not the last created is refused.
        last = negotiator.last(sdp_type)
        if text and (last is None or text != last.sdp):
            made_by = "createOffer" if sdp_type is SdpType.OFFER else "createAnswer"
            raise InvalidModificationError(
                f"setLocalDescription: the {sdp_type} is not the one that {made_by} last gave"
            )
        # 4. and 5. Without a text, it is the last created, or a new one if that has gone out of date.
        if not text:
            last = negotiator.last_accurate(sdp_type)
            if last is None:
                create = self._create_offer if sdp_type is SdpType.OFFER else self._create_answer
                created = create()

                def create_then_set() -> Then[None]:
                    created()
                    new = negotiator.last(sdp_type)
                    assert new is not None
                    return Then(self._set(Side.LOCAL, new.as_type(sdp_type)))

                return create_then_set
        assert last is not None
        # 6. Set the local session description.
        return self._set(Side.LOCAL, last.as_type(sdp_type))()

    def _next_local_type(self) -> SdpType:
        offers = (
            RTCSignalingState.STABLE,
            RTCSignalingState.HAVE_LOCAL_OFFER,
            RTCSignalingState.HAVE_REMOTE_PRANSWER,
        )
        return SdpType.OFFER if self.signalingState in offers else SdpType.ANSWER

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
            given = RTCSessionDescription(_as_mapping(description))
        return self._chain.run("setRemoteDescription", lambda: self._set_remote(given))

    def _set_remote(self, given: RTCSessionDescription) -> Task[None]:
        """The chained steps of setRemoteDescription."""
        setting = self._set(Side.REMOTE, given)
        # 1. An offer that may not be set now rolls ours back first.
        if given.type is RTCSdpType.OFFER and self.signalingState not in (
            RTCSignalingState.STABLE,
            RTCSignalingState.HAVE_REMOTE_OFFER,
        ):
            rolling_back = self._set(Side.LOCAL, jsep.Description.parse(SdpType.ROLLBACK, ""))()

            def roll_back() -> Then[None]:
                rolling_back()
                return Then(setting)

            return roll_back
        # 2. Set the remote session description.
        return setting()

    def _set(self, side: Side, given: Description | RTCSessionDescription) -> Steps[None]:
        """To set a session description (webrtc-pc, section 4.4.1.5)."""

        def steps() -> Task[None]:
            # 2. There is nothing to roll back from.
            if given.type == SdpType.ROLLBACK and self.signalingState in (
                RTCSignalingState.STABLE,
                RTCSignalingState.HAVE_LOCAL_PRANSWER,
                RTCSignalingState.HAVE_REMOTE_PRANSWER,
            ):
                raise InvalidStateError(f"a rollback in signaling state {self.signalingState}")
            return apply

        def apply() -> Then[None] | None:
            # 4.4.3. Start over while a setParameters is not settled.
            if self._chain.is_held:
                return Then(steps)
            # 4.3. and 4.4. Apply the description: all of it, or nothing.
            next_state(self.signalingState, side, SdpType(given.type.value))
            if isinstance(given, RTCSessionDescription):
                description = jsep.Description.parse(given.type.value, given.sdp)
            else:
                description = given
            self._apply(side, description)
            return None

        return steps

    def _apply(self, side: Side, description: Description) -> None:
        """The rest of the task: what has changed, and then what is told of it."""
        connection = self._connection
        self._is_applying = True
        try:
            happened = connection.apply(connection.negotiator.propose(side, description))
        finally:
            self._is_applying = False
        for slots, shown in self._faces.keep(connection.transceivers.all, connection.transports):
            asyncio.get_running_loop().call_soon(self._tell_closed, slots, shown)
        if self.signalingState is RTCSignalingState.STABLE:
            # clear the negotiation-needed flag, and update it
            self._negotiation_needed = False
            self._update_negotiation_needed()
        for each in happened:
            self._tell(each)
            if self._home.is_closed:
                return
        self._update_states()

    def _tell(self, happened: Happened) -> None:
        """Tell the application of one thing that a description led to."""
        match happened:
            case SignalingStateChanged():
                self.dispatchEvent(Event("signalingstatechange"))
            case TrackMuted(receiver):
                receiver.track.set_muted(True)
            case TrackLost(streams, receiver):
                for stream in streams:
                    stream.lose(receiver.track)
            case TrackGained(streams, receiver):
                for stream in streams:
                    stream.receive(receiver.track)
            case TrackAppeared(transceiver, streams):
                face = self._faces.transceiver(transceiver)
                self.dispatchEvent(
                    RTCTrackEvent(
                        "track",
                        receiver=face.receiver,
                        track=face.receiver.track,
                        streams=streams,
                        transceiver=face,
                    )
                )
            case TrackEnded(receiver):
                asyncio.get_running_loop().call_soon(receiver.track.end)

    def _tell_closed(self, slots: TransportSlots, shown: RTCDtlsTransport | None) -> None:
        """A transport that no section uses any more is closed (webrtc-pc, section 4.4.1.5)."""
        slots.close()
        if shown is not None and not self._home.is_closed:
            shown.dispatchEvent(Event("statechange"))
            shown.iceTransport.dispatchEvent(Event("statechange"))

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
            members = _as_mapping(candidate)
            named = members.get("sdpMid") is not None or members.get("sdpMLineIndex") is not None
            # 3. A candidate of no section is refused; the end of candidates of all needs none.
            given = RTCIceCandidate(members) if members.get("candidate") or named else None
        return self._chain.run("addIceCandidate", lambda: self._add_ice_candidate(given))

    def _add_ice_candidate(self, candidate: RTCIceCandidate | None) -> Task[None]:
        """The chained steps of addIceCandidate."""
        negotiator = self._connection.negotiator
        # 1. There must be a remote description.
        if self._connection.negotiation.remote_description is None:
            raise InvalidStateError("addIceCandidate without a remote description")
        if candidate is None:
            return lambda: negotiator.add_candidate(None, None, None, None)
        parsed = parsed_candidate(candidate)
        if candidate.candidate and parsed is None:
            raise OperationError(f"addIceCandidate: cannot read {candidate.candidate[:100]!r}")
        # 2. to 6.
        mid, index, ufrag = candidate.sdpMid, candidate.sdpMLineIndex, candidate.usernameFragment
        return lambda: negotiator.add_candidate(parsed, mid, index, ufrag)

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
            if self._home.is_closed or description is None:
                raise InvalidStateError("gathered: there is no local description, or it is closed")
            if self._ice_gathering_state is RTCIceGatheringState.COMPLETE:
                return description
            if not any(self._connection.transports):
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
        if not self._home.is_closed:
            self._connection.negotiator.restart_ice()
            self._update_negotiation_needed()

    def _offer_to_receive(self, options: Mapping[str, Any]) -> None:
        """The legacy options, as transceivers (webrtc-pc, section 4.4.3.2)."""
        for kind in ("audio", "video"):
            wanted = options.get(f"offerToReceive{kind.capitalize()}")
            if wanted is None:
                continue
            mine = [t for t in self._connection.transceivers.all if t.kind == kind and not t.stopping]
            if wanted and not any(t.direction.recv for t in mine):
                self.addTransceiver(kind, direction="recvonly")
            elif not wanted:
                for transceiver in mine:
                    transceiver.direction = sdp.Direction.of(send=transceiver.direction.send, recv=False)

    # -- negotiation needed -----------------------------------------------------------------------

    def _update_negotiation_needed(self) -> None:
        """Look, soon and once, whether the application must negotiate (webrtc-pc, section 4.7.3)."""
        if self._home.is_closed:
            return
        if not self._chain.is_empty:
            self._update_when_empty = True
        elif not self._check_pending:
            self._check_pending = True
            asyncio.get_running_loop().call_soon(self._check_negotiation_needed)

    def _on_chain_empty(self) -> None:
        if self._update_when_empty:
            self._update_when_empty = False
            self._update_negotiation_needed()

    def _check_negotiation_needed(self) -> None:
        self._check_pending = False
        if self._home.is_closed:
            return
        if not self._chain.is_empty:
            self._update_when_empty = True
            return
        if self.signalingState is not RTCSignalingState.STABLE:
            return
        if not self._connection.negotiator.is_needed:
            self._negotiation_needed = False
        elif not self._negotiation_needed:
            self._negotiation_needed = True
            self.dispatchEvent(Event("negotiationneeded"))

    # -- configuration ----------------------------------------------------------------------------

    def getConfiguration(self) -> RTCConfiguration:
        """A copy of the configuration."""
        return validated(self._configuration)

    @at_home
    def setConfiguration(self, configuration: RTCConfiguration | Mapping[str, Any] | None = None) -> None:
        """Change the configuration: servers and policy count from the next gathering on.

        Raises:
            InvalidStateError: closed.
            InvalidModificationError: what must not change would.
            TypeError, SyntaxError, InvalidAccessError: see `RTCConfiguration`.
        """
        if self._home.is_closed:
            raise InvalidStateError("setConfiguration on a connection that is closed")
        new = validated(configuration)
        described = self._connection.negotiation.local_description is not None
        check_modification(self._configuration, new, described=described)
        new.certificates = self._configuration.certificates
        self._configuration = new
        self._connection.configure(connection_config(new))

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
            return Operation(run(lambda: generate_certificate(keygenAlgorithm), jobs()))
        return promise(lambda: lambda: generate_certificate(keygenAlgorithm))

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
        self._home.check("createDataChannel")
        if self._home.is_closed:
            raise InvalidStateError("createDataChannel on a connection that is closed")
        from rtcstack.api.datachannel import RTCDataChannelInit, open_channel

        init = as_dictionary(RTCDataChannelInit, dataChannelDict, members)
        first = self._connection.channels is None
        channel = open_channel(self._connection.channel_set, self._home, label, init)
        if first:
            self._update_negotiation_needed()
        return channel

    def _opus_parameters(self) -> str | None:
        """What this connection asks of a peer's Opus."""
        receive = self._connection.negotiator.capabilities.of("audio").receive
        return next((codec.parameters for codec in receive if codec.name == "opus"), None)

    # -- media ------------------------------------------------------------------------------------

    def getSenders(self) -> list[RTCRtpSender]:
        """The senders of all transceivers that are not stopped."""
        return [t.sender for t in self._live_transceivers()]

    def getReceivers(self) -> list[RTCRtpReceiver]:
        """The receivers of all transceivers that are not stopped."""
        return [t.receiver for t in self._live_transceivers()]

    def getTransceivers(self) -> list[RTCRtpTransceiver]:
        """All transceivers, in the order in which they were made."""
        return [self._faces.transceiver(t) for t in self._connection.transceivers.all]

    def _live_transceivers(self) -> list[RTCRtpTransceiver]:
        return [self._faces.transceiver(t) for t in self._connection.transceivers.all if not t.stopped]

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
        if self._home.is_closed:
            raise InvalidStateError("addTrack on a connection that is closed")
        from rtcstack.media.track import MediaStreamTrack

        if not isinstance(track, MediaStreamTrack):
            raise TypeError(f"addTrack takes a MediaStreamTrack, not {type(track).__name__}")
        transceivers = self._connection.transceivers
        if transceivers.is_sent(track):
            raise InvalidAccessError(f"{track!r} is being sent already")
        transceiver = transceivers.add_track(track, [stream.id for stream in streams])
        self._update_negotiation_needed()
        return self._faces.transceiver(transceiver).sender

    @at_home
    def removeTrack(self, sender: RTCRtpSender) -> None:
        """Stop sending a track; the transceiver stays.

        Raises:
            InvalidStateError: closed.
            InvalidAccessError: the sender belongs to another connection.
        """
        if self._home.is_closed:
            raise InvalidStateError("removeTrack on a connection that is closed")
        from rtcstack.api.sender import RTCRtpSender, sender_part

        if not isinstance(sender, RTCRtpSender):
            raise TypeError(f"removeTrack takes an RTCRtpSender, not {type(sender).__name__}")
        part, transceivers = sender_part(sender), self._connection.transceivers
        transceiver = next((t for t in transceivers.all if t.sender is part), None)
        if transceiver is None:
            if not part.stopped:
                raise InvalidAccessError("removeTrack with a sender of another connection")
        elif transceivers.remove_track(transceiver):
            self._update_negotiation_needed()

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
        self._home.check("addTransceiver")
        if self._home.is_closed:
            raise InvalidStateError("addTransceiver on a connection that is closed")
        from rtcstack.api.encodings import check_encodings
        from rtcstack.api.parameters import RTCRtpEncodingParameters, RTCRtpTransceiverDirection
        from rtcstack.api.transceiver import RTCRtpTransceiverInit
        from rtcstack.media.track import MediaStreamTrack

        wanted = as_dictionary(RTCRtpTransceiverInit, init, members)
        wanted.direction = enum_member(RTCRtpTransceiverDirection, "direction", wanted.direction)
        if wanted.direction is RTCRtpTransceiverDirection.STOPPED:
            raise TypeError("a transceiver cannot begin as 'stopped'")
        track = trackOrKind if isinstance(trackOrKind, MediaStreamTrack) else None
        kind = track.kind if track is not None else trackOrKind
        if kind not in ("audio", "video"):
            raise TypeError(f"addTransceiver takes a track, 'audio' or 'video', not {kind!r}")
        encodings = check_encodings(kind, wanted.sendEncodings or [RTCRtpEncodingParameters()])
        transceiver = self._connection.transceivers.add(
            kind,
            sdp.Direction(wanted.direction.value),
            track=track,
            streams=[stream.id for stream in wanted.streams],
            encodings=encodings,
        )
        self._update_negotiation_needed()
        return self._faces.transceiver(transceiver)

    # -- statistics -------------------------------------------------------------------------------

    @at_home
    def getStats(
        self, selector: MediaStreamTrack | RTCRtpSender | RTCRtpReceiver | None = None
    ) -> Operation[RTCStatsReport]:
        """Statistics of the whole connection, or of a track, sender or receiver.

        Raises:
            InvalidAccessError: the track is not sent or received here, or more than once.
        """
        connection = self._connection

        def steps() -> Task[RTCStatsReport]:
            from rtcstack.api.stats import choose, collect

            chosen = choose(connection, _selected(selector))
            return lambda: collect(connection, chosen)

        return promise(steps)

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
        may_wait = self._home.check_end("close")
        if self._closing is not None:
            return self._closing
        self._home.is_closed = True
        tasks = self._connection.close(without_loop=not may_wait)
        self._faces.close()
        self._wake_gathering_waiters()
        self._ice_connection_state = RTCIceConnectionState.CLOSED
        self._connection_state = RTCPeerConnectionState.CLOSED
        self._closing = Operation(_all_done(tasks)) if may_wait else settled(None)
        return self._closing

    async def __aenter__(self) -> RTCPeerConnection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- states, told -----------------------------------------------------------------------------

    def _update_states(self, *transport: tuple[EventTarget, Event]) -> None:
        """Sum up the transports' states; fire what changed: of a transport first.

        All state is new when the first of the events is fired.

        Args:
            transport: an event of a transport, and what fires it.
        """
        if self._home.is_closed:
            return
        slots = [self._faces.slots(entry) for entry in self._connection.transports]
        gathering = sum_gathering([each.gathering_state for each in slots])
        ice = sum_ice([each.state for each in slots])
        connection = sum_connection([each.state for each in slots], [each.dtls_state for each in slots])
        events = list(transport)
        if gathering is not self._ice_gathering_state:
            self._ice_gathering_state = gathering
            events.append((self, Event("icegatheringstatechange")))
            self._wake_gathering_waiters()
            if gathering is RTCIceGatheringState.COMPLETE:
                events.append((self, RTCPeerConnectionIceEvent("icecandidate", None)))
        if ice is not self._ice_connection_state:
            self._ice_connection_state = ice
            events.append((self, Event("iceconnectionstatechange")))
        if connection is not self._connection_state:
            self._connection_state = connection
            events.append((self, Event("connectionstatechange")))
        for target, event in events:
            target.dispatchEvent(event)

    def __repr__(self) -> str:
        return f"<RTCPeerConnection {self.signalingState} {self.connectionState}>"


class _Observer:
    """What the connection tells, as the W3C's events.

    Args:
        face: whose events they are.
    """

    def __init__(self, face: RTCPeerConnection) -> None:
        self._face = face

    # ConnectionObserver

    def on_candidate(
        self, entry: TransportEntry, candidate: Candidate | None, ufrag: str, server: IceServer | None
    ) -> None:
        """See `ConnectionObserver`."""
        face = self._face
        section = face._connection.negotiation.session.section(entry.mid)
        relay_protocol = None
        if server is not None and candidate is not None and candidate.type == "relay":
            relay_protocol = "tls" if server.scheme.is_secure else server.transport
        told = RTCIceCandidate(
            "" if candidate is None else f"candidate:{candidate}",
            sdpMid=entry.mid,
            sdpMLineIndex=0 if section is None else section.index,
            usernameFragment=ufrag,
            relayProtocol=relay_protocol,
            url=None if server is None else server.url,
        )
        face.dispatchEvent(RTCPeerConnectionIceEvent("icecandidate", told, told.url))

    def on_gathering(self, entry: TransportEntry) -> None:
        """See `ConnectionObserver`."""
        state = entry.agent.gathering_state

        def task() -> None:
            self._face._faces.slots(entry).gathering_state = state
            self._tell_ice(entry, "gatheringstatechange")

        self._queue(task)

    def on_server_error(self, server: IceServer, local: Address | None, code: int, text: str) -> None:
        """See `ConnectionObserver`."""
        self._face.dispatchEvent(server_error(server.url, local, code, text))

    def on_ice_state(self, entry: TransportEntry) -> None:
        """See `ConnectionObserver`."""
        state = entry.agent.state

        def task() -> None:
            self._face._faces.slots(entry).state = state
            self._tell_ice(entry, "statechange")

        self._queue(task)

    def on_selected_pair(self, entry: TransportEntry) -> None:
        """See `ConnectionObserver`."""
        pair = entry.agent.selected_pair

        def task() -> None:
            self._face._faces.slots(entry).selected_pair = pair
            self._tell_ice(entry, "selectedcandidatepairchange")

        self._queue(task)

    def _queue(self, task: Callable[[], None]) -> None:
        """A pass of a transport is a task of its own; what a description does to it comes in the next."""
        if not self._face._is_applying:
            task()
        else:
            asyncio.get_running_loop().call_soon(self._run, task)

    def _run(self, task: Callable[[], None]) -> None:
        if not self._face._home.is_closed:
            task()

    def _tell_ice(self, entry: TransportEntry, name: str) -> None:
        shown = self._face._faces.shown(entry)
        if shown is None:
            self._face._update_states()
        else:
            self._face._update_states((shown.iceTransport, Event(name)))

    def on_dtls_state(self, entry: TransportEntry, failure: DtlsFailed | None) -> None:
        """See `ConnectionObserver`."""
        state = entry.dtls_state

        def task() -> None:
            self._face._faces.slots(entry).dtls_state = state
            shown = self._face._faces.shown(entry)
            events: list[tuple[EventTarget, Event]] = []
            if shown is not None and failure is not None:
                error = RTCError(
                    failure.detail,
                    failure.reason,
                    receivedAlert=failure.received_alert,
                    sentAlert=failure.sent_alert,
                )
                events.append((shown, RTCErrorEvent("error", error)))
            if shown is not None:
                events.append((shown, Event("statechange")))
            self._face._update_states(*events)

        self._queue(task)

    def on_network_change(self) -> None:
        """See `ConnectionObserver`."""
        self._face.restartIce()

    def on_association(self, entry: TransportEntry) -> None:
        """See `ConnectionObserver`."""
        face = self._face
        if face._sctp is None:
            from rtcstack.api.sctptransport import RTCSctpTransport

            channels = face._connection.channel_set()
            face._sctp = RTCSctpTransport(channels, face._faces.transport(entry))

    def on_peer_left(self) -> None:
        """See `ConnectionObserver`."""
        self._face.dispatchEvent(Event("peerleft"))
        if self._face._configuration.settings.close_when_peer_left:
            self._face.close()

    def on_media_lost(self, reason: str) -> None:
        """See `ConnectionObserver`."""
        self._face.dispatchEvent(RTCErrorEvent("error", OperationError(reason)))

    # ChannelSetObserver

    def on_channel(self, channel: Channel) -> None:
        """See `ChannelSetObserver`."""
        from rtcstack.api.datachannel import announce_channel

        face = self._face
        announce_channel(face._connection.channel_set(), face._home, channel, partial(_tell_channel, face))

    def on_association_state(self) -> None:
        """See `ChannelSetObserver`."""
        if self._face._sctp is not None:
            self._face._sctp.dispatchEvent(Event("statechange"))


def _tell_channel(face: RTCPeerConnection, channel: RTCDataChannel) -> None:
    face.dispatchEvent(RTCDataChannelEvent("datachannel", channel))


def _shown(description: Description | None) -> RTCSessionDescription | None:
    """A description as the application sees it."""
    return None if description is None else _as_session_description(description)


def _as_session_description(description: Description) -> RTCSessionDescription:
    return RTCSessionDescription(RTCSdpType(description.type.value), description.sdp)


def _selected(
    selector: MediaStreamTrack | RTCRtpSender | RTCRtpReceiver | None,
) -> MediaStreamTrack | Sender | Receiver | None:
    """What getStats is to tell of, as the connection knows it.

    Raises:
        TypeError: the selector is something else.
    """
    if selector is None:
        return None
    from rtcstack.api.receiver import RTCRtpReceiver, receiver_part
    from rtcstack.api.sender import RTCRtpSender, sender_part
    from rtcstack.media.track import MediaStreamTrack

    if isinstance(selector, RTCRtpSender):
        return sender_part(selector)
    if isinstance(selector, RTCRtpReceiver):
        return receiver_part(selector)
    if isinstance(selector, MediaStreamTrack):
        return selector
    raise TypeError("getStats takes a track, a sender or a receiver")


def connection_part(connection: RTCPeerConnection) -> Connection:
    """What a connection is, behind its face: for tools, and for tests."""
    return connection._connection


def _as_mapping(value: object) -> Mapping[str, Any]:
    """What stands for a dictionary: a mapping, or an object with toJSON.

    Raises:
        TypeError: neither.
    """
    if isinstance(value, Mapping):
        return value
    to_json = getattr(value, "toJSON", None)
    if callable(to_json):
        return _as_mapping(to_json())
    raise TypeError(f"a mapping was expected, not {type(value).__name__}")


def _all_done(tasks: Sequence[asyncio.Task[None]] | set[asyncio.Task[None]]) -> asyncio.Future[None]:
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
