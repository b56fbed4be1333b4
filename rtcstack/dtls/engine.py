"""The DTLS engine: datagrams in and out, application data in between, no socket and no clock.

OpenSSL reads a clock of its own for its retransmission timer, starts it at one second and lets
nobody change that. So the engine sends an unanswered flight again by itself, at twice the round
trip that ICE measured; OpenSSL's timer goes on behind it, and decides nothing but record numbers.
Such a copy carries the same ones, which is what the network may do to any datagram: a peer that has
the records drops it. The one thing a copy cannot do is make a finished peer repeat its last flight,
so the engine remembers its own last flight and repeats it when handshake records still arrive.

Spec: RFC 6347 (DTLS 1.2), RFC 8842 (DTLS in SDP), RFC 8827 section 6.5, RFC 5764 (use_srtp).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from OpenSSL import SSL

from rtcstack.dtls.certificate import Certificate
from rtcstack.dtls.events import (
    DtlsClosed,
    DtlsConnected,
    DtlsCounters,
    DtlsEvent,
    DtlsFailed,
    DtlsRole,
    DtlsState,
)
from rtcstack.dtls.fingerprint import Fingerprint, matches_any
from rtcstack.dtls.openssl import IANA_NAMES, WANT_READ, PeerWatch, RecordLayer, as_chunks
from rtcstack.dtls.records import append_runs, pack_records
from rtcstack.dtls.resting import CLOSE_NOTIFY, RECORD_NONCE_BYTES, RestingRecords, suite_of
from rtcstack.dtls.sieve import ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, is_plain, sift_connected, sift_handshake
from rtcstack.dtls.srtp_keys import EXPORTER_LABEL, SRTP_PROFILES, SrtpKeys, split_keys
from rtcstack.engine import Buffer, Run
from rtcstack.refusals import Refusals

__all__ = ["DtlsEngine"]

MAX_EARLY_DATAGRAMS = 16
"""Datagrams kept until `start`: a peer may begin its handshake before its answer arrives, and a
ClientHello with a post-quantum key share takes several. More are dropped: the peer repeats them."""

MAX_DATAGRAM_BYTES = 16_384 + 256
"""A longer datagram cannot be one DTLS record; it is dropped."""

ALERT_GRACE_S = 1.0
"""An alert in the clear, which anybody may have sent, counts if the handshake does not go on in this
time. Who has really given up answers nothing any more."""

_FATAL = 2

MIN_RETRANSMIT_S = 0.05
MAX_RETRANSMIT_S = 3.0
HANDSHAKE_DEADLINE_S = 30.0
"""A handshake that has not finished by then has failed."""

REST_AFTER_S = 5.0
"""Silence after which a connection gives OpenSSL's memory back, see `rtcstack.dtls.resting`."""

_FIRST_ENCRYPTED = 1 << 48
"""Epoch 1, number 0: the peer's Finished, as one integer."""

_UNKNOWN_CERTIFICATE = "the peer's certificate matches none of the fingerprints in its session description"
_HANDSHAKE_RECORD = 22
_HANDSHAKE_FIRST = bytes((_HANDSHAKE_RECORD,))


@dataclass(slots=True)
class _Flight:
    """The handshake datagrams that the peer has not answered yet."""

    datagrams: list[bytes] = field(default_factory=list)
    due: float | None = None
    rto_s: float = MIN_RETRANSMIT_S


class DtlsEngine:
    """One DTLS association. See `rtcstack.engine.Engine` for the five verbs.

    `start` may come after the peer's first datagrams; they are kept. Application data goes in by
    `send` and comes out of `received`; it only does so once the peer's certificate has matched a
    fingerprint.

    Args:
        certificate: what identifies this end.
        mtu: largest datagram to send during the handshake, in bytes of UDP payload.
        keylog_path: file to which TLS secrets are appended in NSS key log format, or None.
    """

    __slots__ = (
        "_alert",
        "_certificate",
        "_clear_records",
        "_deadline",
        "_early",
        "_events",
        "_fingerprints",
        "_flight",
        "_has_output",
        "_keylog_path",
        "_last_authentic",
        "_last_sent",
        "_last_traffic",
        "_mtu",
        "_out",
        "_received",
        "_records",
        "_repeat_last_flight_after",
        "_resting",
        "_verifier",
        "counters",
        "refusals",
        "remote_certificates",
        "role",
        "rtt_s",
        "srtp_keys",
        "state",
    )

    def __init__(self, certificate: Certificate, *, mtu: int = 1200, keylog_path: str | None = None) -> None:
        self._certificate = certificate
        self._mtu = mtu
        self._keylog_path = keylog_path
        self._records: RecordLayer | None = None
        self._resting: RestingRecords | None = None
        self._verifier: RestingRecords | None = None  # looks whether records are authentic
        self._clear_records = 0
        self._alert: tuple[float, int] | None = None  # when one in the clear is to count, its number
        self._last_sent = b""
        self._last_authentic = _FIRST_ENCRYPTED.to_bytes(8, "big")
        self._last_traffic: float | None = None
        self._fingerprints: tuple[Fingerprint, ...] = ()
        self._early: list[bytes] = []
        self._events: list[DtlsEvent] = []
        self._received: list[bytes] = []
        self._out: list[Run] = []
        self._has_output = False
        self._flight = _Flight()
        self._deadline: float | None = None
        self._repeat_last_flight_after: float | None = None
        self.counters = DtlsCounters()
        self.refusals = Refusals()
        self.remote_certificates: tuple[bytes, ...] = ()
        self.role: DtlsRole | None = None
        self.rtt_s = 0.1
        self.srtp_keys: SrtpKeys | None = None
        self.state = DtlsState.NEW

    @property
    def is_resting(self) -> bool:
        """Whether the connection goes on without OpenSSL, see `rtcstack.dtls.resting`."""
        return self._resting is not None

    def start(self, role: DtlsRole, fingerprints: Iterable[Fingerprint], now: float) -> None:
        """Begin the handshake.

        Args:
            role: this end's role.
            fingerprints: the peer's, from its session description. None that matches its
                certificate means that the connection fails.
            now: monotonic seconds.
        """
        assert self.state is DtlsState.NEW, "a DTLS engine starts once"
        self.role = role
        self.state = DtlsState.CONNECTING
        self._fingerprints = tuple(fingerprints)
        self._records = RecordLayer(
            self._certificate,
            PeerWatch(functools.partial(matches_any, fingerprints=self._fingerprints)),
            is_client=role is DtlsRole.CLIENT,
            mtu=self._mtu,
            keylog_path=self._keylog_path,
        )
        self._deadline = now + HANDSHAKE_DEADLINE_S
        early, self._early = self._early, []
        if role is DtlsRole.CLIENT or not early:
            self._handshake(now)  # a client speaks first, whatever has come
        if early:
            self.receive(early, now)

    # -- the five verbs ---------------------------------------------------------------------

    def receive(self, datagrams: Sequence[Buffer], now: float) -> None:
        """Take DTLS datagrams that arrived together. See `rtcstack.engine.Engine.receive`."""
        self.receive_runs([Run(bytes(d), len(d)) for d in datagrams], now)

    def receive_runs(self, runs: Sequence[Run], now: float) -> None:
        """Take datagrams as the socket gives them: runs of one size, cheaper than single ones."""
        counters = self.counters
        count = 0
        for data, segment in runs:
            size = len(data)
            count += 1 if size <= segment else -(-size // segment)
            counters.bytes_received += size
        counters.packets_received += count
        if self._resting is not None:
            self._open_resting(self._resting, runs, now)
            return
        records = self._records
        if records is None:
            self._keep_early(runs)
            return
        if self.state is not DtlsState.CONNECTED and self.state is not DtlsState.CONNECTING:
            counters.dropped_closed += count
            return
        before = len(self._received)
        if self.state is DtlsState.CONNECTING:
            self._receive_handshake(records, runs, now)
            are_plain = False
        else:
            are_plain = is_plain(runs[0]) if len(runs) == 1 else all(map(is_plain, runs))
            for chunk in as_chunks(runs if are_plain else self._sift(runs)):
                if len(chunk) > MAX_DATAGRAM_BYTES:
                    self._refuse_oversize(chunk)
                    continue
                records.put(chunk)
                self._open(records)
        if self.state is DtlsState.CONNECTED:
            opened = len(self._received) - before
            if opened and self._last_traffic is not None:
                self._last_traffic = now
                if not are_plain or opened != count:
                    self._note_authentic(runs, are_all=False)
                elif count == 1:
                    number = runs[0].data[3:11]
                    if number > self._last_authentic:
                        self._last_authentic = number
                else:
                    self._note_authentic(runs, are_all=True)
            if self._flight.datagrams:
                self._answer_repeated_flight(runs, opened > 0, now)

    def handle_timeout(self, now: float) -> None:
        """Repeat the handshake flight that is due, or give up. See `Engine.handle_timeout`."""
        if self._records is None:
            return
        if self.state is DtlsState.CONNECTED:
            if self._last_traffic is not None and now >= self._last_traffic + REST_AFTER_S:
                self._rest()
            return
        if self._deadline is not None and now >= self._deadline:
            self._fail("dtls-failure", f"the DTLS handshake did not finish in {HANDSHAKE_DEADLINE_S:g} s")
            return
        if self._alert is not None and now >= self._alert[0]:
            number = self._alert[1]
            self._records.watch.alert_received = number
            self._fail("dtls-failure", f"the peer has ended the DTLS handshake with alert {number}")
            return
        flight = self._flight
        if flight.due is not None and now >= flight.due:
            self._records.connection.DTLSv1_handle_timeout()
            fresh = self._take_handshake()
            if fresh:  # OpenSSL's own timer was due too: its copy has new record numbers
                flight.datagrams = fresh
            self._send_flight()
            self.counters.handshake_retransmissions += 1
            flight.rto_s = min(flight.rto_s * 2, MAX_RETRANSMIT_S)
            flight.due = now + flight.rto_s

    def next_timeout(self) -> float | None:
        """When `handle_timeout` has something to do. See `Engine.next_timeout`."""
        if self._deadline is None or self.state is not DtlsState.CONNECTING:
            return None if self._last_traffic is None else self._last_traffic + REST_AFTER_S
        due = self._deadline
        if self._flight.due is not None:
            due = min(due, self._flight.due)
        return due if self._alert is None else min(due, self._alert[0])

    def drain(self, now: float) -> list[bytes]:
        """Take the datagrams to send. See `Engine.drain`; `drain_runs` is the cheaper form."""
        return [datagram for run in self.drain_runs(now) for datagram in run.datagrams()]

    def events(self) -> list[DtlsEvent]:
        """Take what happened. See `Engine.events`."""
        events, self._events = self._events, []
        return events

    # -- application data -------------------------------------------------------------------

    def send(self, messages: Sequence[bytes]) -> None:
        """Encrypt application data, one record and one datagram for each message.

        Before the connection stands, and after it ended, messages are counted and dropped: what
        runs over DTLS repeats what matters.

        Args:
            messages: each at most the path's MTU less DTLS's overhead of 37 bytes at most.
        """
        if self.state is not DtlsState.CONNECTED:
            self.counters.dropped_not_connected += len(messages)
        elif self._records is not None:
            self.counters.records_refused += self._records.seal(messages)
            self._has_output = True
        elif self._resting is not None:
            data, refused = self._resting.seal(messages)
            self.counters.records_refused += refused
            append_runs(self._out, data)

    def received(self) -> list[bytes]:
        """Take decrypted application data, one entry per record, in order of arrival."""
        received, self._received = self._received, []
        return received

    def drain_runs(self, now: float) -> list[Run]:
        """Take what is to be sent, with equal-sized datagrams joined into runs."""
        if self._has_output and self._records is not None:
            self._has_output = False
            data = self._records.take()
            if data:
                self._last_sent = append_runs(self._out, data)
                if self._last_traffic is not None:
                    self._last_traffic = now
        out = self._out
        if not out:
            return []
        self._out = []
        counters = self.counters
        for data, segment in out:
            size = len(data)
            counters.bytes_sent += size
            counters.packets_sent += 1 if size <= segment else -(-size // segment)
        return out

    def close(self) -> None:
        """Say close_notify and end; the next `drain` has the alert. Further input is dropped."""
        if self._resting is not None:
            append_runs(self._out, self._resting.close_notify())
        elif self._records is not None and self.state is DtlsState.CONNECTED:
            try:
                self._records.connection.shutdown()
            except SSL.Error:
                self._records.clear_errors()
            append_runs(self._out, self._records.take())
        if self.state not in (DtlsState.CLOSED, DtlsState.FAILED):
            self.state = DtlsState.CLOSED
        self._release()

    def fail(self, reason: str) -> None:
        """End without a word to the peer: whoever drives this engine cannot go on with it.

        Args:
            reason: what `DtlsFailed` tells.
        """
        if self.state not in (DtlsState.CLOSED, DtlsState.FAILED):
            self._fail("dtls-failure", reason)

    # -- inside -----------------------------------------------------------------------------

    def _receive_handshake(self, records: RecordLayer, runs: Sequence[Run], now: float) -> None:
        """Give OpenSSL what may be in place, a record at a time: it stops at each one that is not."""
        is_client = self.role is DtlsRole.CLIENT
        for run in runs:
            for datagram in run.datagrams():
                if len(datagram) > MAX_DATAGRAM_BYTES:
                    self._refuse_oversize(datagram)
                    continue
                kept = sift_handshake(
                    datagram, is_client=is_client, has_answered=bool(self._flight.datagrams)
                )
                if sum(len(record) for _, _, record in kept) != len(datagram):
                    self.counters.dropped_out_of_place += 1
                    self.refusals.add("dtls", "out of place in the handshake", datagram)
                for kind, epoch, record in kept:
                    if self.state is DtlsState.CONNECTING:
                        if kind == ALERT and epoch == 0:
                            self._hear_alert(record, now)
                            continue
                        if epoch == 0:
                            # Numbers in the clear are anybody's, and a high one would have OpenSSL
                            # drop all that follows as too old: it gets its own, in order.
                            record = record[:5] + self._clear_records.to_bytes(6, "big") + record[11:]
                            self._clear_records += 1
                        records.put(record)
                        self._handshake(now)
                    elif self.state is DtlsState.CONNECTED and epoch == 1:
                        records.put(record)
                    else:
                        continue
                    if self.state is DtlsState.CONNECTED:
                        self._open(records)

    def _hear_alert(self, record: bytes, now: float) -> None:
        """Take an alert that nothing protects: it counts if the handshake does not go on."""
        level, number = record[-2:]
        if level == _FATAL and self._alert is None:
            self._alert = (now + ALERT_GRACE_S, number)

    def _refuse_oversize(self, datagram: bytes) -> None:
        self.counters.dropped_oversize += 1
        self.refusals.add("dtls", "longer than a record", datagram)

    def _sift(self, runs: Sequence[Run]) -> list[Run]:
        kept = []
        for run in runs:
            for datagram in run.datagrams():
                data = sift_connected(datagram)
                # A flight of the handshake again is answered, where that is still of use.
                if len(data) != len(datagram) and datagram[0] not in (CHANGE_CIPHER_SPEC, HANDSHAKE):
                    self.counters.dropped_out_of_place += 1
                    self.refusals.add("dtls", "out of place", datagram)
                if data:
                    kept.append(Run(data, len(data)))
        return kept

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
            self._verifier = self._make_resting(bytes(RECORD_NONCE_BYTES))
        if self._verifier is not None:
            datagrams = (datagram for run in runs for datagram in run.datagrams())
            number_now = self._verifier.newest_authentic(datagrams, int.from_bytes(newest, "big"))
            self._last_authentic = number_now.to_bytes(8, "big")

    def _rest(self) -> None:
        """Go on without OpenSSL."""
        self._last_traffic = None
        self._verifier = None
        if len(self._last_sent) < RECORD_NONCE_BYTES:
            return
        self._resting = self._make_resting(self._last_sent, self.refusals)
        if self._resting is not None:
            self._records = None

    def _make_resting(self, last_sent: bytes, refusals: Refusals | None = None) -> RestingRecords | None:
        """The connection's records without OpenSSL, or None where that cannot be."""
        records = self._records
        assert records is not None
        connection = records.connection
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
            is_client=self.role is DtlsRole.CLIENT,
            last_sent=last_sent,
            last_received=int.from_bytes(self._last_authentic, "big"),
            refusals=refusals,
        )

    def _open_resting(self, resting: RestingRecords, runs: Sequence[Run], now: float) -> None:
        before = len(self._received)
        for run in runs:
            if is_plain(run):
                alert = resting.open(run.data, self._received)
            else:
                # One by one: a record that claims too much ends its own datagram alone.
                alert = None
                for datagram in run.datagrams():
                    alert = resting.open(datagram, self._received)
                    if alert is not None:
                        break
            if alert is None:
                continue
            if alert == CLOSE_NOTIFY:
                self.state = DtlsState.CLOSED
                self._events.append(DtlsClosed())
            else:
                self.state = DtlsState.FAILED
                self._events.append(DtlsFailed("dtls-failure", "the peer broke the connection", alert))
            self._release()
            return
        if self._flight.datagrams:
            self._answer_repeated_flight(runs, len(self._received) > before, now)

    def _keep_early(self, runs: Sequence[Run]) -> None:
        if self.state is not DtlsState.NEW:
            self.counters.dropped_closed += sum(run.datagram_count for run in runs)
            return
        for run in runs:
            for datagram in run.datagrams():
                if (
                    datagram[:1] != _HANDSHAKE_FIRST
                    or len(self._early) >= MAX_EARLY_DATAGRAMS
                    or len(datagram) > MAX_DATAGRAM_BYTES
                ):
                    self.counters.dropped_early += 1
                else:
                    self._early.append(datagram)

    def _handshake(self, now: float) -> None:
        records = self._records
        assert records is not None
        try:
            records.connection.do_handshake()
            done = True
        except (SSL.WantReadError, SSL.SysCallError):
            # A record that OpenSSL drops as damaged comes out as an "unexpected end of file", which
            # a memory BIO cannot have: both mean that more is needed.
            done = False
        except SSL.Error as exc:
            records.clear_errors()
            self._out.extend(Run(d, len(d)) for d in self._take_handshake())
            if records.watch.refused:
                self._fail("fingerprint-failure", _UNKNOWN_CERTIFICATE)
            else:
                self._fail("dtls-failure", f"the DTLS handshake failed: {_describe(exc)}")
            return
        fresh = self._take_handshake()
        flight = self._flight
        if fresh and flight.datagrams and _first_message(fresh) == _first_message(flight.datagrams):
            # OpenSSL's own timer was due while it looked. Its copy has new record numbers and is kept
            # for them; when it is sent, the engine's time says.
            flight.datagrams, fresh = fresh, []
        if fresh:
            self._alert = None  # the handshake goes on
            flight.datagrams = fresh
            flight.rto_s = min(max(2 * self.rtt_s, MIN_RETRANSMIT_S), MAX_RETRANSMIT_S)
            flight.due = now + flight.rto_s
        if not done:
            if fresh:
                self._send_flight()
            return
        self._connected(now)
        if self.state is DtlsState.CONNECTED:
            if fresh:
                self._send_flight()
            else:
                # The peer spoke last, so this end's last flight has been answered.
                self._flight.datagrams = []
            self._flight.due = None

    def _connected(self, now: float) -> None:
        records = self._records
        assert records is not None
        connection = records.connection
        certificates = records.peer_certificates()
        if not certificates or not matches_any(certificates[0], self._fingerprints):
            # OpenSSL asked about it already; never let a connection stand on that alone.
            self._fail("fingerprint-failure", _UNKNOWN_CERTIFICATE)
            return
        self.remote_certificates = tuple(certificates)
        profile = SRTP_PROFILES.get(connection.get_selected_srtp_profile().decode("ascii"))
        if profile is not None:
            material = connection.export_keying_material(EXPORTER_LABEL, profile.material_bytes, None)
            self.srtp_keys = split_keys(profile, material, is_client=self.role is DtlsRole.CLIENT)
        self.state = DtlsState.CONNECTED
        self._alert = None
        self._deadline = None
        if suite_of(connection.get_cipher_name() or "") is not None:
            self._last_traffic = now
        self._events.append(
            DtlsConnected(
                remote_certificates=self.remote_certificates,
                version=connection.get_protocol_version(),
                cipher=connection.get_cipher_name() or "",
                cipher_suite=IANA_NAMES.get(connection.get_cipher_name() or "", ""),
                group=connection.get_group_name() if hasattr(connection, "get_group_name") else None,
                srtp_profile=None if profile is None else profile.name,
            )
        )

    def _open(self, records: RecordLayer) -> None:
        error = records.open_records(self._received)
        if error == WANT_READ:
            return
        records.clear_errors()
        if records.connection.get_shutdown() & SSL.RECEIVED_SHUTDOWN:
            self.state = DtlsState.CLOSED
            self._events.append(DtlsClosed())
            self._release()
        else:
            self._fail("dtls-failure", "the DTLS connection broke")

    def _answer_repeated_flight(self, runs: Sequence[Run], has_data: bool, now: float) -> None:
        if has_data:
            # Data under the new keys: the peer has the whole of the last flight.
            self._flight.datagrams = []
            return
        if not any(_HANDSHAKE_RECORD in run.first_bytes() for run in runs):
            return
        after = self._repeat_last_flight_after
        if after is None or now >= after:
            self._send_flight()
            self.counters.handshake_retransmissions += 1
            self._repeat_last_flight_after = now + self._flight.rto_s / 2

    def _send_flight(self) -> None:
        self._out.extend(Run(d, len(d)) for d in self._flight.datagrams)

    def _take_handshake(self) -> list[bytes]:
        assert self._records is not None
        datagrams = pack_records(self._records.take(), self._mtu)
        if datagrams:
            last = append_runs([], datagrams[-1])
            if int.from_bytes(last[3:11], "big") >= _FIRST_ENCRYPTED:
                self._last_sent = last  # the Finished
        return datagrams

    def _fail(self, detail: str, reason: str) -> None:
        watch = None if self._records is None else self._records.watch
        received = None if watch is None else watch.alert_received
        sent = None if watch is None else watch.alert_sent
        self.state = DtlsState.FAILED
        self._events.append(DtlsFailed(detail, reason, received, sent))
        self._release()

    def _release(self) -> None:
        self._records = None
        self._resting = None
        self._last_traffic = None
        self._flight = _Flight()
        self._alert = None
        self._verifier = None
        self._deadline = None
        self._early = []


def _describe(exc: SSL.Error) -> str:
    entries = exc.args[0] if exc.args and isinstance(exc.args[0], list) else []
    reasons = [str(entry[-1]) for entry in entries]
    return "; ".join(r for r in reasons if r) or type(exc).__name__


def _first_message(flight: list[bytes]) -> bytes:
    """Of a flight's first record, which begins a message: its type, and the message's type and number."""
    first = flight[0]
    return first[:1] + first[3:5] + first[13:14] + first[17:19]
