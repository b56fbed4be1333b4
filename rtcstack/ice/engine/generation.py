"""One generation of ICE. One question: which of its pairs work, and which of those is nominated?

It has one pair of credentials at each end, its candidates and its checks.

Spec: RFC 8445, sections 6 to 8; RFC 8838 (trickle); RFC 7675 (consent).
"""

from __future__ import annotations

import base64
from collections.abc import Collection
from dataclasses import dataclass, replace

from rtcstack.errors import ParseError
from rtcstack.ice.engine.checklist import Checklist
from rtcstack.ice.engine.checks import Check, Request, check_request
from rtcstack.ice.engine.choice import Choice
from rtcstack.ice.engine.core import Core
from rtcstack.ice.engine.events import PairAdded, PairRemoved
from rtcstack.ice.engine.gathering import Gathering
from rtcstack.ice.engine.pair import Pair, PairState, Path, RemoteCandidate
from rtcstack.ice.engine.selection import Selection
from rtcstack.ice.stun import Address, Attribute, Class, StunMessage
from rtcstack.ice.transactions import MAX_SENDS, RTO_S
from rtcstack.sdp.candidate import Candidate

__all__ = ["Generation", "random_credentials"]

MAX_REMOTE_CANDIDATES = 100
"""Signalled candidates that are kept; later ones are counted and dropped."""

MAX_LEARNT_CANDIDATES = 32
"""Peer-reflexive remote candidates beside them: junk that was signalled cannot keep these out."""

MAX_FORMER_PEERS = 16
"""Peers that are remembered in whose place others have answered, so that they are not let in again."""

MAX_EARLY_CHECKS = 16
"""Checks of peers that wait until their answer comes."""

STREAM_ANSWER_S = 19.5
"""How long the answer to a check over TCP is waited for: as long as over UDP."""

CONSENT_ANSWER_S = 5.0
"""How long an answer to a consent check is waited for."""

_TCP_TYPES = frozenset(("active", "passive", "so"))
_USABLE_TYPES = frozenset(("host", "srflx", "prflx", "relay"))


def random_credentials(entropy_bytes: bytes) -> tuple[str, str]:
    """A ufrag of 4 and a password of 24 characters out of 21 random bytes: 24 and 144 bits, RFC 8445
    (section 5.3) wants 24 and 128. Base64's alphabet is ICE's."""
    text = base64.b64encode(entropy_bytes).decode("ascii")
    return text[:4], text[4:28]


@dataclass(frozen=True, slots=True)
class _EarlyCheck:
    path: Path
    remote: Address
    request: Request


class Generation:
    """Credentials, candidates and pairs that belong together.

    Args:
        core: shared by the agent.
        ufrag, pwd: local credentials, or None for random ones.
    """

    def __init__(self, core: Core, ufrag: str | None, pwd: str | None) -> None:
        random_ufrag, random_pwd = random_credentials(core.entropy(21))
        self.ufrag = ufrag or random_ufrag
        self.pwd = pwd or random_pwd
        self.key = self.pwd.encode()
        self.remote_ufrag: str | None = None
        self.remote_pwd: str | None = None
        self.former_peers: tuple[str, ...] = ()
        """Ufrags of peers in whose place another has answered: they still know our password."""
        self.remote_is_lite = False
        self.remote_ended = False
        self.started_at: float | None = None
        self.fed_at: float | None = None
        """When the checks began, or the peer's last candidate came: each has its whole time."""
        self.choice = Choice(core)
        """What the application says of the pairs."""
        self.checklist = Checklist(self._unlist, self.choice.keeps)
        self.selection = Selection(core, self.checklist, self.choice, self)
        """Which of them packets take."""
        self.gathering = Gathering(core, self.ufrag, self._on_path, self._on_denied, self._on_lost)
        self.remotes: dict[tuple[str, Address], RemoteCandidate] = {}
        self._core = core
        self._controlling = core.controlling
        self._remote_key = b""
        self._username = b""
        self._signalled = 0
        self._learnt = 0
        self._early: dict[tuple[int, Address], _EarlyCheck] = {}
        self._next_check_at = 0.0
        self._retired = False

    # -- candidates -------------------------------------------------------------------------------

    @property
    def has_failed(self) -> bool:
        """Whether all pairs that there are have failed, and no connection over TCP may make another one."""
        if not len(self.checklist) or not self.checklist.has_failed:
            return False
        streams = ((path, path.peer) for path in self.gathering.paths if path.peer is not None)
        return all(self.checklist.find(path, peer) is not None for path, peer in streams)

    @property
    def selected(self) -> Pair | None:
        """The pair that packets take."""
        return self.selection.selected

    @property
    def is_in_use(self) -> bool:
        """Whether no other generation has taken its place."""
        return not self._retired

    @property
    def can_check(self) -> bool:
        """Whether checks are made: both ends' credentials are known, and we are no lite agent."""
        return self.started_at is not None and not self._retired and not self._core.config.options.lite

    def start(self, ufrag: str, pwd: str, *, remote_is_lite: bool, now: float) -> None:
        """The peer's credentials are known: begin."""
        self.remote_ufrag, self.remote_pwd = ufrag, pwd
        self.remote_is_lite = remote_is_lite
        self._remote_key = pwd.encode()
        self._username = f"{ufrag}:{self.ufrag}".encode()
        self.started_at = self.fed_at = now
        self._next_check_at = now
        self._take_role(now)
        early = [each for each in self._early.items() if each[1].request.ufrag == ufrag]
        for ends, check in early:
            del self._early[ends]
            self.on_request(check.path, check.remote, check.request, now)

    def forget_peer(self, now: float) -> tuple[int, ...]:
        """Another peer has answered in place of the one before: forget all of that one but its name.

        Our own credentials, candidates and relays stay, for they were offered to both.

        Returns:
            The connections to it, whose sockets may be closed.
        """
        assert self.remote_ufrag is not None
        self.former_peers = (*self.former_peers[1 - MAX_FORMER_PEERS :], self.remote_ufrag)
        for pair in self.checklist:
            self._core.transactions.forget(pair)
        self.unlist_all()
        self.choice.end(works=False)
        connections = tuple(path for path in self.gathering.paths if path.peer is not None)
        for path in connections:
            self.gathering.lose_path(path, "another peer has answered", now)
        self.choice = Choice(self._core)
        self.checklist = Checklist(self._unlist, self.choice.keeps)
        self.selection = Selection(self._core, self.checklist, self.choice, self)
        self.remotes.clear()
        self._signalled = self._learnt = 0
        self.remote_ended = False
        self.remote_ufrag = self.remote_pwd = self.started_at = self.fed_at = None
        return tuple(path.id for path in connections)

    def was_replaced(self, ufrag: str) -> bool:
        """Whether another peer has answered in the place of the one with this ufrag."""
        return bool(self.former_peers) and ufrag in self.former_peers and ufrag != self.remote_ufrag

    def accepts(self, remote: Address) -> bool:
        """Whether packets that are not STUN are taken from there (RFC 8445, section 12.2)."""
        return ("udp", remote) in self.remotes or ("tcp", remote) in self.remotes

    def add_remote(self, candidate: Candidate, address: Address, now: float) -> bool:
        """Take a candidate of the peer's.

        Args:
            candidate: as signalled.
            address: where it is: with a name resolved.

        Returns:
            Whether it is of use.
        """
        transport = candidate.transport.lower()
        if (
            self.remote_ended
            or self._signalled >= MAX_REMOTE_CANDIDATES
            or candidate.component != 1
            or (transport != "udp" and (transport != "tcp" or candidate.tcp_type not in _TCP_TYPES))
            or not address[1]
            or candidate.type not in _USABLE_TYPES
        ):
            return False
        self._signalled += 1
        if self.started_at is not None:
            self.fed_at = now
        known = self.remotes.get((transport, address))
        if known is not None:
            # learnt from a check before it was signalled (RFC 8838, section 11.3)
            if known.candidate.type == "prflx":
                known.candidate = candidate
                self.checklist.update_priorities(controlling=self._core.controlling)
            return True
        remote = self.remotes[transport, address] = RemoteCandidate(candidate, address)
        if transport == "tcp":
            self.gathering.connect(remote)
            return True
        for path in self.gathering.bases:
            self._pair(path, remote, wanted=False)
        return True

    def end_remote(self) -> None:
        """The peer has no more candidates."""
        self.remote_ended = True

    def _on_path(self, path: Path, now: float) -> None:
        for remote in list(self.remotes.values()):
            if path.transport == "tcp" and path.peer is None:
                self.gathering.connect_from(path, remote)
            else:
                self._pair(path, remote, wanted=False)

    def on_connected(self, path: Path, now: float) -> None:
        """A TCP connection stands: check it."""
        self._on_path(path, now)

    def _pair(self, path: Path, remote: RemoteCandidate, *, wanted: bool) -> Pair | None:
        if path.ip_version != remote.ip_version or path.transport != remote.transport or not path.is_base:
            return None
        if path.peer not in (None, remote.address) or self.choice.removed(path, remote.address) is not None:
            return None
        pair = self.checklist.add(path, remote, controlling=self._core.controlling, wanted=wanted)
        if pair is not None and not pair.is_listed and not self._retired:
            pair.is_listed = True
            self._core.events.append(PairAdded(pair))
        return pair

    def _unlist(self, pair: Pair) -> None:
        """A pair is of no use any more, or none: whoever was told of it hears so."""
        if pair.is_listed:
            pair.is_listed = False
            self._core.events.append(PairRemoved(pair))

    def unlist_all(self) -> None:
        """Another generation has taken the place of this one."""
        for pair in self.checklist:
            self._unlist(pair)

    def _on_denied(self, path: Path, host: str) -> None:
        for pair in self.checklist:
            if pair.path is path and pair.remote.address[0] == host:
                self._fail(pair)

    def _on_lost(self, path: Path) -> None:
        for pair in list(self.checklist):
            if pair.path is path:
                self._fail(pair)
                self.checklist.drop_trigger(pair)
                self._unlist(pair)
            elif pair.path.id not in self._core.paths and pair is not self.selected:
                self.checklist.remove(pair)  # of one that was lost before: paths may come and go for ever

    def on_addresses(self, back: Collection[str], now: float) -> None:
        """Addresses have changed: pairs of lost ones fail, those of `back` are checked again."""
        for pair in self.checklist:
            if not pair.path.is_here:
                self._fail(pair)
                self.checklist.drop_trigger(pair)
            elif pair.state is PairState.FAILED and (pair.path.via or pair.path).address[0] in back:
                pair.state = PairState.WAITING
        for path in self.gathering.bases:
            self._on_path(path, now)  # with what the peer has told meanwhile
        if back:
            self.gathering.relays.revive(now)

    def _fail(self, pair: Pair) -> None:
        pair.state = PairState.FAILED
        self.selection.lose(pair)
        self._core.transactions.forget(pair)

    # -- the peer's checks ------------------------------------------------------------------------

    def hold_early(self, path: Path, remote: Address, request: Request) -> None:
        """Keep a check until the answer of whoever sends it is known, and that there was a nomination among
        those before it: it is not made again."""
        before = self._early.get((path.id, remote))
        if before is None and len(self._early) >= MAX_EARLY_CHECKS:
            return
        if before is not None and before.request.use_candidate and before.request.ufrag == request.ufrag:
            nomination = max(before.request.nomination, request.nomination)
            request = replace(request, use_candidate=True, nomination=nomination)
        self._early[path.id, remote] = _EarlyCheck(path, remote, request)

    def on_request(self, path: Path, remote_address: Address, request: Request, now: float) -> None:
        """An authentic check has come and was answered (RFC 8445, sections 7.3.1.3 to 7.3.1.5)."""
        remote = self.remotes.get((path.transport, remote_address))
        if remote is None:
            remote = self._learn(path, remote_address, request.priority)
            if remote is None:
                return
        pair = self._pair(path, remote, wanted=True)
        if pair is None:
            self._core.counters.candidates += 1
            return
        pair.requests_received += 1
        pair.responses_sent += 1
        pair.heard_at = now
        core = self._core
        if core.config.options.lite:
            self._on_request_lite(pair, request, now)
            return
        if request.use_candidate and not core.controlling:
            if request.nomination:
                pair.nomination = max(pair.nomination, request.nomination)
            pair.nominate_on_success = True
        if pair.state is PairState.SUCCEEDED:
            if pair.nominate_on_success:
                self.selection.on_peers_nomination(pair, now)
        elif pair.state is PairState.IN_PROGRESS:
            # The letter wants a second check; the first is repeated instead, if its answer is not
            # already on its way.
            core.transactions.hasten(pair, now)
        elif self.can_check:
            self.checklist.trigger(pair)

    def _on_request_lite(self, pair: Pair, request: Request, now: float) -> None:
        """A lite agent has no checks of its own: the peer's say what works (RFC 8445, 7.3.2)."""
        if pair.state is not PairState.SUCCEEDED:
            pair.state = PairState.SUCCEEDED
            pair.valid_at = now
        pair.consent_at = now
        if request.use_candidate:
            self.selection.on_peers_nomination(pair, now)

    def _learn(self, path: Path, address: Address, priority: int) -> RemoteCandidate | None:
        if self._learnt >= MAX_LEARNT_CANDIDATES:
            self._core.counters.candidates += 1
            return None
        self._learnt += 1
        candidate = Candidate(
            foundation=f"p{self._learnt}",
            component=1,
            transport=path.transport,
            priority=priority,
            address=address[0],
            port=address[1],
            type="prflx",
            extensions=() if path.transport == "udp" else (("tcptype", "active"),),
        )
        remote = self.remotes[path.transport, address] = RemoteCandidate(candidate, address)
        return remote

    # -- our checks -------------------------------------------------------------------------------

    def check(self, pair: Pair, now: float, *, nomination: int | None = None, consent: bool = False) -> None:
        """Check a pair.

        Args:
            pair: which.
            now: the time.
            nomination: nominate it, by that value of the attribute, 0 without; None not to.
            consent: ask once, and only for the peer's consent.
        """
        core = self._core
        nominate = nomination is not None
        transaction_id = core.entropy(12)
        data, priority = check_request(
            core,
            pair,
            transaction_id,
            self._username,
            self._remote_key,
            nominate=nominate,
            nomination=nomination or 0,
        )
        check = Check(self, pair, self._remote_key, nominate, consent, core.controlling, priority)
        pair.requests_sent += 1
        remote = pair.remote.address
        if consent:
            pair.consent_requests_sent += 1
            core.transactions.start(
                transaction_id,
                check,
                pair,
                pair.path.id,
                remote,
                data,
                now,
                rto_s=CONSENT_ANSWER_S,
                sends_max=1,
            )
        else:
            if pair.state is not PairState.SUCCEEDED:
                pair.state = PairState.IN_PROGRESS
            # a connection repeats by itself
            rto_s, sends = (RTO_S, MAX_SENDS) if pair.path.transport == "udp" else (STREAM_ANSWER_S, 1)
            core.transactions.start(
                transaction_id, check, pair, pair.path.id, remote, data, now, rto_s=rto_s, sends_max=sends
            )
        core.transmit(pair.path, remote, data, now)

    def on_answer(self, check: Check, message: StunMessage, sends: int, sent_at: float, now: float) -> None:
        """An authentic answer to a check (RFC 8445, section 7.2.5).

        Raises:
            ParseError: an attribute is malformed.
        """
        pair = check.pair
        if message.kind == Class.ERROR:
            self._on_error(check, message, now)
            return
        mapped = message.address(Attribute.XOR_MAPPED_ADDRESS)
        if mapped is None:
            raise ParseError("a check's answer without an address")
        pair.responses_received += 1
        pair.heard_at = pair.consent_at = now
        if sends == 1:
            # of a repeated request, nobody knows which one was answered
            pair.rtt_s = now - sent_at
            pair.rtt_total_s += pair.rtt_s
        if check.consent:
            pair.state = PairState.SUCCEEDED
            return
        local = self.gathering.find_local(pair.path, mapped)
        if local is None:
            local = self.gathering.add_reflexive(pair.path, mapped, check.priority)
        pair.local = local
        if pair.state is not PairState.SUCCEEDED:
            pair.state = PairState.SUCCEEDED
            if pair.valid_at is None:
                pair.valid_at = now
            self.checklist.thaw(pair.foundation)
        nominated = check.nominate and check.controlling and self._core.controlling
        self.selection.on_success(pair, now, nominated=nominated)

    def _on_error(self, check: Check, message: StunMessage, now: float) -> None:
        error = message.error()
        pair = check.pair
        if error is not None and error[0] == 487:
            self._core.controlling = not check.controlling
            if not check.consent:
                self.checklist.trigger(pair)
            return
        if not check.consent:
            self._fail(pair)
            self.selection.decide(now)

    def _take_role(self, now: float) -> None:
        """The role has turned out to be another: pairs have other priorities, and maybe one of them is
        now ours to nominate."""
        self._controlling = self._core.controlling
        self.selection.on_role()
        self.checklist.update_priorities(controlling=self._controlling)
        if self.can_check:
            self.selection.decide(now)

    def on_silence(self, check: Check, now: float) -> None:
        """A check was never answered."""
        if not check.consent:
            self._fail(check.pair)
            self.selection.decide(now)

    # -- pairs that go ----------------------------------------------------------------------------

    def remove(self, pair: Pair, now: float) -> None:
        """Forget a pair for good: nothing is sent or answered on it any more."""
        was_selected = pair is self.selected
        self.selection.remove(pair)
        self._core.transactions.forget(pair)
        self.checklist.remove(pair)
        pair.is_listed = False
        pair.state = PairState.FAILED
        if was_selected:
            self.fed_at = now  # whatever else there is has its whole time
            self.selection.decide(now)
            if self.selected is None:
                self.checklist.revive(self._core.is_usable)
                self._next_check_at = min(self._next_check_at, now)

    def revive(self, now: float) -> None:
        """The selected pair has gone silent: check all others again."""
        self.selection.revive()
        self.checklist.revive(self._core.is_usable)
        self._next_check_at = min(self._next_check_at, now)
        self.gathering.relays.revive(now)

    # -- time -------------------------------------------------------------------------------------

    def handle_timeout(self, now: float) -> None:
        """Make the check that is due, decide what waits to be decided."""
        self.gathering.handle_timeout(now)
        if self.selection.decide_at is not None and self.selection.decide_at <= now:
            self.selection.decide(now)
        self.make_check(now)

    def make_check(self, now: float) -> None:
        """Check the next pair, if one waits and the last check is long enough ago."""
        if self._controlling is not self._core.controlling:
            self._take_role(now)
        if self._next_check_at <= now and self.can_check:
            pair = self.checklist.take_next(self.selection.floor)
            if pair is not None:
                self.check(pair, now)
                self._next_check_at = now + self._core.config.options.check_interval_s

    def check_consent(self, now: float) -> None:
        """Ask the peer once whether it still wants our packets (RFC 7675)."""
        if self.selected is not None and self.can_check:
            self.check(self.selected, now, consent=True)

    def retire(self) -> None:
        """Another has taken its place: it answers, and asks nothing any more, for the peer may have
        forgotten its own sooner."""
        self._retired = True
        self.choice.end(works=False)
        self.gathering.retire()
        for pair in self.checklist:
            self._core.transactions.stop_repeating(pair)

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is due."""
        times = [t for t in (self.selection.decide_at, self.gathering.next_timeout()) if t is not None]
        if self.can_check and self.checklist.peek_next(self.selection.floor) is not None:
            times.append(self._next_check_at)
        return min(times, default=None)

    def close(self, now: float) -> tuple[int, ...]:
        """End it; returns the paths whose sockets may be closed."""
        self.choice.end(works=False)
        for pair in self.checklist:
            self._core.transactions.forget(pair)
        return self.gathering.close(now)
