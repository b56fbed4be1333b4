"""Who may import whom: the layers of docs/architecture.md, held by reading every import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "rtcstack"

LEVELS = {
    "errors": 0,
    "events": 0,
    "config": 0,
    "clock": 0,
    "entropy": 0,
    "platform": 0,
    "network": 1,
    "workers": 1,
    "serial": 0,
    "engine": 0,
    "lazynames": 0,
    "promises": 0,
    "refusals": 0,
    "slips": 0,
    "sdp": 1,
    "jsep": 2,
    "sctp": 2,
    "sframe": 2,
    "dtls": 2,
    "rtp": 2,
    "codecs": 2,
    "ice": 3,
    "transport": 3,
    "media": 3,
    "connection": 4,
    "api": 5,
    "ortc": 6,
    "observe": 6,
    "compat": 6,
    "filetransfer": 6,
    "": 7,  # rtcstack/__init__.py itself
    "cli": 7,
    "testing": 7,
    "__main__": 8,
}
"""A room imports from its own level and from below, never from above."""

ENGINES = {"jsep", "sctp", "dtls", "rtp", "sframe"}
"""Never import each other: transport/ is where they meet."""

ONLY_IN = {
    "asyncio": {
        *("platform", "network", "workers", "ice", "transport", "media"),
        *("connection", "api", "ortc", "observe", "events", "promises", "cli", "testing", "compat"),
    },
    "aioice": {"network", "ice"},
    "dns": {"network"},
    "ifaddr": {"network"},
    "socket": {"network", "testing"},
    "ssl": {"network", "config", "testing"},
    "OpenSSL": {"dtls"},
    "pylibsrtp": {"dtls"},
    "av": {"codecs", "media", "compat"},
    "pyee": {"events", "compat"},
}
"""Packages that have one home, or few."""

ENGINES_WITHIN_ICE = ("engine", "turn", "stun.py", "transactions.py", "unfinished.py", "rewriting.py")
"""What of ice/ is an engine; the rest of that room is its shell."""

KNOWS_AIOICE = "ice/aioice_connection.py"
"""The one file of ice/ that does."""

NOT_IN_ENGINES = {"asyncio", "select", "selectors", "socket", "time"}
"""An engine has no socket, and is told the time."""

MACHINE = {
    **dict.fromkeys(("time", "time()", "datetime.now", "call_at"), "clock.py"),
    **dict.fromkeys(
        ("Thread", "Timer", "run_in_executor", "to_thread", "concurrent", "ThreadPoolExecutor"), "workers.py"
    ),
    **dict.fromkeys(
        (
            "secrets",
            "urandom",
            "getrandom",
            "SystemRandom",
            "uuid1",
            "uuid4",
            "random.random",
            "random_serial_number",
        ),
        "entropy.py",
    ),
}
"""What is asked of the machine by one file alone: all others take the running loop's (`rtcstack.platform`).

``call_at`` has no home: the loop's time need not be the clock's."""

EXCEPTIONS = {
    "testing/loop.py": {"call_at"},  # is a loop
}
"""Files that ask the machine themselves, and for what."""

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The room of a file: the first name below the package, "" for the package itself."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(source: str, package: str) -> Iterator[str]:
    """Every module that this source imports, dotted and in full, wherever the import stands.

    Args:
        source: of a module.
        package: dotted, that the module stands in: what a relative import starts from.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                base = package.split(".")
                module = ".".join([*base[: len(base) - node.level + 1], *([module] if module else [])])
            if module == "rtcstack":
                yield from (f"rtcstack.{alias.name}" for alias in node.names)
            else:
                yield module


def package_of(path: Path) -> str:
    """The dotted package that a file stands in."""
    return ".".join(("rtcstack", *path.relative_to(PACKAGE).parts[:-1]))


def violations(source: str, room: str, package: str = "rtcstack") -> list[str]:
    """What this source, standing in that room and package, imports against the rules."""
    found = []
    for module in imports(source, package):
        top, _, rest = module.partition(".")
        if top == "rtcstack":
            target = rest.partition(".")[0]
            # a public name imported from the package itself counts as the package
            level = LEVELS.get(target, LEVELS[""])
            if level > LEVELS[room]:
                found.append(f"{module}: upwards")
            if room in ENGINES and target in ENGINES - {room}:
                found.append(f"{module}: sideways")
        if top in ONLY_IN and room not in ONLY_IN[top]:
            found.append(f"{module}: only in {', '.join(sorted(ONLY_IN[top]))}")
        if top in NOT_IN_ENGINES and room in ENGINES:
            found.append(f"{module}: not in an engine")
    return found


def machine_use(source: str, file: str) -> list[str]:
    """Where this source asks the machine for time, chance or a thread, which a value stands for."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                asked = [name.name.partition(".")[0] for name in names]
            case ast.ImportFrom(module=str(module), level=0, names=names):
                asked = [module.partition(".")[0], *(name.name for name in names)]
            case ast.Call(func=ast.Attribute(attr="time"), args=[]):
                asked = ["time()"]
            case ast.Call(func=ast.Attribute(value=value, attr="now" | "utcnow" | "today")) if "datetime" in (
                ast.unparse(value)
            ):
                asked = ["datetime.now"]
            case ast.Call(func=ast.Attribute(value=ast.Name(id="random"), attr=name)) if name != "Random" or (
                not node.args
            ):
                asked = ["random.random"]
            case ast.Attribute(attr=name) if name != "time":  # a frame's is none
                asked = [name]
            case _:
                continue
        for name in asked:
            home = MACHINE.get(name)
            if home is not None and home != file and name not in EXCEPTIONS.get(file, set()):
                found.append(f"line {node.lineno}: {name}: only in {home}")
    return found


def private_names(source: str) -> list[str]:
    """Names with two leading underscores that are not Python's own."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                pass
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                pass
            case _:
                continue
        if name.startswith("__") and not name.endswith("__"):
            found.append(f"line {node.lineno}: {name}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_layers(path: Path) -> None:
    assert violations(path.read_text(), room_of(path), package_of(path)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_time_chance_and_threads_are_asked_for_in_one_place_each(path: Path) -> None:
    assert machine_use(path.read_text(), path.relative_to(PACKAGE).as_posix()) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_double_underscore_privates(path: Path) -> None:
    assert private_names(path.read_text()) == []


@pytest.mark.parametrize(
    "path",
    [f for f in FILES if f.relative_to(PACKAGE).parts[0] == "ice" and set(f.parts) & set(ENGINES_WITHIN_ICE)],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_the_engine_of_ice_is_one(path: Path) -> None:
    modules = set(imports(path.read_text(), package_of(path)))
    assert not {m.partition(".")[0] for m in modules} & (NOT_IN_ENGINES | {"aioice"})
    inside = ("engine", "turn", "stun", "transactions", "unfinished", "rewriting", "config", "states")
    for module in modules:
        if module.startswith("rtcstack.ice."):
            assert module.split(".")[2] in inside, module


def test_one_file_of_ice_knows_aioice() -> None:
    found = [
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        if room_of(path) == "ice"
        and "aioice" in {m.partition(".")[0] for m in imports(path.read_text(), package_of(path))}
    ]
    assert found == [KNOWS_AIOICE]


@pytest.mark.parametrize(
    "path",
    [f for f in FILES if room_of(f) not in ("ice", "testing")],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_nobody_outside_knows_which_agent_there_is(path: Path) -> None:
    """What is above ice/ uses the contract; `rtcstack.ice` has all that it needs of the room."""
    assert [m for m in imports(path.read_text(), package_of(path)) if m.startswith("rtcstack.ice.")] == []


@pytest.mark.parametrize(
    "path", [f for f in FILES if room_of(f) != "testing"], ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_nothing_needs_the_virtual_internet(path: Path) -> None:
    modules = imports(path.read_text(), package_of(path))
    assert [m for m in modules if m == "rtcstack.testing" or m.startswith("rtcstack.testing.")] == []


@pytest.mark.parametrize(
    "path", [f for f in FILES if room_of(f) != "compat"], ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_nothing_knows_of_other_libraries_faces(path: Path) -> None:
    modules = imports(path.read_text(), package_of(path))
    assert [m for m in modules if m == "rtcstack.compat" or m.startswith("rtcstack.compat.")] == []


def test_every_room_has_a_level() -> None:
    assert {room_of(path) for path in FILES} <= set(LEVELS)


@pytest.mark.parametrize(
    ("source", "room", "expected"),
    [
        ("import asyncio", "transport", []),
        (
            "import asyncio",
            "sctp",
            [
                "asyncio: only in api, cli, compat, connection, events, ice, media, network, observe, ortc, "
                "platform, promises, testing, transport, workers",
                "asyncio: not in an engine",
            ],
        ),
        ("from rtcstack.dtls.engine import DtlsEngine", "sctp", ["rtcstack.dtls.engine: sideways"]),
        ("from rtcstack.dtls.engine import DtlsEngine", "dtls", []),
        ("from rtcstack.dtls.engine import DtlsEngine", "transport", []),
        ("from rtcstack.transport import pump", "rtp", ["rtcstack.transport: upwards"]),
        ("from rtcstack import transport", "rtp", ["rtcstack.transport: upwards"]),
        ("from rtcstack import RTCPeerConnection", "api", ["rtcstack.RTCPeerConnection: upwards"]),
        ("def f():\n    import OpenSSL.SSL", "api", ["OpenSSL.SSL: only in dtls"]),
        ("if True:\n    from time import monotonic", "rtp", ["time: not in an engine"]),
        ("from rtcstack.serial import unwrap", "sctp", []),
        ("import rtcstack.sdp.model", "errors", ["rtcstack.sdp.model: upwards"]),
    ],
)
def test_the_rules_themselves(source: str, room: str, expected: list[str]) -> None:
    assert violations(source, room) == expected


def test_relative_imports_are_followed() -> None:
    assert violations("from ..dtls import engine", "sctp", "rtcstack.sctp") == ["rtcstack.dtls: sideways"]
    assert violations("from ...transport.pump import Pump", "rtp", "rtcstack.rtp.rtcp") == [
        "rtcstack.transport.pump: upwards"
    ]
    assert violations("from . import chunks\nfrom .. import errors", "sctp", "rtcstack.sctp") == []


def test_the_rule_of_privates_itself() -> None:
    assert private_names("class A:\n    def __init__(self):\n        self.__x = 1") == ["line 3: __x"]
    assert private_names("def __f(): ...") == ["line 1: __f"]
    assert private_names("__all__ = ['a']\nx._y = 1") == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import time", ["line 1: time: only in clock.py"]),
        ("from time import monotonic", ["line 1: time: only in clock.py"]),
        ("def f(loop):\n    return loop.time()", ["line 2: time(): only in clock.py"]),
        ("loop.call_at(1, f)", ["line 1: call_at: only in clock.py"]),
        ("datetime.datetime.now(tz)", ["line 1: datetime.now: only in clock.py"]),
        ("import threading\nthreading.Thread(target=f)", ["line 2: Thread: only in workers.py"]),
        ("from threading import Thread", ["line 1: Thread: only in workers.py"]),
        ("loop.run_in_executor(None, f)", ["line 1: run_in_executor: only in workers.py"]),
        ("import secrets", ["line 1: secrets: only in entropy.py"]),
        ("os.urandom(5)", ["line 1: urandom: only in entropy.py"]),
        ("import random\nrandom.randrange(5)", ["line 2: random.random: only in entropy.py"]),
        ("import random\nrandom.Random()", ["line 2: random.random: only in entropy.py"]),
        ("import random\nrandom.Random(seed)", []),
        ("import random\ndef f(rng: random.Random) -> float:\n    return rng.random()", []),
        ("import threading\nlock = threading.Lock()\nat = frame.time\nlater = loop.call_later", []),
    ],
)
def test_the_rule_of_the_machine_itself(source: str, expected: list[str]) -> None:
    assert machine_use(source, "api/sender.py") == expected
    for _, _, home in (line.rpartition(" ") for line in expected):
        assert machine_use(source, home) == []


# -- imports that wait --------------------------------------------------------------------------------

LATER = {
    "a connection": ("rtcstack.connection.config", "rtcstack.connection.connection"),
    "a description": ("rtcstack.sdp",),
    "a certificate": ("rtcstack.dtls.certificate",),
    "a transport": ("rtcstack.transport", "rtcstack.ice", "ifaddr"),
    "a name of the link": ("rtcstack.network.multicast",),
    "a channel": ("rtcstack.api.datachannel", "rtcstack.api.sctptransport", "rtcstack.api.channelstreams"),
    "statistics": ("rtcstack.api.stats", "rtcstack.connection.stats"),
    "media": (
        *("rtcstack.media", "rtcstack.codecs", "rtcstack.transport.mediapath"),
        *("rtcstack.api.encodings", "rtcstack.api.parameters", "rtcstack.api.receiver"),
        *("rtcstack.api.sender", "rtcstack.api.transceiver"),
        *("rtcstack.connection.receiving", "rtcstack.connection.sending", "rtcstack.connection.stats"),
    ),
    "arrays": ("numpy",),
}
"""What is imported inside functions, and what it waits for: the first of these. All of it takes long to
import, or brings in what does, and not every application comes to need it (`test_lazy.py` looks)."""


def later(source: str) -> set[str]:
    """What this source imports inside its functions."""
    return {
        module
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for module in imports(ast.unparse(function), "rtcstack")
    }


def test_imports_that_wait_are_written_down() -> None:
    known = {module for modules in LATER.values() for module in modules}
    found = {path: later(path.read_text()) for path in FILES}
    seen = set()
    for path, modules in found.items():
        for module in modules:
            fitting = {each for each in known if module == each or module.startswith(f"{each}.")}
            assert fitting, f"{path.relative_to(PACKAGE)} imports {module} inside a function"
            seen |= fitting
    assert seen == known, "something does not wait any more: take it from the list"


# -- what is declared ---------------------------------------------------------------------------------

DISTRIBUTIONS = {"OpenSSL": "pyOpenSSL", "dns": "dnspython", "google_crc32c": "google-crc32c"}
"""Packages that are installed by another name than they are imported by."""


def test_every_package_that_is_imported_is_declared() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    declared = {re.split(r"[\[<>=;]", each)[0].strip() for each in wanted}
    needed = {re.split(r"[\[<>=;]", each)[0].strip() for each in project["dependencies"]}
    used = {m.partition(".")[0] for path in FILES for m in imports(path.read_text(), package_of(path))}
    foreign = {DISTRIBUTIONS.get(top, top) for top in used - sys.stdlib_module_names - {"rtcstack"}}
    assert foreign <= declared
    assert needed <= foreign, "declared, and imported nowhere"


# -- circles ------------------------------------------------------------------------------------------

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in FILES
}
"""The files of the package by dotted name, without its own."""


def graph() -> dict[str, set[str]]:
    """Who imports whom, wherever the import stands: in functions and for type checkers, too."""
    found: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        targets = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rtcstack"):
                module = (node.module or "").removeprefix("rtcstack").removeprefix(".")
                for alias in node.names:
                    inner = f"{module}.{alias.name}".removeprefix(".")
                    targets.add(inner if inner in MODULES else module)
            elif isinstance(node, ast.Import):
                targets |= {alias.name.removeprefix("rtcstack.") for alias in node.names}
        found[name] = {target for target in targets if target in MODULES and target != name}
    return found


def circles(edges: dict[str, set[str]]) -> set[frozenset[str]]:
    """Groups of modules each of which imports, by way of others, all the others (Tarjan's algorithm)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    found: set[frozenset[str]] = set()

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        path.append(node)
        for target in edges[node]:
            if target not in number:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in path:
                low[node] = min(low[node], number[target])
        if low[node] == number[node]:
            start = path.index(node)
            group = path[start:]
            del path[start:]
            if len(group) > 1:
                found.add(frozenset(group))

    for node in edges:
        if node not in number:
            visit(node)
    return found


def test_circles_are_found() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set(), "f": {"e", "a"}}
    assert circles(edges) == {frozenset("abc")}


def test_nothing_imports_in_a_circle() -> None:
    edges = graph()
    for circle in circles(edges):
        shown = "\n".join(f"  {name} -> {', '.join(sorted(edges[name] & circle))}" for name in sorted(circle))
        pytest.fail(f"these import each other:\n{shown}")


# -- other classes' own names ---------------------------------------------------------------------------

FOREIGN = {"_app_transport", "_get_running_loop", "_Hash", "_replace", "_run", "_srtp"}
"""Names of asyncio, hashlib, named tuples and pylibsrtp that have no public form."""


def foreign_names(source: str) -> list[str]:
    """Names with an underscore that are read or set on what this module has not made."""
    tree = ast.parse(source)
    own: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                own.add(name)
            case ast.Attribute(value=ast.Name(id="self" | "cls" | "made"), attr=name, ctx=ast.Store()):
                own.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                own.add(name)
            case ast.Assign(targets=[ast.Name(id="__slots__")], value=ast.Tuple(elts=names)):
                own.update(str(each.value) for each in names if isinstance(each, ast.Constant))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            whose = node.value.id if isinstance(node.value, ast.Name) else ""
            if whose not in ("self", "cls") and node.attr not in own | FOREIGN:
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_reads_what_another_class_keeps_to_itself(path: Path) -> None:
    assert foreign_names(path.read_text()) == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("class A:\n    def f(self, b):\n        return b._x", 1),
        ("class A:\n    def f(self, b):\n        b._x = 1", 1),
        ("class A:\n    def f(self, b):\n        self._x = 1\n        return b._x", 0),
        ("x = y._replace(a=1)", 0),
    ],
)
def test_the_search_itself(source: str, count: int) -> None:
    assert len(foreign_names(source)) == count


def test_the_picture_of_the_rooms_is_of_these_imports(tmp_path: Path) -> None:
    script = PACKAGE.parent / "tools" / "draw_rooms.py"
    drawn = tmp_path / "rooms.svg"
    subprocess.run([sys.executable, str(script), str(drawn)], check=True)
    assert drawn.read_text() == (PACKAGE.parent / "docs" / "rooms.svg").read_text(), f"run {script.name}"
