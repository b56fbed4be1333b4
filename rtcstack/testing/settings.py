"""Numbers that the parts of the internet are set to: what makes no sense is refused at once, by its name."""

from __future__ import annotations

from math import inf
from typing import Any

__all__ = ["Setting", "checked"]


def checked(
    name: str, value: Any, *, most: float = inf, is_optional: bool = False, must_be_more: bool = False
) -> Any:
    """The value, if it is a finite number from 0 to `most`.

    Args:
        name: what it is the value of.
        value: what was given.
        most: the greatest that makes sense.
        is_optional: whether None does.
        must_be_more: whether 0 does not.

    Raises:
        TypeError: it is no number.
        ValueError: it is out of bounds.
    """
    if value is None and is_optional:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is {value!r}, which is no number")
    if not 0 <= value <= most or value == inf or (must_be_more and value == 0):  # NaN is in no range
        bounds = "finite and " if most == inf else ""
        bounds += "more than 0" if must_be_more else "at least 0"
        raise ValueError(
            f"{name} is {value!r}: it must be {bounds}" + ("" if most == inf else f", at most {most:g}")
        )
    return value


class Setting:
    """An attribute whose value is `checked` whenever it is set; what is set stands under its name with an
    underscore before it, where it is read without a call."""

    def __init__(self, *, most: float = inf, is_optional: bool = False, must_be_more: bool = False) -> None:
        self._bounds: dict[str, Any] = {
            "most": most,
            "is_optional": is_optional,
            "must_be_more": must_be_more,
        }

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        self._inner = f"_{name}"

    def __get__(self, owner: Any, _: type | None = None) -> Any:
        return self if owner is None else getattr(owner, self._inner)

    def __set__(self, owner: Any, value: Any) -> None:
        setattr(owner, self._inner, checked(self._name, value, **self._bounds))
