"""TLS over streams in memory: handshakes in any pieces, endings, strangers, bounds, contexts made once."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcstack.engine import Address
from rtcstack.network import tls
from rtcstack.network.tls import MAX_REPLY_BYTES, TlsStream, default_context

NAME = "relay.example"


class Wire:
    """One end of a stream: what is written waits until it is delivered."""

    def __init__(self, address: Address) -> None:
        self.sockname = address
        self.peername = address
        self.written = bytearray()
        self.is_closed = False
        self.stuck_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        return self.stuck_bytes

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self.written += data

    def close(self) -> None:
        self.is_closed = True


class End:
    """A TLS stream, its wire, and what it was told."""

    def __init__(self, context: ssl.SSLContext, server_name: str | None) -> None:
        self.wire = Wire(("192.0.2.1", 443))
        self.opened: list[str | None] = []
        self.data = bytearray()
        self.lost: list[str] = []
        self.tls = TlsStream(self, context, server_name, self.opened.append)

    def on_data(self, data: bytes, now: float) -> None:
        assert not self.lost
        assert self.opened == [None]
        self.data += data

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)

    def begin(self) -> None:
        self.tls.attach(self.wire)


def exchange(a: End, b: End, piece: int = 1 << 20) -> None:
    """Deliver in pieces of this size until nothing is written any more."""
    while a.wire.written or b.wire.written:
        for sender, receiver in ((a, b), (b, a)):
            data = bytes(sender.wire.written)
            sender.wire.written.clear()
            for start in range(0, len(data), piece):
                receiver.tls.on_data(data[start : start + piece], 1.0)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Client's and server's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    path: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    client = ssl.create_default_context(cadata=pem.decode())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return client, server


def both(contexts: tuple[ssl.SSLContext, ssl.SSLContext], piece: int = 1 << 20) -> tuple[End, End]:
    """Two ends that have shaken hands."""
    client, server = End(contexts[0], NAME), End(contexts[1], None)
    server.begin()
    client.begin()
    exchange(client, server, piece)
    assert client.opened == server.opened == [None]
    return client, server


@pytest.mark.parametrize("piece", [1, 7, 1400, 1 << 20])
def test_data_both_ways_in_any_pieces(contexts: tuple[ssl.SSLContext, ssl.SSLContext], piece: int) -> None:
    client, server = both(contexts, piece)
    large = bytes(range(256)) * 300
    client.tls.write(b"hello")
    client.tls.write(large)
    server.tls.write(large)
    assert b"hello" not in client.wire.written
    exchange(client, server, piece)
    assert server.data == b"hello" + large
    assert client.data == large
    assert (client.tls.sockname, client.tls.peername) == (client.wire.sockname, client.wire.peername)


def test_nothing_is_written_before_the_handshake(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    client = End(contexts[0], NAME)
    assert (client.tls.waiting_bytes, client.tls.sockname) == (0, ("", 0))
    client.tls.write(b"too early")
    client.begin()
    client.tls.write(b"too early")
    assert b"too early" not in client.wire.written


def test_a_goodbye_is_heard_and_our_own_is_not(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    client, server = both(contexts)
    client.tls.write(b"last words")
    client.tls.close()
    client.tls.close()
    assert client.wire.is_closed
    exchange(client, server)
    assert server.data == b"last words"
    assert server.lost == ["the other end closed the connection"]
    assert server.wire.is_closed
    client.tls.on_lost("anything")
    server.tls.on_lost("anything")
    client.tls.write(b"after")
    assert client.lost == []
    assert len(server.lost) == 1


def test_a_stream_that_breaks(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    client, _ = both(contexts)
    client.tls.on_lost("reset")
    assert client.lost == ["reset"]
    early = End(contexts[0], NAME)
    early.begin()
    early.tls.on_lost("reset")
    assert (early.opened, early.lost) == (["reset"], [])


def test_another_ones_certificate(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    for context, name, reason in (
        (contexts[0], "other.example", "not valid for 'other.example'"),
        (ssl.create_default_context(cadata=None), NAME, "self-signed"),
    ):
        client, server = End(context, name), End(contexts[1], None)
        server.begin()
        client.begin()
        exchange(client, server)
        [told] = client.opened
        assert told is not None
        assert told.startswith("the certificate is not accepted: ")
        assert reason in told
        assert client.lost == []
        assert client.wire.is_closed
        # the server has been told why, by an alert
        assert [r for r in server.opened + server.lost if r] != []  # type: ignore[operator]


def test_a_server_that_speaks_something_else(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    client = End(contexts[0], NAME)
    client.begin()
    client.tls.on_data(b"HTTP/1.1 400 Bad Request\r\n\r\n", 1.0)
    assert client.opened == ["TLS failed: wrong version number"]
    client.tls.on_data(b"more", 2.0)
    assert client.wire.is_closed


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=8), st.booleans())
def test_anything_at_all(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], pieces: list[bytes], is_open: bool
) -> None:
    if is_open:
        client, _ = both(contexts)
    else:
        client = End(contexts[0], NAME)
        client.begin()
    for piece in pieces:
        client.tls.on_data(piece, 1.0)
    assert not client.data
    assert len(client.opened) + len(client.lost) <= 2


def test_a_handshake_without_end(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    client = End(contexts[0], NAME)
    client.begin()
    # a server hello that says it has 16 MB
    message = b"\x02\xff\xff\xff" + bytes(16_380)
    fed = 0
    while not client.opened and fed < 1 << 22:
        client.tls.on_data(b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message, 1.0)
        fed += len(message)
        message = bytes(16_384)
    assert client.opened != []
    assert fed <= tls.MAX_RECORD_BYTES


def test_answers_that_nobody_reads(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    client, server = both(contexts)
    server.tls.write(b"x")
    client.wire.stuck_bytes = MAX_REPLY_BYTES + 1
    exchange(client, server)
    assert client.lost == ["the other end wants answers and reads none"]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many contexts have been made."""
    made: list[int] = []
    make = ssl.create_default_context

    def counted() -> ssl.SSLContext:
        made.append(1)
        return make()

    monkeypatch.setattr(tls.ssl, "create_default_context", counted)
    tls._context.cache_clear()
    yield made
    tls._context.cache_clear()


def test_a_context_is_made_once(made: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    first = default_context()
    assert default_context() is first
    assert first.options & ssl.OP_NO_RENEGOTIATION
    assert len(made) == 1
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    assert default_context() is not first
    assert len(made) == 2
