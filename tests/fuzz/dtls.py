"""Fuzz targets of DTLS: junk beside a good handshake, and records on a connection, busy or at rest."""

from __future__ import annotations

from collections.abc import Callable

from rtcstack.dtls.certificate import Certificate
from rtcstack.dtls.connected import REST_AFTER_S
from rtcstack.dtls.engine import DtlsEngine
from rtcstack.dtls.events import DtlsRole, DtlsState
from tests.fuzz.budget import Limit, spends
from tests.fuzz.closing import assert_silent
from tests.fuzz.script import Mutator, Script

__all__ = ["TARGETS"]

_CERTIFICATE = Certificate.generate()

HANDSHAKE = Limit(1_500, 40)
"""Steps of a pass of a handshake. Most of its work is OpenSSL's, which is one step."""

_KINDS = (20, 21, 23, 24, 25, 26, 0, 255)
"""Types of records; none of a handshake: whoever can forge a message of that in turn can stop it, see
`rtcstack.dtls.sieve`."""


def _pair() -> tuple[DtlsEngine, DtlsEngine]:
    client, server = DtlsEngine(_CERTIFICATE), DtlsEngine(_CERTIFICATE)
    client.rtt_s = server.rtt_s = 0.02
    return client, server


def _start(client: DtlsEngine, server: DtlsEngine) -> None:
    server.start(DtlsRole.SERVER, [_CERTIFICATE.fingerprint()], 0.0)
    client.start(DtlsRole.CLIENT, [_CERTIFICATE.fingerprint()], 0.0)


def _record(script: Script) -> bytes:
    """A record of any kind but a handshake's in the clear, or bytes that are none."""
    shape = script.byte()
    body = script.piece()
    if shape & 1:
        return body if body[:1] != b"\x16" else b"\0" + body
    epoch = shape >> 1 & 3
    kind = 22 if epoch else _KINDS[shape >> 3 & 7]
    length = len(body) if shape < 224 else script.number()
    number = script.number() if shape & 128 else (1 << 48) - 1
    version = (0xFEFD, 0xFEFF, 0x0303, 0)[shape >> 5 & 3]
    head = bytes((kind,)) + version.to_bytes(2, "big") + epoch.to_bytes(2, "big")
    return head + number.to_bytes(6, "big") + length.to_bytes(2, "big") + body


def _give(engine: DtlsEngine, datagrams: list[bytes], now: float) -> None:
    with spends(sum(map(len, datagrams)), HANDSHAKE):
        engine.receive(datagrams, now)


def dtls_junk(data: bytes) -> None:
    """Junk before and during a handshake: it finishes all the same, and data passes."""
    script = Script(data)
    client, server = _pair()
    for engine in (client, server):
        for _ in range(script.byte() % 4):
            _give(engine, [_record(script)], 0.0)
    _start(client, server)
    now = 0.0
    for _ in range(40):
        for source, sink in ((client, server), (server, client)):
            datagrams = source.drain(now)
            mixed = []
            for datagram in datagrams:
                where = script.byte() % 8
                if where & 1:
                    mixed.append(_record(script))
                # what stands behind a record within a datagram is one itself, or ends there
                mixed.append(datagram + _record(script) if where & 2 else datagram)
                if where & 4:
                    mixed.append(datagram)
            if mixed:
                _give(sink, mixed, now)
        if client.state is server.state is DtlsState.CONNECTED:
            break
        assert DtlsState.FAILED not in (client.state, server.state)
        due = [t for engine in (client, server) if (t := engine.next_timeout()) is not None]
        now = max(now + 0.001, min(due))
        for engine in (client, server):
            engine.handle_timeout(now)
    assert client.state is server.state is DtlsState.CONNECTED
    _passes(client, server, now)


def _passes(source: DtlsEngine, sink: DtlsEngine, now: float) -> None:
    source.drain(now)
    source.send([b"\x14works"])
    sink.receive(source.drain(now), now)
    assert sink.received()[-1:] == [b"\x14works"]


def _assert_closed(engine: DtlsEngine, datagrams: list[bytes], now: float) -> None:
    """After the end nothing is heard, wanted or sent."""
    engine.close()
    engine.drain(now)
    engine.events()
    assert_silent(engine, [*datagrams, b"\x16"], now)
    assert engine.received() == []


def _records(data: bytes, *, rests: bool) -> None:
    script = Script(data)
    client, server = _pair()
    _start(client, server)
    for _ in range(4):
        for source, sink in ((client, server), (server, client)):
            sink.receive(source.drain(0.0), 0.0)
    now, count = 0.0, 0
    client.send([b"first"])  # so that the server knows that its last flight has come
    server.receive(client.drain(now), now)
    server.received()
    if rests:
        now = REST_AFTER_S + 1
        server.handle_timeout(now)
        assert server.is_resting
    mutator = Mutator(script)
    sent: set[bytes] = set()
    got: list[bytes] = []
    while not script.is_over and count < 60:
        messages = [b"%d " % (count + i) + bytes(script.byte()) for i in range(script.byte() % 3 + 1)]
        count += len(messages)
        sent.update(messages)
        client.send(messages)
        datagrams = mutator.pass_on(client.drain(now))
        if script.byte() & 1:
            datagrams.append(_record(script))
        if script.byte() & 1:
            datagrams = [b"".join(datagrams)]
        _give(server, datagrams, now)
        got += server.received()
        now += 0.01 * script.byte()
        server.handle_timeout(now)
        server.drain(now)
    assert server.state is DtlsState.CONNECTED
    assert len(set(got)) == len(got), "a record was taken twice"
    assert set(got) <= sent
    if mutator.changed == 0 and not data[1:]:
        assert set(got) == sent
    _passes(client, server, now)
    _assert_closed(server, list(mutator.seen), now)


def dtls_busy(data: bytes) -> None:
    """Records damaged, replayed, spliced and joined: what comes out is what was sent, once."""
    _records(data, rests=False)


def dtls_resting(data: bytes) -> None:
    """The same on a connection that goes on without OpenSSL."""
    _records(data, rests=True)


TARGETS: tuple[Callable[[bytes], None], ...] = (dtls_junk, dtls_busy, dtls_resting)
