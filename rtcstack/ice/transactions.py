"""STUN transactions over unreliable and reliable paths: who waits for which answer, and until when.

Spec: RFC 8489, section 6.2; RFC 8445, section 14.3.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from rtcstack.ice.stun import Address

__all__ = ["Transaction", "Transactions"]

MAX_TRANSACTIONS = 512
"""Requests that wait for answers at once; beyond, the oldest is given up."""

RTO_S = 0.5
"""First retransmission timeout, the least that RFC 8445 allows."""

MAX_RTO_S = 4.0
"""What it doubles up to. RFC 8489 lets it grow to 16 s and a transaction last 39.5 s; a path that
answers nothing for 19.5 s is no path."""

MAX_SENDS = 7
"""Transmissions of a request (Rc of RFC 8489)."""

HASTENED_S = 0.05
"""How soon a request is repeated once its path is known to have opened."""

OwnerT = TypeVar("OwnerT")


class Transaction(Generic[OwnerT]):
    """One request that waits.

    Attributes:
        owner: what asked.
        subject: what it is about: several requests may be about one.
        path: id of the path it took.
        remote: where it went.
        data: the request.
        sent_at: when it was last sent, in seconds.
        sends: how often.
        due_at: when it is repeated, or given up.
    """

    __slots__ = (
        "data",
        "due_at",
        "owner",
        "path",
        "remote",
        "rto_s",
        "sends",
        "sends_max",
        "sent_at",
        "subject",
    )

    def __init__(
        self,
        owner: OwnerT,
        subject: object,
        path: int,
        remote: Address,
        data: bytes,
        now: float,
        rto_s: float,
        sends_max: int,
    ) -> None:
        self.owner = owner
        self.subject = subject
        self.path = path
        self.remote = remote
        self.data = data
        self.rto_s = rto_s
        self.sends = 1
        self.sends_max = sends_max
        self.sent_at = now
        self.due_at = now + rto_s


class Transactions(Generic[OwnerT]):
    """The requests that wait, by transaction ID."""

    __slots__ = ("_given_up", "_waiting")

    def __init__(self) -> None:
        self._given_up: list[Transaction[OwnerT]] = []  # for newer ones; whoever asked is to be told
        self._waiting: dict[bytes, Transaction[OwnerT]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def start(
        self,
        transaction_id: bytes,
        owner: OwnerT,
        subject: object,
        path: int,
        remote: Address,
        data: bytes,
        now: float,
        *,
        rto_s: float = RTO_S,
        sends_max: int = MAX_SENDS,
    ) -> None:
        """Wait for the answer to a request that is being sent now."""
        if len(self._waiting) >= MAX_TRANSACTIONS:
            oldest = self._waiting.pop(next(iter(self._waiting)))
            if len(self._given_up) < MAX_TRANSACTIONS:
                self._given_up.append(oldest)
        self._waiting[transaction_id] = Transaction(owner, subject, path, remote, data, now, rto_s, sends_max)

    def ids(self) -> list[bytes]:
        """The IDs of those that wait."""
        return list(self._waiting)

    def get(self, transaction_id: bytes) -> Transaction[OwnerT] | None:
        """The transaction with this ID, if it waits."""
        return self._waiting.get(transaction_id)

    def remove(self, transaction_id: bytes) -> None:
        """It has been answered."""
        self._waiting.pop(transaction_id, None)

    def waits_for(self, subject: object) -> bool:
        """Whether something was asked about this, and may still be answered."""
        return any(each.subject is subject for each in self._waiting.values())

    def forget(self, subject: object) -> None:
        """Wait no longer for answers about this."""
        for key in [k for k, t in self._waiting.items() if t.subject is subject]:
            del self._waiting[key]
        if self._given_up:
            self._given_up = [t for t in self._given_up if t.subject is not subject]

    def stop_repeating(self, subject: object) -> None:
        """Ask no more about this; an answer that is on its way is still welcome."""
        for transaction in self._waiting.values():
            if transaction.subject is subject:
                transaction.sends_max = transaction.sends

    def hasten(self, subject: object, now: float) -> None:
        """The path has opened: repeat soon what was asked on it, if no answer is on its way."""
        for transaction in self._waiting.values():
            if transaction.subject is subject and transaction.sends < transaction.sends_max:
                transaction.due_at = min(transaction.due_at, now + HASTENED_S)

    def next_timeout(self) -> float | None:
        """When the next one is due."""
        if self._given_up:
            return self._given_up[0].sent_at
        return min((t.due_at for t in self._waiting.values()), default=None)

    def take_due(self, now: float) -> tuple[list[Transaction[OwnerT]], list[Transaction[OwnerT]]]:
        """Advance what is due.

        Returns:
            Those to be sent again, and those that are given up.
        """
        again: list[Transaction[OwnerT]] = []
        over, self._given_up = self._given_up, []
        for key, transaction in list(self._waiting.items()):
            if transaction.due_at > now:
                continue
            if transaction.sends >= transaction.sends_max:
                del self._waiting[key]
                over.append(transaction)
                continue
            transaction.sends += 1
            transaction.sent_at = now
            transaction.rto_s = min(2 * transaction.rto_s, MAX_RTO_S)
            transaction.due_at = now + transaction.rto_s
            again.append(transaction)
        return again, over
