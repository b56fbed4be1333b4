"""What the parts of one agent's engine share: role, paths, transactions, and the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rtcstack.ice.config import IceConfig
from rtcstack.ice.engine.events import IceCounters, IceEvent, Transmit
from rtcstack.ice.engine.pair import Path
from rtcstack.ice.stun import Address, StunMessage
from rtcstack.ice.transactions import Transactions

__all__ = ["Asker", "Core"]


class Asker(Protocol):
    """What a request of ours is for: a check, or a question to a STUN server."""

    def on_answer(self, message: StunMessage, sends: int, sent_at: float, now: float) -> None:
        """It was answered, after so many sends."""

    def on_silence(self, now: float) -> None:
        """It was not."""


class Core:
    """Shared by the engine and its generations.

    Attributes:
        config: see `IceConfig`.
        entropy: gives that many random bytes.
        controlling, has_role: this end's role, and whether it is known yet.
        holds_nominations: whether no pair is nominated before the application has said its word.
        tie_breaker: settles who is controlling when both think they are.
        transactions: every STUN request that waits, but those to TURN servers.
        paths: by id.
        counters: what was dropped.
    """

    def __init__(self, config: IceConfig, entropy: Callable[[int], bytes]) -> None:
        self.config = config
        self.entropy = entropy
        self.controlling = False
        self.has_role = False
        self.holds_nominations = False
        self.tie_breaker = int.from_bytes(entropy(8), "big")
        self.transactions: Transactions[Asker] = Transactions()
        self.paths: dict[int, Path] = {}
        self.counters = IceCounters()
        self.out: list[Transmit] = []
        self.events: list[IceEvent] = []
        self._next_path = 0

    def new_path_id(self) -> int:
        """An id that no path has had."""
        self._next_path += 1
        return self._next_path

    def is_usable(self, path: Path) -> bool:
        """Whether a path is in use, and this machine has its address."""
        return path.id in self.paths and path.is_here

    def transmit(self, path: Path, remote: Address, data: bytes, now: float) -> None:
        """Have a datagram sent."""
        if path.relay is None:
            self.out.append(Transmit(path.id, remote, data))
        else:
            path.relay.send(data, remote, now)
            self.flush_relay(path, now)

    def flush_relay(self, path: Path, now: float) -> None:
        """Have sent what a relay's client wants to say to its server."""
        assert path.relay is not None
        assert path.via is not None
        assert path.server is not None
        via, server = path.via.id, path.server
        self.out += [Transmit(via, server, data) for data in path.relay.drain(now)]

    def random(self) -> float:
        """A random number from 0 up to 1."""
        return int.from_bytes(self.entropy(2), "big") / 65536
