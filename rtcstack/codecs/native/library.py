"""Where the codec libraries are: beside PyAV, or in the system."""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import cache
from pathlib import Path

import av

__all__ = ["load"]


@cache
def load(name: str) -> ctypes.CDLL | None:
    """A shared library by its plain name ("vpx"), or None when there is none.

    PyAV's wheels carry the libraries that they were built with; those are taken before the system's,
    so that a process holds one copy.
    """
    package = Path(av.__file__).parent
    for folder in (package.parent / "av.libs", package / ".dylibs", package.parent / "av.dylibs"):
        for pattern in (f"lib{name}-*", f"lib{name}.*", f"{name}-*.dll"):
            for path in sorted(folder.glob(pattern)):
                try:
                    return ctypes.CDLL(str(path))
                except OSError:
                    continue
    found = ctypes.util.find_library(name)
    if found is not None:
        try:
            return ctypes.CDLL(found)
        except OSError:
            return None
    return None
