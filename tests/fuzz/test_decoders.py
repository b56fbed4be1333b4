"""Damaged bitstreams never take the decoders down, nor more memory than a picture needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rtcstack.codecs import registry
from tests.support.wanted import missing


@pytest.mark.parametrize("codec", ["vp8", "vp9", "h264", "h265", "av1", "opus", "g722", "pcmu", "pcma"])
def test_damaged_bitstreams(codec: str) -> None:
    if not (registry.can_encode(codec) and registry.can_decode(codec)):
        missing(f"no coder for {codec} is installed")
    command = [sys.executable, "-m", "tests.fuzz.decoders", codec, "--rounds", "60"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
