"""Files that a recorder makes, and which files hold up nobody for good."""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Mapping
from typing import Any

import av
from av.container import OutputContainer

from rtcstack.entropy import entropy
from rtcstack.errors import OperationError

__all__ = ["is_at_hand", "open_output"]

_SURVIVING: dict[str, dict[str, str]] = {
    "mp4": {"movflags": "+empty_moov+default_base_moof+delay_moov", "frag_duration": "1000000"},
    "mov": {"movflags": "+empty_moov+default_base_moof+delay_moov", "frag_duration": "1000000"},
    "matroska": {"cluster_time_limit": "1000"},
    "webm": {"cluster_time_limit": "1000"},
    "ogg": {"page_duration": "500000"},
}
"""Options of formats with which a file is of use although its end was never written."""

_ALWAYS = {"flush_packets": "1", "max_interleave_delta": "500000"}
"""To the disk with each packet; and a stream that pauses holds the others up for half a second at most."""

_SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]+:")
"""What a URL begins with; a drive has one letter."""


def open_output(file: str | Any, form: str | None, wanted: Mapping[str, str]) -> OutputContainer:
    """Make a file, as far as that can be done before the first frame.

    Args:
        file: path or URL; or an object with ``write`` and ``seek``.
        form: FFmpeg's name of the format; None to go by the path's ending.
        wanted: FFmpeg's options, for the format.

    Raises:
        OperationError: there is no such format, or no way to write there.
    """
    if isinstance(file, str) and "://" not in file:
        folder = os.path.dirname(os.path.abspath(file))
        if not os.path.isdir(folder):
            raise OperationError(f"{file!r} cannot be recorded: there is no folder {folder}")
        writable = file if os.path.exists(file) else folder
        if os.path.isdir(file) or not os.access(writable, os.W_OK):
            raise OperationError(f"{file!r} cannot be recorded: {writable} cannot be written to")
    try:
        container = av.open(file, "w", format=form)
    except (av.FFmpegError, OSError, ValueError) as exc:
        raise OperationError(f"{file!r} cannot be recorded: {exc}") from exc
    options = dict(_ALWAYS)
    if entropy().is_seeded:
        options["fflags"] = "+bitexact"  # Matroska and Ogg number their files and streams at random
    for name in container.format.name.split(","):
        options.update(_SURVIVING.get(name, {}))
    if "movflags" in wanted:
        options.pop("frag_duration", None)
    options.update(wanted)
    container.close()
    return av.open(file, "w", format=form, options=options)


def is_at_hand(file: object, *, is_new: bool = False) -> bool:
    """Whether whoever reads or writes a file is not held up for good: it is one, or memory.

    Args:
        file: path, URL or object.
        is_new: it is to be written, and may not be there yet.
    """
    if isinstance(file, io.BytesIO):
        return True
    try:
        if isinstance(file, str | os.PathLike):
            path = str(os.fspath(file))
            return os.path.isfile(path) or (
                is_new and not os.path.exists(path) and _SCHEME.match(path) is None
            )
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)  # type: ignore[attr-defined]
    except (AttributeError, OSError, TypeError, ValueError):
        return False
