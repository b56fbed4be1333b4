"""Names that a package offers before it has imported the modules in which they live.

Spec: PEP 562.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module

__all__ = ["lazy_names"]


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """What a package has for ``__getattr__`` and ``__dir__``.

    Type checkers are shown imports instead: each such package has them under ``TYPE_CHECKING``, the same
    names in ``__all__``, and a test that they are the same.

    Args:
        package: its full name.
        homes: the module of each name, in full.
    """

    def look_up(name: str) -> object:
        module = homes.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(module), name)
        setattr(sys.modules[package], name, value)  # asked once
        return value

    def all_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return look_up, all_names
