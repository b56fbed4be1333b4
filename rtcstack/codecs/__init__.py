"""Codecs: payload formats (pure), coders (PyAV and the native libraries), and the pool they run in."""
