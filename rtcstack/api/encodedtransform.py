"""Encoded transforms: frames pass through the application between codec and packets.

    pc.getSenders()[0].transform = RTCRtpScriptTransform(seal)

    async def seal(transformer):
        async for frame in transformer.readable:
            frame.data = frame.data[:10] + cipher.seal(frame.data[10:])
            transformer.writable.write(frame)

In a browser the transform runs in a worker; here it runs as a task of the event loop. A plain function
that takes a frame and returns it, or None to drop it, is the cheaper form.

Spec: webrtc-encoded-transform.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Coroutine
from typing import Any

from rtcstack.api.encodedframes import Frame
from rtcstack.api.passage import Passage, Transform, VideoReceiver, VideoSender
from rtcstack.api.transformstreams import KeyFrameRequestEvent, Readable, Writable
from rtcstack.errors import InvalidStateError, NotFoundError
from rtcstack.events import EventTarget, HandlerAttribute
from rtcstack.promises import Operation, promise, rejected

__all__ = ["RTCRtpScriptTransform", "RTCRtpScriptTransformer"]

_RID = re.compile(r"[A-Za-z0-9_-]+")
"""RFC 8851, section 10."""


class RTCRtpScriptTransformer(EventTarget):
    """What the function of a transform works with.

    Attributes:
        readable: ``async for frame in transformer.readable``.
        writable: ``transformer.writable.write(frame)``.
        options: as given to the transform.

    Events: keyframerequest, a `KeyFrameRequestEvent`: the peer asks the sender for a key frame.

    Spec: webrtc-encoded-transform, section 5.8.
    """

    onkeyframerequest = HandlerAttribute("keyframerequest")

    def __init__(self, passage: _ScriptPassage, options: Any) -> None:
        super().__init__()
        self._passage = passage
        self.readable = Readable(passage.ask_for_key_frame)
        self.writable = Writable(passage)
        self.options = options

    def generateKeyFrame(self, rid: str | None = None) -> Operation[None]:
        """Sending: make the next picture a key frame.

        The promise is settled just before that frame can be read; of several layers, before the last one.

        Args:
            rid: the simulcast layer; None for all that are active.

        Raises:
            InvalidStateError: it is not the transform of a video sender, or is not any more.
            TypeError: that is no name of a layer (RFC 8851, section 10).
            NotFoundError: no such layer is active.
        """
        return self._passage.generate_key_frame(rid)

    def sendKeyFrameRequest(self) -> Operation[None]:
        """Receiving: ask the peer for a key frame; at most one request leaves in 0.3 s.

        Raises:
            InvalidStateError: it is not the transform of a video receiver, or is not any more.
        """
        return self._passage.send_key_frame_request()


class RTCRtpScriptTransform(Transform):
    """A transform, to be set as `RTCRtpSender.transform` or `RTCRtpReceiver.transform`.

    Args:
        function: ``async def f(transformer)``, which runs as a task while the transform is set; or a
            function that is called with each frame and returns it (or None), in the loop's thread.
        options: handed to the former.

    Spec: webrtc-encoded-transform, section 5.8.
    """

    def __init__(
        self,
        function: Callable[[RTCRtpScriptTransformer], Coroutine[Any, Any, None]]
        | Callable[[Frame], Frame | None],
        options: Any = None,
    ) -> None:
        self._script = _ScriptPassage(function, options)
        super().__init__(self._script)

    @property
    def failures(self) -> int:
        """Frames on which the plain function raised; they are dropped."""
        return self._script.failures


class _ScriptPassage(Passage):
    """The application's function.

    Args:
        function, options: see `RTCRtpScriptTransform`.
    """

    def __init__(self, function: Callable[..., Any], options: Any) -> None:
        super().__init__()
        self._function = function
        self._is_stream = inspect.iscoroutinefunction(function)
        self._task: asyncio.Task[None] | None = None
        self._sender: VideoSender | None = None
        self._receiver: VideoReceiver | None = None
        self._awaited: list[tuple[set[str | None], asyncio.Future[None]]] = []  # [[pendingKeyFrameTasks]]
        self._told: set[str | None] = set()  # layers whose request waits for its task
        self._transformer = RTCRtpScriptTransformer(self, options)
        self.failures = 0

    def attached(self, sender: VideoSender | None, receiver: VideoReceiver | None) -> None:
        """See `Passage.attached`."""
        self._sender, self._receiver = sender, receiver
        if self._is_stream:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._function(self._transformer)
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # the application's: it ends its transform alone
            _report(exc)
        # a function that has ended takes no more frames: nothing passes (the stream is closed)
        self._transformer.readable.close()

    def detach(self) -> None:
        """See `Passage.detach`."""
        self._transformer.readable.close()
        self._transformer.writable.detach()
        self._sender = self._receiver = None
        awaited, self._awaited = self._awaited, []
        for _, future in awaited:
            if not future.done():
                future.set_exception(InvalidStateError("the transform is not set any more"))
                future.exception()  # nobody is told off for not looking at it
        if self._task is not None:
            self._task.cancel()
            self._task = None

    # -- key frames ---------------------------------------------------------------------------------

    def ask_for_key_frame(self) -> None:
        """Frames were dropped that others depend on."""
        if self._sender is not None:
            self._sender.generate_key_frame(None)
        elif self._receiver is not None:
            self._receiver.request_key_frame()

    def generate_key_frame(self, rid: str | None) -> Operation[None]:
        """See `RTCRtpScriptTransformer.generateKeyFrame` (the generate key frame algorithm)."""
        sender = self._sender
        if sender is None:
            return rejected(InvalidStateError("generateKeyFrame needs the transform of a video sender"))
        if rid is not None and (not isinstance(rid, str) or _RID.fullmatch(rid) is None):
            return rejected(TypeError(f"{rid!r} is no rid"))
        layers = {each for each in sender.live_rids if rid is None or each == rid}
        if not layers:
            what = "layer" if rid is None else f"layer {rid!r}"
            return rejected(NotFoundError(f"the sender has no {what} that is active"))
        made: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wanted = layers.difference(*(each for each, _ in self._awaited))
        self._awaited.append((layers, made))
        for each in wanted:
            sender.generate_key_frame(each)
        return Operation(made)

    def send_key_frame_request(self) -> Operation[None]:
        """See `RTCRtpScriptTransformer.sendKeyFrameRequest`."""

        def steps() -> Callable[[], None]:
            if self._receiver is None:
                raise InvalidStateError("sendKeyFrameRequest needs the transform of a video receiver")
            self._receiver.request_key_frame()
            return lambda: None

        return promise(steps)

    def on_key_frame_made(self, rid: str | None) -> None:
        """Whoever waits for key frames goes on before this one can be read."""
        left = []
        for layers, future in self._awaited:
            layers.discard(rid)
            if layers:
                left.append((layers, future))
            elif not future.done():
                future.set_result(None)
        self._awaited = left

    def on_key_frame_requested(self, rid: str | None, make: Callable[[], None]) -> bool:
        """See `Passage.on_key_frame_requested`: the application is asked, if it listens."""
        if self._sender is None or not self._transformer.has_listeners("keyframerequest"):
            return False
        if rid not in self._told:  # however often it asks within a turn
            self._told.add(rid)
            asyncio.get_running_loop().call_soon(self._tell_request, rid, make)
        return True

    def _tell_request(self, rid: str | None, make: Callable[[], None]) -> None:
        self._told.discard(rid)
        event = KeyFrameRequestEvent("keyframerequest", rid)
        self._transformer.dispatchEvent(event)
        if not event.defaultPrevented and self._sender is not None:
            make()

    # -- frames -------------------------------------------------------------------------------------

    def pass_on(self, frame: Frame) -> None:
        """See `Passage.pass_on`."""
        if self._is_stream:
            if self._task is not None and not self._task.done():
                self._transformer.readable.put(frame)
            return
        try:
            result = self._function(frame)
        except Exception as exc:  # the application's: it costs this frame
            self.failures += 1
            if self.failures == 1:
                _report(exc)
            return
        if result is not None:
            self._transformer.writable.write(result)


def _report(exc: Exception) -> None:
    asyncio.get_running_loop().call_exception_handler(
        {"message": "an encoded transform failed: its frames are dropped", "exception": exc}
    )
