"""What a connection tells, as the W3C's events.

Spec: webrtc-pc, sections 4.4.1.3, 4.8, 5.5 and 5.6: the tasks that agents and transports queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from rtcstack.api.connectionevents import RTCDataChannelEvent
from rtcstack.api.description import RTCIceCandidate
from rtcstack.api.errorevent import RTCErrorEvent
from rtcstack.api.home import Home
from rtcstack.api.iceevents import RTCPeerConnectionIceEvent, server_error
from rtcstack.api.signaling import Signaling
from rtcstack.api.states import ConnectionStates
from rtcstack.errors import OperationError, RTCError
from rtcstack.events import Event, EventTarget

if TYPE_CHECKING:
    from rtcstack.api.datachannel import RTCDataChannel
    from rtcstack.api.faces import Faces
    from rtcstack.api.sctptransport import RTCSctpTransport
    from rtcstack.connection.connection import Connection
    from rtcstack.connection.transportentry import TransportEntry
    from rtcstack.dtls.events import DtlsFailed
    from rtcstack.ice import Address, IceServer, IceState, PairNews, PairView
    from rtcstack.sctp.channel import Channel
    from rtcstack.sdp import Candidate

__all__ = ["ConnectionEvents"]


class ConnectionEvents:
    """A `ConnectionObserver`.

    A pass of a transport is a task of its own: what it tells is told at once. While a description is
    applied, what that does to transports is told in a task behind it.

    Args:
        target: the connection, which fires the events.
        home: whether it is closed.
        on_network_change: ICE is to be restarted.
        on_peer_left: the peer has hung up, and the application has been told.

    Attributes:
        sctp: the association's object, once data channels were agreed on.
    """

    __slots__ = (
        "_connection",
        "_faces",
        "_home",
        "_on_peer_left",
        "_signaling",
        "_states",
        "_target",
        "on_network_change",
        "sctp",
    )

    def __init__(
        self,
        target: EventTarget,
        home: Home,
        on_network_change: Callable[[], None],
        on_peer_left: Callable[[], None],
    ) -> None:
        self.sctp: RTCSctpTransport | None = None
        self.on_network_change = on_network_change
        self._target = target
        self._home = home
        self._on_peer_left = on_peer_left

    def watch(
        self, connection: Connection, faces: Faces, states: ConnectionStates, signaling: Signaling
    ) -> None:
        """Say whose events they are: nothing is told before."""
        self._connection = connection
        self._faces = faces
        self._states = states
        self._signaling = signaling

    def _queue(self, task: Callable[[], None]) -> None:
        if not self._signaling.is_applying:
            task()
        else:
            asyncio.get_running_loop().call_soon(self._run, task)

    def _run(self, task: Callable[[], None]) -> None:
        if not self._home.is_closed:
            task()

    # ConnectionObserver

    def on_candidate(
        self, entry: TransportEntry, candidate: Candidate | None, ufrag: str, server: IceServer | None
    ) -> None:
        """See `ConnectionObserver`."""
        self._signaling.local.refresh()
        section = self._connection.negotiation.session.section(entry.mid)
        is_relayed = server is not None and candidate is not None and candidate.type == "relay"
        told = RTCIceCandidate(
            "" if candidate is None else f"candidate:{candidate}",
            sdpMid=entry.mid,
            sdpMLineIndex=0 if section is None else section.index,
            usernameFragment=ufrag,
            relayProtocol=server.relay_protocol if is_relayed and server is not None else None,
            url=None if server is None else server.url,
        )
        if candidate is not None:
            self._faces.slots(entry).add_local(told)
        self._target.dispatchEvent(RTCPeerConnectionIceEvent("icecandidate", told, told.url))

    def on_gathering(self, entry: TransportEntry) -> None:
        """See `ConnectionObserver`."""
        state = entry.agent.gathering_state

        def task() -> None:
            self._faces.slots(entry).gathering_state = state
            self._tell_ice(entry, "gatheringstatechange")

        self._queue(task)

    def on_server_error(self, server: IceServer, local: Address | None, code: int, text: str) -> None:
        """See `ConnectionObserver`."""
        self._target.dispatchEvent(server_error(server.url, local, code, text))

    def on_path(
        self,
        entry: TransportEntry,
        state: IceState | None,
        pair: PairView | None,
        *,
        is_unselected: bool = False,
    ) -> None:
        """See `ConnectionObserver`; to change the selected candidate pair and state (webrtc-pc, 5.6)."""

        def task() -> None:
            slots, names = self._faces.slots(entry), []
            if pair is not None or is_unselected:
                slots.select(pair)
                names.append("selectedcandidatepairchange")
            if state is not None:
                slots.state = state
                names.append("statechange")
            self._tell_ice(entry, *names)
            if state == "failed":
                slots.pairs.fail()

        self._queue(task)

    def on_pair(self, entry: TransportEntry, news: PairNews, pair: PairView) -> None:
        """See `ConnectionObserver`."""

        def task() -> None:
            shown = self._faces.shown(entry)
            target = None if shown is None else shown.iceTransport
            self._faces.slots(entry).pairs.on_news(news, pair, target)

        self._queue(task)

    def _tell_ice(self, entry: TransportEntry, *names: str) -> None:
        shown = self._faces.shown(entry)
        if shown is None:
            self._states.update()
        else:
            self._states.update(*((shown.iceTransport, Event(name)) for name in names))

    def on_dtls_state(self, entry: TransportEntry, failure: DtlsFailed | None) -> None:
        """See `ConnectionObserver`."""
        state = entry.dtls_state

        def task() -> None:
            self._faces.slots(entry).dtls_state = state
            shown = self._faces.shown(entry)
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
            self._states.update(*events)

        self._queue(task)

    def on_association(self, entry: TransportEntry) -> None:
        """See `ConnectionObserver`."""
        from rtcstack.api.sctptransport import RTCSctpTransport, move_association

        transport = self._faces.transport(entry)
        if self.sctp is None:
            self.sctp = RTCSctpTransport(self._connection.channel_set(), transport)
        else:
            move_association(self.sctp, transport)

    def on_no_association(self) -> None:
        """See `ConnectionObserver`."""
        channels = self._connection.channels
        if channels is None or channels.transport is None:
            self.sctp = None

    def on_peer_left(self) -> None:
        """See `ConnectionObserver`."""
        self._target.dispatchEvent(Event("peerleft"))
        self._on_peer_left()

    def on_media_lost(self, reason: str) -> None:
        """See `ConnectionObserver`."""
        self._target.dispatchEvent(RTCErrorEvent("error", OperationError(reason)))

    # ChannelSetObserver

    def on_channel(self, channel: Channel) -> None:
        """See `ChannelSetObserver`."""
        from rtcstack.api.datachannel import announce_channel

        announce_channel(
            self._connection.channel_set(), self._home, channel, partial(_tell_channel, self._target)
        )

    def on_association_state(self) -> None:
        """See `ChannelSetObserver`."""
        if self.sctp is not None:
            self.sctp.dispatchEvent(Event("statechange"))


def _tell_channel(target: EventTarget, channel: RTCDataChannel) -> None:
    target.dispatchEvent(RTCDataChannelEvent("datachannel", channel))
