"""The ICE agent of one transport. One question: what passes between the network, one timer and the engine?

Spec: RFC 8445, RFC 8838, RFC 7675; webrtc-pc, section 5.6 (states).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from rtcstack.clock import monotonic
from rtcstack.engine import Address, Run
from rtcstack.ice.addresses import Addresses
from rtcstack.ice.carriers import Carrier
from rtcstack.ice.config import IceConfig
from rtcstack.ice.contract import IceObserver, IceReport, PairKey, PairNews, PairView
from rtcstack.ice.engine import (
    Arrival,
    CandidateFound,
    ChoiceEnded,
    ConnectTcp,
    GatheringDone,
    GatheringState,
    IceEngine,
    IceEvent,
    IceState,
    Pair,
    PairAdded,
    PairProposed,
    PairRemoved,
    PairSelected,
    PathsReleased,
    RelayLost,
    RelayMoved,
    ServerFailed,
    StateChanged,
)
from rtcstack.ice.engine.explain import explain
from rtcstack.ice.engine.generation import Generation
from rtcstack.ice.features import FEATURES
from rtcstack.ice.lookups import Lookups
from rtcstack.ice.reports import report_of
from rtcstack.ice.routes import Route, Routes
from rtcstack.ice.sources import Sources
from rtcstack.ice.tasks import AgentTasks
from rtcstack.ice.tcp import TcpCarrier, connect_tcp
from rtcstack.network import is_literal
from rtcstack.platform import Network
from rtcstack.refusals import Refusals
from rtcstack.sdp.candidate import Candidate

__all__ = ["IceAgent"]

logger = logging.getLogger("rtcstack.ice.agent")


def _view(pair: Pair) -> PairView:
    """A pair as it is now."""
    return PairView(pair.local, pair.remote.candidate, (pair.path.id, pair.remote.address))


_OF_GATHERING = (CandidateFound, GatheringDone, ServerFailed)


class IceAgent:
    """The agent of the engine of ours; see `AnyIceAgent`.

    Args:
        config: see `IceConfig`.
        observer: who is told.
        ufrag, pwd: local credentials of the first generation, or None for random ones.
        network: what it is on; None for the network of the code by which it first needs its loop.
    """

    features = FEATURES["rtcstack"]

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
        self.engine = IceEngine(config, ufrag=ufrag, pwd=pwd)
        self.name = self.engine.newest.ufrag
        """What the log calls this agent: its first ufrag."""
        self.state = IceState.NEW
        self.selected_pair: PairView | None = None
        self._gathering = {self.engine.newest.ufrag: GatheringState.NEW}
        self._carriers: dict[int, Carrier] = {}
        self._routes = Routes(self)
        self._sources: dict[str, Sources] = {}
        self.relay_news: set[asyncio.Event] = set()
        """Set whenever a relay's server has sent something: of whoever waits for that."""
        self._addresses = Addresses(self.name, self._on_addresses)
        self._lookups = Lookups()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._woken = False
        self._pumping = False
        self._held: list[IceEvent] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._is_released = False  # without its loop, there was nothing to wait for
        self.is_broken = False
        """Whether a fault inside has ended it: nothing is asked of the engine any more."""
        self._tasks = AgentTasks(network, self.on_fault)

    # -- what the session description carries -----------------------------------------------------

    @property
    def ufrag(self) -> str:
        """The newest generation's username fragment."""
        return self.engine.newest.ufrag

    @property
    def pwd(self) -> str:
        """The newest generation's password."""
        return self.engine.newest.pwd

    @property
    def local_candidates(self) -> tuple[Candidate, ...]:
        """The newest generation's candidates, as far as found."""
        if self._held is not None:
            return ()
        return tuple(self.engine.newest.gathering.candidates)

    @property
    def gathering_state(self) -> GatheringState:
        """The newest generation's gathering state."""
        if self._held is not None:
            return GatheringState.NEW
        return self._gathering.get(self.ufrag, GatheringState.NEW)

    @property
    def remote_ufrag(self) -> str | None:
        """The newest generation's remote username fragment, once known."""
        return self.engine.newest.remote_ufrag

    @property
    def remote_pwd(self) -> str | None:
        """The newest generation's remote password, once known."""
        return self.engine.newest.remote_pwd

    @property
    def controlling(self) -> bool:
        """Whether this end nominates."""
        return self.engine.controlling

    @property
    def refusals(self) -> Refusals:
        """What was refused of the packets that came."""
        return self.engine.refusals

    @property
    def rtt_s(self) -> float | None:
        """The last round trip measured on the selected pair, in seconds."""
        selected = self.engine.selected
        return None if selected is None else selected.rtt_s

    @property
    def selected_pair_changes(self) -> int:
        """How often a pair was selected."""
        return self.engine.selected_changes

    def report(self) -> IceReport:
        """Candidates, pairs and what was counted on them, of the generation that packets take."""
        return report_of(self.engine)

    def mappings(self) -> list[tuple[Address, str, Address]]:
        """What STUN servers saw of the newest generation; see `AnyIceAgent`."""
        return self.engine.newest.gathering.queries.mappings()

    @property
    def network(self) -> Network:
        """The network that the agent is on."""
        return self._tasks.network

    async def publish(self, address: str) -> str:
        """A name for one of our addresses, the same in each generation, until the agent is closed.

        Raises:
            OSError: there is none; see `Network.publish`.
        """
        return await self._addresses.publish(self.network, address)

    # -- life -------------------------------------------------------------------------------------

    def gather_ahead(self) -> None:
        """Start gathering and tell nothing of it until `gather` is called (a candidate pool)."""
        if self.engine.newest.gathering.state is GatheringState.NEW and self._held is None:
            self.gather()
            self._held = []

    def gather(self) -> None:
        """Start gathering for the newest generation, once."""
        held, self._held = self._held, None
        if held is not None:
            self._tasks.loop.call_soon(self._tell_gathering, self.engine.newest, held)
            return
        if self.state is not IceState.CLOSED and self.engine.begin_gathering():
            generation = self.engine.newest
            self._gathering[generation.ufrag] = GatheringState.GATHERING
            self._tasks.loop.call_soon(self._tell_gathering, generation, None)

    def _tell_gathering(self, generation: Generation, held: list[IceEvent] | None) -> None:
        """Say that candidates are looked for, and do so in the next turn: the transports of one description
        are all at it before the first has finished, so that their sum does not go to and fro."""
        if self.engine.generation(generation.ufrag) is not generation or self.state is IceState.CLOSED:
            return
        if self._held is None:
            self.observer.on_ice_gathering(GatheringState.GATHERING)
        if held is None:
            self._tasks.loop.call_soon(self._gather, generation)
        else:
            self._tasks.loop.call_soon(self._tell_held, held)

    def _tell_held(self, held: list[IceEvent]) -> None:
        for event in held:
            if not self._is_over:  # a handler may have closed us
                self._told(event)
        self.wake()

    def _gather(self, generation: Generation) -> None:
        if self.engine.generation(generation.ufrag) is not generation:
            return  # a handler has closed us: no socket is opened any more
        sources = self._sources[generation.ufrag] = Sources(self, generation)
        try:
            self._addresses.watch(self.network)
            if sources.begin():
                self._tasks.run(self._ask(sources, generation))
            else:
                self.engine.end_of_sources(generation)
        except Exception as exc:  # a fault of ours, or of a network that the application has installed
            self.on_fault(exc)
        self.pump(monotonic())

    def _on_addresses(self, gone: frozenset[str], back: frozenset[str]) -> None:
        if self.is_broken or self.state is IceState.CLOSED:
            return
        now = monotonic()
        try:
            self.engine.addresses_changed(gone, back, now)
        except Exception as exc:  # a fault of ours ends this agent alone
            self.on_fault(exc)
        self.pump(now)

    async def _ask(self, sources: Sources, generation: Generation) -> None:
        await sources.ask()
        self.engine.end_of_sources(generation)
        self.pump(monotonic())

    def configure(self, config: IceConfig) -> None:
        """Settings that count from the next gathering on."""
        self.config = config
        self.engine.configure(config)

    def restart(self, ufrag: str | None = None, pwd: str | None = None) -> None:
        """Make a new generation with new credentials. The active pair stays in use until it is
        replaced; a second restart before that replaces the first one's generation."""
        if self.state is not IceState.CLOSED:
            self.engine.restart(ufrag, pwd, monotonic())
            self._gathering[self.ufrag] = GatheringState.NEW
            self.wake()

    def cancel_restart(self) -> None:
        """Drop a generation that `restart` made and that has no pair yet; the old one goes on."""
        self.engine.cancel_restart(monotonic())
        self.wake()

    def start(self, ufrag: str, pwd: str, *, controlling: bool, remote_is_lite: bool = False) -> None:
        """Start checks of the newest generation against the peer's credentials, once.

        Args:
            ufrag, pwd: the peer's.
            controlling: this end's role, where the agent has not learnt better from a conflict.
            remote_is_lite: the peer answers checks but makes none.
        """
        now = monotonic()
        self.engine.start(ufrag, pwd, controlling=controlling, remote_is_lite=remote_is_lite, now=now)
        self._transmit(now)
        self.wake()

    def start_anew(self, ufrag: str, pwd: str, *, remote_is_lite: bool = False) -> None:
        """Another peer has answered in place of the one before; see `AnyIceAgent`."""
        now = monotonic()
        self._routes.clear()  # what the one before sends is nobody's any more
        self.engine.start_anew(ufrag, pwd, remote_is_lite=remote_is_lite, now=now)
        self._transmit(now)
        self.wake()

    def add_remote_candidate(self, candidate: Candidate) -> None:
        """Take a trickled candidate of the peer's newest generation."""
        if self.state is IceState.CLOSED:
            return
        logger.debug("%s: remote candidate %s", self.name, candidate)
        wanted = self.config.options.remote_candidate_filter
        if wanted is not None and not wanted(candidate):
            self.engine.counters.candidates += 1
        elif is_literal(candidate.address):
            now = monotonic()
            self.engine.add_remote_candidate(candidate, (candidate.address, candidate.port), now)
            self._transmit(now)
            self.wake()
        elif self._lookups.takes(candidate, self.config):
            found = partial(self._on_address, candidate, self.engine.newest)
            self._tasks.run(self._lookups.look_up(self.network, candidate, self.ufrag, found))
        else:
            self.engine.counters.candidates += 1

    def _on_address(self, candidate: Candidate, generation: Generation, address: str | None) -> None:
        """A candidate's name was looked up."""
        if address is None or generation is not self.engine.newest:
            self.engine.counters.candidates += 1
        else:
            self.engine.add_remote_candidate(candidate, (address, candidate.port), monotonic())
        self.pump(monotonic())

    def end_of_remote_candidates(self) -> None:
        """The peer's newest generation is complete."""
        self._lookups.when_done(self.ufrag, partial(self._end_remote, self.engine.newest))

    def _end_remote(self, generation: Generation) -> None:
        if generation is self.engine.newest:
            self.engine.end_of_remote_candidates()
            self.wake()

    # -- pairs of the application's choice --------------------------------------------------------

    def hold_nominations(self) -> None:
        """From now on nominate no pair without a word; see `AnyIceAgent`."""
        self.engine.hold_nominations()

    def answer_nomination(self, pair: PairKey, *, accepted: bool) -> None:
        """Say whether a pair that was proposed may be nominated; see `AnyIceAgent`."""
        self._with(pair, partial(self.engine.answer, accepted=accepted))

    def select_pair(self, pair: PairKey) -> bool:
        """Have packets take a pair; see `AnyIceAgent`."""
        return bool(self._with(pair, self.engine.select))

    def remove_pair(self, pair: PairKey) -> None:
        """Forget a pair for good; see `AnyIceAgent`."""
        self._with(pair, self.engine.remove)

    def _with(self, key: PairKey, act: Callable[[Pair, float], bool | None]) -> bool | None:
        """Do something with a pair, if there is one with this key; what comes of it is told later."""
        if self.is_broken or self.state is IceState.CLOSED:
            return None
        now = monotonic()
        result = None
        try:
            pair = self.engine.find_pair(*key)
            if pair is not None:
                result = act(pair, now)
            self._transmit(now)
        except Exception as exc:  # a fault of ours ends this agent alone
            self.on_fault(exc)
        self.wake()
        return result

    def send_runs(self, runs: list[Run]) -> None:
        """Send packets on the selected pair; dropped when there is none, or consent has ended."""
        if self.is_broken:
            return
        engine = self.engine
        now = monotonic()
        route = engine.route(runs, now)
        if route is None:
            return
        path, address, out = route
        pair = engine.selected
        assert pair is not None
        carrier = self._carriers.get(path)
        if carrier is None or carrier.is_full:
            for run in runs:
                pair.packets_discarded += run.datagram_count
                pair.bytes_discarded += len(run.data)
            return
        carrier.send_runs(out, address)
        pair.data_sent_at = now
        for data, segment in runs:
            pair.packets_sent += -(-len(data) // segment)
            pair.bytes_sent += len(data)
        if out is not runs:
            self._arm()  # a relay may have been asked for a channel

    @property
    def _is_over(self) -> bool:
        return self._closing is not None or self._is_released

    def abandon(self) -> asyncio.Task[None] | None:
        """Close at once.

        Returns:
            The task that ends when the agent's tasks have, and with them the last socket; None where
            the agent's loop does not run: everything is released then.
        """
        if self._is_over:
            return self._closing
        self.state = IceState.CLOSED
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._addresses.stop()
        if self._tasks.is_loop_open and not self.is_broken:
            self._say_goodbye(monotonic())
        self._close_carriers()
        if self._tasks.is_in_loop:
            self._closing = self._tasks.loop.create_task(self._close())
            return self._closing
        self._is_released = True
        self._tasks.cancel()
        self._addresses.withdraw()
        return None

    def _say_goodbye(self, now: float) -> None:
        try:
            self.engine.close(now)
            self._transmit(now)
        except Exception as exc:  # a fault of ours: the sockets are released all the same
            logger.error("%s: a fault while closing", self.name, exc_info=exc)

    def _close_carriers(self) -> None:
        for path in list(self._carriers):
            self._close_carrier(path)
        self._routes.clear()

    def _close_carrier(self, path: int) -> None:
        carrier = self._carriers.pop(path, None)
        if carrier is not None:
            try:
                carrier.close()
            except Exception as exc:  # of a network that the application has installed: the others are closed
                logger.error("%s: a socket does not close: %r", self.name, exc)

    def fail(self, reason: str) -> None:
        """The engine cannot be relied on any more, for a fault of ours: "failed", for good.

        Args:
            reason: for the log.
        """
        if self.is_broken or self.state is IceState.CLOSED:
            return
        self.is_broken = True
        self.state = IceState.FAILED
        logger.error("%s: given up: %s", self.name, reason)
        self._addresses.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._close_carriers()
        self._told(StateChanged(IceState.FAILED))
        if self._gathering.get(self.ufrag) is GatheringState.GATHERING:
            self._told(GatheringDone(self.ufrag))  # nothing more will come, and who waits for it is to know

    def on_fault(self, exc: BaseException) -> None:
        """The engine raised."""
        logger.error("%s: a fault in ICE", self.name, exc_info=exc)
        self.fail(f"an internal fault in ICE: {exc!r}")

    async def close(self) -> None:
        """Close, and wait until every socket and task is gone."""
        task = self.abandon()
        if task is not None:
            await asyncio.shield(task)

    async def _close(self) -> None:
        self._tasks.cancel()
        await self._tasks.wait()
        self._addresses.withdraw()

    # -- carriers ---------------------------------------------------------------------------------

    def keep(self, path: int, carrier: Carrier) -> None:
        """A carrier was opened for this path."""
        self._carriers[path] = carrier

    def on_stun(self, path: int, data: bytes, address: Address, now: float) -> None:
        """A STUN message came in."""
        if self.is_broken:
            return
        try:
            self.engine.receive((Arrival(path, address, data),), now)
        except Exception as exc:  # a fault of ours ends this agent alone
            self.on_fault(exc)
        self.pump(now)

    def on_relayed(
        self, path: int, address: Address, runs: list[Run], now: float, arrived: list[float] | None = None
    ) -> None:
        """A relay's server has sent something; see `rtcstack.ice.carriers.StreamOwner`."""
        if self.is_broken:
            return
        try:
            relayed = self.engine.receive_relayed(path, address, runs, now, arrived)
        except Exception as exc:  # a fault of ours ends this agent alone
            self.on_fault(exc)
            return
        self.pump(now)
        for news in self.relay_news:
            news.set()
        self._routes.hand_on(relayed, now)

    def receiver(self, path: int, address: Address) -> Route | None:
        """Who takes packets that are not STUN from there."""
        return self._routes.find(path, address)

    def on_tcp_accepted(self, listener: int, carrier: TcpCarrier, peer: Address) -> int | None:
        """A peer has connected to a path that listens; see `TcpOwner`."""
        path = None if self.state is IceState.CLOSED else self.engine.tcp_accepted(listener, peer)
        if path is None:
            return None
        self._carriers[path.id] = carrier
        return path.id

    async def _connect(self, event: ConnectTcp) -> None:
        reason = "the peer did not answer"
        carrier = None
        try:
            async with asyncio.timeout(self.config.gather_timeout_s):
                carrier = await connect_tcp(self.network, self, event.path, event.local, event.remote)
        except TimeoutError:
            pass
        except OSError as exc:
            reason = str(exc)
        now = monotonic()
        if carrier is None:
            self.engine.lose_path(event.path, reason, now)
        elif self.engine.path(event.path) is None:
            carrier.close()
        else:
            self._carriers[event.path] = carrier
            assert carrier.stream is not None
            self.engine.tcp_connected(event.path, carrier.stream.sockname, now)
        self.pump(now)

    def heard(self, pair: Pair | None, now: float) -> None:
        """Packets came from the peer, on this pair if it is known."""
        engine = self.engine
        before = engine.selected
        try:
            engine.heard(pair, now)
        except Exception as exc:  # a fault of ours ends this agent alone
            self.on_fault(exc)
        if self.state is IceState.DISCONNECTED or engine.selected is not before:
            self.pump(now)

    def on_carrier_lost(self, path: int, reason: str) -> None:
        """A stream to a relay has ended."""
        now = monotonic()
        self._carriers.pop(path, None)
        self.engine.lose_path(path, reason, now)
        self.pump(now)

    # -- the pump ---------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something may have happened inside a call in: tell it from the loop, soon."""
        if not self._woken and not self._pumping and self.state is not IceState.CLOSED:
            self._woken = True
            self._tasks.loop.call_soon(self._on_woken)

    def _on_woken(self) -> None:
        self._woken = False
        self.pump(monotonic())

    def _transmit(self, now: float) -> None:
        for path, address, data in self.engine.drain(now):
            carrier = self._carriers.get(path)
            if carrier is not None:
                carrier.send(data, address)

    def pump(self, now: float) -> None:
        """Send what is due, tell what happened, set the timer."""
        if self._pumping or self.is_broken or self.state is IceState.CLOSED:
            return
        self._pumping = True
        try:
            self._transmit(now)
            while events := self.engine.events():
                for event in events:
                    if self._held is not None and isinstance(event, _OF_GATHERING):
                        self._held.append(event)
                    else:
                        self._told(event)
                    if self._is_over:
                        return
                self._transmit(now)
            self._arm()
        except Exception as exc:  # a fault of ours ends this agent alone
            self.on_fault(exc)
        finally:
            self._pumping = False

    def _told(self, event: IceEvent) -> None:
        """Tell one event; what whoever is told raises loses none of the others."""
        try:
            self._tell(event)
        except Exception as exc:  # a fault of ours, in what was told
            logger.error("%s: a fault while telling %s", self.name, event, exc_info=exc)

    def _tell(self, event: IceEvent) -> None:
        observer = self.observer
        match event:
            case StateChanged(state):
                self.state = state
                logger.info("%s: %s", self.name, state)
                if state in (IceState.FAILED, IceState.DISCONNECTED):
                    logger.info("%s: %s", self.name, explain(self.engine))
                observer.on_ice_path(state, None)
            case PairSelected(pair, state):
                self.selected_pair = None if pair is None else _view(pair)
                self.state = state or self.state
                logger.info("%s: %s, packets take %s", self.name, self.state, pair)
                observer.on_ice_path(state, self.selected_pair, is_unselected=pair is None)
            case PairAdded(pair):
                observer.on_ice_pair(PairNews.ADDED, _view(pair))
            case PairRemoved(pair):
                observer.on_ice_pair(PairNews.REMOVED, _view(pair))
            case PairProposed(pair):
                observer.on_ice_pair(PairNews.PROPOSED, _view(pair))
            case ChoiceEnded(pair, works):
                observer.on_ice_pair(PairNews.CHOSEN if works else PairNews.NOT_CHOSEN, _view(pair))
            case CandidateFound(ufrag, candidate, server):
                logger.debug("%s: local candidate %s", self.name, candidate)
                observer.on_ice_candidate(candidate, ufrag, server)
            case GatheringDone(ufrag):
                self._gathering[ufrag] = GatheringState.COMPLETE
                if ufrag == self.ufrag:
                    observer.on_ice_gathering(GatheringState.COMPLETE)
            case RelayLost(server, relayed, code, text):
                logger.warning(
                    "%s: the relay %s of %s is lost: %d %s", self.name, relayed, server.url, code, text
                )
                self._routes.forget_paths()
            case ServerFailed(server, local, code, text):
                logger.info("%s: %s from %s: %d %s", self.name, server.url, local, code, text)
                observer.on_ice_server_error(server, local, code, text)
            case ConnectTcp():
                self._tasks.run(self._connect(event))
            case PathsReleased(paths):
                self._release(paths)
            case RelayMoved(ufrag):
                sources = self._sources.get(ufrag)
                if sources is not None:
                    self._tasks.run(sources.follow(event))

    def _release(self, paths: tuple[int, ...]) -> None:
        for path in paths:
            self._close_carrier(path)
        self._routes.forget_paths()
        for ufrag in [u for u in self._gathering if self.engine.generation(u) is None]:
            del self._gathering[ufrag]
            self._sources.pop(ufrag, None)

    def _arm(self) -> None:
        due = self.engine.next_timeout()
        if due is None:
            return
        # A timer that rings early costs a look; one that is moved for every packet costs 2 us each.
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._tasks.loop.call_later(max(0.0, due - monotonic()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self.is_broken or self.state is IceState.CLOSED:
            return
        now = monotonic()
        try:
            due = self.engine.next_timeout()
            if due is None or due > now:
                self._arm()
                return
            self.engine.handle_timeout(now)
        except Exception as exc:  # a fault of ours ends this agent alone
            self.on_fault(exc)
        self.pump(now)
