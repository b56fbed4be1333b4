"""The handshake: flights, their retransmission, and who the peer is.

OpenSSL reads a clock of its own for its retransmission timer, starts it at one second and lets
nobody change that. So an unanswered flight is sent again from here, at twice the round trip that
ICE measured; OpenSSL's timer goes on behind it, and decides nothing but record numbers. Such a copy
carries the same ones, which is what the network may do to any datagram: a peer that has the records
drops it. The one thing a copy cannot do is make a finished peer repeat its last flight, so a
connection remembers its own (`rtcstack.dtls.connected.LastFlight`).

Spec: RFC 6347, section 4.2 (DTLS 1.2); RFC 8827, section 6.5; RFC 5764 (use_srtp).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

from OpenSSL import SSL

from rtcstack.dtls.connected import FIRST_ENCRYPTED, Connected, LastFlight
from rtcstack.dtls.events import DtlsConnected, DtlsRole, DtlsState
from rtcstack.dtls.fingerprint import Fingerprint, matches_any
from rtcstack.dtls.openssl import IANA_NAMES, PeerWatch, RecordLayer
from rtcstack.dtls.phase import MAX_DATAGRAM_BYTES, Association, Over, Phase
from rtcstack.dtls.records import append_runs, pack_records
from rtcstack.dtls.sieve import ALERT, sift_handshake
from rtcstack.dtls.srtp_keys import EXPORTER_LABEL, SRTP_PROFILES, split_keys
from rtcstack.engine import Run

__all__ = ["HANDSHAKE_DEADLINE_S", "Handshaking"]

ALERT_GRACE_S = 1.0
"""An alert in the clear, which anybody may have sent, counts if the handshake does not go on in this
time. Who has really given up answers nothing any more."""

MIN_RETRANSMIT_S = 0.05
MAX_RETRANSMIT_S = 3.0
HANDSHAKE_DEADLINE_S = 30.0
"""A handshake that has not finished by then has failed."""

_FATAL = 2

_UNKNOWN_CERTIFICATE = "the peer's certificate matches none of the fingerprints in its session description"


class Handshaking(Phase):
    """A handshake with one peer. It ends connected, or over.

    Args:
        association: whose it is; its role is known.
        fingerprints: the peer's.
        now: monotonic seconds.
    """

    __slots__ = (
        "_alert",
        "_clear_records",
        "_deadline",
        "_due",
        "_fingerprints",
        "_flight",
        "_last_sent",
        "_rto_s",
        "records",
    )

    def __init__(self, association: Association, fingerprints: Iterable[Fingerprint], now: float) -> None:
        super().__init__(association)
        self._fingerprints = tuple(fingerprints)
        self.records = RecordLayer(
            association.certificate,
            PeerWatch(functools.partial(matches_any, fingerprints=self._fingerprints)),
            is_client=association.role is DtlsRole.CLIENT,
            mtu=association.mtu,
            keylog_path=association.keylog_path,
        )
        self._deadline = now + HANDSHAKE_DEADLINE_S
        self._flight: list[bytes] = []  # what the peer has not answered yet
        self._due: float | None = None
        self._rto_s = MIN_RETRANSMIT_S
        self._last_sent = b""
        self._clear_records = 0
        self._alert: tuple[float, int] | None = None  # when one in the clear is to count, its number

    def receive(self, runs: Sequence[Run], count: int, now: float) -> Phase:
        """Give OpenSSL what may be in place, a record at a time: it stops at each one that is not."""
        sifted = self._sift(runs)
        for kind, epoch, record in sifted:
            if epoch == 0:
                if kind == ALERT:
                    self._hear_alert(record, now)
                    continue
                # Numbers in the clear are anybody's, and a high one would have OpenSSL drop all
                # that follows as too old: it gets its own, in order.
                record = record[:5] + self._clear_records.to_bytes(6, "big") + record[11:]
                self._clear_records += 1
            self.records.put(record)
            phase = self.advance(now)
            if isinstance(phase, Connected):
                return phase.begin([record for _, epoch, record in sifted if epoch == 1], runs, now)
            if phase is not self:
                return phase
        return self

    def _sift(self, runs: Sequence[Run]) -> Iterator[tuple[int, int, bytes]]:
        """Types, epochs and bytes of the records that may be in place."""
        association = self.association
        is_client = association.role is DtlsRole.CLIENT
        for run in runs:
            for datagram in run.datagrams():
                if len(datagram) > MAX_DATAGRAM_BYTES:
                    association.refuse_oversize(datagram)
                    continue
                kept = sift_handshake(datagram, is_client=is_client, has_answered=bool(self._flight))
                if sum(len(record) for _, _, record in kept) != len(datagram):
                    association.counters.dropped_out_of_place += 1
                    association.refusals.add("dtls", "out of place in the handshake", datagram)
                yield from kept

    def _hear_alert(self, record: bytes, now: float) -> None:
        """Take an alert that nothing protects: it counts if the handshake does not go on."""
        level, number = record[-2:]
        if level == _FATAL and self._alert is None:
            self._alert = (now + ALERT_GRACE_S, number)

    def advance(self, now: float) -> Phase:
        """Let OpenSSL go on with what it has; send what comes of it."""
        association, records = self.association, self.records
        try:
            records.connection.do_handshake()
            is_done = True
        except (SSL.WantReadError, SSL.SysCallError):
            # A record that OpenSSL drops as damaged comes out as an "unexpected end of file", which
            # a memory BIO cannot have: both mean that more is needed.
            is_done = False
        except SSL.Error as exc:
            records.clear_errors()
            association.send_datagrams(self._take())
            if records.watch.refused:
                return self.fail("fingerprint-failure", _UNKNOWN_CERTIFICATE)
            return self.fail("dtls-failure", f"the DTLS handshake failed: {_describe(exc)}")
        fresh = self._take()
        if fresh and self._flight and _first_message(fresh) == _first_message(self._flight):
            # OpenSSL's own timer was due while it looked. Its copy has new record numbers and is kept
            # for them; when it is sent, the engine's time says.
            self._flight, fresh = fresh, []
        if fresh:
            self._alert = None  # the handshake goes on
            self._flight = fresh
            self._rto_s = min(max(2 * association.rtt_s, MIN_RETRANSMIT_S), MAX_RETRANSMIT_S)
            self._due = now + self._rto_s
        phase = self._connected(fresh, now) if is_done else self
        if fresh and not isinstance(phase, Over):
            association.send_datagrams(fresh)
        return phase

    def _connected(self, last_flight: list[bytes], now: float) -> Phase:
        """The handshake is done.

        Args:
            last_flight: of this end, if it had the last word.
            now: monotonic seconds.
        """
        association = self.association
        connection = self.records.connection
        certificates = self.records.peer_certificates()
        if not certificates or not matches_any(certificates[0], self._fingerprints):
            # OpenSSL asked about it already; never let a connection stand on that alone.
            return self.fail("fingerprint-failure", _UNKNOWN_CERTIFICATE)
        association.remote_certificates = tuple(certificates)
        profile = SRTP_PROFILES.get(connection.get_selected_srtp_profile().decode("ascii"))
        if profile is not None:
            material = connection.export_keying_material(EXPORTER_LABEL, profile.material_bytes, None)
            is_client = association.role is DtlsRole.CLIENT
            association.srtp_keys = split_keys(profile, material, is_client=is_client)
        cipher = connection.get_cipher_name() or ""
        association.state = DtlsState.CONNECTED
        association.happened.append(
            DtlsConnected(
                remote_certificates=association.remote_certificates,
                version=connection.get_protocol_version(),
                cipher=cipher,
                cipher_suite=IANA_NAMES.get(cipher, ""),
                group=connection.get_group_name() if hasattr(connection, "get_group_name") else None,
                srtp_profile=None if profile is None else profile.name,
            )
        )
        flight = LastFlight(last_flight, self._rto_s / 2) if last_flight else None
        return Connected(association, self.records, flight, self._last_sent, now)

    def handle_timeout(self, now: float) -> Phase:
        """Repeat the flight that is due, or give up."""
        if now >= self._deadline:
            return self.fail(
                "dtls-failure", f"the DTLS handshake did not finish in {HANDSHAKE_DEADLINE_S:g} s"
            )
        if self._alert is not None and now >= self._alert[0]:
            number = self._alert[1]
            return self.fail(
                "dtls-failure", f"the peer has ended the DTLS handshake with alert {number}", number
            )
        if self._due is not None and now >= self._due:
            self.records.connection.DTLSv1_handle_timeout()
            fresh = self._take()
            if fresh:  # OpenSSL's own timer was due too: its copy has new record numbers
                self._flight = fresh
            self.association.send_datagrams(self._flight)
            self.association.counters.handshake_retransmissions += 1
            self._rto_s = min(self._rto_s * 2, MAX_RETRANSMIT_S)
            self._due = now + self._rto_s
        return self

    def next_timeout(self) -> float | None:
        """When the flight is to be repeated, an alert is to count, or the handshake has failed."""
        due = self._deadline
        if self._due is not None:
            due = min(due, self._due)
        return due if self._alert is None else min(due, self._alert[0])

    def alerts(self) -> tuple[int | None, int | None]:
        """See `Phase.alerts`."""
        return self.records.watch.alert_received, self.records.watch.alert_sent

    def _take(self) -> list[bytes]:
        """The datagrams that OpenSSL wants sent."""
        datagrams = pack_records(self.records.take(), self.association.mtu)
        if datagrams:
            last = append_runs([], datagrams[-1])
            if last[3:11] >= FIRST_ENCRYPTED:
                self._last_sent = last  # the Finished
        return datagrams


def _describe(exc: SSL.Error) -> str:
    entries = exc.args[0] if exc.args and isinstance(exc.args[0], list) else []
    reasons = [str(entry[-1]) for entry in entries]
    return "; ".join(r for r in reasons if r) or type(exc).__name__


def _first_message(flight: list[bytes]) -> bytes:
    """Of a flight's first record, which begins a message: its type, and the message's type and number."""
    first = flight[0]
    return first[:1] + first[3:5] + first[13:14] + first[17:19]
