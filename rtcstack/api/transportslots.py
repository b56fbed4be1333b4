"""What the W3C's objects show of a transport: as it was told last, not as it is by now.

Spec: webrtc-pc, sections 5.5 and 5.6: the slots that queued tasks set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtcstack.api.candidatepair import remote_candidate
from rtcstack.api.candidatepairs import CandidatePairs
from rtcstack.api.iceparameters import RTCIceParameters
from rtcstack.dtls.events import DtlsState
from rtcstack.ice import GatheringState, IceState

if TYPE_CHECKING:
    from rtcstack.api.candidatepair import RTCIceCandidatePair
    from rtcstack.api.description import RTCIceCandidate
    from rtcstack.api.home import Home
    from rtcstack.connection.transportentry import TransportEntry
    from rtcstack.ice import PairView

__all__ = ["TransportSlots"]


class TransportSlots:
    """The slots of one transport; a `PathSource`.

    Args:
        entry: the transport.
        home: of the connection.

    Attributes:
        state: [[IceTransportState]].
        gathering_state: [[IceGathererState]].
        selected_pair: [[SelectedCandidatePair]], or None.
        pairs: [[CandidatePairs]].
        dtls_state: [[DtlsTransportState]].
    """

    __slots__ = (
        *("_local", "_ufrag"),
        *("dtls_state", "entry", "gathering_state", "home", "pairs", "selected_pair", "state"),
    )

    def __init__(self, entry: TransportEntry, home: Home) -> None:
        self.home = home
        self.entry = entry
        self.state = IceState.NEW
        self.gathering_state = GatheringState.NEW
        self.selected_pair: RTCIceCandidatePair | None = None
        self.dtls_state = DtlsState.NEW
        self._local: list[RTCIceCandidate] = []
        self._ufrag: str | None = None
        self.pairs = CandidatePairs(
            entry.agent, lambda: self._local, lambda: (entry.mid, entry.remote_parameters)
        )

    @property
    def is_controlling(self) -> bool | None:
        """[[IceRole]]: whether this end nominates; None before the first description."""
        return self.entry.is_controlling

    @property
    def local_candidates(self) -> list[RTCIceCandidate]:
        """The transport's set of local candidates, of the newest generation: as they were told."""
        return self._local if self._ufrag == self.entry.agent.ufrag else []

    @property
    def remote_candidates(self) -> list[RTCIceCandidate]:
        """What the peer has signalled for this generation."""
        return [
            remote_candidate(each, self.entry.mid, self.entry.remote_parameters)
            for each in self.entry.remote_candidates
        ]

    @property
    def local_parameters(self) -> RTCIceParameters | None:
        """Of the newest local description."""
        own = self.entry.local_parameters
        return None if own is None else RTCIceParameters(*own)

    @property
    def remote_parameters(self) -> RTCIceParameters | None:
        """Of the newest remote description."""
        theirs = self.entry.remote_parameters
        return None if theirs is None else RTCIceParameters(*theirs)

    def add_local(self, candidate: RTCIceCandidate) -> None:
        """A candidate is surfaced (webrtc-pc, section 5.6)."""
        if candidate.usernameFragment != self._ufrag:
            self._local, self._ufrag = [], candidate.usernameFragment
        self._local.append(candidate)

    def select(self, pair: PairView | None) -> None:
        """Packets take this pair, or none any more."""
        self.selected_pair = None if pair is None else self.pairs.shown(pair)

    def close(self) -> None:
        """Both are closed, and nobody is told."""
        self.state = IceState.CLOSED
        self.selected_pair = None
        self.dtls_state = DtlsState.CLOSED
        self.pairs.close()
