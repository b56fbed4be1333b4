"""A peer of aiortc in this process.

aiortc puts its candidates into the description; here they are taken out and handed over one by
one, so that whoever is tested against it has to trickle.
"""

from __future__ import annotations

from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp

from tests.support.peers import Candidate, Description, Message
from tests.support.w3c_peer import W3CChannel, W3CPeer

__all__ = ["AiortcPeer"]


class AiortcChannel(W3CChannel):
    """aiortc's events carry the payload itself."""

    def _data(self, event: Any) -> Message:
        data: Message = event
        return data


class AiortcPeer(W3CPeer):
    """A peer connection of aiortc."""

    make_channel = AiortcChannel

    def __init__(self, **configuration: Any) -> None:
        assert not configuration, "aiortc is tested with its defaults"
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        super().__init__(
            "aiortc", pc, lambda value: RTCSessionDescription(value["sdp"], value["type"]), self._parse
        )

    @staticmethod
    def _parse(value: Candidate) -> Any:
        candidate = candidate_from_sdp(value["candidate"].partition(":")[2])
        candidate.sdpMid = value.get("sdpMid")
        candidate.sdpMLineIndex = value.get("sdpMLineIndex")
        return candidate

    def _on_channel(self, event: Any) -> None:
        self._channels.put_nowait(AiortcChannel(event))

    def _local(self) -> Description:
        local = self.pc.localDescription
        kept = []
        index = -1
        for line in local.sdp.splitlines():
            if line.startswith("m="):
                index += 1
            if line.startswith("a=candidate:"):
                # the other side bundles: the first section's are all it needs
                if index == 0:
                    self._candidates.put_nowait({"candidate": line[2:], "sdpMid": "0", "sdpMLineIndex": 0})
            elif line != "a=end-of-candidates":
                kept.append(line)
        self._candidates.put_nowait(None)
        return {"type": local.type, "sdp": "\r\n".join(kept) + "\r\n"}
