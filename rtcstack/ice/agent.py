"""The ICE agent of one transport: generations of connections, and one state made of them.

A restart makes a second generation with its own credentials, sockets and checks; packets keep
taking the old generation's pair until the new one has its own (RFC 8445, section 2.4).

Spec: RFC 8445, RFC 8838, RFC 7675; webrtc-pc, section 5.6 (states).
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Protocol

from rtcstack.clock import monotonic
from rtcstack.engine import Run
from rtcstack.ice.adopt import AdoptedConnection
from rtcstack.ice.candidates import PairView
from rtcstack.ice.config import IceConfig, IceServer
from rtcstack.ice.endpoint import Address
from rtcstack.sdp.candidate import Candidate

__all__ = ["GatheringState", "IceAgent", "IceObserver", "IceState", "PairView"]


class GatheringState(StrEnum):
    """RTCIceGathererState."""

    NEW = "new"
    GATHERING = "gathering"
    COMPLETE = "complete"


class IceState(StrEnum):
    """RTCIceTransportState."""

    NEW = "new"
    CHECKING = "checking"
    CONNECTED = "connected"
    COMPLETED = "completed"
    DISCONNECTED = "disconnected"
    FAILED = "failed"
    CLOSED = "closed"


class IceObserver(Protocol):
    """What an agent tells its owner. Calls come from the event loop, never from within a call in."""

    def on_ice_candidate(self, candidate: Candidate, ufrag: str, server: IceServer | None) -> None:
        """A local candidate of the generation with this ufrag was found (by asking `server`)."""

    def on_ice_gathering(self, state: GatheringState) -> None:
        """The gathering state changed."""

    def on_ice_server_error(self, server: IceServer, local: Address | None, code: int, text: str) -> None:
        """A server failed."""

    def on_ice_state(self, state: IceState) -> None:
        """The state changed."""

    def on_ice_selected_pair(self, pair: PairView) -> None:
        """Packets take another pair from now on."""

    def on_datagrams(self, dtls: list[Run], srtp: list[bytes], now: float) -> None:
        """Packets arrived."""


class _Generation:
    """One set of credentials: its connection, and how far gathering and the peer have come."""

    def __init__(
        self, agent: IceAgent, config: IceConfig, *, controlling: bool, ufrag: str | None, pwd: str | None
    ) -> None:
        self.agent = agent
        self.gathering = GatheringState.NEW
        self.candidates: list[Candidate] = []
        self.started_at: float | None = None
        self.connection = AdoptedConnection(
            config,
            controlling=controlling,
            deliver=agent.observer.on_datagrams,
            on_candidate=self._on_candidate,
            on_server_error=agent.observer.on_ice_server_error,
            on_selected=self._on_selected,
            on_checks_failed=self._on_checks_failed,
            ufrag=ufrag,
            pwd=pwd,
        )

    def gather(self) -> None:
        if self.gathering is not GatheringState.NEW:
            return
        self.gathering = GatheringState.GATHERING
        self.connection.run(self._gather())

    async def _gather(self) -> None:
        self.agent.observer.on_ice_gathering(GatheringState.GATHERING)
        await self.connection.gather()
        self.gathering = GatheringState.COMPLETE
        self.agent.on_gathered(self)

    def _on_candidate(self, candidate: Candidate, server: IceServer | None) -> None:
        self.candidates.append(candidate)
        self.agent.observer.on_ice_candidate(candidate, self.connection.local_username, server)

    def _on_selected(self, pair: PairView) -> None:
        self.agent.on_selected(self, pair)

    def _on_checks_failed(self) -> None:
        self.agent.on_checks_failed(self)


class IceAgent:
    """Finds and keeps a path to one peer.

    Methods must be called from the event loop's thread; none of them blocks or awaits but `close`.

    Args:
        config: see `IceConfig`.
        observer: who is told.
        ufrag, pwd: local credentials of the first generation, or None for random ones.
    """

    def __init__(
        self, config: IceConfig, observer: IceObserver, *, ufrag: str | None = None, pwd: str | None = None
    ) -> None:
        self.config = config
        self.observer = observer
        self.state = IceState.NEW
        self.selected_pair: PairView | None = None
        self.selected_pair_changes = 0
        self._newest = _Generation(self, config, controlling=False, ufrag=ufrag, pwd=pwd)
        self._active = self._newest
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._retired: set[asyncio.Task[None]] = set()

    # -- what the session description carries -----------------------------------------------------

    @property
    def ufrag(self) -> str:
        """The newest generation's username fragment."""
        return self._newest.connection.local_username

    @property
    def pwd(self) -> str:
        """The newest generation's password."""
        return self._newest.connection.local_password

    @property
    def local_candidates(self) -> tuple[Candidate, ...]:
        """The newest generation's candidates, as far as found."""
        return tuple(self._newest.candidates)

    @property
    def gathering_state(self) -> GatheringState:
        """The newest generation's gathering state."""
        return self._newest.gathering

    @property
    def remote_ufrag(self) -> str | None:
        """The newest generation's remote username fragment, once known."""
        return self._newest.connection.remote_username

    @property
    def controlling(self) -> bool:
        """Whether this end nominates."""
        return self._newest.connection.ice_controlling

    @property
    def connection(self) -> AdoptedConnection:
        """The connection that packets take, for statistics."""
        return self._active.connection

    @property
    def rtt_s(self) -> float | None:
        """The last round trip measured on the selected pair, in seconds."""
        return self._active.connection.rtt_s

    # -- life -------------------------------------------------------------------------------------

    def gather(self) -> None:
        """Start gathering for the newest generation, once."""
        if self.state is not IceState.CLOSED:
            self._newest.gather()

    def restart(self, ufrag: str | None = None, pwd: str | None = None) -> None:
        """Make a new generation with new credentials. The active pair stays in use until it is
        replaced; a second restart before that replaces the first one's generation."""
        if self.state is IceState.CLOSED:
            return
        if self._newest is not self._active:
            self._retire(self._newest)
        controlling = self._newest.connection.ice_controlling
        self._newest = _Generation(self, self.config, controlling=controlling, ufrag=ufrag, pwd=pwd)

    def cancel_restart(self) -> None:
        """Drop a generation that `restart` made and that has no pair yet; the old one goes on."""
        if self._newest is not self._active and self.state is not IceState.CLOSED:
            self._retire(self._newest)
            self._newest = self._active

    def start(self, ufrag: str, pwd: str, *, controlling: bool, remote_is_lite: bool = False) -> None:
        """Start checks of the newest generation against the peer's credentials, once.

        Args:
            ufrag, pwd: the peer's.
            controlling: this end's role, where the agent has not learnt better from a conflict.
            remote_is_lite: the peer answers checks but makes none.
        """
        generation = self._newest
        if generation.started_at is not None or self.state is IceState.CLOSED:
            return
        connection = generation.connection
        connection.remote_username = ufrag
        connection.remote_password = pwd
        connection.remote_is_lite = remote_is_lite
        if connection.ice_controlling is not controlling:
            connection.switch_role(ice_controlling=controlling)
        generation.started_at = monotonic()
        if self.state in (IceState.NEW, IceState.FAILED):
            self._set_state(IceState.CHECKING)
        connection.start_checks()
        self._arm()

    def add_remote_candidate(self, candidate: Candidate) -> None:
        """Take a trickled candidate of the peer's newest generation."""
        self._newest.connection.add_remote(candidate)

    def end_of_remote_candidates(self) -> None:
        """The peer's newest generation is complete."""
        self._newest.connection.end_remote()
        self._maybe_completed()

    def send_runs(self, runs: list[Run]) -> None:
        """Send packets on the selected pair; dropped when there is none, or consent has ended."""
        if self.state not in (IceState.FAILED, IceState.CLOSED):
            self._active.connection.send_runs(runs)

    def abandon(self) -> asyncio.Task[None] | None:
        """Close at once, leaving the sockets' end to the loop.

        Returns:
            The task that ends when everything is released, or None without a running loop.
        """
        if self._closing is None:
            self._set_state(IceState.CLOSED, tell=False)
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return None
            self._closing = loop.create_task(self._close())
        return self._closing

    async def close(self) -> None:
        """Close, and wait until every socket and task is gone."""
        task = self.abandon()
        if task is not None:
            await asyncio.shield(task)

    async def _close(self) -> None:
        connections = {self._active.connection, self._newest.connection}
        for connection in connections:
            await connection.close()
        if self._retired:
            await asyncio.wait(set(self._retired))

    # -- what the generations report --------------------------------------------------------------

    def on_gathered(self, generation: _Generation) -> None:
        """A generation has found all it will find."""
        if generation is self._newest and self.state is not IceState.CLOSED:
            self.observer.on_ice_gathering(GatheringState.COMPLETE)
            self._maybe_completed()

    def on_selected(self, generation: _Generation, pair: PairView) -> None:
        """A generation has a (new) pair."""
        if self.state is IceState.CLOSED or generation not in (self._newest, self._active):
            return
        if generation is self._newest and self._active is not generation:
            old, self._active = self._active, generation
            self._retire(old)
        if generation is not self._active:
            return
        self.selected_pair = pair
        self.selected_pair_changes += 1
        self.observer.on_ice_selected_pair(pair)
        if self.state in (IceState.CHECKING, IceState.DISCONNECTED, IceState.FAILED):
            self._set_state(IceState.CONNECTED)
        self._maybe_completed()
        self._arm()

    def on_checks_failed(self, generation: _Generation) -> None:
        """Every pair of a generation has failed and no more will come."""
        if generation is self._newest and self.state in (IceState.CHECKING, IceState.DISCONNECTED):
            self._set_state(IceState.FAILED)

    # -- states and time --------------------------------------------------------------------------

    def _retire(self, generation: _Generation) -> None:
        task = asyncio.get_running_loop().create_task(generation.connection.close())
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

    def _set_state(self, state: IceState, *, tell: bool = True) -> None:
        if self.state is state or self.state is IceState.CLOSED:
            return
        self.state = state
        if tell:
            self.observer.on_ice_state(state)

    def _maybe_completed(self) -> None:
        generation = self._active
        if (
            self.state is IceState.CONNECTED
            and generation is self._newest
            and generation.gathering is GatheringState.COMPLETE
            and generation.connection.remote_ended
        ):
            self._set_state(IceState.COMPLETED)

    def _arm(self) -> None:
        if self._timer is None and self.state is not IceState.CLOSED:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._active.connection.consent_interval(), self._tick)

    def _tick(self) -> None:
        """Consent and silence: one timer, about every two seconds."""
        self._timer = None
        now = monotonic()
        config = self.config
        generation = self._active
        connection = generation.connection
        if connection.selected is not None and self.state is not IceState.FAILED:
            if now - connection.last_consent >= config.failed_timeout_s:
                self._set_state(IceState.FAILED)
            else:
                connection.run(connection.check_consent())
                silent = now - connection.last_received >= config.disconnected_timeout_s
                if silent and self.state in (IceState.CONNECTED, IceState.COMPLETED):
                    self._set_state(IceState.DISCONNECTED)
                elif not silent and self.state is IceState.DISCONNECTED:
                    self._set_state(IceState.CONNECTED)
                    self._maybe_completed()
        elif (
            self.state is IceState.CHECKING
            and self._newest.started_at is not None
            and now - self._newest.started_at >= config.failed_timeout_s
        ):
            self._set_state(IceState.FAILED)
        self._arm()
