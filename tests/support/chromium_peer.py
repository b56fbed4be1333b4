"""Chromium as a host of peers."""

from __future__ import annotations

import tempfile

from tests.support.browser import BrowserHost, find_program, own_addresses

__all__ = ["CHROMIUM_FLAGS", "chromium_program", "start_chromium"]

CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-renderer-backgrounding",
    "--disable-sync",
    "--metrics-recording-only",
    "--mute-audio",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
    "--password-store=basic",
    "--use-mock-keychain",
    "--autoplay-policy=no-user-gesture-required",
)


def chromium_program() -> str | None:
    """Where Chromium (or Chrome) is installed."""
    return find_program("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


async def start_chromium(*, mdns: bool = False, experimental: bool = False) -> BrowserHost:
    """Start a headless Chromium with a fresh profile.

    Args:
        mdns: hide the addresses of host candidates behind mDNS names, as a browser does for a
            page that has no camera or microphone.
        experimental: with what pages are not given yet, encrypted header extensions among it.
    """
    program = chromium_program()
    assert program is not None
    host = BrowserHost("chromium-mdns" if mdns else "chromium-experimental" if experimental else "chromium")
    url = await host.serve()
    profile = tempfile.mkdtemp(prefix="rtcstack-chromium-")
    extra = (
        []
        if mdns
        else [
            "--disable-features=WebRtcHideLocalIpsWithMdns",
            # a page that may use the camera is shown addresses: not beside mDNS
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
        ]
    )
    if experimental:
        extra.append("--enable-experimental-web-platform-features")
    # names and addresses outside of the machine resolve to nothing
    rules = " , ".join(["MAP * ~NOTFOUND", *(f"EXCLUDE {address}" for address in own_addresses())])
    extra.append(f"--host-resolver-rules={rules}")
    await host.launch(program, *CHROMIUM_FLAGS, *extra, f"--user-data-dir={profile}", url, directory=profile)
    return host
