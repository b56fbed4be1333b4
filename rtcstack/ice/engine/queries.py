"""One generation's STUN servers: which are asked from where, and what they have seen.

Spec: RFC 8445, sections 5.1.1.2 and 5.1.1.4; RFC 8489.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from rtcstack.errors import ParseError
from rtcstack.ice.config import IceServer
from rtcstack.ice.engine.core import Core
from rtcstack.ice.engine.pair import Path
from rtcstack.ice.stun import Address, Attribute, Class, Method, StunMessage, encode

__all__ = ["Queries"]

KEEPALIVE_S = 15.0
"""How often a server is asked again, so that a NAT keeps the address that it showed, until there is
a selected pair (RFC 8445, section 5.1.1.4)."""


class QueryOwner(Protocol):
    """Who collects what servers say."""

    def on_mapped(self, path: Path, mapped: Address, server: IceServer) -> None:
        """A server sees packets of a path come from that address."""

    def on_query_failed(self, server: IceServer, local: Address, code: int, text: str) -> None:
        """A server gave no address."""


class Query:
    """A server that is asked from one path.

    Attributes:
        server, address: who.
        path: from where.
        deadline: when it is given up.
        mapped: what it has answered.
        next_at: when it is asked again.
    """

    __slots__ = ("_queries", "address", "deadline", "mapped", "next_at", "path", "server")

    def __init__(
        self, queries: Queries, server: IceServer, path: Path, address: Address, deadline: float
    ) -> None:
        self._queries = queries
        self.server = server
        self.path = path
        self.address = address
        self.deadline = deadline
        self.mapped: Address | None = None
        self.next_at: float | None = None

    def on_answer(self, message: StunMessage, sends: int, sent_at: float, now: float) -> None:
        """See `Queries.on_answer`."""
        self._queries.on_answer(self, message, now)

    def on_silence(self, now: float) -> None:
        """See `Queries.on_silence`."""
        self._queries.on_silence(self)


class Queries:
    """The STUN servers that are asked.

    Args:
        core: shared by the agent.
        owner: who is told.

    Attributes:
        active: whether they are asked again and again.
    """

    def __init__(self, core: Core, owner: QueryOwner) -> None:
        self.active = True
        self._core = core
        self._owner = owner
        self._queries: list[Query] = []

    @property
    def is_pending(self) -> bool:
        """Whether one has not answered yet."""
        return any(query.mapped is None for query in self._queries)

    def asks(self, url: str) -> bool:
        """Whether this server has answered, or may still."""
        return any(query.server.url == url for query in self._queries)

    def ask(self, server: IceServer, path: Path, address: Address, now: float) -> None:
        """Ask a server, from this path, where it sees us."""
        query = Query(self, server, path, address, now + self._core.config.gather_timeout_s)
        self._queries.append(query)
        self._send(query, now)

    def _send(self, query: Query, now: float) -> None:
        transaction_id = self._core.entropy(12)
        data = encode(Method.BINDING, Class.REQUEST, transaction_id)
        self._core.transactions.start(transaction_id, query, query, query.path.id, query.address, data, now)
        self._core.transmit(query.path, query.address, data, now)

    def on_answer(self, query: Query, message: StunMessage, now: float) -> None:
        """A server has answered.

        Raises:
            ParseError: with nonsense.
        """
        if query.mapped is not None:
            query.next_at = now + KEEPALIVE_S
            return
        if message.kind == Class.ERROR:
            error = message.error() or (500, "an error without a code")
            self._end(query, *error)
            return
        mapped = message.address(Attribute.XOR_MAPPED_ADDRESS) or message.address(Attribute.MAPPED_ADDRESS)
        if mapped is None or not mapped[1]:
            raise ParseError("a binding response without an address")
        query.mapped = mapped
        query.deadline = float("inf")
        query.next_at = now + KEEPALIVE_S
        self._owner.on_mapped(query.path, mapped, query.server)

    def on_silence(self, query: Query) -> None:
        """A server has not answered."""
        if query.mapped is None:
            self._end(query, 701, "the server did not answer")

    def _end(self, query: Query, code: int, text: str) -> None:
        if query in self._queries:
            self._queries.remove(query)
            self._core.transactions.forget(query)
            self._owner.on_query_failed(query.server, query.path.address, code, text)

    def mappings(self) -> list[tuple[Address, str, Address]]:
        """What servers saw: the local address, the server's URL, and the address behind a NAT."""
        return [(q.path.address, q.server.url, q.mapped) for q in self._queries if q.mapped is not None]

    def lose_path(self, path: Path, reason: str) -> None:
        """A socket has come to its end."""
        for query in [q for q in self._queries if q.path is path]:
            if query.mapped is None:
                self._end(query, 701, reason)
            else:
                self._queries.remove(query)
                self._core.transactions.forget(query)

    def handle_timeout(self, now: float) -> None:
        """Give up servers that are late, keep the others' answers alive."""
        for query in list(self._queries):
            if query.deadline <= now:
                self._end(query, 701, "the server did not answer")
            elif self.active and query.next_at is not None and query.next_at <= now:
                query.next_at = now + KEEPALIVE_S
                self._send(query, now)

    def deadlines(self) -> Iterator[float]:
        """When `handle_timeout` is due."""
        for query in self._queries:
            if query.mapped is None:
                yield query.deadline
            elif query.next_at is not None and self.active:
                yield query.next_at

    def close(self) -> None:
        """Nobody is asked any more."""
        for query in self._queries:
            self._core.transactions.forget(query)
        self._queries.clear()
