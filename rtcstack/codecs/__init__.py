"""Codecs: payload formats (pure), coders (PyAV and the native libraries), and the pool they run in."""

from rtcstack.errors import MissingPackageError

try:
    import av  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "av":
        raise
    raise MissingPackageError("media", "av", "media") from error
