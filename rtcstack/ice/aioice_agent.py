"""An agent whose candidates, checks, nomination, consent and relays are aioice's.

What is ours: when each generation comes and goes, and what is told of it. Each is a connection of aioice's
(`aioice_connection.py`); a restart is a second one.

Spec: RFC 8445, RFC 7675, as far as aioice goes; docs/ice.md says how far that is.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from ipaddress import ip_address
from typing import Any

from rtcstack.clock import monotonic
from rtcstack.engine import Address, Run
from rtcstack.entropy import random_bytes
from rtcstack.ice.aioice_connection import AioiceConnection
from rtcstack.ice.config import GatherPolicy, IceConfig, IceServer
from rtcstack.ice.contract import (
    IceObserver,
    IceReport,
    LocalCandidate,
    PairKey,
    PairView,
)
from rtcstack.ice.features import FEATURES, IceFeature, lacking, say_once
from rtcstack.ice.interfaces import host_addresses
from rtcstack.ice.lookups import Lookups
from rtcstack.ice.states import GatheringState, IceState
from rtcstack.ice.tasks import AgentTasks
from rtcstack.network import is_literal, standing_on
from rtcstack.platform import Network
from rtcstack.refusals import Refusals
from rtcstack.sdp.candidate import Candidate

__all__ = ["AioiceAgent"]

logger = logging.getLogger("rtcstack.ice.agent")

LINGER_S, MAX_LINGERING = 5.0, 4
"""How long a generation that was replaced hears what is still on its way, and how many do."""

GOODBYE_S = 2.0
"""What a relay's server may take to hear that it is not needed any more."""

_CONNECTED = (IceState.CONNECTED, IceState.COMPLETED)


class AioiceAgent:
    """See `AnyIceAgent`.

    Args:
        config: see `IceConfig`.
        observer: who is told.
        ufrag, pwd: local credentials of the first generation, or None for random ones.
        network: what it is on; None for the network of the code by which it first needs its loop.
    """

    features = FEATURES["aioice"]

    def __init__(
        self,
        config: IceConfig,
        observer: IceObserver,
        *,
        ufrag: str | None = None,
        pwd: str | None = None,
        network: Network | None = None,
    ) -> None:
        self.config = config
        self.observer = observer
        self.refusals = Refusals()
        self.state = IceState.NEW
        self.selected_pair: PairView | None = None
        self.selected_pair_changes = 0
        self._tasks = AgentTasks(network, self._on_fault)
        self._lookups = Lookups()
        self._newest = self._make(ufrag, pwd)
        self._agreed = self._newest
        """The last that the peer has answered, else the first; what `cancel_restart` goes back to."""
        self._old: AioiceConnection | None = None
        """Carries data until the newest does."""
        self._open = [self._newest]
        self._held: list[Callable[[IceObserver], None]] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.name = self.ufrag

    def _make(self, ufrag: str | None, pwd: str | None) -> AioiceConnection:
        text = base64.b64encode(random_bytes(21)).decode("ascii")  # its alphabet is ICE's
        return AioiceConnection(self, self.config, ufrag or text[:4], pwd or text[4:])

    # -- what it has come to, see `AnyIceAgent` ---------------------------------------------------

    @property
    def ufrag(self) -> str:
        """The newest generation's username fragment."""
        return self._newest.local_username

    @property
    def pwd(self) -> str:
        """The newest generation's password."""
        return self._newest.local_password

    @property
    def local_candidates(self) -> tuple[Candidate, ...]:
        """The newest generation's candidates, as far as found."""
        return () if self._held is not None else tuple(each.candidate for each in self._newest.local)

    @property
    def gathering_state(self) -> GatheringState:
        """The newest generation's gathering state."""
        return self._newest.gathering

    @property
    def remote_ufrag(self) -> str | None:
        """The newest generation's remote username fragment, once known."""
        return self._newest.remote_username

    @property
    def remote_pwd(self) -> str | None:
        """The newest generation's remote password, once known."""
        return self._newest.remote_password

    @property
    def controlling(self) -> bool:
        """Whether this end nominates."""
        return self._newest.ice_controlling

    @property
    def rtt_s(self) -> float | None:
        """The last round trip measured on the selected pair, in seconds."""
        return next((pair.rtt_s for pair in self.report().pairs if pair.is_selected), None)

    def report(self) -> IceReport:
        """Candidates and pairs of the generation that packets take."""
        at = self._active or self._newest
        remote = (*at.signalled.values(), *at.learnt)
        return IceReport(at.local_username, at.remote_username, tuple(at.local), remote, at.report())

    def mappings(self) -> list[tuple[Address, str, Address]]:
        """What STUN servers saw of the newest generation."""
        return list(self._newest.mappings)

    @property
    def _active(self) -> AioiceConnection | None:
        """Whose pair packets take."""
        for each in (self._newest, self._agreed, self._old):
            if each is not None and each.selected is not None and each in self._open:
                return each
        return None

    # -- life, see `AnyIceAgent` ------------------------------------------------------------------

    def gather_ahead(self) -> None:
        """Start gathering and tell nothing of it until `gather` is called."""
        if not self._newest.is_begun and self._held is None:
            self.gather()
            self._held = []

    def gather(self) -> None:
        """Start gathering for the newest generation, once."""
        newest = self._newest
        if self._held is not None:
            self._tasks.loop.call_soon(self._release)
        if not newest.is_begun and self.state is not IceState.CLOSED:
            newest.is_begun = True
            self._run(self._gather(newest), newest)

    def _release(self) -> None:
        held, self._held = self._held, None
        for call in held or ():
            if self.state is not IceState.CLOSED:  # by a handler
                self._tell(call)

    async def _gather(self, at: AioiceConnection) -> None:
        self._tell_gathering(at, GatheringState.GATHERING)
        if self.state is IceState.COMPLETED:  # a restart: there is more to gather
            self._set_state(IceState.CONNECTED)
        if self.config.policy is not GatherPolicy.RELAY:
            at.hosts = [each.host for each in host_addresses(self._tasks.network, self.config)]
        await at.gather_candidates()
        at.gathered.set()
        self._tell_gathering(at, GatheringState.COMPLETE)

    def configure(self, config: IceConfig) -> None:
        """Settings that count from the next generation on, or for this one before it gathers."""
        self.config = config
        if not self._newest.is_begun:
            self._newest.config = config

    def restart(self, ufrag: str | None = None, pwd: str | None = None) -> None:
        """Make a new generation; the old one carries data until the new one's pair is nominated."""
        if self.state is IceState.CLOSED:
            return
        before, self._newest = self._newest, self._make(ufrag, pwd)
        self._newest.ice_controlling = before.ice_controlling  # RFC 8445, section 9
        self._open.append(self._newest)
        if before is not self._agreed:
            self._drop(before)
        elif self._old is None:
            self._old = before

    def cancel_restart(self) -> None:
        """Drop a generation that `restart` made and the peer has not answered; the one before goes on."""
        if self._newest is not self._agreed:
            self._drop(self._newest)
            self._newest = self._agreed
            if self._old is self._agreed:
                self._old = None
            self._tasks.loop.call_soon(self._maybe_completed)

    def start(self, ufrag: str, pwd: str, *, controlling: bool, remote_is_lite: bool = False) -> None:
        """Start checks of the newest generation against the peer's credentials, once."""
        newest = self._newest
        if newest.remote_username is not None or self.state is IceState.CLOSED:
            return
        newest.remote_username, newest.remote_password = ufrag, pwd
        newest.remote_is_lite = remote_is_lite
        if self._agreed.remote_username is None or self._agreed is newest:
            newest.ice_controlling = controlling or remote_is_lite
        if self._agreed not in (newest, self._old):
            self._drop(self._agreed)  # it was on its way, and is replaced
        self._agreed = newest
        self._run(self._check(newest), newest)

    async def _check(self, at: AioiceConnection) -> None:
        if self.state in (IceState.FAILED, IceState.DISCONNECTED):
            self._set_state(IceState.CHECKING)
        reason = "no consent"
        try:
            at.is_started = True
            self._on_fed(at)
            await at.gathered.wait()
            await at.connect()
            if at.limit is not None:
                at.limit.cancel()
            await at.get_event()  # there is one: the end
        except ConnectionError as exc:
            reason = str(exc)
        self._give_up(at, reason)

    def _give_up(self, at: AioiceConnection, reason: str) -> None:
        logger.info("%s: generation %s has failed: %s", self.name, at.local_username, reason)
        self._drop(at)
        if self._active is None:
            self._set_state(IceState.FAILED)

    def _on_fed(self, at: AioiceConnection) -> None:
        """The peer may have a candidate, or have said that it has none: the time for checks begins."""
        if not at.is_started or at not in self._open:
            return
        if self.state is IceState.NEW and at.peers:
            self._set_state(IceState.CHECKING)
        if at.limit is None and (self.state is not IceState.NEW or at.remote_ended):
            wait_s, reason = self.config.failed_timeout_s, "no pair was nominated in time"
            at.limit = self._tasks.loop.call_later(wait_s, self._give_up, at, reason)

    def start_anew(self, ufrag: str, pwd: str, *, remote_is_lite: bool = False) -> None:
        """Not heeded; see `AnyIceAgent`."""
        logger.error("%s: the ICE agent 'aioice' stays with the peer that answered first", self.name)

    def add_remote_candidate(self, candidate: Candidate) -> None:
        """Take a trickled candidate of the peer's newest generation."""
        wanted = self.config.options.remote_candidate_filter
        is_usable = candidate.component == 1 and candidate.transport.lower() == "udp" and candidate.port
        if self.state is IceState.CLOSED or not is_usable or (wanted is not None and not wanted(candidate)):
            logger.debug("%s: remote candidate %s is not used", self.name, candidate)
        elif is_literal(candidate.address):
            self._run(self._add(candidate, self._newest, candidate.address), self._newest)
        elif self._lookups.takes(candidate, self.config):
            found = partial(self._on_address, candidate, self._newest)
            self._run(self._lookups.look_up(self._tasks.network, candidate, self.ufrag, found), self._newest)

    def _on_address(self, candidate: Candidate, at: AioiceConnection, address: str | None) -> None:
        if address is not None:
            self._run(self._add(candidate, at, address), at)

    async def _add(self, candidate: Candidate, at: AioiceConnection, address: str) -> None:
        try:
            await at.add(candidate, str(ip_address(address)))
            self._on_fed(at)
        except ValueError as exc:  # of a kind that aioice does not know, or after the end
            logger.debug("%s: remote candidate %s is not used: %s", self.name, candidate, exc)

    def end_of_remote_candidates(self) -> None:
        """The peer's newest generation is complete."""
        at = self._newest
        if self.state is not IceState.CLOSED:
            self._lookups.when_done(self.ufrag, lambda: self._run(self._end(at), at))

    async def _end(self, at: AioiceConnection) -> None:
        if not at.remote_ended:
            at.remote_ended = True
            await at.add_remote_candidate(None)
            self._on_fed(at)
            self._maybe_completed()

    # -- pairs of the application's choice: aioice has its own -------------------------------------

    def hold_nominations(self) -> None:
        """Not heeded; see `AnyIceAgent`."""
        say_once("the ICE agent 'aioice' asks nobody before it nominates a pair, and tells of no other")

    def answer_nomination(self, pair: PairKey, *, accepted: bool) -> None:
        """Nothing was proposed."""

    def select_pair(self, pair: PairKey) -> bool:
        """Refused; see `AnyIceAgent`."""
        raise lacking(self.config, IceFeature.PAIRS, "selectCandidatePair")

    def remove_pair(self, pair: PairKey) -> None:
        """Refused; see `AnyIceAgent`."""
        raise lacking(self.config, IceFeature.PAIRS, "removeCandidatePair")

    def send_runs(self, runs: list[Run]) -> None:
        """Send packets on the selected pair; dropped when there is none."""
        active = self._active
        if active is not None:
            for run in runs:
                for packet in run.datagrams():
                    active.send(packet)

    # -- the end ----------------------------------------------------------------------------------

    def fail(self, reason: str) -> None:
        """Drop everything, and tell "failed"; a restart begins anew."""
        if self.state not in (IceState.CLOSED, IceState.FAILED):
            logger.error("%s: given up: %s", self.name, reason)
            for each in list(self._open):
                self._drop(each)
            self._set_state(IceState.FAILED)
            if self.gathering_state is GatheringState.GATHERING:
                self._tell_gathering(self._newest, GatheringState.COMPLETE)

    def abandon(self) -> asyncio.Task[None] | None:
        """Close at once; see `AnyIceAgent`."""
        if self.state is not IceState.CLOSED:
            self.state = IceState.CLOSED
            if self._tasks.is_in_loop:
                self._closing = self._tasks.loop.create_task(self._close())
            else:
                for each in self._open:
                    each.abort()
                self._tasks.cancel()
        return self._closing

    async def close(self) -> None:
        """Close, and wait until every socket and task is gone."""
        task = self.abandon()
        if task is not None:
            await asyncio.shield(task)

    async def _close(self) -> None:
        for each in list(self._open):
            self._drop(each)
        await self._tasks.wait()

    def _drop(self, at: AioiceConnection) -> None:
        """Close a generation."""
        if at in self._open:
            self._open.remove(at)
            if at.limit is not None:
                at.limit.cancel()
            for task in at.tasks:
                task.cancel()
            self._run(self._shut(at, list(at.tasks)))

    async def _linger(self, at: AioiceConnection) -> None:
        await asyncio.sleep(LINGER_S)
        self._drop(at)

    async def _shut(self, at: AioiceConnection, tasks: list[asyncio.Task[None]]) -> None:
        if tasks:
            await asyncio.wait(tasks)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await at.close()

    # -- AioiceOwner ------------------------------------------------------------------------------

    def on_found(self, generation: AioiceConnection, local: LocalCandidate) -> None:
        """A candidate was found."""
        ufrag = generation.local_username
        logger.debug("%s: local candidate %s", self.name, local.candidate)
        self._tell_later(lambda o: o.on_ice_candidate(local.candidate, ufrag, local.server))

    def on_server_failed(self, generation: AioiceConnection, server: IceServer, code: int, text: str) -> None:
        """A server gave none."""
        logger.info("%s: %s: %d %s", self.name, server.url, code, text)
        self._tell_later(lambda o: o.on_ice_server_error(server, None, code, text))

    def on_nominated(self, generation: AioiceConnection) -> None:
        """Packets take another pair."""
        pair = generation.selected
        if pair is None or generation not in (self._newest, self._agreed, self._active):
            return
        generation.heard_at = monotonic()
        old = self._old
        if generation is self._agreed and old is not None and old is not generation:
            self._old = None if generation is self._newest else generation
            self._run(self._linger(old), old)
            for oldest in self._open[: -1 - MAX_LINGERING]:
                self._drop(oldest)
        view = self.selected_pair = generation.view(pair)
        self.selected_pair_changes += 1
        state = None if self.state in (*_CONNECTED, IceState.CLOSED) else IceState.CONNECTED
        self.state = state or self.state
        # its words, not the pair: a log that is kept must keep no socket
        logger.info("%s: %s, packets take %s", self.name, self.state, str(pair))
        self._tell(lambda o: o.on_ice_path(state, view))
        self._maybe_completed()

    def on_heard(self, generation: AioiceConnection, *, silence: bool = False) -> None:
        """The peer has answered or asked; or, with `silence`, not answered."""
        now = monotonic()
        if generation is self._newest:
            self._on_fed(generation)
        if generation is not self._active:
            return
        if not silence:
            generation.heard_at = now
            if self.state is IceState.DISCONNECTED:
                self._set_state(IceState.CONNECTED)
                self._maybe_completed()
        elif self.state in _CONNECTED and now - generation.heard_at >= self.config.disconnected_timeout_s:
            self._set_state(IceState.DISCONNECTED)

    def on_data(self, generation: AioiceConnection, data: bytes) -> None:
        """One packet that is not STUN."""
        if self.state is IceState.CLOSED:
            return
        now = generation.heard_at = monotonic()
        if 20 <= data[0] < 64:
            self.observer.on_datagrams([Run(data, len(data))], [], now)
        elif 128 <= data[0] < 192:
            self.observer.on_datagrams([], [data], now)

    # -- telling and running ----------------------------------------------------------------------

    def _maybe_completed(self) -> None:
        newest = self._newest
        is_complete = newest.gathering is GatheringState.COMPLETE
        is_selected = newest.selected is not None
        if self.state is IceState.CONNECTED and is_selected and is_complete and newest.remote_ended:
            self._set_state(IceState.COMPLETED)

    def _set_state(self, state: IceState) -> None:
        if state is not self.state and self.state is not IceState.CLOSED:
            self.state = state
            logger.info("%s: %s", self.name, state)
            self._tell(lambda o: o.on_ice_path(state, None))

    def _tell_gathering(self, at: AioiceConnection, state: GatheringState) -> None:
        def told(observer: IceObserver) -> None:
            at.gathering = state
            if at is self._newest:
                observer.on_ice_gathering(state)
                self._maybe_completed()

        self._tell_later(told)

    def _tell_later(self, call: Callable[[IceObserver], None]) -> None:
        """Tell of gathering, once that is wanted."""
        if self._held is not None:
            self._held.append(call)
        else:
            self._tell(call)

    def _tell(self, call: Callable[[IceObserver], None]) -> None:
        try:
            call(self.observer)
        except Exception as exc:  # a fault of ours, in what was told
            logger.error("%s: a fault while telling", self.name, exc_info=exc)

    def _run(self, coroutine: Coroutine[Any, Any, None], at: AioiceConnection | None = None) -> None:
        with standing_on(self._tasks.network):  # aioice asks the loop
            task = self._tasks.run(coroutine)
        if at is not None:
            at.tasks.add(task)
            task.add_done_callback(at.tasks.discard)

    def _on_fault(self, exc: BaseException) -> None:
        logger.error("%s: a fault in ICE", self.name, exc_info=exc)
        self.fail(f"an internal fault in ICE: {exc!r}")
