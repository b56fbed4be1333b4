"""What is imported when: nothing that the application has not asked for.

Each step runs in an interpreter of its own, or tells what there is to be seen after each.
"""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import rtcstack
from rtcstack.errors import MissingPackageError, NotSupportedError

ROOT = Path(rtcstack.__file__).parents[1]

WATCHED = {
    *("av", "numpy", "cryptography", "OpenSSL", "pylibsrtp", "google_crc32c", "aioice", "dns", "ifaddr"),
    *("rtcstack.api", "rtcstack.connection", "rtcstack.media", "rtcstack.codecs", "rtcstack.rtp"),
    *("rtcstack.sctp", "rtcstack.transport", "rtcstack.dtls.engine", "rtcstack.ice.agent"),
    *(
        "rtcstack.ice.engine.engine",
        "rtcstack.network.multicast",
        "rtcstack.sdp.parser",
        "rtcstack.jsep.offer",
        "rtcstack.jsep.session",
        "rtcstack.ice.engine.pair",
    ),
}
"""Packages and modules that take long, or that not every application needs."""

LOOK = f"""
import sys
seen = set()
def look(step):
    here = {sorted(WATCHED)!r}
    new = {{name for name in here if name in sys.modules}} - seen
    seen.update(new)
    print(step, *sorted(new))
"""

BLOCK = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "av":
            raise ModuleNotFoundError("No module named 'av'", name="av")
sys.meta_path.insert(0, Missing())
"""

CALL = """
import asyncio
from rtcstack.testing import run
from rtcstack import RTCPeerConnection

async def negotiate(one, two):
    await one.setLocalDescription()
    await one.gathered()
    await two.setRemoteDescription(one.localDescription)
    await two.setLocalDescription()
    await two.gathered()
    await one.setRemoteDescription(two.localDescription)

async def call():
    async with RTCPeerConnection() as one, RTCPeerConnection() as two:
        channel = one.createDataChannel("talk")
        got = asyncio.get_running_loop().create_future()
        two.ondatachannel = lambda event: event.channel.on("message", lambda m: got.set_result(m.data))
        channel.on("open", lambda _: channel.send("hello"))
        await negotiate(one, two)
        assert await got == "hello"
"""


def python(source: str) -> dict[str, set[str]]:
    """Run it; by the first word of each line of its output, the others."""
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, cwd=ROOT, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return {line.split()[0]: set(line.split()[1:]) for line in done.stdout.splitlines()}


def test_what_data_channels_need_is_imported_when_they_need_it() -> None:
    steps = python(
        LOOK
        + """
import rtcstack
look("package")
import rtcstack.sdp
look("descriptions")
rtcstack.RTCPeerConnection
look("name")
import asyncio
async def main():
    connection = rtcstack.RTCPeerConnection()
    look("connection")
    connection.createDataChannel("talk")
    look("channel")
    await asyncio.sleep(0)
    look("turn")
    await connection.close()
asyncio.run(main())
look("closed")
from rtcstack.testing import run
look("testing")
"""
        + CALL
        + """
run(call())
look("call")
"""
    )
    engine = {"rtcstack.ice.agent", "rtcstack.ice.engine.engine", "rtcstack.ice.engine.pair"}
    described = {"rtcstack.sdp.parser", "rtcstack.jsep.offer"}
    secured = {"cryptography", "OpenSSL", "rtcstack.dtls.engine", "rtcstack.transport"}
    assert steps["package"] == set()
    assert steps["descriptions"] == set()
    assert steps["name"] == {"rtcstack.api", "rtcstack.connection"}
    assert steps["connection"] | steps["channel"] | steps["turn"] == {
        *("rtcstack.sctp", "google_crc32c", "rtcstack.jsep.session"),
    }
    assert steps["closed"] == set()
    assert steps["call"] | steps["testing"] <= engine | described | secured | {"ifaddr"}


def test_coders_come_with_the_first_media() -> None:
    steps = python(
        LOOK
        + """
import asyncio, rtcstack
async def main():
    async with rtcstack.RTCPeerConnection() as connection:
        connection.createDataChannel("talk")
        look("before")
        connection.addTransceiver("audio")
        look("after")
asyncio.run(main())
"""
    )
    assert not steps["before"] & {"av", "rtcstack.media", "rtcstack.codecs", "rtcstack.rtp"}
    assert steps["after"] >= {"av", "rtcstack.media", "rtcstack.codecs"}


def test_multicast_dns_comes_with_the_first_name_of_the_link() -> None:
    steps = python(
        LOOK
        + """
import asyncio
from rtcstack.network import SystemNetwork
async def main():
    network = SystemNetwork()
    await network.resolve("192.0.2.1")
    await network.resolve("localhost")
    network.withdraw("nobody.local")
    look("before")
    try:
        network._names()
    finally:
        look("after")
asyncio.run(main())
"""
    )
    assert not steps["before"] & {"aioice", "dns"}
    assert steps["after"] >= {"aioice", "dns", "rtcstack.network.multicast"}


def test_data_channels_run_without_pyav() -> None:
    python(BLOCK + CALL + "run(call())\nassert 'av' not in sys.modules")


@pytest.mark.parametrize(
    "asked",
    [
        "RTCPeerConnection().addTransceiver('audio')",
        "RTCPeerConnection().addTrack(None)",
        "from rtcstack import MediaPlayer",
        "import rtcstack.media.track",
        "import rtcstack.codecs.registry",
        "await RTCPeerConnection().setRemoteDescription({'type': 'offer', 'sdp': OFFER})",
    ],
)
def test_media_without_pyav_says_what_is_missing(asked: str) -> None:
    offer = (
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n"
        "c=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=ice-ufrag:abcd\r\n"
        f"a=ice-pwd:{'x' * 24}\r\na=fingerprint:sha-256 {':'.join(['00'] * 32)}\r\na=setup:actpass\r\n"
    )
    python(
        BLOCK
        + f"""
import asyncio
from rtcstack import NotSupportedError, RTCPeerConnection
OFFER = {offer!r}
async def main():
    try:
        {asked}
    except NotSupportedError as error:
        assert isinstance(error, ImportError)
        assert "'av'" in error.message and "rtcstack[media]" in str(error), error
    else:
        raise AssertionError("nothing was said")
asyncio.run(main())
"""
    )


def test_the_error_is_both_the_w3c_s_and_python_s() -> None:
    error = MissingPackageError("this", "that", "those")
    assert isinstance(error, NotSupportedError)
    assert isinstance(error, ImportError)
    assert error.name == "NotSupportedError"
    assert (
        error.message
        == str(error)
        == "this needs the package 'that', which is not installed: " + ("pip install 'rtcstack[those]'")
    )


# -- names ----------------------------------------------------------------------------------------------

LAZY_PACKAGES = [
    "rtcstack",
    "rtcstack.dtls",
    "rtcstack.ice",
    "rtcstack.ice.engine",
    "rtcstack.jsep",
    "rtcstack.sdp",
]


@pytest.mark.parametrize("package", LAZY_PACKAGES)
def test_a_type_checker_sees_the_names_that_there_are(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text())
    shown = {
        (alias.asname or alias.name): node.module
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert shown == module._HOMES
    assert sorted(shown) == sorted(set(module.__all__) - {"__version__"})


@pytest.mark.parametrize("package", LAZY_PACKAGES)
def test_every_name_is_there(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))
    scope: dict[str, object] = {}
    exec(f"from {package} import *", scope)
    assert set(module.__all__) <= set(scope)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018


@pytest.mark.parametrize("package", LAZY_PACKAGES)
def test_no_name_is_a_module_s(package: str) -> None:
    """Who imports the module first would have it in the place of what it has."""
    module = importlib.import_module(package)
    modules = {path.stem for directory in module.__path__ for path in Path(directory).iterdir()}
    assert not modules & set(module._HOMES)


def test_all_packages_with_lazy_names_are_known() -> None:
    found = [
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in sorted((ROOT / "rtcstack").rglob("__init__.py"))
        if "lazy_names(" in path.read_text()
    ]
    assert found == LAZY_PACKAGES
