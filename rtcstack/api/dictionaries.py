"""WebIDL dictionaries as dataclasses that may also be given as mappings.

Spec: Web IDL, section 3.2.18 (dictionary types).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from rtcstack.slips import say_unknown

__all__ = ["as_dictionary", "enforce_range", "enum_member"]

D = TypeVar("D")
E = TypeVar("E")


def as_dictionary(cls: type[D], value: object, members: Mapping[str, Any] | None = None) -> D:
    """A dictionary of type `cls` from what the application gave.

    Args:
        cls: a dataclass.
        value: an instance of `cls`, a mapping (members that `cls` does not have are ignored, as in
            JavaScript, but said once in the log), or None for all defaults.
        members: further members by keyword; one that `cls` does not have is a TypeError.

    Raises:
        TypeError: none of these, or a required member is missing.
    """
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if members:
        unknown = sorted(members.keys() - names)
        if unknown:
            raise TypeError(f"{cls.__name__} has no member {unknown[0]!r}")
    if value is None:
        return cls(**(members or {}))
    if isinstance(value, cls):
        return dataclasses.replace(value, **members) if members else value  # type: ignore[type-var]
    if isinstance(value, Mapping):
        for unknown in value.keys() - names:
            say_unknown(cls.__name__, "member", unknown, names)
        return cls(**{k: v for k, v in value.items() if k in names}, **(members or {}))
    raise TypeError(f"{cls.__name__} or a mapping expected, not {type(value).__name__}")


def enforce_range(name: str, value: object, low: int, high: int) -> int:
    """An integer member with WebIDL's [EnforceRange].

    Raises:
        TypeError: not a number, or outside of `low` to `high`.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if not low <= value <= high:
        raise TypeError(f"{name} must be {low} to {high}, not {value}")
    return int(value)


def enum_member(cls: type[E], name: str, value: object) -> E:
    """A member of a WebIDL enumeration.

    Raises:
        TypeError: not one of its values.
    """
    try:
        return cls(value)  # type: ignore[call-arg]
    except ValueError:
        allowed = ", ".join(repr(str(member)) for member in cls)  # type: ignore[attr-defined]
        raise TypeError(f"{name} must be one of {allowed}, not {value!r}") from None
