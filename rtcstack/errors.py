"""Exceptions: the W3C's for the application, and the engines' own for a peer's faults.

The application only ever sees a `DOMException` subclass (with the W3C `name`), `TypeError`, or
`ValueError` (JavaScript's `RangeError`). Inside, an engine that is handed bad bytes raises
`ParseError` or `ProtocolError`; the layer that feeds it turns these into a counted drop or a
state change, never into an exception in the application.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "DOMException",
    "InvalidAccessError",
    "InvalidCharacterError",
    "InvalidModificationError",
    "InvalidStateError",
    "MissingPackageError",
    "NetworkError",
    "NotAllowedError",
    "NotFoundError",
    "NotSupportedError",
    "OperationError",
    "OverconstrainedError",
    "ParseError",
    "ProtocolError",
    "RTCError",
    "SyntaxError",
    "UnknownError",
]


class DOMException(Exception):  # noqa: N818 - the W3C's name
    """Base of every error that the W3C interfaces raise by name.

    Attributes:
        name: the error's name in the W3C specifications, e.g. ``"InvalidStateError"``.
        message: what was attempted, in which state, and what stands against it.

    Spec: Web IDL, section 2.8.1 (DOMException).
    """

    default_name: ClassVar[str] = "Error"

    def __init__(self, message: str = "", name: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.name = self.default_name if name is None else name


class InvalidStateError(DOMException):
    """The object is in a state in which the operation is not allowed."""

    default_name = "InvalidStateError"


class InvalidAccessError(DOMException):
    """The object does not support the operation or argument."""

    default_name = "InvalidAccessError"


class InvalidModificationError(DOMException):
    """The object cannot be modified in this way."""

    default_name = "InvalidModificationError"


class NotSupportedError(DOMException):
    """The operation is not supported."""

    default_name = "NotSupportedError"


class MissingPackageError(NotSupportedError, ImportError):  # type: ignore[misc] # `name` is the W3C's
    """What was asked for needs a package that is not installed: the W3C's error, and Python's.

    Args:
        what: is not possible without it.
        package: as it is imported.
        extra: of ours that brings it.
    """

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the package {package!r}, which is not installed: pip install 'rtcstack[{extra}]'"
        )


class NotAllowedError(DOMException):
    """The request is not allowed in the current context."""

    default_name = "NotAllowedError"


class NotFoundError(DOMException):
    """The object cannot be found here."""

    default_name = "NotFoundError"


class NetworkError(DOMException):
    """A network error occurred."""

    default_name = "NetworkError"


class OperationError(DOMException):
    """The operation failed for an operation-specific reason."""

    default_name = "OperationError"


class OverconstrainedError(DOMException):
    """No settings of a track meet what is required of it.

    Attributes:
        constraint: the name of a required constraint that none of them meets; "" when each alone could be
            met, but not all together.

    Spec: mediacapture-streams, section 6 (OverconstrainedError).
    """

    default_name = "OverconstrainedError"

    def __init__(self, constraint: str, message: str = "") -> None:
        super().__init__(message)
        self.constraint = constraint


class UnknownError(DOMException):
    """The operation failed for an unknown transient reason."""

    default_name = "UnknownError"


class SyntaxError(DOMException):  # noqa: A001 - the W3C's name
    """The string did not match the expected pattern (a server's URL, for example)."""

    default_name = "SyntaxError"


class InvalidCharacterError(DOMException):
    """A text has characters that are not allowed."""

    default_name = "InvalidCharacterError"


class RTCError(OperationError):
    """An `OperationError` with what is known about the protocol that failed.

    Attributes:
        errorDetail: one of ``"data-channel-failure"``, ``"dtls-failure"``,
            ``"fingerprint-failure"``, ``"sctp-failure"``, ``"sdp-syntax-error"``,
            ``"hardware-encoder-not-available"``, ``"hardware-encoder-error"``.
        sdpLineNumber: 1-based line of the SDP for ``"sdp-syntax-error"``, else None.
        sctpCauseCode: cause code of the SCTP ABORT or ERROR for ``"sctp-failure"``, else None.
        receivedAlert: number of the DTLS alert that was received, else None.
        sentAlert: number of the DTLS alert that was sent, else None.

    Spec: webrtc-pc, section 11.1 (RTCError).
    """

    def __init__(
        self,
        errorDetail: str,  # noqa: N803 - the W3C's name
        message: str = "",
        *,
        sdpLineNumber: int | None = None,  # noqa: N803
        sctpCauseCode: int | None = None,  # noqa: N803
        receivedAlert: int | None = None,  # noqa: N803
        sentAlert: int | None = None,  # noqa: N803
    ) -> None:
        super().__init__(message)
        self.errorDetail = errorDetail
        self.sdpLineNumber = sdpLineNumber
        self.sctpCauseCode = sctpCauseCode
        self.receivedAlert = receivedAlert
        self.sentAlert = sentAlert


class ParseError(ValueError):
    """Bytes or text from outside that do not have the form their format demands.

    Attributes:
        line: 1-based line number for text formats, else None.
    """

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message if line is None else f"line {line}: {message}")
        self.reason = message
        self.line = line


class ProtocolError(Exception):
    """Well-formed input that breaks the protocol; the engine that raises it has failed.

    Attributes:
        code: the protocol's number for the fault (an SCTP cause code, a DTLS alert), else None.
    """

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
