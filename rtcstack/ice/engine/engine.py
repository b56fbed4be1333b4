"""The ICE agent of one transport, as an engine. One question: which pair do packets take, in which state?

A restart makes a second generation with its own credentials, paths and checks; packets keep taking
the first one's pair until the second has a nominated pair of its own. The first is kept a while
longer for what is still on its way.

Spec: RFC 8445, RFC 8838, RFC 7675; webrtc-pc, section 5.6 (states).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from rtcstack.engine import Run
from rtcstack.entropy import random_bytes
from rtcstack.errors import ParseError
from rtcstack.ice.config import IceConfig
from rtcstack.ice.engine.checks import Check, Request
from rtcstack.ice.engine.core import Core
from rtcstack.ice.engine.doorkeeper import Doorkeeper
from rtcstack.ice.engine.events import (
    Arrival,
    IceCounters,
    IceEvent,
    PairSelected,
    PathsReleased,
    RelayedArrival,
    StateChanged,
    Transmit,
)
from rtcstack.ice.engine.generation import Generation
from rtcstack.ice.engine.liveness import Liveness
from rtcstack.ice.engine.pair import Pair, PairState, Path
from rtcstack.ice.states import GatheringState, IceState
from rtcstack.ice.stun import Address, Attribute, Class, Method, StunMessage
from rtcstack.refusals import Refusals
from rtcstack.sdp.candidate import Candidate

__all__ = ["IceEngine"]

LINGER_S = 5.0
"""How long a generation that was replaced still takes what the peer sent to it."""

MAX_LINGERING = 4
"""Generations that linger; a restart beyond ends the oldest one at once."""

_CONNECTED = (IceState.CONNECTED, IceState.COMPLETED)


class IceEngine:
    """Finds and keeps a path to one peer.

    Beside the five verbs there is what the shell provides (sockets, servers' addresses) and what
    signalling brings. Datagrams come with the path they took, and leave so.

    Args:
        config: see `IceConfig`.
        ufrag, pwd: local credentials of the first generation, or None for random ones.
        entropy: gives that many random bytes.
    """

    def __init__(
        self,
        config: IceConfig,
        *,
        ufrag: str | None = None,
        pwd: str | None = None,
        entropy: Callable[[int], bytes] = random_bytes,
    ) -> None:
        self._core = Core(config, entropy)
        self.refusals = Refusals()
        """What was refused of the messages that came, by the reason."""
        self.state = IceState.NEW
        self.newest = Generation(self._core, ufrag, pwd)
        self.active = self.newest
        self._agreed = self.newest
        self.selected: Pair | None = None
        self.selected_changes = 0
        self._by_ufrag = {self.newest.ufrag: self.newest}
        self._doorkeeper = Doorkeeper(self._core, self._by_ufrag, self.refusals)
        self._liveness = Liveness(self._core)
        self._lingering: list[tuple[float, Generation]] = []
        self._closed = False

    # -- what is known ----------------------------------------------------------------------------

    @property
    def controlling(self) -> bool:
        """Whether this end nominates."""
        return self._core.controlling

    @property
    def counters(self) -> IceCounters:
        """What was dropped."""
        return self._core.counters

    @property
    def config(self) -> IceConfig:
        """The settings."""
        return self._core.config

    def configure(self, config: IceConfig) -> None:
        """Other settings: servers and policies count from the next gathering on, times at once."""
        self._core.config = config

    def path(self, identifier: int) -> Path | None:
        """The path with this id, while it is in use."""
        return self._core.paths.get(identifier)

    def transaction_ids(self) -> list[bytes]:
        """Of the requests that wait for answers."""
        return self._core.transactions.ids()

    def find_pair(self, path: int, remote: Address) -> Pair | None:
        """The pair with these ends."""
        known = self._core.paths.get(path)
        if known is None:
            return None
        for generation in self._by_ufrag.values():
            pair = generation.checklist.find(known, remote) or generation.choice.removed(known, remote)
            if pair is not None:
                return pair
        return None

    def accepts_from(self, remote: Address) -> bool:
        """Whether packets that are not STUN are taken from there (RFC 8445, section 12.2)."""
        return any(generation.accepts(remote) for generation in self._by_ufrag.values())

    # -- gathering --------------------------------------------------------------------------------

    def begin_gathering(self) -> bool:
        """Begin to gather for the newest generation; False when it has begun before."""
        gathering = self.newest.gathering
        if gathering.state is not GatheringState.NEW or self._closed:
            return False
        gathering.state = GatheringState.GATHERING
        return True

    def generation(self, ufrag: str) -> Generation | None:
        """The generation with this local ufrag, while it is in use."""
        return self._by_ufrag.get(ufrag)

    def add_socket(
        self,
        generation: Generation,
        address: Address,
        preference: int,
        now: float,
        *,
        transport: str = "udp",
        tcp_type: str | None = None,
        interface: str | None = None,
        name: str | None = None,
        to_relay: bool = False,
    ) -> Path:
        """The shell has a socket for a generation; see `Gathering.add_socket`."""
        path = generation.gathering.add_socket(
            address,
            preference,
            now,
            transport=transport,
            tcp_type=tcp_type,
            interface=interface,
            name=name,
            to_relay=to_relay,
        )
        self._after(now)
        return path

    def tcp_connected(self, identifier: int, local: Address, now: float) -> None:
        """A connection that was wanted (`ConnectTcp`) stands."""
        path = self._core.paths.get(identifier)
        if path is not None:
            path.address = local
            for generation in list(self._by_ufrag.values()):
                if path in generation.gathering.paths:
                    generation.on_connected(path, now)
        self._after(now)

    def tcp_accepted(self, identifier: int, peer: Address) -> Path | None:
        """A peer has connected to the path that listens; None when there is no room for it."""
        place = self._core.paths.get(identifier)
        for generation in self._by_ufrag.values():
            if place is not None and place in generation.gathering.paths:
                return generation.gathering.accept(place, peer)
        return None

    def lose_path(self, identifier: int, reason: str, now: float) -> None:
        """A socket or connection has come to its end."""
        path = self._core.paths.get(identifier)
        if path is None:
            return
        for generation in list(self._by_ufrag.values()):
            if path in generation.gathering.paths:
                generation.gathering.lose_path(path, reason, now)
        self._after(now)

    def addresses_changed(self, gone: Collection[str], back: Collection[str], now: float) -> None:
        """This machine has lost addresses, or has some that it had not: no pair of a lost one is waited for.

        A path stays, for the address may come back. If it was there all the time, as the peer's word on it
        proves, it counts as there.
        """
        if self._closed:
            return
        for path in self._core.paths.values():
            if path.relay is None and path.address[0] in gone:
                path.is_gone = True
            elif path.relay is None and path.address[0] in back:
                path.is_gone = False
        for generation in list(self._by_ufrag.values()):
            generation.on_addresses(back, now)
        if back and self.state is IceState.DISCONNECTED:
            self._liveness.revive(self.active, now)
        self._after(now)

    def end_of_sources(self, generation: Generation) -> None:
        """The shell has nothing more to give to a generation's gathering."""
        generation.gathering.end_of_sources()
        self._maybe_over()

    # -- signalling -------------------------------------------------------------------------------

    def start(self, ufrag: str, pwd: str, *, controlling: bool, remote_is_lite: bool, now: float) -> None:
        """Start the newest generation's checks against the peer's credentials, once.

        Args:
            ufrag, pwd: the peer's.
            controlling: this end's role, where no conflict has taught better.
            remote_is_lite: the peer answers checks but makes none.
            now: the time.
        """
        generation = self.newest
        if generation.started_at is not None or self._closed:
            return
        core = self._core
        if not core.has_role:  # a restart keeps what a conflict may have settled (RFC 8445, section 9)
            core.has_role = True
            core.controlling = (controlling or remote_is_lite) and not core.config.options.lite
        if self.state in (IceState.FAILED, IceState.DISCONNECTED):
            self._set_state(IceState.CHECKING)
        if self._agreed not in (self.active, generation):
            self._end(self._agreed, now)  # it was on its way, and is replaced
        self._agreed = generation
        generation.start(ufrag, pwd, remote_is_lite=remote_is_lite, now=now)
        self._after(now)

    def start_anew(self, ufrag: str, pwd: str, *, remote_is_lite: bool, now: float) -> None:
        """Another peer has answered what the one before had answered provisionally: the newest generation's
        checks begin again, and nothing of the former peer counts any more. Our candidates stay, and the role.

        Args:
            ufrag, pwd: the other peer's.
            remote_is_lite: it answers checks but makes none.
            now: the time.

        Spec: RFC 9429, section 5.10 ("discard any previous ICE checklist state").
        """
        generation = self.newest
        if generation.started_at is None or self._closed:
            self.start(ufrag, pwd, controlling=True, remote_is_lite=remote_is_lite, now=now)
            return
        released = generation.forget_peer(now)
        if released:
            self._core.events.append(PathsReleased(released))
        if generation is self.active and self.state is not IceState.NEW:
            was_selected, self.selected = self.selected is not None, None
            self.selected_changes += was_selected
            self._liveness.rest()
            self._set_state(IceState.CHECKING, None, is_unselected=was_selected)
        generation.start(ufrag, pwd, remote_is_lite=remote_is_lite, now=now)
        self._after(now)

    def add_remote_candidate(self, candidate: Candidate, address: Address, now: float) -> bool:
        """Take a candidate of the peer's newest generation.

        Args:
            candidate: as signalled.
            address: where it is, with a name resolved.
            now: the time.

        Returns:
            Whether it is of use.
        """
        taken = not self._closed and self.newest.add_remote(candidate, address, now)
        if not taken:
            self._core.counters.candidates += 1
        self._after(now)
        return taken

    def end_of_remote_candidates(self) -> None:
        """The peer's newest generation is complete."""
        self.newest.end_remote()
        self._maybe_over()

    def nominate(self, pair: Pair, now: float) -> None:
        """Have packets take this valid pair; only the controlling agent may.

        A pair of a lower priority than the nominated one needs `IceConfig.renomination` at both ends
        (or a peer that takes the latest nomination for the valid one, as browsers do).
        """
        if self._core.controlling and pair.state is PairState.SUCCEEDED and not self._closed:
            self.active.selection.nominate(pair, now)

    def hold_nominations(self) -> None:
        """From now on a pair is nominated with the application's word only: `PairProposed` asks for it,
        `answer` gives it. Packets do not wait, and take the best pair that works."""
        self._core.holds_nominations = True

    def answer(self, pair: Pair, now: float, *, accepted: bool) -> None:
        """Say whether a pair may be nominated that was proposed.

        A pair that may not is not proposed again, unless it is selected; a better one is. The word on a pair
        that is no longer proposed is not heard.
        """
        generation = self._home_of(pair)
        if generation is not None:
            generation.selection.answer(pair, now, accepted=accepted)
            self._after(now)

    def select(self, pair: Pair, now: float) -> bool:
        """Have packets take this pair, and stay on it while it works, whatever its priority.

        At once, if a check was answered lately; otherwise when one is. `ChoiceEnded` tells what came of it,
        once. The controlling agent then nominates it: 3 s after the last nomination at the earliest (without
        renomination), for sooner a peer may take it for one of several. A controlled agent's packets take it
        until the peer nominates another pair than before.

        Returns:
            Whether it is a pair of a generation in use.
        """
        generation = self._home_of(pair)
        if generation is None:
            return False
        for each in self._by_ufrag.values():
            if each is not generation:
                each.choice.end(works=False)
        generation.selection.choose(pair, now)
        self._after(now)
        return True

    def remove(self, pair: Pair, now: float) -> None:
        """Forget a pair for good: no check is made or answered on it any more, and no packet takes it.

        If packets took it, another one that works takes over at once; without any, the state is "checking"
        again.
        """
        generation = self._home_of(pair)
        if generation is None:
            return
        generation.remove(pair, now)
        if pair is self.selected:
            self.selected = None
            if generation.selected is None:
                self.selected_changes += 1
                self._set_state(IceState.CHECKING, None, is_unselected=True)
        self._after(now)

    def _home_of(self, pair: Pair) -> Generation | None:
        """The generation in use that has this pair."""
        if self._closed:
            return None
        generations = self._by_ufrag.values()
        return next((g for g in generations if g.is_in_use and pair in g.checklist), None)

    def restart(self, ufrag: str | None, pwd: str | None, now: float) -> None:
        """Make a new generation. The active pair stays in use until it is replaced; a second restart before
        the peer has answered the first one replaces its generation.

        "completed" becomes "connected", for there is more to gather and to check; what else a restart does
        to the state, it does with the peer's word (`start`), for an offer may be taken back.
        """
        if self._closed:
            return
        if self.state is IceState.COMPLETED:
            self._set_state(IceState.CONNECTED)
        if self.newest is not self._agreed:
            self._end(self.newest, now)
        self.newest = Generation(self._core, ufrag, pwd)
        self._by_ufrag[self.newest.ufrag] = self.newest

    def cancel_restart(self, now: float) -> None:
        """Drop a generation that `restart` made and the peer has not answered; the one before goes on."""
        if self.newest is not self._agreed and not self._closed:
            self._end(self.newest, now)
            self.newest = self._agreed
            self._maybe_over()

    def close(self, now: float) -> None:
        """Give back what servers hold for us; what leaves for that is in the last `drain`."""
        if self._closed:
            return
        self._closed = True
        self.state = IceState.CLOSED
        for generation in list(self._by_ufrag.values()):
            self._end(generation, now)
        self._lingering.clear()

    # -- the five verbs ---------------------------------------------------------------------------

    def receive(self, datagrams: Sequence[Arrival], now: float) -> None:
        """Take STUN messages that arrived together."""
        if self._closed:
            return
        for path_id, remote, data in datagrams:
            path = self._core.paths.get(path_id)
            if path is None:
                self._core.counters.unexpected += 1
                continue
            try:
                self._on_message(path, remote, StunMessage(data), now)
            except ParseError as error:
                self._core.counters.malformed += 1
                self.refusals.add("stun", error.reason, data)
        self._after(now)

    def receive_relayed(
        self,
        via: int,
        remote: Address,
        runs: Sequence[Run],
        now: float,
        arrived: Sequence[float] | None = None,
    ) -> list[RelayedArrival]:
        """Take what came from a TURN server: as runs of datagrams, or as pieces of a stream.

        Args:
            via: the path to the server.
            remote: the server.
            runs: what came.
            now: the time.
            arrived: when each of `runs` reached this machine; None when all of them just have.

        Returns:
            What peers have sent through it that is not STUN.
        """
        relayed: list[RelayedArrival] = []
        for generation in () if self._closed else list(self._by_ufrag.values()):
            paths = generation.gathering.relays.serving(via, remote)
            if not paths:
                continue
            path = paths[0]
            client = path.relay
            assert client is not None
            client.receive_runs(runs, now, arrived)
            stun: list[Arrival] = []
            for peer, data, at in client.received():
                identifier = path.id
                if len(paths) > 1 and (":" in peer[0]) is not (":" in path.address[0]):
                    identifier = paths[1].id
                if not data:
                    self._core.counters.unexpected += 1  # whatever it is: nobody here sends any
                elif data[0] < 4:
                    stun.append(Arrival(identifier, peer, data))
                elif self.accepts_from(peer):
                    relayed.append(RelayedArrival(identifier, peer, data, at))
                else:
                    self._core.counters.unexpected += 1
            generation.gathering.relays.take_events(path, now)
            if stun:
                self.receive(stun, now)
            else:
                self._after(now)
            break
        else:
            self._core.counters.unexpected += 1
        return relayed

    def heard(self, pair: Pair | None, now: float) -> None:
        """Packets that are not STUN came from the peer: it is not silent.

        Args:
            pair: on which they came, if that is known.
            now: the time.
        """
        selected = self.selected
        if selected is None:
            return
        if pair is None:
            pair = selected
        pair.heard_at = now
        if pair is not selected:
            if self._liveness.is_suspect(selected, now):
                self._follow(pair, now)
        elif self.state is IceState.DISCONNECTED:
            self._after(now)

    def _follow(self, pair: Pair, now: float) -> None:
        """The peer speaks on another pair, and the selected one is silent.

        So it is when a NAT on the peer's side has given it another port: its own checks are answered, and
        ours go nowhere.
        """
        generation = self.active
        if pair.state is not PairState.SUCCEEDED or pair not in generation.checklist:
            return
        generation.selection.follow(pair, now)
        self._after(now)

    def handle_timeout(self, now: float) -> None:
        """Do what is due: checks, repetitions, consent, giving up."""
        if self._closed:
            return
        core = self._core
        again, over = core.transactions.take_due(now)
        for transaction in again:
            path = core.paths.get(transaction.path)
            if path is not None:
                if isinstance(transaction.owner, Check):
                    transaction.owner.pair.requests_sent += 1
                core.transmit(path, transaction.remote, transaction.data, now)
        generations = list(self._by_ufrag.values())
        for transaction in over:
            transaction.owner.on_silence(now)
        for generation in generations:
            generation.handle_timeout(now)
        while self._lingering and self._lingering[0][0] <= now:
            self._end(self._lingering.pop(0)[1], now)
        self._after(now)
        self._tick(now)

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is due."""
        if self._closed:
            return None
        times = [self._core.transactions.next_timeout(), self._tick_due()]
        times += [generation.next_timeout() for generation in self._by_ufrag.values()]
        if self._lingering:
            times.append(self._lingering[0][0])
        return min((t for t in times if t is not None), default=None)

    def drain(self, now: float) -> list[Transmit]:
        """Take what is to be sent now."""
        out, self._core.out = self._core.out, []
        return out

    def events(self) -> list[IceEvent]:
        """Take what happened, oldest first."""
        events, self._core.events = self._core.events, []
        return events

    # -- packets ----------------------------------------------------------------------------------

    def route(self, runs: Sequence[Run], now: float) -> tuple[int, Address, Sequence[Run]] | None:
        """Where packets for the peer go.

        Returns:
            The path (a socket or a connection, never a relay), the address and the runs, wrapped
            for a relay if there is one; None when nothing may be sent.
        """
        pair = self.selected
        if pair is None or self.state in (IceState.FAILED, IceState.CLOSED):
            return None
        path = pair.path
        relay, via, server = path.relay, path.via, path.server
        if relay is None:
            return path.id, pair.remote.address, runs
        assert via is not None
        assert server is not None
        return via.id, server, relay.send_runs(runs, pair.remote.address, now)

    # -- messages ---------------------------------------------------------------------------------

    def _on_message(self, path: Path, remote: Address, message: StunMessage, now: float) -> None:
        core = self._core
        if message.method != Method.BINDING:
            core.counters.unexpected += 1
            self.refusals.add("stun", "not a binding", message.data)
        elif message.kind == Class.REQUEST:
            admitted = self._doorkeeper.admit(path, remote, message, now)
            if admitted is not None:
                self._is_proved(path, now)
                self._on_check(*admitted, path, remote, now)
        elif message.kind != Class.INDICATION:
            transaction = core.transactions.get(message.transaction_id)
            if transaction is None or transaction.path != path.id:
                core.counters.unexpected += 1
                return
            owner = transaction.owner
            if isinstance(owner, Check) and not message.is_authentic(owner.key):
                core.counters.unauthenticated += 1
                # An error is without where the peer does not know the credentials yet (RFC 8489,
                # section 9.1.3): the check is repeated.
                if message.kind != Class.ERROR or Attribute.MESSAGE_INTEGRITY in message:
                    self.refusals.add("stun", "an answer that is not authentic", message.data)
                return
            core.transactions.remove(message.transaction_id)
            self._is_proved(path, now)
            if remote == transaction.remote:
                owner.on_answer(message, transaction.sends, transaction.sent_at, now)
            else:
                # an answer from elsewhere tells of a path that works in one direction only
                # (RFC 8445, section 7.2.5.2.1)
                owner.on_silence(now)

    def _on_check(
        self, generation: Generation, request: Request, path: Path, remote: Address, now: float
    ) -> None:
        """A check of the peer's, which was answered."""
        if path not in generation.gathering.paths and path.relay is None:
            self._core.counters.unexpected += 1
        elif request.ufrag != generation.remote_ufrag:
            # nobody's yet, or another's than the one whose answer we have: its own may still come
            generation.hold_early(path, remote, request)
        else:
            generation.on_request(path, remote, request, now)

    def _is_proved(self, path: Path, now: float) -> None:
        """The peer, or a server, has spoken on a path: its address is there, whatever was said."""
        if not path.is_here:
            self.addresses_changed((), ((path.via or path).address[0],), now)

    # -- selection and states ---------------------------------------------------------------------

    def _after(self, now: float) -> None:
        """Something may have changed: take up what the generations have selected."""
        if self.selected is None:
            self._look_for_work()
        if self.selected is not None and not self._core.is_usable(self.selected.path):
            self._on_selected_lost(now)
        for generation in list(self._by_ufrag.values()):
            generation.make_check(now)
            if generation.selection.is_changed:
                generation.selection.is_changed = False
                self._on_selection(generation, now)
            choice = generation.choice
            if choice.is_open and choice.is_taken and choice.pair is self.selected:
                choice.end(works=True)
        if self._is_well(now):
            self.active.selection.reviving = False
            self._set_state(IceState.CONNECTED)
        self._maybe_over()

    def _is_well(self, now: float) -> bool:
        """Whether the selected pair, that was silent, is heard again."""
        selected = self.selected
        return (
            self.state is IceState.DISCONNECTED
            and selected is not None
            and self._liveness.is_heard(selected, now)
        )

    def _look_for_work(self) -> None:
        """Without any pair that works yet: "checking" while there is one to be checked; "disconnected" when
        all that there are have failed, and others may still come."""
        generation = self.newest
        if generation.started_at is None or not generation.remotes:
            generation = self.active  # a restart that the peer has not answered: the one before goes on
        if generation.started_at is None or not generation.remotes:
            return
        has_failed = generation.has_failed
        if self.state is IceState.CHECKING and has_failed and not self._has_all:
            self._set_state(IceState.DISCONNECTED)
        elif self.state is IceState.NEW or (self.state is IceState.DISCONNECTED and not has_failed):
            self._set_state(IceState.CHECKING)

    def _on_selected_lost(self, now: float) -> None:
        """The selected pair's socket, relay or address is gone: that is known before it is silent."""
        if self.state not in _CONNECTED or self.active.selected is not self.selected:
            return
        self._set_state(IceState.DISCONNECTED)
        self._liveness.revive(self.active, now)

    def _on_selection(self, generation: Generation, now: float) -> None:
        pair = generation.selected
        assert pair is not None
        is_new = generation is self.newest and self.active is not generation
        if is_new:
            is_wanted = pair.nominated or pair is generation.choice.working
            if not is_wanted and self.state in _CONNECTED:
                return  # the old pair does well; the new one will be nominated
            old, self.active = self.active, generation
        if generation is not self.active:
            return
        is_other = pair is not self.selected
        if is_other:
            self.selected = pair
            self.selected_changes += 1
            self._liveness.on_selected(pair, now)
            if pair.path.relay is not None:
                pair.path.relay.prepare(pair.remote.address, now)
                self._core.flush_relay(pair.path, now)
        self._liveness.begin(now)
        state = self.state
        if self._is_well(now):
            generation.selection.reviving = False
            state = IceState.CONNECTED
        elif state in (IceState.NEW, IceState.CHECKING) or (state is IceState.FAILED and is_new):
            state = IceState.CONNECTED
        self._set_state(state, pair if is_other else None)
        if is_new:
            self._linger(old, now)

    def _linger(self, generation: Generation, now: float) -> None:
        generation.retire()
        generation.unlist_all()
        self._lingering.append((now + LINGER_S, generation))
        if len(self._lingering) > MAX_LINGERING:
            self._end(self._lingering.pop(0)[1], now)

    def _end(self, generation: Generation, now: float) -> None:
        self._by_ufrag.pop(generation.ufrag, None)
        generation.unlist_all()
        paths = generation.close(now)
        if paths:
            self._core.events.append(PathsReleased(paths))

    def _set_state(self, state: IceState, pair: Pair | None = None, *, is_unselected: bool = False) -> None:
        """Tell the state, if it is another one, together with a pair that was selected, or that none is."""
        changed = None if state is self.state else state
        if changed is not None:
            self.state = changed
            if changed is not IceState.DISCONNECTED:
                self._liveness.rest()
        if pair is not None or is_unselected:
            self._core.events.append(PairSelected(pair, changed))
        elif changed is not None:
            self._core.events.append(StateChanged(changed))

    @property
    def _has_all(self) -> bool:
        """Whether the newest generation will get no more candidates, of either end."""
        return self.newest.remote_ended and self.newest.gathering.state is GatheringState.COMPLETE

    def _maybe_over(self) -> None:
        """Without any candidate to wait for: "completed" with a pair, "failed" where there can be none."""
        generation = self.newest
        if not self._has_all:
            return
        if (
            self.state is IceState.CONNECTED
            and generation is self.active
            and self.selected is not None
            and self.selected.nominated
        ):
            generation.gathering.queries.active = False
            self._set_state(IceState.COMPLETED)
        elif (
            self.state in (IceState.NEW, IceState.CHECKING, IceState.DISCONNECTED)
            and self.selected is None
            and generation.started_at is not None
            and generation.gathering.is_empty
        ):
            self._set_state(IceState.FAILED)

    # -- time -------------------------------------------------------------------------------------

    def _fails_at(self) -> float | None:
        """When, as things are, the state will be "failed"."""
        timeout_s = self._core.config.failed_timeout_s
        waits = self.state is IceState.CHECKING or (self.state is IceState.NEW and self._has_all)
        if waits or (self.state is IceState.DISCONNECTED and self.selected is None):
            fed_at = self.newest.fed_at
            return None if fed_at is None else fed_at + timeout_s
        if self.selected is not None and self.state in (*_CONNECTED, IceState.DISCONNECTED):
            since = self.selected.consent_at
            newest = self.newest
            if newest is not self.active and newest.started_at is not None:
                # a restart is on its way to another pair, and has its own time (webrtc-pc, section 5.6)
                since = max(since, newest.started_at)
            return since + timeout_s
        return None

    def _silent_at(self) -> float | None:
        if self.selected is not None and self.state in _CONNECTED:
            return self._liveness.silent_at(self.selected)
        return None

    def _tick_due(self) -> float | None:
        times = [self._fails_at(), self._silent_at()]
        if self.state is not IceState.FAILED:
            times.append(self._liveness.next_timeout())
        return min((t for t in times if t is not None), default=None)

    def _tick(self, now: float) -> None:
        fails_at, silent_at = self._fails_at(), self._silent_at()
        if fails_at is not None and fails_at <= now:
            self._set_state(IceState.FAILED)
            return
        if silent_at is not None and silent_at <= now:
            self._set_state(IceState.DISCONNECTED)
            self._liveness.revive(self.active, now)
            self.newest.selection.is_changed = self.newest.selected not in (None, self.selected)
            self._after(now)
        if self.state is not IceState.FAILED:
            self._liveness.handle_timeout(self.active, self.selected, now)
