"""What a test cannot do without: where it is missing the test is skipped, and with CI set it fails."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, NoReturn

import pytest

__all__ = ["missing", "wanted"]


def missing(reason: str) -> NoReturn:
    """Skip, or fail, the test, or all of a module that is being imported: something is not installed.

    Args:
        reason: what is missing, and where it comes from.
    """
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)


def wanted(name: str) -> Any:
    """A module, if it is installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as exc:
        missing(f"{name}: {exc}")
