"""One question: what are this system's camera, microphone and screen called?"""

from __future__ import annotations

import os
import sys

from rtcstack.media.player import MediaPlayer

__all__ = ["camera", "microphone", "screen"]


async def camera(
    device: str | None = None,
    *,
    width: int = 640,
    height: int = 480,
    frame_rate: float = 30,
) -> MediaPlayer:
    """A camera.

    Args:
        device: its name in the system; None for the first.
        width, height, frame_rate: what it is asked for.

    Raises:
        NotFoundError: there is none, or it refuses.
    """
    options = {"video_size": f"{width}x{height}", "framerate": f"{frame_rate:g}"}
    if sys.platform == "darwin":
        return await MediaPlayer.open(device or "default:none", "avfoundation", options)
    if sys.platform == "win32":
        return await MediaPlayer.open(f"video={device or 'Integrated Camera'}", "dshow", options)
    return await MediaPlayer.open(device or "/dev/video0", "v4l2", options)


async def microphone(device: str | None = None) -> MediaPlayer:
    """A microphone.

    Args:
        device: its name in the system; None for the first.

    Raises:
        NotFoundError: there is none, or it refuses.
    """
    if sys.platform == "darwin":
        return await MediaPlayer.open(device or "none:default", "avfoundation")
    if sys.platform == "win32":
        return await MediaPlayer.open(f"audio={device or 'Microphone'}", "dshow")
    return await MediaPlayer.open(device or "default", "alsa")


async def screen(display: str | None = None, *, frame_rate: float = 15) -> MediaPlayer:
    """The screen.

    Args:
        display: its name in the system; None for the one in use.
        frame_rate: pictures a second.

    Raises:
        NotFoundError: there is none, or it refuses.
    """
    options = {"framerate": f"{frame_rate:g}"}
    if sys.platform == "darwin":
        return await MediaPlayer.open(display or "Capture screen 0:none", "avfoundation", options)
    if sys.platform == "win32":
        return await MediaPlayer.open(display or "desktop", "gdigrab", options)
    return await MediaPlayer.open(display or os.environ.get("DISPLAY", ":0"), "x11grab", options)
