"""GStreamer's webrtcbin as a host of peers: its binding belongs to the system's Python, not to ours."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

from tests.support.host import StdioHost

__all__ = ["gstreamer_available", "start_gstreamer"]

PYTHON = "/usr/bin/python3"
ROOT = Path(__file__).parents[2]

CHECK = """
import sys, gi
for name in ("Gst", "GstSdp", "GstWebRTC"):
    gi.require_version(name, "1.0")
from gi.repository import Gst
Gst.init(None)
needed = ("webrtcbin", "nicesrc", "dtlsenc", "srtpenc", "vp8enc", "opusenc", "rtpvp8pay", "rtpopuspay")
sys.exit(sys.version_info < (3, 11) or not all(map(Gst.ElementFactory.find, needed)))
"""


@cache
def gstreamer_available() -> bool:
    """Whether the system's Python has GStreamer, with all that webrtcbin needs."""
    if not os.access(PYTHON, os.X_OK):
        return False
    return subprocess.run([PYTHON, "-c", CHECK], capture_output=True, timeout=60).returncode == 0


async def start_gstreamer() -> StdioHost:
    """Start the system's Python with our agent."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return await StdioHost.start(
        "gstreamer",
        PYTHON,
        "-m",
        "tests.support.agent",
        "gstreamer",
        env=environment | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )
