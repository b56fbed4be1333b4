"""DTLS 1.2 over memory BIOs, certificates and fingerprints. The only room that knows OpenSSL."""

from typing import TYPE_CHECKING

from rtcstack.lazynames import lazy_names

if TYPE_CHECKING:
    from rtcstack.dtls.certificate import Certificate, KeyAlgorithm
    from rtcstack.dtls.engine import DtlsEngine
    from rtcstack.dtls.events import (
        DtlsClosed,
        DtlsConnected,
        DtlsEvent,
        DtlsFailed,
        DtlsRole,
        DtlsState,
    )
    from rtcstack.dtls.fingerprint import Fingerprint

__all__ = [
    "Certificate",
    "DtlsClosed",
    "DtlsConnected",
    "DtlsEngine",
    "DtlsEvent",
    "DtlsFailed",
    "DtlsRole",
    "DtlsState",
    "Fingerprint",
    "KeyAlgorithm",
]

_HOMES = {
    "Certificate": "rtcstack.dtls.certificate",
    "DtlsClosed": "rtcstack.dtls.events",
    "DtlsConnected": "rtcstack.dtls.events",
    "DtlsEngine": "rtcstack.dtls.engine",
    "DtlsEvent": "rtcstack.dtls.events",
    "DtlsFailed": "rtcstack.dtls.events",
    "DtlsRole": "rtcstack.dtls.events",
    "DtlsState": "rtcstack.dtls.events",
    "Fingerprint": "rtcstack.dtls.fingerprint",
    "KeyAlgorithm": "rtcstack.dtls.certificate",
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
