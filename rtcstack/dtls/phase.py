"""The life of a DTLS association: what it keeps throughout, and what each phase of it can be asked.

A phase that ends gives the one that follows, and is thrown away with all that it alone needed:
`Early`, `Handshaking`, `Connected`, `Resting`, and `Over` from anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtcstack.dtls.certificate import Certificate
from rtcstack.dtls.events import DtlsCounters, DtlsEvent, DtlsFailed, DtlsRole, DtlsState
from rtcstack.dtls.srtp_keys import SrtpKeys
from rtcstack.engine import Run
from rtcstack.refusals import Refusals

__all__ = ["MAX_DATAGRAM_BYTES", "Association", "Over", "Phase"]

MAX_DATAGRAM_BYTES = 16_384 + 256
"""A longer datagram cannot be one DTLS record; it is dropped."""


class Association:
    """What outlasts the phases.

    Args:
        certificate: what identifies this end.
        mtu: largest datagram to send during the handshake, in bytes of UDP payload.
        keylog_path: file to which TLS secrets are appended in NSS key log format, or None.

    Attributes:
        state: as the W3C counts it: it tells no connection at rest from a busy one.
        role: this end's, None before the start.
        rtt_s: the path's round-trip time, which ICE measured.
        remote_certificates: DER, once the peer's has matched a fingerprint.
        srtp_keys: what the handshake has made for SRTP, or None.
        counters, refusals: what was counted and dropped.
        happened: events that nobody has taken yet.
        opened: decrypted application data that nobody has taken yet.
        out: what is to be sent.
    """

    __slots__ = (
        "certificate",
        "counters",
        "happened",
        "keylog_path",
        "mtu",
        "opened",
        "out",
        "refusals",
        "remote_certificates",
        "role",
        "rtt_s",
        "srtp_keys",
        "state",
    )

    def __init__(self, certificate: Certificate, *, mtu: int = 1200, keylog_path: str | None = None) -> None:
        self.certificate = certificate
        self.mtu = mtu
        self.keylog_path = keylog_path
        self.state = DtlsState.NEW
        self.role: DtlsRole | None = None
        self.rtt_s = 0.1
        self.remote_certificates: tuple[bytes, ...] = ()
        self.srtp_keys: SrtpKeys | None = None
        self.counters = DtlsCounters()
        self.refusals = Refusals()
        self.happened: list[DtlsEvent] = []
        self.opened: list[bytes] = []
        self.out: list[Run] = []

    def send_datagrams(self, datagrams: Sequence[bytes]) -> None:
        """Queue datagrams, each by itself."""
        self.out.extend(Run(datagram, len(datagram)) for datagram in datagrams)

    def refuse_oversize(self, datagram: bytes) -> None:
        """Drop what is longer than a record."""
        self.counters.dropped_oversize += 1
        self.refusals.add("dtls", "longer than a record", datagram)


class Phase:
    """What an association does in one phase. The defaults are those of one without a connection.

    Args:
        association: whose phase it is.
    """

    __slots__ = ("association",)

    def __init__(self, association: Association) -> None:
        self.association = association

    def receive(self, runs: Sequence[Run], count: int, now: float) -> Phase:
        """Take datagrams that arrived together, `count` of them; gives the phase that is now."""
        raise NotImplementedError

    def handle_timeout(self, now: float) -> Phase:
        """Do what is due; gives the phase that is now."""
        return self

    def next_timeout(self) -> float | None:
        """When `handle_timeout` has something to do."""
        return None

    def send(self, messages: Sequence[bytes]) -> None:
        """Encrypt application data, a record and a datagram for each message."""
        self.association.counters.dropped_not_connected += len(messages)

    def collect(self, now: float) -> None:
        """Put what waits below into the association's `out`."""

    def say_goodbye(self) -> None:
        """Put a close_notify into the association's `out`, where the peer would understand one."""

    def alerts(self) -> tuple[int | None, int | None]:
        """Numbers of the alerts that were received and sent, as far as it is known."""
        return None, None

    def fail(self, detail: str, reason: str, received_alert: int | None = None) -> Phase:
        """The association has failed for good.

        Args:
            detail, reason: what `DtlsFailed` tells.
            received_alert: number of the alert that ended it, where `alerts` does not know.
        """
        received, sent = self.alerts()
        association = self.association
        association.state = DtlsState.FAILED
        association.happened.append(
            DtlsFailed(detail, reason, received if received_alert is None else received_alert, sent)
        )
        return Over(association)


class Over(Phase):
    """Nothing is taken and nothing sent any more."""

    __slots__ = ()

    def receive(self, runs: Sequence[Run], count: int, now: float) -> Phase:
        """Count what comes all the same."""
        self.association.counters.dropped_closed += count
        return self
