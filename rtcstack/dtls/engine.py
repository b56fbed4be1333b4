"""The DTLS engine: datagrams in and out, application data in between, no socket and no clock.

One question: what is counted, and which phase is asked (`rtcstack.dtls.phase`).

Spec: RFC 6347 (DTLS 1.2), RFC 8842 (DTLS in SDP), RFC 8827 section 6.5, RFC 5764 (use_srtp).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rtcstack.dtls.certificate import Certificate
from rtcstack.dtls.connected import Resting
from rtcstack.dtls.early import Early
from rtcstack.dtls.events import DtlsEvent, DtlsRole, DtlsState
from rtcstack.dtls.fingerprint import Fingerprint
from rtcstack.dtls.handshaking import Handshaking
from rtcstack.dtls.phase import Association, Over, Phase
from rtcstack.engine import Buffer, Run

__all__ = ["DtlsEngine"]


class DtlsEngine(Association):
    """One DTLS association. See `rtcstack.engine.Engine` for the five verbs.

    `start` may come after the peer's first datagrams; they are kept. Application data goes in by
    `send` and comes out of `received`; it only does so once the peer's certificate has matched a
    fingerprint.

    Args and attributes: see `rtcstack.dtls.phase.Association`.
    """

    __slots__ = ("_phase",)

    def __init__(self, certificate: Certificate, *, mtu: int = 1200, keylog_path: str | None = None) -> None:
        super().__init__(certificate, mtu=mtu, keylog_path=keylog_path)
        self._phase: Phase = Early(self)

    @property
    def is_resting(self) -> bool:
        """Whether the connection goes on without OpenSSL, see `rtcstack.dtls.resting`."""
        return isinstance(self._phase, Resting)

    def start(self, role: DtlsRole, fingerprints: Iterable[Fingerprint], now: float) -> None:
        """Begin the handshake.

        Args:
            role: this end's role.
            fingerprints: the peer's, from its session description. None that matches its
                certificate means that the connection fails.
            now: monotonic seconds.
        """
        early = self._phase
        assert isinstance(early, Early), "a DTLS engine starts once"
        self.role = role
        self.state = DtlsState.CONNECTING
        phase: Phase
        self._phase = phase = handshaking = Handshaking(self, fingerprints, now)
        if role is DtlsRole.CLIENT or not early.datagrams:
            phase = handshaking.advance(now)  # a client speaks first, whatever has come
        if early.datagrams:
            phase = phase.receive([Run(d, len(d)) for d in early.datagrams], len(early.datagrams), now)
        self._phase = phase

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
        self._phase = self._phase.receive(runs, count, now)

    def handle_timeout(self, now: float) -> None:
        """Repeat the handshake flight that is due, or give up; rest. See `Engine.handle_timeout`."""
        self._phase = self._phase.handle_timeout(now)

    def next_timeout(self) -> float | None:
        """When `handle_timeout` has something to do. See `Engine.next_timeout`."""
        return self._phase.next_timeout()

    def drain(self, now: float) -> list[bytes]:
        """Take the datagrams to send. See `Engine.drain`; `drain_runs` is the cheaper form."""
        return [datagram for run in self.drain_runs(now) for datagram in run.datagrams()]

    def events(self) -> list[DtlsEvent]:
        """Take what happened. See `Engine.events`."""
        events, self.happened = self.happened, []
        return events

    # -- application data -------------------------------------------------------------------

    def send(self, messages: Sequence[bytes]) -> None:
        """Encrypt application data, one record and one datagram for each message.

        Before the connection stands, and after it ended, messages are counted and dropped: what
        runs over DTLS repeats what matters.

        Args:
            messages: each at most the path's MTU less DTLS's overhead of 37 bytes at most.
        """
        self._phase.send(messages)

    def received(self) -> list[bytes]:
        """Take decrypted application data, one entry per record, in order of arrival."""
        opened, self.opened = self.opened, []
        return opened

    def drain_runs(self, now: float) -> list[Run]:
        """Take what is to be sent, with equal-sized datagrams joined into runs."""
        self._phase.collect(now)
        out = self.out
        if not out:
            return []
        self.out = []
        counters = self.counters
        for data, segment in out:
            size = len(data)
            counters.bytes_sent += size
            counters.packets_sent += 1 if size <= segment else -(-size // segment)
        return out

    def close(self) -> None:
        """Say close_notify and end; the next `drain` has the alert. Further input is dropped."""
        self._phase.say_goodbye()
        if self.state is not DtlsState.FAILED:
            self.state = DtlsState.CLOSED
        self._phase = Over(self)

    def fail(self, reason: str) -> None:
        """End without a word to the peer: whoever drives this engine cannot go on with it.

        Args:
            reason: what `DtlsFailed` tells.
        """
        if not isinstance(self._phase, Over):
            self._phase = self._phase.fail("dtls-failure", reason)
