"""Run a command and make sure that nothing of it survives whoever started it.

    python leash.py FD DIRECTORY COMMAND...

FD is the reading end of a pipe that the starter holds open: when it closes, for whatever reason
(a failed test, Ctrl-C, SIGKILL), the command and everything it started is killed. DIRECTORY, if
not empty, is removed at the end: a browser's profile.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time


def main() -> None:
    leash = int(sys.argv[1])
    directory = sys.argv[2]
    # Ctrl-C in a terminal reaches the whole foreground group; the pipe is what ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(sys.argv[3:], start_new_session=True)

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)

    def watch() -> None:
        code = child.wait()
        kill()  # what it left behind
        for _ in range(20):
            # helpers of a browser may still be writing for a moment
            if not directory or not os.path.exists(directory):
                break
            shutil.rmtree(directory, ignore_errors=True)
            time.sleep(0.02)
        os._exit(code if code >= 0 else 128 - code)

    signal.signal(signal.SIGTERM, lambda *_: kill())
    watcher = threading.Thread(target=watch)
    watcher.start()
    os.read(leash, 1)
    kill()
    watcher.join()


if __name__ == "__main__":
    main()
