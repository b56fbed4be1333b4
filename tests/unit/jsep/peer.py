"""One end of a negotiation without anything else: it keeps the values that a connection would."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rtcstack.jsep import (
    Advanced,
    Description,
    Effect,
    Intents,
    LocalTransport,
    Negotiation,
    SdpType,
    Section,
    Side,
    TransceiverCreated,
    TransceiverIntent,
    TransceiverRemoved,
    TransceiverStopped,
    advance,
    create_answer,
    create_offer,
    default_capabilities,
    negotiation_needed,
    restarted_transports,
)
from rtcstack.sdp import Direction, Fingerprint, MediaDescription, SessionDescription

CAPABILITIES = default_capabilities()


class Peer:
    """Holds a Negotiation and Intents, and does to the intents what the effects ask for."""

    def __init__(self, name: str = "a", **intents: Any) -> None:
        self.name = name
        self.negotiation = Negotiation.initial()
        self.intents = Intents(intents.pop("capabilities", CAPABILITIES), **intents)
        self.generation: dict[str, int] = {}
        self.certificate = name
        self.tls_id: str | None = None
        self.version = 0
        self.effects: tuple[Effect, ...] = ()

    # what it wants

    def add(self, kind: str, **values: Any) -> int:
        key = self.intents.next_transceiver
        values.setdefault("msids", ((f"stream-{self.name}", f"track-{key}"),))
        transceiver = TransceiverIntent(key, kind, **values)
        self.intents = replace(
            self.intents, transceivers=(*self.intents.transceivers, transceiver), next_transceiver=key + 1
        )
        return key

    def add_track(self, kind: str, **values: Any) -> int:
        return self.add(kind, created_by_add_track=True, used_by_add_track=True, **values)

    def change(self, key: int, **values: Any) -> None:
        self.intents = replace(
            self.intents,
            transceivers=tuple(
                replace(each, **values) if each.key == key else each for each in self.intents.transceivers
            ),
        )

    def stop(self, key: int) -> None:
        self.change(key, stopping=True, direction=Direction.INACTIVE)

    def want_data(self) -> None:
        self.intents = replace(self.intents, data_channel=True)

    # what its transports say

    def transport(self, key: str) -> LocalTransport:
        # one set of credentials for all transports of a generation, as browsers have it
        seed = f"{self.name} {self.generation.get(key, 0)}"
        digest = hashlib.sha256(seed.encode()).hexdigest()
        certificate = hashlib.sha256(self.certificate.encode()).hexdigest().upper()
        value = ":".join(certificate[i : i + 2] for i in range(0, 64, 2))
        return LocalTransport(digest[:4], digest[:24], (Fingerprint("sha-256", value),), self.tls_id)

    def restart(self, *keys: str) -> None:
        for key in keys or [each.key for each in self.negotiation.session.transports]:
            self.generation[key] = self.generation.get(key, 0) + 1

    # what it does

    def offer(self) -> Description:
        self.version += 1
        return create_offer(
            self.negotiation, self.intents, self.transport, session_id=7, version=self.version
        )

    def answer(self) -> Description:
        self.version += 1
        for key in restarted_transports(self.negotiation):
            self.restart(key)
        return create_answer(
            self.negotiation, self.intents, self.transport, session_id=7, version=self.version
        )

    def set_local(self, description: Description) -> tuple[Effect, ...]:
        return self._take(advance(self.negotiation, Side.LOCAL, description, self.intents))

    def set_remote(self, description: Description | str, sdp_type: str = "offer") -> tuple[Effect, ...]:
        if isinstance(description, str):
            description = Description.parse(sdp_type, description)
        received = Description.parse(description.type, description.sdp)
        return self._take(advance(self.negotiation, Side.REMOTE, received, self.intents))

    def rollback(self) -> tuple[Effect, ...]:
        """By the side whose offer is pending."""
        side = Side.REMOTE if self.negotiation.state == "have-remote-offer" else Side.LOCAL
        description = Description.parse(SdpType.ROLLBACK, "")
        return self._take(advance(self.negotiation, side, description, self.intents))

    def _take(self, advanced: Advanced) -> tuple[Effect, ...]:
        self.negotiation = advanced.negotiation
        self.effects = advanced.effects
        for effect in advanced.effects:
            if isinstance(effect, TransceiverCreated):
                assert effect.key == self.intents.next_transceiver
                self.add(effect.kind, direction=Direction.RECVONLY, msids=())
            elif isinstance(effect, TransceiverRemoved):
                self._forget([effect.key])
            elif isinstance(effect, TransceiverStopped):
                self.change(effect.key, stopping=True, stopped=True, direction=Direction.INACTIVE)
        if self.negotiation.state == "stable" and self.negotiation.stable is not None:
            rejected = {each.transceiver for each in self.negotiation.stable.sections if each.rejected}
            self._forget(
                [each.key for each in self.intents.transceivers if each.stopped and each.key in rejected]
            )
        return advanced.effects

    def _forget(self, keys: Iterable[int]) -> None:
        gone = set(keys)
        self.intents = replace(
            self.intents,
            transceivers=tuple(each for each in self.intents.transceivers if each.key not in gone),
        )

    # what it knows

    @property
    def sections(self) -> tuple[Section, ...]:
        return self.negotiation.session.sections

    @property
    def needed(self) -> bool:
        return negotiation_needed(self.negotiation, self.intents)

    def mids(self) -> list[str | None]:
        return [self.negotiation.mid_of(each.key) for each in self.intents.transceivers]


def propose(offerer: Peer, answerer: Peer) -> Description:
    """An offer, set at both ends; returns it."""
    offer = offerer.offer()
    offerer.set_local(offer)
    answerer.set_remote(offer)
    return offer


def exchange(offerer: Peer, answerer: Peer) -> tuple[SessionDescription, SessionDescription]:
    """A whole offer and answer; returns both as values."""
    offer = propose(offerer, answerer)
    answer = answerer.answer()
    answerer.set_local(answer)
    offerer.set_remote(answer)
    assert offer.parsed is not None
    assert answer.parsed is not None
    return offer.parsed, answer.parsed


def pair(*kinds: str, data: bool = False, **intents: Any) -> tuple[Peer, Peer]:
    """Two peers that have negotiated what the first one has."""
    a, b = Peer("a", **intents), Peer("b")
    for kind in kinds:
        a.add(kind)
    if data:
        a.want_data()
    exchange(a, b)
    return a, b


def lines(media: MediaDescription, name: str) -> list[str]:
    """The texts of the attributes with this name."""
    return list(media.values(name))
