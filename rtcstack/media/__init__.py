"""Tracks, what feeds them (players, generated media) and what they feed (recorders, relays)."""
