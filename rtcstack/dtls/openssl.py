"""The few OpenSSL calls that move packets, bound without pyOpenSSL's per-call wrapping.

pyOpenSSL allocates a buffer, looks up the error and copies twice for each record: 3.8 us to seal
and 3.5 us to open one of 1,200 bytes even in batches. The same functions called on the same
objects with one buffer that stays cost 0.8 us and 1.2 us. What this file reaches for below
pyOpenSSL's public surface (`SSL._lib`, `SSL._ffi`, `Connection._ssl`, `_into_ssl`, `_from_ssl`)
is held by tests/unit/dtls/test_openssl.py, a test per name.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from OpenSSL import SSL, crypto

from rtcstack.dtls.certificate import Certificate
from rtcstack.engine import Run

__all__ = [
    "IANA_NAMES",
    "MAX_BIO_CHUNK_BYTES",
    "WANT_READ",
    "RecordLayer",
    "as_chunks",
    "shared_context",
]

_lib: Any = SSL._lib  # type: ignore[attr-defined]
_ffi: Any = SSL._ffi  # type: ignore[attr-defined]

MAX_BIO_CHUNK_BYTES = 16_000
"""OpenSSL reads its BIO in one go of at most about 16 KB per "datagram": records beyond are cut."""

WANT_READ: int = _lib.SSL_ERROR_WANT_READ

_DTLS_1_2 = 0xFEFD

_BUFFER_BYTES = 256 * 1024

IANA_NAMES = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "ECDHE-RSA-CHACHA20-POLY1305": "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    # What RFC 8827 section 6.5 made mandatory for old peers.
    "ECDHE-ECDSA-AES128-SHA": "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "ECDHE-RSA-AES128-SHA": "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "ECDHE-ECDSA-AES256-SHA": "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "ECDHE-RSA-AES256-SHA": "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
}
"""The cipher suites that are offered, in order of preference, with their names in IANA's registry."""

_CIPHERS = ":".join(IANA_NAMES).encode()

_SRTP_PROFILES = b":".join(
    (
        b"SRTP_AEAD_AES_256_GCM",
        b"SRTP_AEAD_AES_128_GCM",
        b"SRTP_AES128_CM_SHA1_80",
    )
)


class PeerWatch:
    """What OpenSSL's callbacks report of one connection's peer.

    Attributes:
        accepts: decides on the peer's end-entity certificate, in DER.
        refused: whether it has said no.
        alert_received: number of the last alert from the peer, or None (RFC 8446, section 6).
        alert_sent: number of the last alert to the peer, or None.
    """

    __slots__ = ("accepts", "alert_received", "alert_sent", "refused")

    def __init__(self, accepts: Callable[[bytes], bool]) -> None:
        self.accepts = accepts
        self.refused = False
        self.alert_received: int | None = None
        self.alert_sent: int | None = None


def _der(certificate: crypto.X509) -> bytes:
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)


def _on_verify(connection: SSL.Connection, certificate: crypto.X509, _: int, depth: int, __: int) -> bool:
    # Certificates are self-signed, so a chain proves nothing: identity is the fingerprint
    # (RFC 8827, section 6.5). False makes OpenSSL send the alert and end the handshake.
    if depth:
        return True
    watch: PeerWatch = connection.get_app_data()
    if watch.accepts(_der(certificate)):
        return True
    watch.refused = True
    return False


def _on_info(connection: SSL.Connection, where: int, value: int) -> None:
    if where & SSL.SSL_CB_ALERT:
        watch: PeerWatch = connection.get_app_data()
        if where & SSL.SSL_CB_READ:
            watch.alert_received = value & 0xFF
        else:
            watch.alert_sent = value & 0xFF


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class _KeyLog:
    """Appends NSS key log lines to a file; Wireshark reads them.

    Whoever reads it can read the calls: a new file is its owner's alone. It is opened once per path,
    and closed with the context that writes to it.
    """

    def __init__(self, path: str) -> None:
        self._file = open(path, "ab", buffering=0, opener=_private)  # noqa: SIM115 - lives as the context
        weakref.finalize(self, self._file.close)

    def __call__(self, _connection: object, line: bytes) -> None:
        self._file.write(line + b"\n")


@functools.lru_cache(maxsize=8)
def shared_context(keylog_path: str | None = None) -> SSL.Context:
    """The SSL context that all connections share: a context of their own would cost each ~30 KB.

    Certificates are set on the connection, not here.
    """
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(_DTLS_1_2)
    context.set_cipher_list(_CIPHERS)
    context.set_options(
        SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(_lib.SSL_MODE_RELEASE_BUFFERS)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _on_verify)
    context.set_tlsext_use_srtp(_SRTP_PROFILES)
    context.set_info_callback(_on_info)
    if keylog_path is not None:
        context.set_keylog_callback(_KeyLog(keylog_path))
    return context


class _Scratch(threading.local):
    # OpenSSL runs with the GIL released: loops in several threads must not share a buffer.
    def __init__(self) -> None:
        self.buffer = _ffi.new("char[]", _BUFFER_BYTES)


_scratch = _Scratch()


class RecordLayer:
    """One DTLS connection as bytes in, bytes out.

    The connections of a thread share one buffer: their calls never overlap, because none awaits.
    """

    __slots__ = ("_connection", "_from_ssl", "_into_ssl", "_ssl", "watch")

    def __init__(
        self,
        certificate: Certificate,
        watch: PeerWatch,
        *,
        is_client: bool,
        mtu: int,
        keylog_path: str | None = None,
    ) -> None:
        connection = SSL.Connection(shared_context(keylog_path), None)
        connection.use_certificate(certificate.x509)
        connection.use_privatekey(certificate.private_key)
        connection.set_ciphertext_mtu(mtu)
        self.watch = watch
        connection.set_app_data(watch)
        if is_client:
            connection.set_connect_state()
        else:
            connection.set_accept_state()
        self._connection = connection
        self._ssl = connection._ssl
        self._into_ssl = connection._into_ssl
        self._from_ssl = connection._from_ssl

    @property
    def connection(self) -> SSL.Connection:
        """pyOpenSSL's object, for everything that is not per packet."""
        return self._connection

    def peer_certificates(self) -> list[bytes]:
        """The peer's certificates in DER, the end-entity certificate first; empty for none."""
        own = self._connection.get_peer_certificate()
        if own is None:
            return []
        first = _der(own)
        chain = [_der(certificate) for certificate in self._connection.get_peer_cert_chain() or ()]
        return [first, *(der for der in chain if der != first)]

    def put(self, chunk: bytes) -> None:
        """Hand received records (at most `MAX_BIO_CHUNK_BYTES`) to OpenSSL."""
        _lib.BIO_write(self._into_ssl, chunk, len(chunk))

    def open_records(self, out: list[bytes]) -> int:
        """Decrypt what was `put`, appending each record's application data.

        Returns:
            OpenSSL's verdict when no more can be read: `SSL_ERROR_WANT_READ` in the normal case.
        """
        read, ssl, buffer, view = _lib.SSL_read, self._ssl, _scratch.buffer, _ffi.buffer
        while True:
            n = read(ssl, buffer, _BUFFER_BYTES)
            if n <= 0:
                return int(_lib.SSL_get_error(ssl, n))
            out.append(view(buffer, n)[:])

    def seal(self, messages: Iterable[bytes]) -> int:
        """Encrypt each message into one record; `take` gives them.

        Returns:
            How many messages OpenSSL refused (it is closed, or a message exceeds a record).
        """
        write, ssl = _lib.SSL_write, self._ssl
        refused = 0
        for message in messages:
            if write(ssl, message, len(message)) <= 0:
                refused += 1
        if refused:
            _lib.ERR_clear_error()
        return refused

    def take(self) -> bytes:
        """Everything that OpenSSL wants sent: whole records, back to back."""
        buffer = _scratch.buffer
        data = b""
        while (n := _lib.BIO_read(self._from_ssl, buffer, _BUFFER_BYTES)) > 0:
            data += _ffi.buffer(buffer, n)[:]
            if n < _BUFFER_BYTES:
                break
        return data

    @staticmethod
    def clear_errors() -> None:
        """Empty the thread's error queue, so that a peer's fault is not blamed on the next one."""
        _lib.ERR_clear_error()


def as_chunks(runs: Sequence[Run]) -> list[bytes]:
    """Make as few chunks of the runs as `MAX_BIO_CHUNK_BYTES` allows, cut between datagrams."""
    if len(runs) == 1 and len(runs[0].data) <= MAX_BIO_CHUNK_BYTES:
        return [runs[0].data]
    chunks: list[bytes] = []
    pending = b""
    for data, segment in runs:
        size = len(data)
        if len(pending) + size <= MAX_BIO_CHUNK_BYTES:
            pending = pending + data if pending else data
            continue
        if pending:
            chunks.append(pending)
            pending = b""
        if size <= MAX_BIO_CHUNK_BYTES or segment >= MAX_BIO_CHUNK_BYTES:
            pending = data
            continue
        step = MAX_BIO_CHUNK_BYTES // segment * segment
        chunks += [data[start : start + step] for start in range(0, size, step)]
    if pending:
        chunks.append(pending)
    return chunks
