"""The transports of a connection by the key that the negotiation gives them.

Spec: webrtc-pc, sections 4.3 (the connection's states as sums of its transports') and 5.5, 5.6.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, cast

from rtcstack.connection.config import ConnectionConfig
from rtcstack.dtls.events import DtlsConnected, DtlsEvent, DtlsFailed, DtlsRole, DtlsState
from rtcstack.dtls.fingerprint import Fingerprint as DtlsFingerprint
from rtcstack.engine import Run
from rtcstack.entropy import random_bytes
from rtcstack.ice import Address, GatheringState, IceServer, IceState, PairView
from rtcstack.jsep.intents import LocalTransport
from rtcstack.jsep.session import Transport as TransportAgreement
from rtcstack.network import network, network_here
from rtcstack.platform import Watch
from rtcstack.sctp.events import ChannelEvent
from rtcstack.sdp import Candidate, Fingerprint

if TYPE_CHECKING:
    from rtcstack.dtls.certificate import Certificate
    from rtcstack.ice import AnyIceAgent
    from rtcstack.media.pipeline.carrier import MediaCarrier
    from rtcstack.rtp.events import RtpEvent
    from rtcstack.transport import Transport, TransportObserver

__all__ = ["PathObserver", "TransportEntry", "TransportSet", "TransportSetObserver"]

logger = logging.getLogger("rtcstack.transports")

MAX_POOLED = 16
"""Agents that gather ahead, whatever `iceCandidatePoolSize` says: each has sockets, and more sections
than this are bundled."""

_UFRAG_BYTES = 3  # 24 bits, RFC 8445 section 5.3's minimum
_PWD_BYTES = 18  # 144 bits, its minimum is 128


def _random_credentials() -> tuple[str, str]:
    """A ufrag of 4 and a password of 24 characters: base64's alphabet is ICE's."""
    ufrag, pwd = random_bytes(_UFRAG_BYTES), random_bytes(_PWD_BYTES)
    return base64.b64encode(ufrag).decode("ascii"), base64.b64encode(pwd).decode("ascii")


class _Unheard:
    """Observes an agent of the pool, which tells nothing."""

    def on_ice_candidate(self, candidate: Candidate, ufrag: str, server: IceServer | None) -> None:
        """Never called."""

    def on_ice_gathering(self, state: GatheringState) -> None:
        """Never called."""

    def on_ice_server_error(self, server: IceServer, local: Address | None, code: int, text: str) -> None:
        """Never called."""

    def on_ice_path(self, state: IceState | None, pair: PairView | None) -> None:
        """Never called."""

    def on_datagrams(
        self, dtls: list[Run], srtp: list[bytes], now: float, arrived: list[float] | None = None
    ) -> None:
        """Never called."""


_UNHEARD = _Unheard()


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

    def on_path(self, entry: TransportEntry, state: IceState | None, pair: PairView | None) -> None:
        """A transport's ICE state, the pair that its packets take, or both have changed; None for what has
        not."""

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


class TransportEntry:
    """One transport, and what has been signalled for it. Also the transport's observer.

    Args:
        owner: the set.
        key: see `rtcstack.jsep.session.Transport.key`.
    """

    def __init__(self, owner: TransportSet, key: str) -> None:
        self._owner = owner
        self.key = key
        self.mid = key
        self.in_use = False
        self._first_role: bool | None = None
        self._is_started = False
        from rtcstack.transport import Transport

        self.transport = Transport(
            owner.config.ice,
            owner.certificate,
            self,
            keylog_path=owner.config.settings.keylog_path,
            ufrag=owner.first_credentials[0],
            pwd=owner.first_credentials[1],
            ice=owner.take_pooled(),
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
        self._carrier: MediaCarrier | None = None
        self._release: weakref.finalize[[Transport, asyncio.AbstractEventLoop], TransportEntry] | None = None

    @property
    def carrier(self) -> MediaCarrier:
        """What media travels over; made when there is some."""
        if self._carrier is None:
            from rtcstack.media.pipeline.carrier import MediaCarrier

            path = self.transport.attach_media(self._owner.config.settings.media.congestion_controller)
            self._carrier = MediaCarrier(path.session, self.transport.wake_media)
            if self._owner.is_changing:
                path.session.begin_changes()
            if path.srtp is not None:
                self._carrier.opened()
        return self._carrier

    def change(self, *, begins: bool) -> None:
        """A description begins to be applied, or has been: media is told once what it comes to."""
        if self._carrier is not None:
            session = self._carrier.session
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
                self.restart_credentials = _random_credentials()
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
            self._stale_remote_ufrag = ice.remote_ufrag
            ice.configure(self._owner.config.ice)
            ice.restart(local.ice_ufrag, local.ice_pwd)
        elif local is not None and local.ice_ufrag != ice.ufrag:
            # the offer that began a restart was rolled back
            ice.cancel_restart()
            self.remote_candidates = list(remote.candidates) if remote is not None else []
        if local is not None and ice.gathering_state is GatheringState.NEW:
            self._owner.defer(ice.gather)
            self._owner.defer(self._owner.empty_pool)
            self._owner.defer(self._owner.watch_network)
        if local is None or remote is None:
            return
        if ice.remote_ufrag is None and remote.ice_ufrag == self._stale_remote_ufrag:
            return  # the peer has not answered the restart yet
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
            self.transport.start_dtls(
                DtlsRole(agreement.dtls_role),
                [DtlsFingerprint.normalised(f.algorithm, f.value) for f in remote.fingerprints],
            )

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

    def on_ice_path(self, state: IceState | None, pair: PairView | None) -> None:
        """Passed on; a path that has failed for good takes the channels with it."""
        if state is not None:
            self._give_up_later(failed=state is IceState.FAILED)
        self._owner.paths.on_path(self, state, pair)
        if state is not None:
            self._hold()

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
        if self._carrier is not None:
            if state is DtlsState.CONNECTED and self.transport.dtls.srtp_keys is not None:
                self._carrier.opened()
            elif state in (DtlsState.CLOSED, DtlsState.FAILED):
                self._carrier.closed()
        self._owner.paths.on_dtls_state(self, event if isinstance(event, DtlsFailed) else None)
        self._hold()

    def on_channel_events(self, events: list[ChannelEvent]) -> None:
        """Passed on."""
        self._owner.observer.on_channel_events(events)

    def on_media_events(self, events: list[RtpEvent], now: float) -> None:
        """Told to the senders and receivers that they are of."""
        if self._carrier is not None:
            self._carrier.dispatch(events, now)

    def on_peer_left(self) -> None:
        """Passed on."""
        self._owner.observer.on_peer_left()

    def on_media_lost(self, reason: str) -> None:
        """Media is over here."""
        if self._carrier is not None:
            self._carrier.lost()
        self._owner.paths.on_media_lost(reason)

    # -- the end ----------------------------------------------------------------------------------

    def abandon(self) -> asyncio.Task[None] | None:
        """Close; see `Transport.abandon`."""
        if self._abandon_timer is not None:
            self._abandon_timer.cancel()
            self._abandon_timer = None
        self.in_use = False
        self._hold()
        if self._carrier is not None:
            self._carrier.closed()
        task = self.transport.abandon()
        self.dtls_state = DtlsState.CLOSED
        return task


class TransportSet:
    """Makes, keeps and drops the transports of a connection.

    Args:
        config: of the connection; may be replaced.
        observer: who is told of candidates, channels, and a peer that leaves.
        paths: who is told how the transports are.
        defer: runs a function after the operation in progress has been answered.
    """

    def __init__(
        self,
        config: ConnectionConfig,
        observer: TransportSetObserver,
        paths: PathObserver,
        defer: Callable[[Callable[[], None]], None],
    ) -> None:
        self.config = config
        self.observer = observer
        self.paths = paths
        self.defer = defer
        self.network = network_here()
        """What the connection is on, wherever it is used: where it was made. None for this machine's."""
        ice = config.settings.ice
        self.first_credentials = _random_credentials()
        if ice.ufrag is not None and ice.password is not None:
            self.first_credentials = ice.ufrag, ice.password
        """Of the first generation of every transport. Bundling moves sections between transports;
        with credentials of its own each move would look like an ICE restart (and Firefox refuses
        one of only some sections). What tells the transports apart is their sockets."""
        self._certificate: Certificate | None = None
        self._entries: dict[str, TransportEntry] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._pool: list[AnyIceAgent] = []
        self._watch: Watch | None = None
        self._closed = False
        self.is_changing = False
        self.fill_pool()

    def fill_pool(self) -> None:
        """Gather ahead with as many agents as `iceCandidatePoolSize` says (webrtc-pc, 4.4.1.7).

        Without a running event loop nothing is gathered; it is done when it is needed.
        """
        wanted = min(self.config.candidate_pool_size, MAX_POOLED)
        config = self.config.ice
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        while self._pool and (len(self._pool) > wanted or self._pool[-1].config != config):
            self._drop(self._pool.pop())
        ufrag, pwd = self.first_credentials
        while len(self._pool) + len(self._entries) < wanted:
            from rtcstack.ice import make_agent

            agent = make_agent(config, _UNHEARD, ufrag=ufrag, pwd=pwd, network=self.network)
            agent.gather_ahead()
            self._pool.append(agent)

    def watch_network(self) -> None:
        """Listen for changes of the machine's addresses, if the settings ask for it."""
        if self._closed or self._watch is not None:
            return
        if self.config.settings.ice.restart_on_network_change:
            try:
                self._watch = (self.network or network()).watch(self.paths.on_network_change)
            except Exception as exc:  # of a network that the application has installed
                logger.error("changes of the machine's addresses will not be heard of: %r", exc)

    def take_pooled(self) -> AnyIceAgent | None:
        """An agent that has begun to gather, if there is one."""
        return self._pool.pop(0) if self._pool else None

    def empty_pool(self) -> None:
        """What is left of the pool is not going to be used."""
        while self._pool:
            self._drop(self._pool.pop())

    def _drop(self, agent: AnyIceAgent) -> None:
        task = agent.abandon()
        if task is not None:
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    @property
    def certificate(self) -> Certificate:
        """What identifies this end; generated when it is first needed and none was given."""
        if self._certificate is None:
            from rtcstack.dtls.certificate import Certificate

            self._certificate = self.config.certificate or Certificate.usual()
        return self._certificate

    def __iter__(self) -> Iterator[TransportEntry]:
        """The transports in use."""
        return (entry for entry in self._entries.values() if entry.in_use)

    def get(self, key: str | None) -> TransportEntry | None:
        """The transport in use with this key."""
        entry = None if key is None else self._entries.get(key)
        return entry if entry is not None and entry.in_use else None

    def prepare(self, key: str) -> TransportEntry:
        """The transport with this key; made, without any socket yet, when there is none."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = TransportEntry(self, key)
        return entry

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """While a description is applied, whatever becomes of it."""
        self.is_changing = True
        for entry in self._entries.values():
            entry.change(begins=True)
        try:
            yield
        finally:
            self.is_changing = False
            for entry in self._entries.values():
                entry.change(begins=False)

    def remove(self, key: str) -> None:
        """Close a transport that no section uses any longer."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            task = entry.abandon()
            if task is not None:
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    def close(self) -> set[asyncio.Task[None]]:
        """Close all.

        Returns:
            The tasks that end when every socket is released.
        """
        self._closed = True
        self.empty_pool()
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        for key in list(self._entries):
            self.remove(key)
        return set(self._closing)
