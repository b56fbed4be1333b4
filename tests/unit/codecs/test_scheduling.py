"""No coder takes the machine for itself: its threads keep the program's priority."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from rtcstack.codecs.coders.scheduling import ordinary_scheduling

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getscheduler"), reason="the system has no such policies"
)

CODE = """
import os
import av
from rtcstack.codecs import registry
from rtcstack.codecs.coders.video import VideoSettings

def policies():
    return {os.sched_getscheduler(int(name)) for name in os.listdir("/proc/self/task")}

before = policies()
for codec in ("av1", "h264", "h265", "vp8", "vp9"):
    if registry.can_encode(codec):
        encoder = registry.video_encoder(codec, VideoSettings())
        encoder.encode(av.VideoFrame(128, 128, "yuv420p"))
        print(codec, sorted(policies() - before))
        encoder.close()
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="the system does not list threads")
def test_coders_threads_have_the_priority_of_the_program() -> None:
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=True)
    told = ran.stdout.split("\n")[:-1]
    assert told
    assert [line for line in told if not line.endswith("[]")] == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs the right to real-time priority")
def test_what_changes_is_undone_for_this_thread_and_for_new_ones() -> None:
    started: list[int] = []
    go, end = threading.Event(), threading.Event()

    def wait() -> None:
        started.append(threading.get_native_id())
        go.set()
        end.wait(10)

    try:
        with ordinary_scheduling():
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
            thread = threading.Thread(target=wait)
            thread.start()
            assert go.wait(10)
            assert os.sched_getscheduler(started[0]) == os.SCHED_RR
        assert os.sched_getscheduler(0) == os.sched_getscheduler(started[0]) == os.SCHED_OTHER
    finally:
        end.set()
        thread.join()
