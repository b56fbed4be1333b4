"""Tracks, what feeds them (players, generated media) and what they feed (recorders, relays)."""

import rtcstack.codecs  # noqa: F401 - which says so where PyAV is missing
