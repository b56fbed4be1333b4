"""Writes docs/w3c.md: what the specifications' IDL names, and what of it there is; their algorithms, and the
tests of each.

    python tools/write_w3c_page.py docs/w3c.md

The IDL is data (tests/data/w3c_idl.json: names and types). Whether something is there is looked up in the
package; what is not, or has another form, needs a line in `NOTES`, or the page cannot be written. The
algorithms are data, too (tests/data/w3c_algorithms.json): each has its tests, or a reason for having none.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rtcstack
from rtcstack.media import constraints, stream, track

DATA = Path(__file__).parents[1] / "tests" / "data"
IDL = json.loads((DATA / "w3c_idl.json").read_text())
ALGORITHMS = json.loads((DATA / "w3c_algorithms.json").read_text())

MORE = (stream, track, constraints)
"""Modules of names that the package does not show at its top."""

INSTANCES = {
    "MediaStreamTrack": {"enabled"},
    "RTCError": {"errorDetail", "sdpLineNumber", "sctpCauseCode", "receivedAlert", "sentAlert"},
    "RTCRtpScriptTransformer": {"readable", "writable", "options"},
    "RTCStatsReport": {"maplike"},
    "OverconstrainedError": {"constraint"},
}
"""Attributes that objects have, and their classes do not."""

_MAPPING = "a mapping, or keywords: no class of its own"
_STRINGS = "plain strings"
_EVENT = "events are made by the stack; their attributes are there"
_BROWSER = "a browser's: no counterpart in a program"
_PATTERN = "the pattern's own; those of tracks are beside it"

NOTES = {
    "RTCOfferAnswerOptions": _MAPPING,
    "RTCOfferOptions": _MAPPING,
    "RTCAnswerOptions": _MAPPING,
    "RTCSessionDescriptionInit": _MAPPING,
    "RTCLocalSessionDescriptionInit": _MAPPING,
    "RTCIceCandidateInit": _MAPPING,
    "RTCLocalIceCandidateInit": _MAPPING,
    "RTCIceProtocol": _STRINGS,
    "RTCIceTcpCandidateType": _STRINGS,
    "RTCIceCandidateType": _STRINGS,
    "RTCIceServerTransportProtocol": _STRINGS,
    "RTCIceComponent": _STRINGS,
    "RTCErrorDetailType": _STRINGS,
    "RTCPeerConnectionIceEventInit": _EVENT,
    "RTCPeerConnectionIceErrorEventInit": _EVENT,
    "RTCTrackEventInit": _EVENT,
    "RTCDataChannelEventInit": _EVENT,
    "RTCDTMFToneChangeEventInit": _EVENT,
    "RTCErrorEventInit": _EVENT,
    "RTCErrorInit": "keywords of `RTCError`",
    "RTCCertificateExpiration": _MAPPING,
    "RTCRtpParameters": "its members are those of `RTCRtpSendParameters` and `RTCRtpReceiveParameters`",
    "RTCRtpCodingParameters": "its member is that of `RTCRtpEncodingParameters`",
    "RTCSetParameterOptions": _MAPPING,
    "RTCEncodingOptions": _MAPPING,
    **{
        f"{name}.{member}": "a camera's"
        for name in (
            "MediaTrackSupportedConstraints",
            "MediaTrackCapabilities",
            "MediaTrackSettings",
            "MediaTrackConstraintSet",
        )
        for member in (
            *(("powerEfficient", "powerEfficientPixelFormat") if name != "MediaTrackConstraintSet" else ()),
            *("gestureReactions", "faceFraming", "eyeGazeCorrection", "humanFaceDetectionMode"),
            "backgroundSegmentationMask",
        )
    },
    "GetUserMediaSemantics": _BROWSER,
    "VideoFrameMetadata": "`EncodedMedia`, and the notes of frames (`rtcstack.media.frames`)",
    "Segment": _BROWSER,
    "SegmentType": _BROWSER,
    "HumanFaceDetectionModeEnum": _BROWSER,
    "BackgroundBlur": _BROWSER,
    "MediaEffectInfo": _BROWSER,
    "MediaStreamTrackProcessorInit": "arguments of `MediaStreamTrackProcessor`",
    "RTCStats": "statistics are mappings; [](stats.md) has their members",
    "RTCIceCandidatePairEventInit": _EVENT,
    "RTCRtpReceiver.disableHardwareDecoding": "decoders are software",
    "RTCRtpSender.disableHardwareEncoding": "`MediaSettings.encoders` names the encoder",
    "Navigator": _BROWSER,
    "MediaDevices": _BROWSER,
    "MediaDeviceInfo": _BROWSER,
    "MediaDeviceKind": _BROWSER,
    "InputDeviceInfo": _BROWSER,
    "DeviceChangeEvent": _BROWSER,
    "DeviceChangeEventInit": _BROWSER,
    "MediaStreamConstraints": _BROWSER,
    "CameraDevicePermissionDescriptor": _BROWSER,
    "MediaStreamTrackEventInit": _EVENT,
    "ConstrainablePattern": "the pattern itself; `MediaStreamTrack` follows it",
    "RTCTransformEvent": "a transform is a function, which gets the transformer",
    "DedicatedWorkerGlobalScope": _BROWSER,
    "RTCDegradationPreference": _STRINGS,
    "RTCPriorityType": _STRINGS,
    **dict.fromkeys(
        (
            "Capabilities",
            "ConstraintSet",
            "Constraints",
        ),
        _PATTERN,
    ),
    "SFrameKeyManagement": "a mixin: its members are those of the three that include it",
    "SFrameTransformErrorEventInit": "keywords of `SFrameTransformErrorEvent`",
}
"""What is not there under its name: of a definition, or of one member."""


def found(name: str) -> Any:
    """What the package has under a name of the IDL, or None."""
    return next((value for each in (rtcstack, *MORE) if (value := getattr(each, name, None))), None)


def has(cls: Any, name: str, member: str) -> bool:
    """Whether a class has a member of the IDL, or an enumeration the value."""
    if isinstance(cls, type) and issubclass(cls, enum.Enum):
        return member in {each.value for each in cls}
    if dataclasses.is_dataclass(cls) and member in {each.name for each in dataclasses.fields(cls)}:
        return True
    if typing.is_typeddict(cls) and member in cls.__annotations__:
        return True
    return hasattr(cls, member) or member in INSTANCES.get(name, ())


def rows() -> Iterator[tuple[str, str, str, str, str]]:
    """(specification, kind, name, members that are there, what is said of the rest) of each definition.

    Raises:
        LookupError: something is neither there nor in `NOTES`.
    """
    for spec, each in IDL.items():
        for name, definition in each["definitions"].items():
            cls = found(name)
            if cls is None:
                if name not in NOTES:
                    raise LookupError(f"{spec}: {name} is neither there nor in NOTES")
                yield spec, definition["kind"], name, "", NOTES[name]
                continue
            there, missing = [], []
            for member in definition["members"]:
                if has(cls, name, member):
                    there.append(f"`{member}`")
                elif f"{name}.{member}" in NOTES:
                    missing.append(f"`{member}`: {NOTES[f'{name}.{member}']}")
                else:
                    raise LookupError(f"{spec}: {name}.{member} is neither there nor in NOTES")
            yield spec, definition["kind"], name, ", ".join(there), "; ".join(missing)


def tests_of(named: list[str]) -> str:
    """Tests in the page's words: their names under their file's, as pytest takes them."""
    files: dict[str, list[str]] = {}
    for each in named:
        file, _, name = each.partition("::")
        files.setdefault(file, []).append(name)
    return "; ".join(f"`{file}`: " + ", ".join(names) for file, names in files.items())


def algorithm_lines() -> Iterator[str]:
    """The algorithms of each specification, with their tests."""
    yield from (
        "",
        "## Algorithms and their tests",
        "",
        "Under their titles in the specifications; what has none goes by its interface. Beside",
        "these, `tests/properties/test_walks.py` makes random calls and compares each step with a model of",
        "webrtc-pc (`tests/support/model`), which names the few places where we depart from the text.",
    )
    for spec, each in ALGORITHMS.items():
        yield from (
            "",
            f"### {spec}",
            "",
            f"Read at commit `{each['commit']}`.",
            "",
            "| | tests |",
            "|---|---|",
        )
        for title, tests in each["algorithms"].items():
            yield f"| {title} | {tests if isinstance(tests, str) else tests_of(tests)} |"


def page() -> str:
    """The page."""
    lines = [
        "# The W3C's interfaces",
        "",
        "`tools/write_w3c_page.py` writes this page from the specifications' IDL and the package. Who has no",
        "members in the third column is there in another form, or not: the last column says how.",
    ]
    current = ""
    for spec, kind, name, there, rest in rows():
        if spec != current:
            current = spec
            lines += ["", f"## {spec}", "", f"Read at commit `{IDL[spec]['commit']}`.", ""]
            lines += ["| | | there | in another form, or absent |", "|---|---|---|---|"]
        lines.append(f"| {kind} | `{name}` | {there} | {rest} |")
    lines += algorithm_lines()
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
