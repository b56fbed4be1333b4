"""What this end can do is found out when it is asked for, and not before."""

from __future__ import annotations

import pytest

from rtcstack.connection import capabilities
from rtcstack.connection.capabilities import capabilities_with, our_capabilities
from rtcstack.jsep import Capabilities, default_capabilities


def test_no_coder_is_opened_before_somebody_asks_for_media(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Capabilities] = []

    def default(*_judges: object) -> Capabilities:
        made.append(default_capabilities())
        return made[-1]

    monkeypatch.setattr(capabilities, "default_capabilities", default)
    for cached in (our_capabilities, capabilities_with):
        cached.cache_clear()
    try:
        wanted = capabilities_with(stereo=True, dtx=False, fec=True)
        assert not made
        assert "stereo=1" in wanted.of("audio").receive[0].parameters
        assert wanted.of("video") == made[0].of("video")
        assert len(made) == 1
        assert wanted.of("smell").send == ()
    finally:
        for cached in (our_capabilities, capabilities_with):
            cached.cache_clear()
