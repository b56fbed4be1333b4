"""SFrame transforms: frames are sealed before they are sent, and opened when they have come.

    sender.transform = sealed = SFrameTransform({"cipherSuite": "AES_128_GCM_SHA256_128"})
    await sealed.setEncryptionKey(key, 1)

Servers on the way forward what they cannot read. Who has the key, and how they got it, is the application's
business; without one nothing is sent.

Spec: webrtc-encoded-transform, section 6 (SFrameTransform); RFC 9605.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rtcstack.api.dictionaries import as_dictionary
from rtcstack.api.encodedframes import Frame, RTCEncodedAudioFrame, RTCEncodedVideoFrame, taken_out
from rtcstack.api.passage import Passage, Transform, VideoReceiver, VideoSender
from rtcstack.api.transformstreams import ThroughReadable, ThroughWritable
from rtcstack.codecs.payload.vp8 import vp8_frame_header
from rtcstack.errors import InvalidModificationError
from rtcstack.events import Event, EventTarget, HandlerAttribute
from rtcstack.media.pipeline.inbound import ReceivedCodec
from rtcstack.promises import Operation, promise
from rtcstack.rtp.frames import EncodedFrame
from rtcstack.sframe import MAX_VALUE, CipherSuite, Opener, Sealer, SFrameError, SFrameFault

__all__ = [
    "SFrameCipherSuite",
    "SFrameDecrypterStream",
    "SFrameEncrypterStream",
    "SFrameTransform",
    "SFrameTransformErrorEvent",
    "SFrameTransformErrorEventType",
    "SFrameTransformOptions",
]

SFrameCipherSuite = CipherSuite
SFrameTransformErrorEventType = SFrameFault

_WHOLE = frozenset(("video/vp8", "video/vp9"))
"""Formats that carry any bytes as a frame; others are cut at units that must stay readable."""

_logger = logging.getLogger("rtcstack.media")


@dataclass(frozen=True, slots=True)
class SFrameTransformOptions:
    """How frames are sealed.

    Attributes:
        cipherSuite: one of `SFrameCipherSuite`. The numbers at the end are bits of the tag.

    Spec: webrtc-encoded-transform, section 6.
    """

    cipherSuite: CipherSuite | str


class SFrameTransformErrorEvent(Event):
    """A frame could not be opened.

    Args:
        type: "error".
        errorType: "authentication": it is not what was sealed with that key; "keyID": nobody has set the key
            that it names; "syntax": it is no SFrame ciphertext.
        frame: as it came.
        keyID: that it names, if it is the key that is missing.

    Spec: webrtc-encoded-transform, section 6.
    """

    __slots__ = ("errorType", "frame", "keyID")

    def __init__(
        self,
        type: str,  # noqa: A002 - the W3C's name
        *,
        errorType: SFrameFault | str,
        frame: Any,
        keyID: int | None = None,
    ) -> None:
        super().__init__(type)
        self.errorType = SFrameFault(errorType)
        self.frame = frame
        self.keyID = keyID


class SFrameKeyManagement(EventTarget):
    """What all that seal or open share.

    Events: error, an `SFrameTransformErrorEvent`.
    """

    onerror = HandlerAttribute("error")

    def __init__(self, options: SFrameTransformOptions | Mapping[str, Any] | None) -> None:
        super().__init__()
        given = as_dictionary(SFrameTransformOptions, options).cipherSuite
        try:
            suite = CipherSuite(given)
        except ValueError:
            raise TypeError(f"{given!r} is no cipher suite: {', '.join(CipherSuite)}") from None
        self._sealer = Sealer(suite)
        self._opener = Opener(suite)
        self._has_said = False
        self._failures = 0

    @property
    def failures(self) -> int:
        """Frames that could not be opened, or be sealed; they are dropped."""
        return self._failures

    def setEncryptionKey(self, key: bytes | bytearray | memoryview, keyID: int = 0) -> Operation[None]:
        """Seal with this key from now on; or open with it what names it. Older keys go on opening theirs.

        Whoever seals with one key twice in this process, in two transforms, counts on: no two frames are
        sealed alike.

        Args:
            key: the base key of RFC 9605, from which those of cipher and tag are derived: 16 octets or more.
                JavaScript's CryptoKey has no counterpart: these are its bytes.
            keyID: 0 to 2^64 - 1, which stands in each frame.

        Raises:
            InvalidModificationError: it is empty.
            TypeError: the key is no bytes, or the keyID no integer.
            ValueError: the keyID is out of range (RangeError).

        Spec: webrtc-encoded-transform, section 6 (setEncryptionKey).
        """

        def steps() -> Any:
            if not isinstance(key, bytes | bytearray | memoryview):
                raise TypeError(f"a key is bytes, not {type(key).__name__}")
            if isinstance(keyID, bool) or not isinstance(keyID, int):
                raise TypeError(f"keyID is an integer, not {type(keyID).__name__}")
            if not 0 <= keyID <= MAX_VALUE:
                raise ValueError(f"keyID is 0 to 2^64 - 1, not {keyID}")
            base_key = bytes(key)

            def set_key() -> None:
                if not base_key:
                    raise InvalidModificationError("setEncryptionKey with an empty key")
                self._sealer.set_key(keyID, base_key)
                self._opener.set_key(keyID, base_key)

            return set_key

        return promise(steps)

    def _sealed(self, data: bytes) -> bytes | None:
        """A ciphertext; None without a key, for nothing is sent in the clear."""
        if self._sealer.is_ready:
            return self._sealer.seal(data)
        self._fail_to_seal("frames are dropped until setEncryptionKey has set a key that is not used up")
        return None

    def _fail_to_seal(self, why: str) -> None:
        self._failures += 1
        if not self._has_said:
            self._has_said = True
            _logger.warning("SFrame: %s", why)

    def _open(self, data: bytes, frame: object) -> bytes | None:
        """What was sealed; None when that cannot be, which is told."""
        try:
            return self._opener.open(data)
        except SFrameError as exc:
            self._failures += 1
            if self.has_listeners("error"):
                key_id = exc.key_id if exc.fault is SFrameFault.KEY_ID else None
                event = SFrameTransformErrorEvent("error", errorType=exc.fault, frame=frame, keyID=key_id)
                asyncio.get_running_loop().call_soon(self.dispatchEvent, event)
            return None


class SFrameTransform(SFrameKeyManagement, Transform):
    """Seals what a sender sends, or opens what a receiver gets, frame by frame.

    Sound of all codecs, VP8 and VP9. H.264, H.265 and AV1 are cut into packets at units that must stay
    readable, and no other format is agreed yet: their frames are dropped, and the log says so.

    Args:
        options: see `SFrameTransformOptions`; a mapping does.

    Raises:
        TypeError: it names no cipher suite.

    Spec: webrtc-encoded-transform, section 6.
    """

    def __init__(self, options: SFrameTransformOptions | Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        Transform.__init__(
            self, _SFramePassage(self._seal, lambda frame: self._open(bytes(frame.data), frame))
        )

    def _seal(self, frame: Frame) -> bytes | None:
        metadata = frame.getMetadata()
        if isinstance(frame, RTCEncodedVideoFrame) and (metadata.mimeType or "").lower() not in _WHOLE:
            self._fail_to_seal(f"{metadata.mimeType} cannot carry sealed frames; VP8 and VP9 can")
            return None
        return self._sealed(bytes(frame.data))


class _SFramePassage(Passage):
    """The frames of one sender or receiver.

    Args:
        seal, open_: give a frame's other bytes, or None to drop it.
    """

    is_opaque = True

    def __init__(self, seal: Callable[[Frame], bytes | None], open_: Callable[[Frame], bytes | None]) -> None:
        super().__init__()
        self._seal = seal
        self._open = open_
        self._receiver: VideoReceiver | None = None
        self._awaits_key_frame = True

    def attached(self, sender: VideoSender | None, receiver: VideoReceiver | None) -> None:
        """See `Passage.attached`."""
        self._receiver = receiver

    def detach(self) -> None:
        """Nothing waits in it."""

    def on_key_frame_made(self, rid: str | None) -> None:
        """Nobody waits for it."""

    def pass_on(self, frame: Frame) -> None:
        """See `Passage.pass_on`."""
        data = self._seal(frame) if self.sends else self._open(frame)
        if data is None:
            self._miss()
            return
        frame.data = data
        taken = taken_out(frame, self, 0)
        if taken is not None:
            taken[1]()

    def _miss(self) -> None:
        """A picture is missing: nothing is decoded before a key frame."""
        if self._receiver is not None:
            self._awaits_key_frame = True
            self._receiver.request_key_frame()

    def opened(self, frame: EncodedFrame, codec: ReceivedCodec) -> EncodedFrame | None:
        """See `Passage.opened`: what the packets could not tell of a picture, it tells itself."""
        if self._receiver is None:
            return frame
        if codec.name == "vp8":
            key_frame, width, height = vp8_frame_header(frame.data)
            frame = replace(frame, key_frame=key_frame, width=width, height=height)
            if frame.is_after_gap:
                self._awaits_key_frame = True
        if frame.key_frame:
            self._awaits_key_frame = False
        elif self._awaits_key_frame:
            self._miss()
            return None
        return frame


class _SFrameStream(SFrameKeyManagement, ABC):
    """What both streams share."""

    def __init__(self, options: SFrameTransformOptions | Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        self.readable = ThroughReadable()
        self.writable = ThroughWritable(self.readable, self._pass)

    @abstractmethod
    def _pass(self, chunk: object) -> object:
        """What becomes of a chunk; None to drop it."""


class SFrameEncrypterStream(_SFrameStream):
    """Seals what is written, for whoever reads: bytes, or the encoded frames of a transform.

        await transformer.readable.pipeThrough(stream).pipeTo(transformer.writable)

    Args:
        options: see `SFrameTransformOptions`; a mapping does.

    Attributes:
        readable: what was written, sealed: ``async for chunk in stream.readable``.
        writable: ``await stream.writable.write(chunk)``, which waits while nobody reads.

    Raises:
        TypeError: it names no cipher suite.

    Spec: webrtc-encoded-transform, section 6.
    """

    def _pass(self, chunk: object) -> object:
        return _changed(chunk, self._sealed)


class SFrameDecrypterStream(_SFrameStream):
    """Opens what is written, for whoever reads. What cannot be opened is told by an error event, and dropped.

    Args, attributes and errors: see `SFrameEncrypterStream`.

    Spec: webrtc-encoded-transform, section 6.
    """

    def _pass(self, chunk: object) -> object:
        return _changed(chunk, lambda data: self._open(data, chunk))


def _changed(chunk: object, change: Any) -> object:
    """The chunk with other bytes; None to drop it, or what is neither bytes nor a frame."""
    if isinstance(chunk, bytes | bytearray | memoryview):
        return change(bytes(chunk))
    if isinstance(chunk, RTCEncodedAudioFrame | RTCEncodedVideoFrame):
        data = change(bytes(chunk.data))
        if data is None:
            return None
        chunk.data = data
        return chunk
    return None
