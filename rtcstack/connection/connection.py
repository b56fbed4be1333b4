"""A connection: its parts, and who of them is told what.

Spec: webrtc-pc, section 4.4, without what its methods promise to whom: that is the face's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from rtcstack.connection.channels import ChannelSet, ChannelSetObserver
from rtcstack.connection.config import ConnectionConfig
from rtcstack.connection.happened import Happened
from rtcstack.connection.monitored import Monitored
from rtcstack.connection.negotiator import Negotiator, Plan
from rtcstack.connection.remotetracks import RemoteTracks
from rtcstack.connection.state import NegotiationState
from rtcstack.connection.transceivers import TransceiverSet
from rtcstack.connection.transportentry import PathObserver, TransportEntry
from rtcstack.connection.transports import TransportSet
from rtcstack.dtls.events import DtlsRole, DtlsState
from rtcstack.ice import GatheringState, IceServer
from rtcstack.jsep import Negotiation
from rtcstack.sctp.events import ChannelEvent
from rtcstack.sdp import Candidate

__all__ = ["Connection", "ConnectionObserver"]


class ConnectionObserver(PathObserver, ChannelSetObserver, Protocol):
    """Who is told of a connection. All of its state is new already, whatever is told."""

    def on_candidate(
        self, entry: TransportEntry, candidate: Candidate | None, ufrag: str, server: IceServer | None
    ) -> None:
        """A description has got a local candidate, or (None) the end of a generation's."""

    def on_gathering(self, entry: TransportEntry) -> None:
        """A transport's gathering state changed."""

    def on_association(self, entry: TransportEntry) -> None:
        """Data channels are described, over this transport."""

    def on_no_association(self) -> None:
        """Data channels are not described, or not any more."""

    def on_peer_left(self) -> None:
        """The peer has closed DTLS on every transport: it has hung up."""


class Connection:
    """One connection to a peer.

    Args:
        config: see `ConnectionConfig`.
        observer: who is told of it.
        defer: runs a function after the operation in progress has been answered.

    Attributes:
        state: where the negotiation stands.
        transports, transceivers, negotiator: its parts.
        channels: the data channels, once there was one.
        wants_channels: whether they are to be negotiated.
        is_closed: whether it is closed.
        monitored: what its statistics remember.
    """

    __slots__ = (
        "_observer",
        "_peer_left",
        "channels",
        "config",
        "is_closed",
        "monitored",
        "negotiator",
        "state",
        "transceivers",
        "transports",
        "wants_channels",
    )

    def __init__(
        self,
        config: ConnectionConfig,
        observer: ConnectionObserver,
        defer: Callable[[Callable[[], None]], None],
    ) -> None:
        self.config = config
        self.is_closed = False
        self.monitored = Monitored()
        self.state = NegotiationState()
        self.channels: ChannelSet | None = None
        self.wants_channels = False
        self._observer = observer
        self._peer_left = False
        self.transports = TransportSet(config, self, observer, defer)
        self.transceivers = TransceiverSet(self.state, config.settings.media)
        self.negotiator = Negotiator(
            self.state,
            self.transports,
            self.transceivers,
            RemoteTracks(self.transceivers),
            config,
            lambda: self.wants_channels,
        )

    @property
    def negotiation(self) -> Negotiation:
        """Where the negotiation stands, as one frozen value."""
        return self.state.negotiation

    def configure(self, config: ConnectionConfig) -> None:
        """Take another configuration: it counts from the next gathering on."""
        self.config = self.transports.config = self.negotiator.config = config
        if self.negotiation.local_description is None:
            self.transports.fill_pool()

    def apply(self, plan: Plan) -> list[Happened]:
        """Apply a description as `Negotiator.propose` found it out.

        Returns:
            What is to be told, in this order.
        """
        happened = self.negotiator.commit(plan)
        self._update_association()
        return happened

    # -- data channels ----------------------------------------------------------------------------

    def channel_set(self) -> ChannelSet:
        """The data channels; made when they are needed."""
        if self.channels is None:
            self.channels = ChannelSet(self.config.settings, self._observer)
        return self.channels

    def _update_association(self) -> None:
        """Bring the association up to what has been agreed."""
        negotiation = self.negotiation
        section = negotiation.session.data_section
        if section is None:
            self._observer.on_no_association()
            if (
                self.channels is not None
                and self.channels.transport is None
                and negotiation.stable is not None
            ):
                rejected = any(s.kind == "application" and s.rejected for s in negotiation.session.sections)
                if rejected and negotiation.working is None:
                    self.channels.fail("the peer rejected data channels")
            return
        entry = self.transports.get(section.expected_transport)
        if entry is None:
            return
        self._observer.on_association(entry)
        agreement = negotiation.session.transport(section.transport)
        if section.sctp is None or agreement is None or agreement.dtls_role is None:
            return
        self.wants_channels = True
        self.channel_set().attach(
            entry.transport,
            is_dtls_client=agreement.dtls_role == DtlsRole.CLIENT,
            remote_max_message_size=section.sctp.max_message_size,
        )

    # -- the end ----------------------------------------------------------------------------------

    def close(self, *, without_loop: bool) -> set[asyncio.Task[None]]:
        """End everything, telling nobody.

        Args:
            without_loop: everything is to be released before this returns.

        Returns:
            The tasks that end when every socket is released.
        """
        self.is_closed = True
        self.negotiator.close()
        if without_loop:
            self.transports.close()  # first, so that nothing below asks for a turn of the loop
        for transceiver in self.transceivers.all:
            transceiver.finish()
            track = transceiver.receiver.track
            if without_loop:
                track.stop()
            else:
                asyncio.get_running_loop().call_soon(track.end)  # which tells, in a task of its own
        if self.channels is not None:
            self.channels.shut()
        return self.transports.close()

    # -- TransportSetObserver ---------------------------------------------------------------------

    def on_candidate(
        self, entry: TransportEntry, candidate: Candidate, ufrag: str, server: IceServer | None
    ) -> None:
        """Written into the descriptions, then told."""
        if not self.is_closed and self.negotiator.on_local_candidate(entry, candidate, ufrag):
            self._observer.on_candidate(entry, candidate, ufrag, server)

    def on_gathering(self, entry: TransportEntry) -> None:
        """The end of a generation is written into the descriptions; then told."""
        if self.is_closed:
            return
        ice = entry.transport.ice
        if ice.gathering_state is GatheringState.COMPLETE and entry.ended_ufrag != ice.ufrag:
            entry.ended_ufrag = ice.ufrag
            if self.negotiator.on_local_candidate(entry, None, ice.ufrag):
                self._observer.on_candidate(entry, None, ice.ufrag, None)
        self._observer.on_gathering(entry)

    def on_channel_events(self, events: list[ChannelEvent]) -> None:
        """To the channels."""
        if self.channels is not None:
            self.channels.on_events(events)

    def on_peer_left(self) -> None:
        """Told when no transport is left, once."""
        if self._peer_left or any(e.dtls_state is not DtlsState.CLOSED for e in self.transports):
            return
        self._peer_left = True
        self._observer.on_peer_left()
