"""Events: order, isolation of handlers, and the three faces of listening."""

from __future__ import annotations

import asyncio
from typing import Any

from rtcstack.events import Event, EventTarget, HandlerAttribute


class Target(EventTarget):
    onping = HandlerAttribute("ping")


def fire(target: Target, name: str = "ping") -> Event:
    event = Event(name)
    target.dispatchEvent(event)
    return event


def test_handlers_run_in_order_with_the_event() -> None:
    target, seen = Target(), []
    target.on("ping", lambda e: seen.append((1, e)))
    target.addEventListener("ping", lambda e: seen.append((2, e)))
    target.onping = lambda e: seen.append((3, e))
    event = fire(target)
    assert seen == [(1, event), (2, event), (3, event)]
    assert event.target is target


def test_decorator_form_and_handlers_without_arguments() -> None:
    target, seen = Target(), []

    @target.on("ping")
    def handler() -> None:
        seen.append("no arguments")

    fire(target)
    assert seen == ["no arguments"]


def test_attribute_is_replaced_and_cleared() -> None:
    target, seen = Target(), []
    assert target.onping is None
    target.onping = lambda e: seen.append(1)
    second = lambda e: seen.append(2)  # noqa: E731
    target.onping = second
    assert target.onping is second
    fire(target)
    target.onping = None
    fire(target)
    target.onping = "not callable"
    assert target.onping is None
    assert seen == [2]


def test_once_and_removal() -> None:
    target, seen = Target(), []
    target.addEventListener("ping", lambda: seen.append("once"), {"once": True})

    def handler(event: Event) -> None:
        seen.append("always")

    target.addEventListener("ping", handler)
    target.addEventListener("ping", handler)
    fire(target)
    fire(target)
    target.removeEventListener("ping", handler)
    target.removeEventListener("ping", handler)
    fire(target)
    assert seen == ["once", "always", "always"]
    assert not target.has_listeners("ping")


def test_a_handler_may_remove_itself_and_others_while_running() -> None:
    target, seen = Target(), []

    def second(event: Event) -> None:
        seen.append("second")

    def first(event: Event) -> None:
        seen.append("first")
        target.removeEventListener("ping", first)

    target.on("ping", first)
    target.on("ping", second)
    fire(target)
    fire(target)
    assert seen == ["first", "second", "second"]


async def test_exceptions_go_to_the_loop_and_the_next_handler_runs(
    expects_loop_exceptions: list[dict[str, Any]],
) -> None:
    target, seen = Target(), []
    boom = ValueError("boom")

    async def slow(event: Event) -> None:
        await asyncio.sleep(0)
        raise boom

    def fast(event: Event) -> None:
        raise boom

    target.on("ping", fast)
    target.on("ping", slow)
    target.on("ping", lambda e: seen.append(e.type))
    fire(target)
    for _ in range(5):
        await asyncio.sleep(0)
    assert seen == ["ping"]
    assert [c["exception"] for c in expects_loop_exceptions] == [boom, boom]


def test_error_is_an_ordinary_event() -> None:
    target, seen = Target(), []
    fire(target, "error")
    target.on("error", lambda e: seen.append(e.type))
    fire(target, "error")
    assert seen == ["error"]
