"""One transport of a connection: what has been signalled for it, and what of it concerns more than itself.

Spec: webrtc-pc, sections 5.5 and 5.6.
"""

from __future__ import annotations

import asyncio
import base64
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

from rtcstack.connection.config import ConnectionConfig
from rtcstack.dtls.events import DtlsConnected, DtlsEvent, DtlsFailed, DtlsRole, DtlsState
from rtcstack.dtls.fingerprint import Fingerprint as DtlsFingerprint
from rtcstack.entropy import random_bytes
from rtcstack.ice import Address, GatheringState, IceServer, IceState, PairNews, PairView
from rtcstack.jsep.intents import LocalTransport
from rtcstack.jsep.session import Transport as TransportAgreement
from rtcstack.platform import Network
from rtcstack.sctp.events import ChannelEvent
from rtcstack.sdp import Candidate, Fingerprint

if TYPE_CHECKING:
    from rtcstack.dtls.certificate import Certificate
    from rtcstack.ice import AnyIceAgent
    from rtcstack.media.pipeline.transport import MediaTransport
    from rtcstack.rtp.events import RtpEvent
    from rtcstack.transport import Transport, TransportObserver

__all__ = ["PathObserver", "TransportEntry", "TransportOwner", "TransportSetObserver", "random_credentials"]


_UFRAG_BYTES = 3  # 24 bits, RFC 8445 section 5.3's minimum
_PWD_BYTES = 18  # 144 bits, its minimum is 128


def random_credentials() -> tuple[str, str]:
    """A ufrag of 4 and a password of 24 characters: base64's alphabet is ICE's."""
    ufrag, pwd = random_bytes(_UFRAG_BYTES), random_bytes(_PWD_BYTES)
    return base64.b64encode(ufrag).decode("ascii"), base64.b64encode(pwd).decode("ascii")


class _Loosely:
    """Observes a transport for its entry, as long as somebody holds that: the loop, which holds the
    transport, does not."""

    __slots__ = ("_entry",)

    def __init__(self, entry: TransportEntry) -> None:
        self._entry = weakref.ref(entry)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._entry(), name, _nothing)


def _nothing(*_: object) -> None:
    """What is told when nobody is there."""


_ends: set[asyncio.Task[None]] = set()  # the loop itself only holds tasks weakly


def _release(transport: Transport, loop: asyncio.AbstractEventLoop) -> None:
    """Release what a transport holds that nobody has closed; from whatever thread collects garbage."""

    def end() -> None:
        task = transport.abandon()
        if task is not None:
            _ends.add(task)
            task.add_done_callback(_ends.discard)

    if loop.is_closed():
        end()
    else:
        loop.call_soon_threadsafe(end)


class PathObserver(Protocol):
    """Who is told how the transports are. The transport's own state is new already, whatever is told."""

    def on_server_error(self, server: IceServer, local: Address | None, code: int, text: str) -> None:
        """A STUN or TURN server failed."""

    def on_path(
        self,
        entry: TransportEntry,
        state: IceState | None,
        pair: PairView | None,
        *,
        is_unselected: bool = False,
    ) -> None:
        """A transport's ICE state, the pair that its packets take, or both have changed; None for what has
        not. With `is_unselected` they take none any more."""

    def on_pair(self, entry: TransportEntry, news: PairNews, pair: PairView) -> None:
        """There is something to tell of a candidate pair of a transport's."""

    def on_dtls_state(self, entry: TransportEntry, failure: DtlsFailed | None) -> None:
        """A transport's DTLS state changed; with the reason, if it has failed."""

    def on_network_change(self) -> None:
        """This machine's addresses have changed, and ICE is to be restarted for it."""

    def on_media_lost(self, reason: str) -> None:
        """Media has ended on a transport, for a fault of ours."""


class TransportSetObserver(Protocol):
    """Who is told of what concerns more of a connection than its transports."""

    def on_candidate(
        self, entry: TransportEntry, candidate: Candidate, ufrag: str, server: IceServer | None
    ) -> None:
        """A local candidate was found."""

    def on_gathering(self, entry: TransportEntry) -> None:
        """A transport's gathering state changed."""

    def on_channel_events(self, events: list[ChannelEvent]) -> None:
        """What the data channels have to say."""

    def on_peer_left(self) -> None:
        """The peer has closed DTLS on a transport."""


class TransportOwner(Protocol):
    """What a transport needs of the set that it is in."""

    config: ConnectionConfig
    observer: TransportSetObserver
    paths: PathObserver
    defer: Callable[[Callable[[], None]], None]
    network: Network | None
    first_credentials: tuple[str, str]
    is_changing: bool

    @property
    def certificate(self) -> Certificate:
        """What identifies this end."""

    def take_agent(self) -> AnyIceAgent | None:
        """An agent that has begun to gather, if there is one."""

    def start(self) -> None:
        """A transport begins to gather: nothing is gathered ahead any longer, and the machine's addresses
        are watched."""


class TransportEntry:
    """One transport, and what has been signalled for it. Also the transport's observer.

    Args:
        owner: the set.
        key: see `rtcstack.jsep.session.Transport.key`.
    """

    def __init__(self, owner: TransportOwner, key: str) -> None:
        self._owner = owner
        self.key = key
        self.mid = key
        self.in_use = False
        self._first_role: bool | None = None
        self._is_started = False
        self._peer = self._association = 0
        from rtcstack.transport import Transport

        self.transport = Transport(
            owner.config.ice,
            owner.certificate,
            self,
            keylog_path=owner.config.settings.keylog_path,
            ufrag=owner.first_credentials[0],
            pwd=owner.first_credentials[1],
            ice=owner.take_agent(),
            network=owner.network,
        )
        self.dtls_state = DtlsState.NEW
        self.dtls_details: DtlsConnected | None = None
        self.local_parameters: tuple[str, str] | None = None
        """Our credentials as the newest local description has them: a ufrag and a password."""
        self.remote_parameters: tuple[str, str] | None = None
        """The peer's, likewise."""
        self.remote_candidates: list[Candidate] = []
        self.ended_ufrag: str | None = None
        self.tls_id: str | None = None
        self.restart_credentials: tuple[str, str] | None = None
        self._stale_remote_ufrag: str | None = None
        self._abandon_timer: asyncio.TimerHandle | None = None
        self._media: MediaTransport | None = None
        self._release: weakref.finalize[[Transport, asyncio.AbstractEventLoop], TransportEntry] | None = None

    @property
    def media(self) -> MediaTransport:
        """What media travels over; made when there is some."""
        if self._media is None:
            from rtcstack.media.pipeline.transport import MediaTransport

            path = self.transport.attach_media(self._owner.config.settings.media.congestion_controller)
            self._media = MediaTransport(path.session, self.transport.wake_media)
            if self._owner.is_changing:
                path.session.begin_changes()
            if path.srtp is not None:
                self._media.opened()
        return self._media

    def change(self, *, begins: bool) -> None:
        """A description begins to be applied, or has been: media is told once what it comes to."""
        if self._media is not None:
            session = self._media.session
            session.begin_changes() if begins else session.end_changes()

    @property
    def agent(self) -> AnyIceAgent:
        """The ICE agent."""
        return self.transport.ice

    @property
    def is_controlling(self) -> bool | None:
        """Our ICE role: as the first description made it, then as the agent has it; None before."""
        return self.transport.ice.controlling if self._is_started else self._first_role

    @property
    def remote_certificates(self) -> tuple[bytes, ...]:
        """The peer's certificates in DER; empty before DTLS has connected."""
        return () if self.dtls_details is None else self.dtls_details.remote_certificates

    # -- negotiation ------------------------------------------------------------------------------

    def local(self, *, restart: bool) -> LocalTransport:
        """What the next description says of this end.

        Args:
            restart: whether it is to start a new ICE generation.
        """
        ice = self.transport.ice
        if restart:
            if self.restart_credentials is None:
                self.restart_credentials = random_credentials()
            ufrag, pwd = self.restart_credentials
            candidates: tuple[Candidate, ...] = ()
            complete = False
        else:
            ufrag, pwd = ice.ufrag, ice.pwd
            candidates = ice.local_candidates
            complete = ice.gathering_state is GatheringState.COMPLETE
        fingerprint = self._owner.certificate.fingerprint()
        return LocalTransport(
            ufrag=ufrag,
            pwd=pwd,
            fingerprints=(Fingerprint(fingerprint.algorithm, fingerprint.value),),
            tls_id=self.tls_id,
            candidates=candidates,
            end_of_candidates=complete,
        )

    def propose(self, *, controlling: bool) -> None:
        """A peer's offer has a section that will use it.

        Args:
            controlling: our ICE role, unless it is known.
        """
        self.in_use = True
        if self._first_role is None:
            self._first_role = controlling

    def apply(self, agreement: TransportAgreement) -> None:
        """Bring the transport up to what has been agreed: gather, check, shake hands."""
        ice = self.transport.ice
        self.mid = agreement.mid
        self.in_use = True
        local, remote = agreement.local, agreement.remote
        if self._first_role is None:
            self._first_role = agreement.ice_controlling
        self.local_parameters = None if local is None else (local.ice_ufrag, local.ice_pwd)
        self.remote_parameters = None if remote is None else (remote.ice_ufrag, remote.ice_pwd)
        if local is not None and (local.ice_ufrag, local.ice_pwd) == self.restart_credentials:
            self.restart_credentials = None
            self.remote_candidates = []
            if ice.remote_ufrag is not None:  # else a restart takes the place of one that was not answered
                self._stale_remote_ufrag = ice.remote_ufrag
            ice.configure(self._owner.config.ice)
            ice.restart(local.ice_ufrag, local.ice_pwd)
        elif local is not None and local.ice_ufrag != ice.ufrag:
            # the offer that began a restart was rolled back
            ice.cancel_restart()
            self.remote_candidates = list(remote.candidates) if remote is not None else []
        if local is not None and ice.gathering_state is GatheringState.NEW:
            self._owner.defer(ice.gather)
            self._owner.defer(self._owner.start)
        if local is None or remote is None:
            return
        if ice.remote_ufrag is None and remote.ice_ufrag == self._stale_remote_ufrag:
            return  # the peer has not answered the restart yet
        if agreement.peer != self._peer:
            self._peer = agreement.peer
            self.remote_candidates = []
            ice.start_anew(remote.ice_ufrag, remote.ice_pwd, remote_is_lite=remote.ice_lite)
        if ice.remote_ufrag in (None, remote.ice_ufrag):
            if ice.remote_ufrag is None:
                self._is_started = True
                ice.start(
                    remote.ice_ufrag,
                    remote.ice_pwd,
                    controlling=bool(agreement.ice_controlling),
                    remote_is_lite=remote.ice_lite,
                )
            # Not by their number: sections that are bundled here may have brought candidates, too.
            known = set(self.remote_candidates)
            for candidate in remote.candidates:
                if candidate not in known:
                    self.add_remote_candidate(candidate)
            if remote.end_of_candidates:
                ice.end_of_remote_candidates()
        if agreement.dtls_role is not None:
            role = DtlsRole(agreement.dtls_role)
            fingerprints = [DtlsFingerprint.normalised(f.algorithm, f.value) for f in remote.fingerprints]
            if agreement.association == self._association:
                self.transport.start_dtls(role, fingerprints)
            else:
                self._association = agreement.association
                self.transport.restart_dtls(role, fingerprints)
            self.transport.encrypt_headers(agreement.cryptex, required=self._owner.config.requires_cryptex)

    def add_remote_candidate(self, candidate: Candidate) -> None:
        """A candidate of the peer's current generation."""
        self.remote_candidates.append(candidate)
        self.transport.ice.add_remote_candidate(candidate)

    # -- TransportObserver ------------------------------------------------------------------------

    def on_ice_candidate(self, candidate: Candidate, ufrag: str, server: IceServer | None) -> None:
        """Passed on."""
        self._owner.observer.on_candidate(self, candidate, ufrag, server)

    def on_ice_gathering(self, state: GatheringState) -> None:
        """Passed on."""
        self._owner.observer.on_gathering(self)

    def on_ice_server_error(self, server: IceServer, local: Address | None, code: int, text: str) -> None:
        """Passed on."""
        self._owner.paths.on_server_error(server, local, code, text)

    def on_ice_path(
        self, state: IceState | None, pair: PairView | None, *, is_unselected: bool = False
    ) -> None:
        """Passed on; a path that has failed for good takes the channels with it."""
        if state is not None:
            self._give_up_later(failed=state is IceState.FAILED)
        self._owner.paths.on_path(self, state, pair, is_unselected=is_unselected)
        if state is not None:
            self._hold()

    def on_ice_pair(self, news: PairNews, pair: PairView) -> None:
        """Passed on."""
        self._owner.paths.on_pair(self, news, pair)

    def _give_up_later(self, *, failed: bool) -> None:
        if self._abandon_timer is not None:
            self._abandon_timer.cancel()
            self._abandon_timer = None
        grace = self._owner.config.settings.abandon_after_failed_s
        if failed and grace is not None:
            loop = asyncio.get_running_loop()
            self._abandon_timer = loop.call_later(grace, self._give_up)

    def _give_up(self) -> None:
        self._abandon_timer = None
        self.transport.give_up("ICE has failed and was not restarted")
        self._hold()

    def _hold(self) -> None:
        """Be held by the loop as long as something can happen here that the application would hear of.

        A transport that has failed for good is released when the application forgets the connection:
        nothing but a call of the application's own brings it back.

        Spec: webrtc-pc, section 4.4.1 (garbage collection).
        """
        is_over = self.in_use and (
            self.dtls_state is DtlsState.FAILED
            or (self.transport.ice.state is IceState.FAILED and self._abandon_timer is None)
        )
        if is_over and self._release is None:
            self.transport.observer = cast("TransportObserver", _Loosely(self))
            self._release = weakref.finalize(self, _release, self.transport, asyncio.get_running_loop())
            self._release.atexit = False
        elif not is_over and self._release is not None:
            self._release.detach()
            self._release = None
            self.transport.observer = self

    def on_dtls_state(self, state: DtlsState, event: DtlsEvent | None) -> None:
        """Passed on, once media knows."""
        self.dtls_state = state
        if isinstance(event, DtlsConnected):
            self.dtls_details = event
        elif state is DtlsState.NEW:
            self.dtls_details = None
        if self._media is not None:
            if state is DtlsState.CONNECTED and self.transport.dtls.srtp_keys is not None:
                self._media.opened()
            elif state in (DtlsState.CLOSED, DtlsState.FAILED):
                self._media.closed()
        self._owner.paths.on_dtls_state(self, event if isinstance(event, DtlsFailed) else None)
        self._hold()

    def on_channel_events(self, events: list[ChannelEvent]) -> None:
        """Passed on."""
        self._owner.observer.on_channel_events(events)

    def on_media_events(self, events: list[RtpEvent], now: float) -> None:
        """Told to the senders and receivers that they are of."""
        if self._media is not None:
            self._media.dispatch(events, now)

    def on_peer_left(self) -> None:
        """Passed on."""
        self._owner.observer.on_peer_left()

    def on_media_lost(self, reason: str) -> None:
        """Media is over here."""
        if self._media is not None:
            self._media.lost()
        self._owner.paths.on_media_lost(reason)

    # -- the end ----------------------------------------------------------------------------------

    def abandon(self) -> asyncio.Task[None] | None:
        """Close; see `Transport.abandon`."""
        if self._abandon_timer is not None:
            self._abandon_timer.cancel()
            self._abandon_timer = None
        self.in_use = False
        self._hold()
        if self._media is not None:
            self._media.closed()
        task = self.transport.abandon()
        self.dtls_state = DtlsState.CLOSED
        return task
