"""What a transport tells the layer above."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rtcstack.dtls.events import DtlsEvent, DtlsState
from rtcstack.ice import Address, GatheringState, IceServer, IceState, PairNews, PairView
from rtcstack.sctp.events import ChannelEvent
from rtcstack.sdp.candidate import Candidate

if TYPE_CHECKING:
    from rtcstack.rtp.events import RtpEvent

__all__ = ["TransportObserver"]


class TransportObserver(Protocol):
    """What a transport tells its owner; always from the loop, on consistent state."""

    def on_ice_candidate(self, candidate: Candidate, ufrag: str, server: IceServer | None) -> None:
        """See `rtcstack.ice.IceObserver`."""

    def on_ice_gathering(self, state: GatheringState) -> None:
        """See `rtcstack.ice.IceObserver`."""

    def on_ice_server_error(self, server: IceServer, local: Address | None, code: int, text: str) -> None:
        """See `rtcstack.ice.IceObserver`."""

    def on_ice_path(
        self, state: IceState | None, pair: PairView | None, *, is_unselected: bool = False
    ) -> None:
        """See `rtcstack.ice.IceObserver`."""

    def on_ice_pair(self, news: PairNews, pair: PairView) -> None:
        """See `rtcstack.ice.IceObserver`."""

    def on_dtls_state(self, state: DtlsState, event: DtlsEvent | None) -> None:
        """The DTLS state changed; `event` tells more of "connected" and "failed"."""

    def on_channel_events(self, events: list[ChannelEvent]) -> None:
        """What the data channels have to say, oldest first."""

    def on_media_events(self, events: list[RtpEvent], now: float) -> None:
        """What the RTP session has to say, oldest first."""

    def on_peer_left(self) -> None:
        """The peer has closed DTLS; all that ends with it has been told already."""

    def on_media_lost(self, reason: str) -> None:
        """Media flows no more on this transport, for a fault of ours; the rest of it goes on."""
