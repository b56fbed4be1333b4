"""Events as the W3C has them, on pyee.

Three differences from stock pyee: an exception in a handler goes to the loop's exception handler
and never into protocol code; "error" is an event like any other; emitting is a loop over a tuple.

Spec: DOM, section 2 (events); HTML, section 8.1.8 (event handler attributes).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar, overload

from pyee.base import EventEmitter

from rtcstack.clock import timestamp_ms
from rtcstack.slips import say_unknown

__all__ = ["CancelableEvent", "Event", "EventTarget", "Handler", "HandlerAttribute", "call_handler", "tap"]

_logger = logging.getLogger("rtcstack.events")

Handler = Callable[..., Any]
"""Takes the event, or nothing: an argument that a function does not want is left out, as
JavaScript does. A coroutine function is run as a task."""

_tasks: set[asyncio.Task[Any]] = set()  # the loop itself only holds tasks weakly


class Event:
    """What a handler is called with.

    Attributes:
        type: the event's name, lower case.
        target: the object that the event was fired at.
        timeStamp: when it was made, in milliseconds since the Unix epoch.
    """

    __slots__ = ("target", "timeStamp", "type")

    def __init__(self, type: str) -> None:  # noqa: A002 - the W3C's name
        self.type = type
        self.target: Any = None
        self.timeStamp = timestamp_ms()

    @property
    def currentTarget(self) -> Any:
        """The same as `target`: these events do not bubble."""
        return self.target

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.type}>"


class CancelableEvent(Event):
    """An event that leads to something, unless a handler calls `preventDefault`.

    Args:
        type: the event's name.
        cancelable: whether it can be kept from that.

    Attributes:
        cancelable: likewise.
        defaultPrevented: whether somebody has.
    """

    __slots__ = ("cancelable", "defaultPrevented")

    def __init__(self, type: str, *, cancelable: bool = True) -> None:  # noqa: A002 - the W3C's name
        super().__init__(type)
        self.cancelable = cancelable
        self.defaultPrevented = False

    def preventDefault(self) -> None:
        """Keep what it leads to from happening; without effect where `cancelable` is False."""
        self.defaultPrevented = self.cancelable


def _wants_event(handler: Handler) -> bool:
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL) for p in parameters)


class HandlerAttribute:
    """An ``on<event>`` attribute: one handler, replaced by assignment, None for none."""

    __slots__ = ("_slot", "event")

    def __init__(self, event: str) -> None:
        self.event = event
        self._slot = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._slot = name

    @overload
    def __get__(self, instance: None, owner: type) -> HandlerAttribute: ...
    @overload
    def __get__(self, instance: EventTarget, owner: type) -> Handler | None: ...
    def __get__(self, instance: EventTarget | None, owner: type) -> HandlerAttribute | Handler | None:
        if instance is None:
            return self
        return instance._handler_attributes.get(self._slot)

    def __set__(self, instance: EventTarget, handler: Handler | None) -> None:
        if handler is not None and not callable(handler):
            handler = None  # HTML: a value that is not callable counts as null
        attributes = instance._handler_attributes
        previous = attributes.pop(self._slot, None)
        if previous is not None:
            instance.removeEventListener(self.event, previous)
        if handler is not None:
            attributes[self._slot] = handler
            instance.addEventListener(self.event, handler)


class EventTarget(EventEmitter):
    """Base of the objects that fire events.

    Listen with ``@target.on("name")``, ``target.onname = f`` or ``addEventListener``. Handlers run
    in the order in which they were added, on the loop's thread, after the state that they are told
    of is in place; they may call anything, also the object that they listen to.
    """

    _lock = threading.Lock()
    """pyee's, one for all: it is held for a look-up only, and descriptions make targets by the thousand."""

    _tap: Callable[[Event], None] | None = None
    """Hears every event before the handlers do; see `tap`."""

    _known_events: ClassVar[frozenset[str]] = frozenset()
    """What objects of this class fire, as far as there are ``on<event>`` attributes."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = {each.event for each in vars(cls).values() if isinstance(each, HandlerAttribute)}
        cls._known_events = cls._known_events | own

    def __init__(self) -> None:
        self._events = {}  # in place of pyee's own __init__, which makes a lock for each
        self._handlers: dict[str, tuple[tuple[Handler, bool], ...]] = {}
        self._attributes: dict[str, Handler] | None = None

    @property
    def _handler_attributes(self) -> dict[str, Handler]:
        """What the ``on<event>`` attributes are set to, by attribute name."""
        if self._attributes is None:
            self._attributes = {}
        return self._attributes

    # -- the W3C's face -----------------------------------------------------------------------------

    def addEventListener(
        self,
        type: str,  # noqa: A002 - the W3C's name
        listener: Handler,
        options: Mapping[str, Any] | bool | None = None,
    ) -> None:
        """Add a handler; one that is there already is not added again.

        Args:
            type: the event's name.
            listener: see `Handler`.
            options: ``{"once": True}`` for a handler that is called once at most.
        """
        if listener in self.listeners(type):
            return
        if isinstance(options, Mapping) and options.get("once"):
            self.once(type, listener)
        else:
            self.on(type, listener)

    def removeEventListener(
        self,
        type: str,  # noqa: A002 - the W3C's name
        listener: Handler,
    ) -> None:
        """Remove a handler; nothing happens when it is not there."""
        if listener in self.listeners(type):
            self.remove_listener(type, listener)

    def dispatchEvent(self, event: Event) -> bool:
        """Call the handlers of ``event.type``.

        Returns:
            False where one of them has prevented what the event leads to. A coroutine function begins to run
            behind this.
        """
        event.target = self
        if self._tap is not None:
            self._tap(event)
        if not self.emit(event.type, event) and event.type == "error":
            # nothing fails in silence
            error = getattr(event, "error", None)
            _logger.warning("%s: error that nobody listens for: %s", type(self).__name__, error)
        return not (isinstance(event, CancelableEvent) and event.defaultPrevented)

    def has_listeners(self, type: str) -> bool:  # noqa: A002 - the W3C's name
        """Whether anybody listens: saves making an event that nobody hears."""
        return type in self._events and bool(self._events[type])

    # -- pyee's face --------------------------------------------------------------------------------

    def emit(self, event: str, *args: Any, **kwargs: Any) -> bool:
        """Call the handlers of an event by name.

        Returns:
            Whether there was a handler.
        """
        handlers = self._handlers.get(event)
        if handlers is None:
            if event not in self._events:
                return False
            with self._lock:
                handlers = tuple((call, _wants_event(f)) for f, call in self._events[event].items())
            self._handlers[event] = handlers
        for handler, wants_event in handlers:
            try:
                result = handler(*args, **kwargs) if wants_event else handler()
            except Exception as exc:  # the application's: the loop is told, the other handlers go on
                _report(exc, f"a handler of {event!r}", handler)
            else:
                if result is not None and inspect.iscoroutine(result):
                    _run(result, f"a handler of {event!r}", handler)
        return bool(handlers)

    def _add_event_handler(self, event: str, k: Callable[..., Any], v: Callable[..., Any]) -> None:
        self._handlers.pop(event, None)
        if event not in self._known_events and self._known_events:
            say_unknown(type(self).__name__, "event", event, self._known_events)
        super()._add_event_handler(event, k, v)

    def _remove_listener(self, event: str, f: Callable[..., Any]) -> None:
        self._handlers.pop(event, None)
        super()._remove_listener(event, f)

    def remove_all_listeners(self, event: str | None = None) -> None:
        """Remove the handlers of one event, or of all."""
        self._handlers.clear()
        super().remove_all_listeners(event)


def tap(target: EventTarget, hear: Callable[[Event], None] | None) -> None:
    """Hear every event of an object before its handlers do, and without counting as one.

    Args:
        target: fires the events.
        hear: gets them, and must not raise; None for nobody.
    """
    target._tap = hear


def call_handler(handler: Handler, argument: object) -> None:
    """Call one function of the application as handlers of events are called.

    Args:
        handler: see `Handler`.
        argument: for it.
    """
    what = f"the callback {getattr(handler, '__qualname__', handler)!s}"
    try:
        result = handler(argument) if _wants_event(handler) else handler()
    except Exception as exc:
        _report(exc, what, handler)
    else:
        if inspect.iscoroutine(result):
            _run(result, what, handler)


def _run(coroutine: Coroutine[Any, Any, Any], what: str, handler: Handler) -> None:
    try:
        task = asyncio.get_running_loop().create_task(coroutine)
    except RuntimeError:
        coroutine.close()
        _logger.error("%s is a coroutine function, and needs a running event loop", what)
        return
    _tasks.add(task)

    def done(task: asyncio.Task[Any]) -> None:
        _tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            _report(exc, what, handler)

    task.add_done_callback(done)


def _report(exc: BaseException, what: str, handler: Handler) -> None:
    context = {"message": f"exception in {what}", "exception": exc, "handler": handler}
    try:
        asyncio.get_running_loop().call_exception_handler(context)
    except RuntimeError:
        _logger.error("exception in %s", what, exc_info=exc)
