"""The algorithms of createOffer, createAnswer, setLocalDescription, setRemoteDescription and
addIceCandidate, step by step.

Each gives the steps that the operations chain runs. The numbers are those of the specification.

Spec: webrtc-pc, sections 4.4.1.5, 4.4.2 and 5.1.1.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rtcstack import jsep
from rtcstack.api.connectionevents import RTCTrackEvent
from rtcstack.api.description import RTCIceCandidate, RTCSdpType, RTCSessionDescription, parsed_candidate
from rtcstack.api.descriptionslots import DescriptionSlots, as_session_description
from rtcstack.api.home import Home
from rtcstack.api.negotiationneeded import NegotiationNeeded
from rtcstack.api.states import ConnectionStates
from rtcstack.connection.happened import (
    Happened,
    SignalingStateChanged,
    TrackAppeared,
    TrackEnded,
    TrackGained,
    TrackLost,
    TrackMuted,
)
from rtcstack.errors import InvalidModificationError, InvalidStateError
from rtcstack.events import Event, EventTarget
from rtcstack.jsep.states import SdpType, Side, SignalingState, next_state
from rtcstack.promises import OperationsChain, Steps, Task, Then

if TYPE_CHECKING:
    from rtcstack.api.dtlstransport import RTCDtlsTransport
    from rtcstack.api.faces import Faces
    from rtcstack.api.transportslots import TransportSlots
    from rtcstack.connection.connection import Connection
    from rtcstack.jsep import Description
    from rtcstack.sdp import Candidate

__all__ = ["Signaling"]


class Signaling:
    """Applies descriptions and candidates, and tells of them.

    Args:
        target: the connection, which fires the events.
        home, chain, connection, faces, states, needed: of the connection.

    Attributes:
        is_applying: whether a description is being applied: what that does to transports is told in tasks
            of their own, behind what the description itself is told by.
        local, remote: the descriptions as objects.
    """

    __slots__ = (
        "_chain",
        "_connection",
        "_faces",
        "_home",
        "_needed",
        "_states",
        "_target",
        "is_applying",
        "local",
        "remote",
    )

    def __init__(
        self,
        target: EventTarget,
        home: Home,
        chain: OperationsChain,
        connection: Connection,
        faces: Faces,
        states: ConnectionStates,
        needed: NegotiationNeeded,
    ) -> None:
        self.is_applying = False
        self.local = DescriptionSlots(connection.state, is_local=True)
        self.remote = DescriptionSlots(connection.state, is_local=False)
        self._target = target
        self._home = home
        self._chain = chain
        self._connection = connection
        self._faces = faces
        self._states = states
        self._needed = needed

    @property
    def _state(self) -> SignalingState:
        return self._connection.negotiation.state

    def create_offer(self, *, ice_restart: bool = False) -> Task[RTCSessionDescription]:
        """To create an offer (webrtc-pc, section 4.4.2)."""
        # 1. Only where an offer may follow.
        if self._state not in (SignalingState.STABLE, SignalingState.HAVE_LOCAL_OFFER):
            raise InvalidStateError(f"createOffer in signaling state {self._state}")
        # 2. to 4. In parallel there is nothing to do: the final steps read the state as it is by then.
        return lambda: as_session_description(
            self._connection.negotiator.create_offer(ice_restart=ice_restart)
        )

    def create_answer(self) -> Task[RTCSessionDescription]:
        """To create an answer (webrtc-pc, section 4.4.2); its steps are those of an offer."""
        if self._state not in (
            SignalingState.HAVE_REMOTE_OFFER,
            SignalingState.HAVE_LOCAL_PRANSWER,
        ):
            raise InvalidStateError(f"createAnswer in signaling state {self._state}")
        return lambda: as_session_description(self._connection.negotiator.create_answer())

    def set_local(self, wanted: SdpType | None, text: str, *, may_be_altered: bool = False) -> Task[None]:
        """The chained steps of setLocalDescription.

        Args:
            wanted: what the description is; None for what comes next.
            text: its text; "" for the one that was last created, or a new one.
            may_be_altered: whether the text may have been changed since it was created: what it says of
                codecs, mids and directions counts then. Not the W3C's way.
        """
        negotiator = self._connection.negotiator
        # 1. Let type be the description's, or what comes next.
        sdp_type = wanted or self._next_local_type()
        if sdp_type is SdpType.ROLLBACK:
            return self._set(Side.LOCAL, jsep.Description.parse(sdp_type, ""))()
        # 2. and 3. A text that was not the last created is refused.
        last = negotiator.last(sdp_type)
        if text and last is not None and text != last.sdp and may_be_altered:
            last = jsep.take_altered(last, text)
        elif text and (last is None or text != last.sdp):
            made_by = "createOffer" if sdp_type is SdpType.OFFER else "createAnswer"
            raise InvalidModificationError(
                f"setLocalDescription: the {sdp_type} is not the one that {made_by} last gave"
            )
        # 4. and 5. Without a text, it is the last created, or a new one if that has gone out of date.
        if not text:
            last = negotiator.last_accurate(sdp_type)
            if last is None:
                create = self.create_offer if sdp_type is SdpType.OFFER else self.create_answer
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
            SignalingState.STABLE,
            SignalingState.HAVE_LOCAL_OFFER,
            SignalingState.HAVE_REMOTE_PRANSWER,
        )
        return SdpType.OFFER if self._state in offers else SdpType.ANSWER

    def set_remote(self, given: RTCSessionDescription) -> Task[None]:
        """The chained steps of setRemoteDescription."""
        setting = self._set(Side.REMOTE, given)
        # 1. An offer that may not be set now rolls ours back first.
        if given.type is RTCSdpType.OFFER and self._state not in (
            SignalingState.STABLE,
            SignalingState.HAVE_REMOTE_OFFER,
        ):
            return self._set(Side.LOCAL, jsep.Description.parse(SdpType.ROLLBACK, ""), setting)()
        # 2. Set the remote session description.
        return setting()

    def _set(
        self, side: Side, given: Description | RTCSessionDescription, then: Steps[None] | None = None
    ) -> Steps[None]:
        """To set a session description (webrtc-pc, section 4.4.1.5), and what follows when it is set."""

        def steps() -> Task[None]:
            # 2. There is nothing to roll back from.
            if given.type == SdpType.ROLLBACK and self._state in (
                SignalingState.STABLE,
                SignalingState.HAVE_LOCAL_PRANSWER,
                SignalingState.HAVE_REMOTE_PRANSWER,
            ):
                raise InvalidStateError(f"a rollback in signaling state {self._state}")
            return apply

        def apply() -> Then[None] | None:
            # 4.4.3. Start over while a setParameters is not settled.
            if self._chain.is_held:
                return Then(steps)
            # 4.3. and 4.4. Apply the description: all of it, or nothing.
            next_state(self._state, side, SdpType(given.type.value))
            if isinstance(given, RTCSessionDescription):
                description = jsep.Description.parse(given.type.value, given.sdp)
            else:
                description = given
            self._apply(side, description)
            return None if then is None else Then(then)

        return steps

    def _apply(self, side: Side, description: Description) -> None:
        """The rest of the task: what has changed, and then what is told of it."""
        connection = self._connection
        self.is_applying = True
        try:
            happened = connection.apply(connection.negotiator.propose(side, description))
        finally:
            self.is_applying = False
        is_answer = description.type is SdpType.ANSWER
        for each_side, slots_of in ((Side.LOCAL, self.local), (Side.REMOTE, self.remote)):
            slots_of.advance(was_set=side is each_side, is_answer=is_answer)
        for slots, shown in self._faces.keep(connection.transceivers.all, connection.transports):
            asyncio.get_running_loop().call_soon(self._tell_closed, slots, shown)
        if description.type in (SdpType.ANSWER, SdpType.PRANSWER):
            self._faces.forget_parameters()
        if self._state is SignalingState.STABLE:
            # clear the negotiation-needed flag, and update it
            self._needed.clear()
            self._needed.update()
        for each in happened:
            self._tell(each)
            if self._home.is_closed:
                return
        self._states.update()

    def _tell(self, happened: Happened) -> None:
        """Tell the application of one thing that a description led to."""
        match happened:
            case SignalingStateChanged():
                self._target.dispatchEvent(Event("signalingstatechange"))
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
                self._target.dispatchEvent(
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

    def add_ice_candidate(self, candidate: RTCIceCandidate | None, ufrag: str | None) -> Task[None]:
        """The chained steps of addIceCandidate.

        Args:
            candidate: None for the end of candidates of all sections.
            ufrag: of its generation; None for the latest.
        """
        # 1. There must be a remote description.
        if self._connection.negotiation.remote_description is None:
            raise InvalidStateError("addIceCandidate without a remote description")
        if candidate is None:
            return lambda: self._take(None, None, None, ufrag)
        # 2. to 6.
        parsed = parsed_candidate(candidate)
        mid, index = candidate.sdpMid, candidate.sdpMLineIndex
        unreadable = candidate.candidate if parsed is None else ""
        return lambda: self._take(parsed, mid, index, ufrag, unreadable)

    def _take(
        self,
        parsed: Candidate | None,
        mid: str | None,
        index: int | None,
        ufrag: str | None,
        unreadable: str = "",
    ) -> None:
        self._connection.negotiator.add_candidate(parsed, mid, index, ufrag, unreadable)
        self.remote.refresh()
