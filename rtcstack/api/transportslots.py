"""What the W3C's objects show of a transport: as it was told last, not as it is by now.

Spec: webrtc-pc, sections 5.5 and 5.6: the slots that queued tasks set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtcstack.dtls.events import DtlsState
from rtcstack.ice import GatheringState, IceState

if TYPE_CHECKING:
    from rtcstack.connection.transports import TransportEntry
    from rtcstack.ice import AnyIceAgent, PairView
    from rtcstack.sdp.candidate import Candidate

__all__ = ["TransportSlots"]


class TransportSlots:
    """The slots of one transport.

    Args:
        entry: the transport.

    Attributes:
        state: [[IceTransportState]].
        gathering_state: [[IceGathererState]].
        selected_pair: [[SelectedCandidatePair]], or None.
        dtls_state: [[DtlsTransportState]].
    """

    __slots__ = ("dtls_state", "entry", "gathering_state", "selected_pair", "state")

    def __init__(self, entry: TransportEntry) -> None:
        self.entry = entry
        self.state = IceState.NEW
        self.gathering_state = GatheringState.NEW
        self.selected_pair: PairView | None = None
        self.dtls_state = DtlsState.NEW

    @property
    def agent(self) -> AnyIceAgent:
        """The ICE agent."""
        return self.entry.agent

    @property
    def is_controlling(self) -> bool | None:
        """[[IceRole]]: whether this end nominates; None before the first description."""
        agent = self.entry.agent
        return agent.controlling if agent.state is not IceState.NEW else self.entry.is_controlling

    @property
    def mid(self) -> str:
        """What candidates are signalled with."""
        return self.entry.mid

    @property
    def remote_candidates(self) -> list[Candidate]:
        """What the peer has signalled for this generation."""
        return self.entry.remote_candidates

    def close(self) -> None:
        """Both are closed, and nobody is told."""
        self.state = IceState.CLOSED
        self.dtls_state = DtlsState.CLOSED
