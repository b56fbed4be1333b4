"""Two connections through random calls, right and wrong ones, each compared with a model after each step.

The model is `tests/support/model`: webrtc-pc's algorithms, executable. ``WALKS`` in the environment says how
many walks there are (`make properties`: thousands); a seed that failed is run again by
``python -m tests.properties.test_walks SEED [KIND]``.
"""

from __future__ import annotations

import os
import sys

import pytest

from tests.support.walk.walk import walk

HONEST = int(os.environ.get("WALKS", "120"))
"""Walks in which descriptions arrive as they were made: in the end both sides agree, and data flows."""

WILD = 3 * HONEST
"""Walks in which whatever was ever described is set anywhere, as anything. They are much shorter."""

MEDIA = HONEST // 4
"""Walks of each kind with media, which cost more."""

MEDIA_CHUNK = 10

CHUNK = 20

BEGIN = int(os.environ.get("WALKS_FROM", "0"))


@pytest.mark.parametrize("first", range(BEGIN, BEGIN + HONEST, CHUNK))
def test_connections_do_as_the_model_and_agree_in_the_end(first: int) -> None:
    for seed in range(first, first + CHUNK):
        walk(seed)


@pytest.mark.parametrize("first", range(BEGIN, BEGIN + WILD, 3 * CHUNK))
def test_connections_do_as_the_model_whatever_is_described(first: int) -> None:
    for seed in range(first, first + 3 * CHUNK):
        walk(seed, "wild")


@pytest.mark.parametrize("kind", ["media", "codecs", "lite"])
@pytest.mark.parametrize("first", range(BEGIN, BEGIN + MEDIA, MEDIA_CHUNK))
def test_what_is_negotiated_is_what_arrives(first: int, kind: str) -> None:
    for seed in range(first, first + MEDIA_CHUNK):
        walk(seed, kind)


@pytest.mark.parametrize(
    ("seed", "kind"),
    [
        (2002, "codecs"),  # a section that an answer has refused comes back, and is rolled back
        (2052, "codecs"),  # credentials that a restart is to replace come again, with a new transport
    ],
)
def test_seeds_that_failed(seed: int, kind: str) -> None:
    walk(seed, kind)


if __name__ == "__main__":
    walk(int(sys.argv[1]), *sys.argv[2:])
