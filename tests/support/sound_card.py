"""A sound card that is not there: Firefox's audio needs one to run, and headless machines have none.

PulseAudio with a single output that goes nowhere, at the pace of a real one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

from tests.support.host import LeashedProcess

__all__ = ["SoundCard", "sound_card_available"]

START_S = 5.0


def sound_card_available() -> bool:
    """Whether PulseAudio is installed."""
    return shutil.which("pulseaudio") is not None


class SoundCard:
    """A server of our own, on a socket of our own; what else runs on the machine is left alone.

    Attributes:
        address: for PULSE_SERVER.
    """

    def __init__(self, process: LeashedProcess, address: str) -> None:
        self._process = process
        self.address = address

    @classmethod
    async def start(cls) -> SoundCard | None:
        """Start it; None where PulseAudio is not installed."""
        program = shutil.which("pulseaudio")
        if program is None:
            return None
        directory = tempfile.mkdtemp(prefix="rtcstack-sound-")
        socket = Path(directory, "socket")
        script = Path(directory, "script")
        script.write_text(
            "load-module module-null-sink rate=48000\n"
            f"load-module module-native-protocol-unix auth-anonymous=1 socket={socket}\n"
        )
        process = await LeashedProcess.start(
            program,
            "-n",
            f"--file={script}",
            "--daemonize=no",
            "--exit-idle-time=-1",
            "--use-pid-file=no",
            "--disable-shm=yes",
            directory=directory,
            env=os.environ | {"HOME": directory, "XDG_RUNTIME_DIR": directory},
        )
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_S
        while not socket.exists():
            if process.process.returncode is not None or loop.time() > deadline:
                await process.kill()
                return None
            await asyncio.sleep(0.02)
        return cls(process, f"unix:{socket}")

    async def kill(self) -> None:
        """End it."""
        await self._process.kill()
