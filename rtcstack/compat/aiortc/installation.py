"""`install`: programs and frameworks that import aiortc get this stack."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import sys
from importlib.metadata import Distribution
from types import ModuleType
from typing import Any

__all__ = ["install"]

NAME = "aiortc"


def install() -> None:
    """Let ``import aiortc`` give this stack, in all of the program, from now on. A second call does nothing.

    Raises:
        RuntimeError: the library itself has been imported already: who has its classes would not know ours.
    """
    package = importlib.import_module("rtcstack.compat.aiortc")
    present = sys.modules.get(NAME)
    if present is package:
        return
    if present is not None:
        raise RuntimeError(
            f"{NAME} has been imported already, from {present.__file__}: "
            "call rtcstack.compat.aiortc.install() before anything that imports it"
        )
    for each in _modules(package):
        sys.modules[NAME + each.__name__.removeprefix(package.__name__)] = each
    _tell_version(package.__version__)


def _modules(package: ModuleType) -> list[ModuleType]:
    names = (each.name for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."))
    return [package, *map(importlib.import_module, names)]


def _tell_version(version: str) -> None:
    """``importlib.metadata`` knows a distribution of that name."""
    sys.meta_path.insert(0, _Finder(version))


class _Distribution(Distribution):
    """What is said of the distribution."""

    def __init__(self, version: str) -> None:
        self._version = version

    def read_text(self, filename: str) -> str | None:
        """The text of one of its files."""
        if filename == "METADATA":
            return f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {self._version}\n"
        return None

    def locate_file(self, path: Any) -> Any:
        """Where a file of it would be."""
        return path


class _Finder(importlib.metadata.DistributionFinder):
    """Finds that distribution, and no module."""

    def __init__(self, version: str) -> None:
        self._distribution = _Distribution(version)

    def find_spec(self, *_: Any) -> None:
        """No module."""

    def find_distributions(self, context: Any = None) -> list[Distribution]:
        """The one, where it is asked for."""
        name = getattr(context, "name", None)
        return [self._distribution] if name == NAME else []
