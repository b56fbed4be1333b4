"""Settings that all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# `make fuzz`: the same properties with many more examples, for as long as it takes
settings.register_profile("fuzz", max_examples=10_000, deadline=None)

if profile := os.environ.get("HYPOTHESIS_PROFILE"):
    settings.load_profile(profile)
