"""DTLS 1.2 over memory BIOs, certificates and fingerprints. The only room that knows OpenSSL."""

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
