"""Which ICE agent the tests run on, and what it lacks: ``--agent``, and the mark ``needs``."""

from __future__ import annotations

import pytest

from rtcstack.config import IceSettings
from rtcstack.ice import FEATURES, IceFeature

__all__ = ["expect_failures", "lacking", "use_agent"]


def use_agent(name: str | None) -> None:
    """Have every `IceSettings` that says nothing else ask for this agent."""
    if name is not None:
        defaults = IceSettings.__init__.__kwdefaults__
        assert defaults is not None
        defaults["agent"] = name


def lacking(item: pytest.Item) -> list[IceFeature]:
    """What a test is marked to need and the agent in use does not have."""
    features = FEATURES[IceSettings().agent]
    return [need for mark in item.iter_markers("needs") for need in mark.args if need not in features]


def expect_failures(items: list[pytest.Item]) -> None:
    """A test that needs what the agent lacks fails with it; one that does not is marked wrongly."""
    for item in items:
        if IceSettings().agent != "rtcstack" and item.get_closest_marker("of_the_engine"):
            item.add_marker(pytest.mark.skip(reason="looks into the engine of the other agent"))
        if missing := lacking(item):
            reason = "the agent lacks " + ", ".join(need.value for need in missing)
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
