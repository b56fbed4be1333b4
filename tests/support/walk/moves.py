"""Calls that an application may make at any time, right ones and wrong ones."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rtcstack import (
    MediaStream,
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpCodec,
    RTCRtpEncodingParameters,
    RTCRtpReceiver,
)
from tests.support.model.errors import RefusedError
from tests.support.model.transceiver import Encoding, Transceiver
from tests.support.walk.both import Both

__all__ = ["MAX_TRANSCEIVERS", "Moves"]

MAX_TRANSCEIVERS = 7
"""So many, and none are added: descriptions stay short."""

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")

CANDIDATE = "candidate:1 1 udp 2122260223 192.0.2.1 1234 typ host"


class Moves:
    """What one side's application does.

    Args:
        both: the side.
        dice: the source of chance.
    """

    def __init__(self, both: Both, dice: random.Random) -> None:
        self.both = both
        self.dice = dice
        self.streams = [MediaStream() for _ in range(3)]
        self.stranger: RTCPeerConnection | None = None
        self._made = 0
        self.moves: list[Callable[[], None]] = [
            self.add_track,
            self.add_track,
            self.remove_track,
            self.add_transceiver,
            self.add_transceiver,
            self.stop,
            self.set_direction,
            self.set_direction,
            self.replace_track,
            self.set_streams,
            self.set_parameters,
            self.set_codec_preferences,
            self.create_channel,
            self.close_channel,
            self.restart_ice,
            self.add_candidate,
            self.set_configuration,
        ]

    def make(self) -> None:
        """Do anything."""
        self.dice.choice(self.moves)()

    # -- chance -----------------------------------------------------------------------------------

    def _track(self, kind: str) -> MediaStreamTrack:
        return MediaStreamTrack(kind)

    def _streams(self) -> list[MediaStream]:
        return self.dice.sample(self.streams, self.dice.choice((0, 1, 1, 1, 2)))

    def _transceiver(self) -> Transceiver | None:
        """Any; sometimes one that is gone."""
        if self.dice.random() < 0.1:
            known = list(self.both.watched.numbers.values())
            if known:
                return self.both.model.slots.ever[self.dice.choice(known)]
        found = self.both.model.slots.transceivers
        return self.dice.choice(found) if found else None

    # -- transceivers -----------------------------------------------------------------------------

    def add_track(self) -> None:
        both, dice = self.both, self.dice
        kind = dice.choice(("audio", "video"))
        sent = [each for each in both.pc.getSenders() if each.track is not None]
        if sent and (dice.random() < 0.1 or len(both.model.slots.transceivers) >= MAX_TRANSCEIVERS):
            track = dice.choice(sent).track
            assert track is not None
        elif len(both.model.slots.transceivers) >= MAX_TRANSCEIVERS:
            return
        else:
            track = self._track(kind)
        streams = self._streams()
        ids = [each.id for each in streams]
        both.call(
            f"addTrack({track.kind}, {[self.streams.index(s) for s in streams]})",
            lambda: both.pc.addTrack(track, *streams),
            lambda: both.model.add_track(track.id, track.kind, ids),
        )

    def remove_track(self) -> None:
        both = self.both
        found = self._transceiver()
        if self.stranger is not None and self.dice.random() < 0.1:
            sender = self.stranger.getSenders()[0]
            both.call(
                "removeTrack(a stranger)",
                lambda: both.pc.removeTrack(sender),
                lambda: both.model.remove_track(None),
            )
        elif found is not None:
            both.call(
                f"removeTrack({found.number})",
                lambda: both.pc.removeTrack(both.face(found).sender),
                lambda: both.model.remove_track(found),
            )

    def add_transceiver(self) -> None:
        both, dice = self.both, self.dice
        if len(both.model.slots.transceivers) >= MAX_TRANSCEIVERS:
            return
        kind = dice.choice(("audio", "video"))
        direction = dice.choice((*DIRECTIONS, "sendrecv"))
        track = self._track(kind) if dice.random() < 0.5 else None
        streams = self._streams()
        given, encodings, error = self._encodings(kind)
        ids = [each.id for each in streams]

        def model() -> None:
            if error is not None and not both.model.slots.is_closed:
                raise RefusedError(error)
            both.model.add_transceiver(kind, direction, None if track is None else track.id, ids, encodings)

        both.call(
            f"addTransceiver({kind}, {direction}, {'track' if track else 'no track'}, {given})",
            lambda: both.pc.addTransceiver(
                kind if track is None else track, direction=direction, streams=streams, sendEncodings=given
            ),
            model,
        )

    def _encodings(self, kind: str) -> tuple[list[dict[str, Any]], list[Encoding], str | None]:
        """What is given, what the model is told of it, and the error that it leads to."""
        dice = self.dice
        match dice.randrange(12):
            case 0:
                return [{"rid": "a"}, {"rid": "a"}], [], "TypeError"
            case 1:
                return [{"rid": "a"}, {}], [], "TypeError"
            case 2 if kind == "video":
                return [{"rid": "a", "scaleResolutionDownBy": 0.5}], [], "RangeError"
            case 3:
                return [{"rid": "x y"}], [], "TypeError"
            case 4 | 5 | 6 | 7:
                count = dice.choice((1, 2, 3))
                given: list[dict[str, Any]] = [{"rid": rid} for rid in "qhf"[:count]]
                told = [Encoding(each["rid"], scale=0) for each in given]
                if dice.random() < 0.3:
                    given[0]["scaleResolutionDownBy"] = 3.0
                    told[0] = replace(told[0], scale=3.0)
                if dice.random() < 0.3:
                    given[-1]["active"] = False
                    told[-1] = replace(told[-1], active=False)
                return given, told, None
        return [], [], None

    def stop(self) -> None:
        both, found = self.both, self._transceiver()
        if found is not None:
            both.call(
                f"stop({found.number})", lambda: both.face(found).stop(), lambda: both.model.stop(found)
            )

    def set_direction(self) -> None:
        both, found = self.both, self._transceiver()
        if found is None:
            return
        direction = "stopped" if self.dice.random() < 0.05 else self.dice.choice(DIRECTIONS)
        both.call(
            f"direction({found.number}, {direction})",
            lambda: setattr(both.face(found), "direction", direction),
            lambda: both.model.set_direction(found, direction),
        )

    def set_streams(self) -> None:
        both, found, streams = self.both, self._transceiver(), self._streams()
        if found is not None:
            ids = [each.id for each in streams]
            both.call(
                f"setStreams({found.number}, {[self.streams.index(s) for s in streams]})",
                lambda: both.face(found).sender.setStreams(*streams),
                lambda: both.model.set_streams(found, ids),
            )

    def replace_track(self) -> None:
        both, found, dice = self.both, self._transceiver(), self.dice
        if found is None:
            return
        sender = both.face(found).sender
        if dice.random() < 0.1:
            other = self._track("video" if found.kind == "audio" else "audio")
            both.promise(
                f"replaceTrack({found.number}, of another kind)",
                lambda: sender.replaceTrack(other),
                lambda settled: settled("TypeError"),
            )
            return
        track = self._track(found.kind) if dice.random() < 0.6 else None
        both.chain(
            f"replaceTrack({found.number}, {track and 'a track'})",
            lambda: sender.replaceTrack(track),
            lambda operation: both.model.replace_track(operation, found, None if track is None else track.id),
        )

    def set_parameters(self) -> None:
        both, found, dice = self.both, self._transceiver(), self.dice
        if found is None:
            return
        sender = both.face(found).sender
        parameters = copy.deepcopy(sender.getParameters())
        encodings = list(found.encodings)
        error: str | None = None
        match dice.randrange(5):
            case 0:
                parameters.encodings.append(RTCRtpEncodingParameters(rid="more"))
                error = "InvalidModificationError"
            case 1:
                parameters.encodings[0].rid = "other"
                error = "InvalidModificationError"
            case _:
                index = dice.randrange(len(encodings))
                active, bitrate = dice.random() < 0.7, dice.choice((None, 100_000, 500_000))
                parameters.encodings[index].active = active
                parameters.encodings[index].maxBitrate = bitrate
                encodings[index] = replace(encodings[index], active=active, max_bitrate=bitrate)
        both.promise(
            f"setParameters({found.number}, {error})",
            lambda: sender.setParameters(parameters),
            lambda settled: both.model.set_parameters(found, encodings, error, settled),
        )

    def set_codec_preferences(self) -> None:
        both, found = self.both, self._transceiver()
        if found is None:
            return
        codecs, error = self._preferences(found.kind)
        names = [
            f"{each.mimeType.split('/')[1]}/{each.clockRate}"
            + (f"/{each.channels}" if (each.channels or 1) > 1 else "")
            for each in codecs
        ]

        def model() -> None:
            if error is not None:
                raise RefusedError(error)
            found.preferences = [each.lower() for each in names]

        both.call(
            f"setCodecPreferences({found.number}, {error or list(dict.fromkeys(names))})",
            lambda: both.face(found).setCodecPreferences(codecs),
            model,
        )

    @staticmethod
    def _known(kind: str) -> list[RTCRtpCodec]:
        known = RTCRtpReceiver.getCapabilities(kind)
        assert known is not None
        return list(known.codecs)

    @staticmethod
    def _forms(known: list[RTCRtpCodec], names: list[str]) -> list[RTCRtpCodec]:
        """All forms of these codecs, in this order: some may be received only."""
        return [each for name in names for each in known if each.mimeType == name]

    def _preferences(self, kind: str) -> tuple[list[RTCRtpCodec], str | None]:
        """What is preferred, and the error that it leads to."""
        dice, known = self.dice, self._known(kind)
        # both sides always have these, so no section is refused for want of a codec
        always = "audio/opus" if kind == "audio" else "video/VP8"
        names = list(dict.fromkeys(each.mimeType for each in known))
        dice.shuffle(names)
        codecs = self._forms(known, [each for each in names if each == always or dice.random() < 0.7])
        if dice.random() < 0.2:
            codecs = []
        return codecs, None

    # -- the rest ---------------------------------------------------------------------------------

    def create_channel(self) -> None:
        both, dice = self.both, self.dice
        if len(both.channels) >= 4:
            return
        self._made += 1
        label = f"{both.name}{self._made}"
        number = dice.choice((100, 101)) + 2 * dice.randrange(2) if dice.random() < 0.3 else None
        if any(made.is_closing and made.id == number for _, made in both.channels):
            number = None  # whether it is free by now is a matter of time
        made: list[Any] = []
        init = {} if number is None else {"negotiated": True, "id": number}
        channel = both.call(
            f"createDataChannel({label}, {number})",
            lambda: both.pc.createDataChannel(label, init),
            lambda: made.append(both.model.create_channel(label, number)),
        )
        if channel is not None:
            both.channels.append((channel, made[0]))

    def close_channel(self) -> None:
        both = self.both
        if both.channels and self.dice.random() < 0.3:
            channel, made = self.dice.choice(both.channels)
            both.story.append(f"{both.name}.close channel {channel.label}")
            channel.close()
            made.is_closing = True

    def restart_ice(self) -> None:
        if self.dice.random() < 0.5:
            self.both.call("restartIce", self.both.pc.restartIce, self.both.model.restart_ice)

    def set_configuration(self) -> None:
        both = self.both
        if both.model.slots.is_closed:
            return
        before = both.pc.getConfiguration()
        wrong = RTCConfiguration(
            bundlePolicy="max-compat" if str(before.bundlePolicy) != "max-compat" else "balanced"
        )

        def refuse() -> None:
            raise RefusedError("InvalidModificationError")

        both.call("setConfiguration(another bundlePolicy)", lambda: both.pc.setConfiguration(wrong), refuse)

    def add_candidate(self) -> None:
        """A candidate that goes nowhere, is wrong, or is of no generation."""
        both, dice = self.both, self.dice
        mid: str | None = str(dice.randrange(9)) if dice.random() < 0.8 else None
        index = dice.randrange(9) if mid is None or dice.random() < 0.3 else None
        ufrag = "nope" if dice.random() < 0.3 else None
        text = dice.choice((CANDIDATE, CANDIDATE, "rubbish"))
        if dice.random() < 0.1:
            text, mid, index = "", None, None
        given: dict[str, Any] = {
            "candidate": text,
            "sdpMid": mid,
            "sdpMLineIndex": index,
            "usernameFragment": ufrag,
        }
        both.chain(
            f"addIceCandidate({text[:9]!r}, {mid}, {index}, {ufrag})",
            lambda: both.pc.addIceCandidate(given),
            lambda operation: both.model.add_candidate(operation, text, mid, index, ufrag),
        )
