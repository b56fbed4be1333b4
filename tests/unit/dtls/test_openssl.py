"""One test for each name that dtls/openssl.py uses below pyOpenSSL's public surface."""

from __future__ import annotations

import pytest
from OpenSSL import SSL

from rtcstack.dtls.openssl import (
    MAX_BIO_CHUNK_BYTES,
    WANT_READ,
    as_chunks,
    shared_context,
)
from rtcstack.engine import Run


@pytest.mark.parametrize(
    "name", ["SSL_read", "SSL_write", "SSL_get_error", "BIO_read", "BIO_write", "ERR_clear_error"]
)
def test_library_function(name: str) -> None:
    assert callable(getattr(SSL._lib, name))


@pytest.mark.parametrize("name", ["new", "buffer"])
def test_ffi_function(name: str) -> None:
    assert callable(getattr(SSL._ffi, name))


@pytest.mark.parametrize("name", ["_ssl", "_into_ssl", "_from_ssl"])
def test_connection_attribute(name: str) -> None:
    connection = SSL.Connection(shared_context(), None)
    assert getattr(connection, name) is not None


def test_want_read_is_told_from_the_end() -> None:
    assert WANT_READ != SSL._lib.SSL_ERROR_ZERO_RETURN
    assert WANT_READ == SSL._lib.SSL_ERROR_WANT_READ


def test_bio_keeps_what_it_is_given() -> None:
    connection = SSL.Connection(shared_context(), None)
    connection.set_ciphertext_mtu(1200)
    connection.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    buffer = SSL._ffi.new("char[]", 4096)
    size = SSL._lib.BIO_read(connection._from_ssl, buffer, 4096)
    assert SSL._ffi.buffer(buffer, size)[0] == b"\x16"
    assert SSL._lib.BIO_read(connection._from_ssl, buffer, 4096) <= 0


def test_the_context_is_shared() -> None:
    assert shared_context() is shared_context()


def test_chunks_are_cut_between_datagrams() -> None:
    run = Run(bytes(range(200)) * 6 * 40, 1200)
    short = Run(b"short", 5)
    chunks = as_chunks([short, run, short, short])
    assert b"".join(chunks) == short.data + run.data + short.data * 2
    assert all(len(c) <= MAX_BIO_CHUNK_BYTES for c in chunks)
    assert len(chunks[0]) == 5
    assert all(len(c) % 1200 == 0 for c in chunks[1:-1])


def test_small_datagrams_are_joined() -> None:
    assert as_chunks([Run(b"a" * 100, 100)] * 50) == [b"a" * 5000]
    assert as_chunks([]) == []
