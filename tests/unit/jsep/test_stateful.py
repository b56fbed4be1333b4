"""Two ends that do what they like, over a signaling path that keeps order.

What has to hold after each step stands in the invariants; what has to hold across a step, in the
step itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from rtcstack.errors import DOMException, InvalidStateError
from rtcstack.jsep import BundlePolicy, Description, SdpType, Session, Side, TransceiverIntent
from rtcstack.jsep.diff import diff
from rtcstack.sdp import Direction, parse_session
from tests.unit.jsep.peer import Peer, propose

PEERS = st.sampled_from((0, 1))
KINDS = st.sampled_from(("audio", "video"))
MAX_TRANSCEIVERS = 6


class TwoPeers(RuleBasedStateMachine):
    offers = Bundle("offers")

    @initialize(
        policies=st.tuples(*[st.sampled_from(BundlePolicy)] * 2),
        kinds=st.tuples(*[st.lists(KINDS, min_size=1, max_size=3)] * 2),
        data=st.booleans(),
    )
    def start(
        self, policies: tuple[BundlePolicy, BundlePolicy], kinds: tuple[list[str], list[str]], data: bool
    ) -> None:
        self.peers = tuple(
            Peer(name, bundle_policy=policy) for name, policy in zip("ab", policies, strict=True)
        )
        for peer, wanted in zip(self.peers, kinds, strict=True):
            for kind in wanted:
                peer.add_track(kind)
        if data:
            self.peers[0].want_data()
        self.stable: list[Session | None] = [None, None]
        self.retired: list[set[str]] = [set(), set()]

    # what applications do

    def live(self, who: int) -> list[TransceiverIntent]:
        return [each for each in self.peers[who].intents.transceivers if not each.stopping]

    @rule(
        who=PEERS,
        kind=KINDS,
        direction=st.sampled_from(Direction),
        add_track=st.booleans(),
    )
    def add(self, who: int, kind: str, direction: Direction, add_track: bool) -> None:
        if len(self.peers[who].intents.transceivers) < MAX_TRANSCEIVERS:
            if add_track:
                self.peers[who].add_track(kind)
            else:
                self.peers[who].add(kind, direction=direction)

    @rule(who=PEERS)
    def want_data(self, who: int) -> None:
        self.peers[who].want_data()

    @rule(who=PEERS, data=st.data(), direction=st.sampled_from(Direction))
    def change_direction(self, who: int, data: st.DataObject, direction: Direction) -> None:
        if live := self.live(who):
            self.peers[who].change(data.draw(st.sampled_from(live)).key, direction=direction)

    @rule(who=PEERS, data=st.data())
    def stop(self, who: int, data: st.DataObject) -> None:
        if live := self.live(who):
            self.peers[who].stop(data.draw(st.sampled_from(live)).key)

    # exchanges

    @rule(who=PEERS)
    def create_is_pure(self, who: int) -> None:
        peer = self.peers[who]
        make: Callable[[], Description]
        if peer.negotiation.state in ("stable", "have-local-offer"):
            make = peer.offer
        elif peer.negotiation.state in ("have-remote-offer", "have-local-pranswer"):
            make = peer.answer
        else:
            return
        before = peer.negotiation
        version = peer.version
        first = make()
        peer.version = version
        assert make() == first
        assert peer.negotiation is before
        assert parse_session(first.sdp) == first.parsed

    def in_stable(self) -> bool:
        return all(peer.negotiation.state == "stable" for peer in self.peers)

    @precondition(in_stable)
    @rule(
        who=PEERS,
        restart=st.booleans(),
        provisional=st.booleans(),
        roll_back_first=st.booleans(),
        back_to_back=st.booleans(),
    )
    def exchange(
        self, who: int, restart: bool, provisional: bool, roll_back_first: bool, back_to_back: bool
    ) -> None:
        offerer, answerer = self.peers[who], self.peers[1 - who]
        if roll_back_first:
            self.offer_and_roll_back(offerer, answerer)
        if restart:
            offerer.restart()
        offer = offerer.offer()
        offerer.set_local(offer)
        if back_to_back:
            answerer.set_remote(offer)
            offer = offerer.offer()
            offerer.set_local(offer)
        answerer.set_remote(offer)
        if provisional:
            answer = answerer.answer().as_type(SdpType.PRANSWER)
            answerer.set_local(answer)
            offerer.set_remote(answer)
            assert offerer.negotiation.state == "have-remote-pranswer"
        answer = answerer.answer()
        answerer.set_local(answer)
        offerer.set_remote(answer)
        self.after_exchange()

    def offer_and_roll_back(self, offerer: Peer, answerer: Peer) -> None:
        before = offerer.negotiation, answerer.negotiation
        intents = answerer.intents
        propose(offerer, answerer)
        forward = answerer.effects
        there = answerer.negotiation.session
        offerer.rollback()
        answerer.rollback()
        assert (offerer.negotiation, answerer.negotiation) == before
        # a section that the offer rejected has stopped its transceiver, and that is for good
        stopped = {each.key for each in answerer.intents.transceivers if each.stopped}
        assert [each.key for each in answerer.intents.transceivers] == [
            each.key for each in intents.transceivers
        ]
        assert forward or diff(answerer.negotiation.session, there) == ()
        answerer.intents = replace(
            answerer.intents,
            transceivers=tuple(
                each if each.key in stopped else old
                for each, old in zip(answerer.intents.transceivers, intents.transceivers, strict=True)
            ),
        )

    @precondition(in_stable)
    @rule(polite=PEERS)
    def glare(self, polite: int) -> None:
        """Both offer at once; the polite one gives way (perfect negotiation)."""
        yielding, insisting = self.peers[polite], self.peers[1 - polite]
        lost = yielding.offer()
        yielding.set_local(lost)
        offer = insisting.offer()
        insisting.set_local(offer)
        with pytest.raises(InvalidStateError):
            insisting.set_local(offer.as_type(SdpType.ANSWER))
        yielding.set_remote(offer)
        assert yielding.negotiation.pending_local is None
        answer = yielding.answer()
        yielding.set_local(answer)
        insisting.set_remote(answer)
        self.after_exchange()

    @rule(who=PEERS, sdp_type=st.sampled_from(SdpType), side=st.sampled_from(Side))
    def nonsense_leaves_no_trace(self, who: int, sdp_type: SdpType, side: Side) -> None:
        peer = self.peers[who]
        before = peer.negotiation
        nonsense: dict[str, Any] = {"sdp": "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"}
        if not peer.sections and sdp_type is SdpType.OFFER:
            return
        with pytest.raises(DOMException):
            peer._take(_advance(peer, side, Description.parse(sdp_type, **nonsense)))
        assert peer.negotiation is before

    def after_exchange(self) -> None:
        a, b = (peer.negotiation for peer in self.peers)
        assert a.state == b.state == "stable"
        assert a.stable is not None
        assert b.stable is not None
        assert len(a.stable.sections) == len(b.stable.sections)
        for ours, theirs in zip(a.stable.sections, b.stable.sections, strict=True):
            assert (ours.mid, ours.kind, ours.rejected) == (theirs.mid, theirs.kind, theirs.rejected)
            if ours.is_media and not ours.rejected:
                assert ours.current_direction is not None
                assert theirs.current_direction is ours.current_direction.reversed
                assert {c.payload_type for c in ours.send_codecs} == {
                    c.payload_type for c in theirs.receive_codecs
                }
                assert {(e.id, e.uri) for e in ours.send_extensions} == {
                    (e.id, e.uri) for e in theirs.receive_extensions
                }
            assert ours.transport == theirs.transport
        for mine, other in zip(a.stable.transports, b.stable.transports, strict=True):
            assert (mine.key, mine.mid) == (other.key, other.mid)
            assert {mine.dtls_role, other.dtls_role} == {"client", "server"}
            assert {mine.ice_controlling, other.ice_controlling} == {True, False}
            assert (mine.local, mine.remote) == (other.remote, other.local)
        for index, peer in enumerate(self.peers):
            self.places_are_kept(index, peer.negotiation.stable)

    def places_are_kept(self, index: int, now: Session | None) -> None:
        before = self.stable[index]
        assert now is not None
        if before is not None:
            assert len(now.sections) >= len(before.sections)
            for old, new in zip(before.sections, now.sections, strict=False):
                if old.mid != new.mid:
                    assert old.rejected
                    self.retired[index].add(old.mid)
                for codec in old.receive_codecs:
                    same = [c for c in new.receive_codecs if c.payload_type == codec.payload_type]
                    if same and old.mid == new.mid:
                        assert same[0].mime_type == codec.mime_type
        assert not self.retired[index] & {each.mid for each in now.sections}
        self.stable[index] = now

    # what always holds

    @invariant()
    def mids_are_unique_and_transceivers_have_one_section(self) -> None:
        for peer in getattr(self, "peers", ()):
            mids = [each.mid for each in peer.sections]
            assert len(set(mids)) == len(mids)
            keys = [each.transceiver for each in peer.sections if each.transceiver is not None]
            assert len(set(keys)) == len(keys)

    @invariant()
    def every_live_section_has_a_transport_once_agreed(self) -> None:
        for peer in getattr(self, "peers", ()):
            session = peer.negotiation.stable
            for section in session.sections if session else ():
                assert (session.transport(section.transport) is None) == section.rejected

    @invariant()
    def descriptions_match_the_state(self) -> None:
        for peer in getattr(self, "peers", ()):
            now = peer.negotiation
            pending = (now.pending_local is not None, now.pending_remote is not None)
            assert (
                pending
                == {
                    "stable": (False, False),
                    "have-local-offer": (True, False),
                    "have-remote-offer": (False, True),
                }[now.state]
            )
            assert (now.working is None) == (now.state == "stable")


def _advance(peer: Peer, side: Side, description: Description) -> Any:
    from rtcstack.jsep import advance

    return advance(peer.negotiation, side, description, peer.intents)


TwoPeers.TestCase.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)
test_two_peers = TwoPeers.TestCase
