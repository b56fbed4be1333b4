"""Firefox as a host of peers."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from tests.support.browser import BrowserHost, find_program, own_addresses
from tests.support.sound_card import SoundCard

__all__ = ["firefox_program", "start_firefox"]

PREFERENCES: dict[str, bool | int | str] = {
    # a fresh profile must open our page and nothing else
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "app.shield.optoutstudies.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.blockedURIs.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    "captivedetect.canonicalURL": "",
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "datareporting.policy.dataSubmissionPolicyBypassNotification": True,
    "extensions.getAddons.cache.enabled": False,
    "extensions.update.enabled": False,
    "geo.enabled": False,
    "media.gmp-manager.url": "",
    "media.gmp-provider.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "network.prefetch-next": False,
    "network.trr.mode": 5,
    "privacy.trackingprotection.enabled": False,
    # whatever is left to contact outside goes to a closed port of this machine
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "services.settings.server": "data:,",
    "signon.rememberSignons": False,
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.server": "",
    "toolkit.telemetry.unified": False,
    "trailhead.firstrun.didSeeAboutWelcome": True,
    # frames of a headless browser count as hidden: their timers must run all the same
    "dom.min_background_timeout_value": 4,
    "dom.timeout.enable_budget_timer_throttling": False,
    # cameras and microphones that are not there
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
    "media.autoplay.default": 0,
    # H.264 is offered, and decoded by the system's FFmpeg. To encode it Firefox has a plugin that it
    # would download, and with FFmpeg's encoder it sends nothing.
    "gfx.blacklist.webrtc.hw.acceleration.h264": 1,
    "media.navigator.mediadatadecoder_h264_enabled": True,
    "media.webrtc.hw.h264.enabled": True,
}


def firefox_program() -> str | None:
    """Where Firefox is installed."""
    return find_program("firefox-esr", "firefox")


async def start_firefox(*, mdns: bool = False) -> BrowserHost:
    """Start a headless Firefox with a fresh profile.

    Args:
        mdns: hide the addresses of host candidates behind mDNS names.
    """
    program = firefox_program()
    assert program is not None
    host = BrowserHost("firefox-mdns" if mdns else "firefox")
    url = await host.serve()
    profile = tempfile.mkdtemp(prefix="rtcstack-firefox-")
    preferences = PREFERENCES | {
        "media.peerconnection.ice.obfuscate_host_addresses": mdns,
        "network.proxy.no_proxies_on": ", ".join(own_addresses()),
    }
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items()]
    Path(profile, "user.js").write_text("\n".join(lines) + "\n")
    # HOME: what Firefox keeps outside of its profile goes into the same directory
    environment = os.environ | {"HOME": profile, "MOZ_CRASHREPORTER_DISABLE": "1"}
    card = await SoundCard.start()
    if card is not None:
        environment["PULSE_SERVER"] = card.address
        host.on_kill(card.kill)
    await host.launch(
        program, "--headless", "--no-remote", "--profile", profile, url, directory=profile, env=environment
    )
    return host
