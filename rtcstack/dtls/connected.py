"""A connection that stands: with OpenSSL while it is busy, without it at rest (`rtcstack.dtls.resting`).

Spec: RFC 6347, sections 4.1 (records) and 4.2.4 (a last flight is repeated when the peer repeats its own).
"""

from __future__ import annotations

from collections.abc import Sequence

from OpenSSL import SSL

from rtcstack.dtls.events import DtlsClosed, DtlsRole, DtlsState
from rtcstack.dtls.openssl import WANT_READ, RecordLayer, as_chunks
from rtcstack.dtls.phase import MAX_DATAGRAM_BYTES, Association, Over, Phase
from rtcstack.dtls.records import append_runs
from rtcstack.dtls.resting import CLOSE_NOTIFY, RECORD_NONCE_BYTES, RestingRecords, suite_of
from rtcstack.dtls.sieve import CHANGE_CIPHER_SPEC, HANDSHAKE, is_plain, sift_connected
from rtcstack.engine import Run
from rtcstack.refusals import Refusals

__all__ = ["FIRST_ENCRYPTED", "REST_AFTER_S", "Connected", "LastFlight", "Resting"]

REST_AFTER_S = 5.0
"""Silence after which a connection gives OpenSSL's memory back, see `rtcstack.dtls.resting`."""

FIRST_ENCRYPTED = (1 << 48).to_bytes(8, "big")
"""Epoch 1, number 0, as in a record's header: a Finished. As bytes they compare as integers do."""


class LastFlight:
    """The last flight of the handshake, by the end that had the last word: the peer may not have it.

    Args:
        datagrams: the flight.
        interval_s: it is repeated once in this time at most.
    """

    __slots__ = ("_after", "_datagrams", "_interval_s")

    def __init__(self, datagrams: list[bytes], interval_s: float) -> None:
        self._datagrams = datagrams
        self._interval_s = interval_s
        self._after: float | None = None

    def answer(self, association: Association, runs: Sequence[Run], now: float) -> None:
        """Datagrams have come without data: where they are of the peer's handshake, repeat the flight."""
        if not any(HANDSHAKE in run.first_bytes() for run in runs):
            return
        if self._after is None or now >= self._after:
            association.send_datagrams(self._datagrams)
            association.counters.handshake_retransmissions += 1
            self._after = now + self._interval_s


class Connected(Phase):
    """A connection in OpenSSL's hands.

    Args:
        association: whose it is.
        records: OpenSSL, done with the handshake.
        last_flight: of this end, if it had the last word.
        last_sent: header and nonce of the last record that was sent.
        now: monotonic seconds.
    """

    __slots__ = (
        "_has_sealed",
        "_last_authentic",
        "_last_flight",
        "_last_sent",
        "_last_traffic",
        "_verifier",
        "records",
    )

    def __init__(
        self,
        association: Association,
        records: RecordLayer,
        last_flight: LastFlight | None,
        last_sent: bytes,
        now: float,
    ) -> None:
        super().__init__(association)
        self.records = records
        self._last_flight = last_flight
        self._last_sent = last_sent
        self._last_authentic = FIRST_ENCRYPTED
        self._verifier: RestingRecords | None = None  # looks whether records are authentic
        self._has_sealed = False
        can_rest = suite_of(records.connection.get_cipher_name() or "") is not None
        self._last_traffic: float | None = now if can_rest else None

    def begin(self, behind: Sequence[bytes], runs: Sequence[Run], now: float) -> Phase:
        """Take what came with the end of the handshake.

        Args:
            behind: the records behind it, under the keys.
            runs: all that came together, with these.
            now: monotonic seconds.
        """
        opened = self.association.opened
        before = len(opened)
        verdict = self.records.open_records(opened)  # data may have overtaken the Finished
        for record in behind:
            self.records.put(record)
            if verdict == WANT_READ:
                verdict = self.records.open_records(opened)
        if verdict != WANT_READ:
            return self._ended()
        if len(opened) > before:
            self._last_flight = None
            if self._last_traffic is not None:
                self._note_authentic(runs, are_all=False)
        return self

    def receive(self, runs: Sequence[Run], count: int, now: float) -> Phase:
        """Have OpenSSL open what came, at once if it looks like data and nothing else."""
        association, records = self.association, self.records
        opened = association.opened
        before = len(opened)
        are_plain = is_plain(runs[0]) if len(runs) == 1 else all(map(is_plain, runs))
        for chunk in as_chunks(runs if are_plain else self._sift(runs)):
            if len(chunk) > MAX_DATAGRAM_BYTES:
                association.refuse_oversize(chunk)
                continue
            records.put(chunk)
            if records.open_records(opened) != WANT_READ:
                return self._ended()
        data = len(opened) - before
        if data and self._last_traffic is not None:
            self._last_traffic = now
            if not are_plain or data != count:
                self._note_authentic(runs, are_all=False)
            elif count == 1:
                number = runs[0].data[3:11]
                if number > self._last_authentic:
                    self._last_authentic = number
            else:
                self._note_authentic(runs, are_all=True)
        if self._last_flight is not None:
            if data:
                self._last_flight = None  # under the new keys: the peer has the whole of it
            else:
                self._last_flight.answer(association, runs, now)
        return self

    def _sift(self, runs: Sequence[Run]) -> list[Run]:
        kept = []
        for run in runs:
            for datagram in run.datagrams():
                data = sift_connected(datagram)
                # A flight of the handshake again is answered, where that is still of use.
                if len(data) != len(datagram) and datagram[0] not in (CHANGE_CIPHER_SPEC, HANDSHAKE):
                    self.association.counters.dropped_out_of_place += 1
                    self.association.refusals.add("dtls", "out of place", datagram)
                if data:
                    kept.append(Run(data, len(data)))
        return kept

    def _ended(self) -> Phase:
        """OpenSSL reads no more."""
        self.records.clear_errors()
        if self.records.connection.get_shutdown() & SSL.RECEIVED_SHUTDOWN:
            return _closed(self.association)
        return self.fail("dtls-failure", "the DTLS connection broke")

    def _note_authentic(self, runs: Sequence[Run], *, are_all: bool) -> None:
        """Remember the number of the newest record, for the day when the connection rests.

        Args:
            runs: what has come in a pass.
            are_all: whether each datagram is one record, and all were authentic. If not, which of
                them were is found out: one too many would make the connection deaf, one too few
                would have it take a record twice.
        """
        newest = self._last_authentic
        if are_all:
            for data, segment in runs:
                size = len(data)
                if size <= segment:
                    number = data[3:11]  # big-endian, so bytes compare as the integers do
                else:
                    number = max([data[start + 3 : start + 11] for start in range(0, size, segment)])
                if number > newest:
                    newest = number
            self._last_authentic = newest
            return
        if self._verifier is None:
            self._verifier = self._take_over(bytes(RECORD_NONCE_BYTES))
        if self._verifier is not None:
            datagrams = (datagram for run in runs for datagram in run.datagrams())
            number_now = self._verifier.newest_authentic(datagrams, int.from_bytes(newest, "big"))
            self._last_authentic = number_now.to_bytes(8, "big")

    def handle_timeout(self, now: float) -> Phase:
        """After long enough a silence, go on without OpenSSL."""
        if self._last_traffic is None or now < self._last_traffic + REST_AFTER_S:
            return self
        self._last_traffic = None
        self._verifier = None
        if len(self._last_sent) < RECORD_NONCE_BYTES:
            return self
        records = self._take_over(self._last_sent, self.association.refusals)
        return self if records is None else Resting(self.association, records, self._last_flight)

    def next_timeout(self) -> float | None:
        """When the silence has been long enough."""
        return None if self._last_traffic is None else self._last_traffic + REST_AFTER_S

    def _take_over(self, last_sent: bytes, refusals: Refusals | None = None) -> RestingRecords | None:
        """The connection's records without OpenSSL, or None where that cannot be."""
        connection = self.records.connection
        master, server, client = (
            connection.master_key(),
            connection.server_random(),
            connection.client_random(),
        )
        if not master or not server or not client:
            return None
        return RestingRecords(
            connection.get_cipher_name() or "",
            master,
            server + client,
            is_client=self.association.role is DtlsRole.CLIENT,
            last_sent=last_sent,
            last_received=int.from_bytes(self._last_authentic, "big"),
            refusals=refusals,
        )

    def send(self, messages: Sequence[bytes]) -> None:
        """See `Phase.send`; `collect` takes the records."""
        self.association.counters.records_refused += self.records.seal(messages)
        self._has_sealed = True

    def collect(self, now: float) -> None:
        """Take the sealed records from OpenSSL."""
        if self._has_sealed:
            self._has_sealed = False
            data = self.records.take()
            if data:
                self._last_sent = append_runs(self.association.out, data)
                if self._last_traffic is not None:
                    self._last_traffic = now

    def say_goodbye(self) -> None:
        """See `Phase.say_goodbye`."""
        try:
            self.records.connection.shutdown()
        except SSL.Error:
            self.records.clear_errors()
        append_runs(self.association.out, self.records.take())

    def alerts(self) -> tuple[int | None, int | None]:
        """See `Phase.alerts`."""
        return self.records.watch.alert_received, self.records.watch.alert_sent


class Resting(Phase):
    """A connection that goes on without OpenSSL, until it ends.

    Args:
        association: whose it is.
        records: what seals and opens its records.
        last_flight: of this end, if the peer may not have it.
    """

    __slots__ = ("_last_flight", "records")

    def __init__(
        self, association: Association, records: RestingRecords, last_flight: LastFlight | None
    ) -> None:
        super().__init__(association)
        self.records = records
        self._last_flight = last_flight

    def receive(self, runs: Sequence[Run], count: int, now: float) -> Phase:
        """Open what came."""
        association, records = self.association, self.records
        opened = association.opened
        before = len(opened)
        for run in runs:
            # One by one where not all are plain: a record that claims too much ends its own datagram.
            for datagrams in (run.data,) if is_plain(run) else run.datagrams():
                alert = records.open(datagrams, opened)
                if alert == CLOSE_NOTIFY:
                    return _closed(association)
                if alert is not None:
                    return self.fail("dtls-failure", "the peer broke the connection", alert)
        if self._last_flight is not None:
            if len(opened) > before:
                self._last_flight = None
            else:
                self._last_flight.answer(association, runs, now)
        return self

    def send(self, messages: Sequence[bytes]) -> None:
        """See `Phase.send`."""
        data, refused = self.records.seal(messages)
        self.association.counters.records_refused += refused
        append_runs(self.association.out, data)

    def say_goodbye(self) -> None:
        """See `Phase.say_goodbye`."""
        append_runs(self.association.out, self.records.close_notify())


def _closed(association: Association) -> Phase:
    """The peer has said goodbye."""
    association.state = DtlsState.CLOSED
    association.happened.append(DtlsClosed())
    return Over(association)
