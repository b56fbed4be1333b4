"""Every fuzz target, with hypothesis."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.budget import Limit, TooMuchError, bounded, spends
from tests.fuzz.targets import TARGETS

FEWER = {"two_connections": 10}
"""Of targets that take long: the part of hypothesis' examples that they have."""


@pytest.mark.parametrize("name", TARGETS)
def test_target(name: str) -> None:
    count = settings().max_examples // FEWER.get(name, 1)

    @settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.binary(max_size=400) | st.binary(min_size=100, max_size=400))
    def run(data: bytes) -> None:
        TARGETS[name](data)

    run()


def test_what_takes_too_much_is_found() -> None:
    def many(data: bytes) -> None:
        for _ in range(1000):
            len(data)

    def much(data: bytes) -> None:
        bytearray(1 << 20)

    def endless(data: bytes) -> None:
        while True:
            len(data)

    def one_pass(data: bytes) -> None:
        with spends(len(data), Limit(10, 0)):
            many(data)

    few, little = Limit(100, 1), Limit(1000, 1)
    for target in (many, endless):
        with pytest.raises(TooMuchError):
            bounded(target, steps=few)(b"")
    with pytest.raises(TooMuchError):
        bounded(much, held=little)(b"")
    with pytest.raises(TooMuchError):
        bounded(one_pass)(b"")
    bounded(many, steps=few)(bytes(2000))
    bounded(much, held=little)(bytes(2 << 20))
