"""Two data channel engines over a virtual network: what most tests here start from."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from rtcstack.sctp.association import SctpAssociation
from rtcstack.sctp.channel import Channel
from rtcstack.sctp.channels import DataChannels
from rtcstack.sctp.events import (
    AssociationClosed,
    AssociationConnected,
    ChannelAnnounced,
    ChannelClosed,
    ChannelOpened,
    MessageReceived,
)
from rtcstack.sctp.options import SctpOptions
from rtcstack.testing import Link
from rtcstack.testing.engines import EngineHost, Simulation

__all__ = ["Pair", "Side", "small_sequence_numbers"]


def small_sequence_numbers(association: SctpAssociation, tsn: int) -> None:
    """Have an association start with a given TSN, to bring a wrap-around near."""
    handshake = association._handshake
    handshake.use(replace(handshake.init, initial_tsn=tsn & 0xFFFF_FFFF))


class Side:
    """One engine, and what it has told so far."""

    def __init__(self, engine: DataChannels, host: EngineHost) -> None:
        self.engine = engine
        self.host = host

    @property
    def association(self) -> SctpAssociation:
        return self.engine.association

    def told(self, kind: type) -> list[Any]:
        """The events of one kind."""
        return [event for event in self.host.events if isinstance(event, kind)]

    def received(self, label: str | None = None) -> list[bytes | str]:
        """The messages received, of one channel if it is named."""
        return [e.data for e in self.told(MessageReceived) if label is None or e.channel.label == label]

    @property
    def connected(self) -> bool:
        return bool(self.told(AssociationConnected))

    @property
    def closed(self) -> AssociationClosed | None:
        return next(iter(self.told(AssociationClosed)), None)

    def announced(self, label: str) -> Channel:
        """The channel of that name that the peer has opened."""
        return next(e.channel for e in self.told(ChannelAnnounced) if e.channel.label == label)

    def opened(self) -> list[Channel]:
        return [e.channel for e in self.told(ChannelOpened)]

    def gone(self) -> list[Channel]:
        return [e.channel for e in self.told(ChannelClosed)]


class Pair:
    """Two sides, the links between them, and the clock. `a` is the DTLS client."""

    def __init__(
        self,
        *,
        seed: int = 1,
        options: SctpOptions | None = None,
        options_b: SctpOptions | None = None,
        tsn: int | None = None,
        forth: dict[str, Any] | None = None,
        back: dict[str, Any] | None = None,
        connect: bool = True,
        timer_slack_s: float = 0.0,
    ) -> None:
        self.network = Simulation()
        rng = random.Random(seed)
        options = options or SctpOptions()
        a = DataChannels(SctpAssociation(options, rng=random.Random(rng.random())), is_dtls_client=True)
        b = DataChannels(
            SctpAssociation(options_b or options, rng=random.Random(rng.random())), is_dtls_client=False
        )
        if tsn is not None:
            small_sequence_numbers(a.association, tsn)
            small_sequence_numbers(b.association, tsn + 5)
        self.forth: Link = self.network.link(**{"delay_s": 0.01, "seed": seed * 2, **(forth or {})})
        self.back: Link = self.network.link(**{"delay_s": 0.01, "seed": seed * 2 + 1, **(back or {})})
        host_a, host_b = self.network.connect(
            a, b, forth=[self.forth], back=[self.back], timer_slack_s=timer_slack_s
        )
        self.a = Side(a, host_a)
        self.b = Side(b, host_b)
        self._end = 0.0
        if connect:
            a.connect(self.now)
            b.connect(self.now)
            self.flush()

    @property
    def now(self) -> float:
        return self.network.now

    def flush(self) -> None:
        """After calls to the engines: let both send."""
        self.a.host.flush()
        self.b.host.flush()

    def run(self, seconds: float, condition: Any = None) -> bool:
        """Let time pass, at most so much of it."""
        self.flush()
        self._end = self.network.now - 1000.0 + seconds
        return self.network.run(until=self._end, condition=condition)

    def establish(self) -> Pair:
        """Run until both sides are connected."""
        assert self.run(60, lambda: self.a.connected and self.b.connected)
        return self
