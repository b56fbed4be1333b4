"""TLS over any stream: an engine between two sinks, with no asyncio in its way.

Spec: RFC 8446 (TLS 1.3), RFC 5246, section 7.2.1 (close_notify).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import ssl
from collections.abc import Callable

from rtcstack.clock import monotonic
from rtcstack.engine import Address
from rtcstack.platform.values import Network, Stream, StreamSink

__all__ = ["TlsStream", "default_context", "open_tls"]

MAX_RECORD_BYTES = 1 << 18
"""What may be held of records that are not whole, or of a handshake: the longest record has 16 KiB, and
OpenSSL takes a chain of certificates of 100 KB at most."""

MAX_REPLY_BYTES = 1 << 22
"""What may wait to leave, of data and of what TLS itself answers: a peer that asks for answers (new keys) and
reads none of them is hung up on. Whoever writes keeps a lower bound."""

_READ_BYTES = 1 << 16


@functools.lru_cache(maxsize=4)
def _context(_file: str | None, _directory: str | None) -> ssl.SSLContext:
    # 57 ms: the system's authorities are read
    context = ssl.create_default_context()
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def default_context() -> ssl.SSLContext:
    """A client's context with the system's authorities, made once a process.

    Another one where ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` have changed since.
    """
    return _context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


class TlsStream:
    """TLS within a stream: a `Stream` to whoever writes, and the sink of the stream below.

    Args:
        sink: who takes what comes, decrypted.
        context: with what the other end is checked, or our certificate.
        server_name: whose certificate is wanted; None at the server's end.
        on_open: told once, with None when the handshake is done, or why it is not. A sink hears nothing of a
            handshake that has failed.
    """

    def __init__(
        self,
        sink: StreamSink,
        context: ssl.SSLContext,
        server_name: str | None,
        on_open: Callable[[str | None], None],
    ) -> None:
        self._sink = sink
        self._on_open = on_open
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_name is None, server_hostname=server_name
        )
        self._stream: Stream | None = None
        self._is_open = False
        self._is_over = False

    def attach(self, stream: Stream) -> None:
        """The stream below is there: begin."""
        self._stream = stream
        self._advance(monotonic())

    @property
    def sockname(self) -> Address:
        """See `rtcstack.platform.Stream`."""
        return ("", 0) if self._stream is None else self._stream.sockname

    @property
    def peername(self) -> Address:
        """See `rtcstack.platform.Stream`."""
        return ("", 0) if self._stream is None else self._stream.peername

    @property
    def waiting_bytes(self) -> int:
        """See `rtcstack.platform.Stream`."""
        return 0 if self._stream is None else self._stream.waiting_bytes

    def write(self, data: bytes) -> None:
        """See `rtcstack.platform.Stream`; nothing is sent before the handshake is done."""
        if not self._is_open or self._is_over:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as exc:
            self._fail(_reason(exc))
        else:
            self._flush()

    def close(self) -> None:
        """See `rtcstack.platform.Stream`; says so to the other end."""
        if self._is_over:
            return
        self._is_over = True
        if self._is_open:
            with contextlib.suppress(ssl.SSLError):  # the other end's word is not waited for
                self._tls.unwrap()
        self._flush()
        if self._stream is not None:
            self._stream.close()

    def on_data(self, data: bytes, now: float) -> None:
        """See `rtcstack.platform.StreamSink`: of the stream below."""
        if self._is_over:
            return
        self._incoming.write(data)
        self._advance(now)

    def on_lost(self, reason: str) -> None:
        """See `rtcstack.platform.StreamSink`: of the stream below."""
        self._end(reason)

    def _advance(self, now: float) -> None:
        try:
            if not self._is_open:
                self._tls.do_handshake()
                self._is_open = True
                self._flush()
                self._on_open(None)
            while not self._is_over:
                data = self._tls.read(_READ_BYTES)
                if not data:
                    self._fail("the other end closed the connection")
                    return
                self._sink.on_data(data, now)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._fail("the other end closed the connection")
        except ssl.SSLError as exc:
            self._fail(_reason(exc))
        if self._is_over:
            return
        self._flush()
        if self._incoming.pending > MAX_RECORD_BYTES:
            self._fail("the other end sends a record without end")
        elif self.waiting_bytes > MAX_REPLY_BYTES:
            self._fail("the other end wants answers and reads none")

    def _flush(self) -> None:
        if self._outgoing.pending and self._stream is not None:
            self._stream.write(self._outgoing.read())

    def _fail(self, reason: str) -> None:
        self._flush()  # an alert, that says why
        if self._stream is not None:
            self._stream.close()
        self._end(reason)

    def _end(self, reason: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._is_open:
            self._sink.on_lost(reason)
        else:
            self._on_open(reason)


def _reason(exc: ssl.SSLError) -> str:
    """What went wrong, in OpenSSL's words without its file names."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {exc.verify_message}"
    return f"TLS failed: {(exc.reason or str(exc)).replace('_', ' ').lower()}"


async def open_tls(
    network: Network,
    remote: Address,
    sink: StreamSink,
    context: ssl.SSLContext,
    server_name: str,
    *,
    local: Address | None = None,
) -> TlsStream:
    """Connect, with TLS.

    Args:
        network: that we are on.
        remote: an address and a port.
        sink: who takes what comes, decrypted.
        context: with what the server is checked.
        server_name: whose certificate is wanted: a name or an address.
        local: from where, None for the system's choice.

    Raises:
        OSError: there is no way, or the server is not who it should be.
        ValueError: a name that no server can have.
    """
    done: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    def on_open(reason: str | None) -> None:
        if not done.done():
            done.set_result(reason)

    stream = TlsStream(sink, context, server_name, on_open)
    stream.attach(await network.open_tcp(remote, stream, local=local))
    try:
        reason = await done
    except BaseException:
        stream.close()
        raise
    if reason is not None:
        raise OSError(reason)
    return stream
