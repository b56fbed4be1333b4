"""RTCPeerConnection: the facade. One question: what are the steps of each of the interface's methods?

What it knows, other objects hold; here is who asks whom.

Spec: webrtc-pc, section 4.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rtcstack import sdp
from rtcstack.api.certificate import generate_certificate
from rtcstack.api.configuration import RTCConfiguration, check_modification, connection_config, validated
from rtcstack.api.connectionobserver import ConnectionEvents
from rtcstack.api.description import RTCIceCandidate, RTCSessionDescription
from rtcstack.api.dictionaries import as_dictionary, enum_member
from rtcstack.api.faces import Faces
from rtcstack.api.home import Home, Resident, at_home
from rtcstack.api.legacy import callbacks_allowed, offer_to_receive
from rtcstack.api.negotiationneeded import NegotiationNeeded
from rtcstack.api.signaling import Signaling
from rtcstack.api.states import (
    ConnectionStates,
    RTCIceConnectionState,
    RTCIceGatheringState,
    RTCPeerConnectionState,
)
from rtcstack.errors import InvalidAccessError, InvalidStateError
from rtcstack.events import EventTarget, HandlerAttribute
from rtcstack.jsep.states import SdpType
from rtcstack.jsep.states import SignalingState as RTCSignalingState
from rtcstack.promises import Operation, OperationsChain, Task, promise, settled
from rtcstack.workers import jobs, run

if TYPE_CHECKING:
    from rtcstack.api.certificate import RTCCertificate
    from rtcstack.api.datachannel import RTCDataChannel, RTCDataChannelInit
    from rtcstack.api.receiver import RTCRtpReceiver
    from rtcstack.api.sctptransport import RTCSctpTransport
    from rtcstack.api.sender import RTCRtpSender
    from rtcstack.api.stats import RTCStatsReport
    from rtcstack.api.transceiver import RTCRtpTransceiver, RTCRtpTransceiverInit
    from rtcstack.connection.connection import Connection
    from rtcstack.connection.receiving import Receiver
    from rtcstack.connection.sending import Sender
    from rtcstack.connection.stats import Chosen
    from rtcstack.media.stream import MediaStream
    from rtcstack.media.track import MediaStreamTrack

__all__ = ["RTCPeerConnection", "RTCSignalingState", "connection_part", "set_altered_description"]


class RTCPeerConnection(Resident, EventTarget):
    """A connection to one peer.

    Methods that the W3C gives a promise begin at once and return an `Operation`, to be awaited. An
    argument of a wrong type raises within the call. Those of the negotiation also have their legacy form,
    with a callback for success and one for failure (section 4.4.3).
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
        self._needed = NegotiationNeeded(self, self._home)
        self._chain = OperationsChain(lambda: self._home.is_closed, self._needed.on_empty_chain)
        self._observer = ConnectionEvents(self, self._home, self.restartIce, self._on_peer_left)
        self._connection = Connection(
            connection_config(self._configuration), self._observer, self._chain.after
        )
        self._faces = Faces(
            self._home,
            self._chain,
            self._collect,
            self._needed.update,
            self._opus_parameters,
            lambda: self._states.connection is RTCPeerConnectionState.CONNECTED,
        )
        self._states = ConnectionStates(self, self._home, self._faces, self._connection.transports)
        self._signaling = Signaling(
            self, self._home, self._chain, self._connection, self._faces, self._states, self._needed
        )
        self._needed.watch(self._chain, self._connection)
        self._observer.watch(self._connection, self._faces, self._states, self._signaling)
        self._closing: Operation[None] | None = None
        if self._configuration.settings.trace is not None:
            self._configuration.settings.trace.watch(self)

    # -- descriptions -----------------------------------------------------------------------------

    @property
    def localDescription(self) -> RTCSessionDescription | None:
        """The pending local description, else the current one, with the candidates gathered so far."""
        return self._signaling.local.either

    @property
    def currentLocalDescription(self) -> RTCSessionDescription | None:
        """The local description of the last exchange that was completed."""
        return self._signaling.local.current

    @property
    def pendingLocalDescription(self) -> RTCSessionDescription | None:
        """The local description of the exchange under way."""
        return self._signaling.local.pending

    @property
    def remoteDescription(self) -> RTCSessionDescription | None:
        """The pending remote description, else the current one, with the candidates added so far."""
        return self._signaling.remote.either

    @property
    def currentRemoteDescription(self) -> RTCSessionDescription | None:
        """The remote description of the last exchange that was completed."""
        return self._signaling.remote.current

    @property
    def pendingRemoteDescription(self) -> RTCSessionDescription | None:
        """The remote description of the exchange under way."""
        return self._signaling.remote.pending

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
        return self._states.gathering

    @property
    def iceConnectionState(self) -> RTCIceConnectionState:
        """How ICE is."""
        return self._states.ice

    @property
    def connectionState(self) -> RTCPeerConnectionState:
        """How the connection is."""
        return self._states.connection

    @property
    def sctp(self) -> RTCSctpTransport | None:
        """The association for data channels; None before it was negotiated."""
        return self._observer.sctp

    # -- offer and answer -------------------------------------------------------------------------

    @callbacks_allowed(0)
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
            offer_to_receive(wanted, self._connection.transceivers)
        return self._chain.run("createOffer", lambda: self._signaling.create_offer(ice_restart=restart))

    @callbacks_allowed(0)
    @at_home
    def createAnswer(self, options: Mapping[str, Any] | None = None) -> Operation[RTCSessionDescription]:
        """Make an answer to the pending remote offer. It changes nothing until it is set.

        Raises:
            InvalidStateError: closed, or there is no remote offer.
        """
        return self._chain.run("createAnswer", self._signaling.create_answer)

    @callbacks_allowed(1)
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
        return self._chain.run("setLocalDescription", lambda: self._signaling.set_local(sdp_type, text))

    @callbacks_allowed(1)
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
        return self._chain.run("setRemoteDescription", lambda: self._signaling.set_remote(given))

    @callbacks_allowed(1)
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
        given: RTCIceCandidate | None = None
        ufrag: str | None = None
        if isinstance(candidate, RTCIceCandidate):
            given, ufrag = candidate, candidate.usernameFragment
        elif candidate is not None:
            members = _as_mapping(candidate)
            named = members.get("sdpMid") is not None or members.get("sdpMLineIndex") is not None
            ufrag = members.get("usernameFragment")
            # 3. A candidate of no section is refused; the end of candidates of all needs none.
            given = RTCIceCandidate(members) if members.get("candidate") or named else None
        return self._chain.run("addIceCandidate", lambda: self._signaling.add_ice_candidate(given, ufrag))

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
            if self._states.gathering is RTCIceGatheringState.COMPLETE:
                return description
            if not any(self._connection.transports):
                return description  # without any section in use, there is nothing to gather
            await self._states.gathering_changes()

    @at_home
    def restartIce(self) -> None:
        """Let the next offer restart ICE; "negotiationneeded" is fired."""
        if not self._home.is_closed:
            self._connection.negotiator.restart_ice()
            self._needed.update()

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
        closed = InvalidStateError("setConfiguration on a connection that is closed")
        try:
            new = validated(configuration)
        except TypeError:
            raise  # what is no RTCConfiguration is none in any state (Web IDL)
        except Exception:  # the caller's: where nothing can be set, that is what it is told
            if self._home.is_closed:
                raise closed from None
            raise
        if self._home.is_closed:
            raise closed
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

    @at_home
    def createDataChannel(
        self,
        /,
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
        if self._home.is_closed:
            raise InvalidStateError("createDataChannel on a connection that is closed")
        from rtcstack.api.datachannel import RTCDataChannelInit, open_channel

        init = as_dictionary(RTCDataChannelInit, dataChannelDict, members)
        connection = self._connection
        channel = open_channel(connection.channel_set, self._home, label, init)
        if not connection.wants_channels:
            connection.wants_channels = True
            self._needed.update()
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
        self._needed.update()
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
            self._needed.update()

    @at_home
    def addTransceiver(
        self,
        /,
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
        if self._home.is_closed:
            raise InvalidStateError("addTransceiver on a connection that is closed")
        from rtcstack.api.encodings import new_encodings
        from rtcstack.api.parameters import RTCRtpTransceiverDirection
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
        encodings = new_encodings(kind, wanted.sendEncodings)
        transceiver = self._connection.transceivers.add(
            kind,
            sdp.Direction(wanted.direction.value),
            track=track,
            streams=[stream.id for stream in wanted.streams],
            encodings=encodings,
        )
        self._needed.update()
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

        def steps() -> Task[RTCStatsReport]:
            from rtcstack.api.stats import choose

            chosen = choose(self._connection, _selected(selector))
            return lambda: self._collect(chosen)

        return promise(steps)

    def _collect(self, chosen: Chosen | None) -> RTCStatsReport:
        from rtcstack.api.stats import collect

        return collect(self._connection, chosen)

    # -- the end ----------------------------------------------------------------------------------

    def close(self) -> Operation[None]:
        """Close the connection: at once, and without events but those of the receivers' tracks, which end.

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
        if self._home.tracer is not None:
            self._home.tracer.call(self, "close", (), {}, lambda: None)
        tasks = self._connection.close(without_loop=not may_wait)
        self._faces.close()
        self._states.close()
        self._closing = Operation(_all_done(tasks)) if may_wait else settled(None)
        return self._closing

    def _on_peer_left(self) -> None:
        if self._configuration.settings.close_when_peer_left:
            self.close()

    async def __aenter__(self) -> RTCPeerConnection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<RTCPeerConnection {self.signalingState} {self.connectionState}>"


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


def set_altered_description(
    connection: RTCPeerConnection, description: RTCSessionDescription
) -> Operation[None]:
    """setLocalDescription with a text that was changed since it was created, which the W3C forbids.

    What it says of codecs, mids and directions counts; the transports must be described as they were.

    Raises:
        InvalidModificationError: none was created, or a transport is described otherwise.
    """
    sdp_type, text = SdpType(description.type.value), description.sdp
    return connection._chain.run(
        "setLocalDescription",
        lambda: connection._signaling.set_local(sdp_type, text, may_be_altered=True),
    )


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
