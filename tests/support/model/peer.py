"""One connection: its methods, as webrtc-pc has them.

Spec: webrtc-pc, sections 4.4 to 6.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.support.model.created import check_answer, check_offer
from tests.support.model.errors import DivergenceError, RefusedError
from tests.support.model.needed import is_negotiation_needed
from tests.support.model.setting import Setting, normalized
from tests.support.model.slots import Channel, Slots
from tests.support.model.tasks import Chain, Operation, Step, Tasks
from tests.support.model.text import Text
from tests.support.model.transceiver import Encoding, Transceiver

__all__ = ["Peer"]

_LEGAL = {
    ("stable", False, "offer"),
    ("stable", True, "offer"),
    ("have-local-offer", False, "offer"),
    ("have-local-offer", True, "pranswer"),
    ("have-local-offer", True, "answer"),
    ("have-local-offer", False, "rollback"),
    ("have-remote-offer", True, "offer"),
    ("have-remote-offer", False, "pranswer"),
    ("have-remote-offer", False, "answer"),
    ("have-remote-offer", True, "rollback"),
    ("have-local-pranswer", False, "pranswer"),
    ("have-local-pranswer", False, "answer"),
    ("have-remote-pranswer", True, "pranswer"),
    ("have-remote-pranswer", True, "answer"),
}
"""RFC 9429, section 3.2, with webrtc-pc's word on provisional answers: they are not rolled back."""


class Peer:
    """A connection."""

    def __init__(self) -> None:
        self.slots = Slots()
        self.tasks = Tasks()
        self.chain = Chain(self.tasks, lambda: self.slots.is_closed, self.update_needed)
        self._setting_parameters = 0

    # -- section 4.7.3 ----------------------------------------------------------------------------

    def update_needed(self) -> None:
        """To update the negotiation-needed flag."""
        if self.slots.is_closed:
            return
        if self.chain.operations:
            self.chain.update_on_empty = True
            return
        self.tasks.queue(self._check_needed)

    def _check_needed(self) -> None:
        slots = self.slots
        if slots.is_closed:
            return
        if self.chain.operations:
            self.chain.update_on_empty = True
            return
        if slots.signaling_state != "stable":
            return
        if not is_negotiation_needed(slots):
            slots.needed = False
        elif not slots.needed:
            slots.needed = True
            slots.events.append(("negotiationneeded",))

    # -- section 4.4.2: descriptions --------------------------------------------------------------

    def create_offer(self, operation: Operation) -> Step:
        """To create an offer."""
        if self.slots.signaling_state not in ("stable", "have-local-offer"):
            raise RefusedError("InvalidStateError")
        return lambda: self._created(operation, is_offer=True)

    def create_answer(self, operation: Operation) -> Step:
        """To create an answer."""
        if self.slots.signaling_state not in ("have-remote-offer", "have-local-pranswer"):
            raise RefusedError("InvalidStateError")
        return lambda: self._created(operation, is_offer=False)

    def _created(self, operation: Operation, *, is_offer: bool) -> None:
        text = Text(operation.made[-1])
        if is_offer:
            self.slots.offered[normalized(text.sdp)] = check_offer(self.slots, text)
            self.slots.last_created_offer = text.sdp
        else:
            check_answer(self.slots, text)
            self.slots.last_created_answer = text.sdp

    def set_local(self, operation: Operation, kind: str | None, sdp: str) -> Step:
        """The chained steps of setLocalDescription."""
        slots = self.slots
        if kind is None:
            offers = ("stable", "have-local-offer", "have-remote-pranswer")
            kind = "offer" if slots.signaling_state in offers else "answer"
        if kind == "rollback":
            return self._set(operation, kind, "", remote=False)
        last = slots.last_created_offer if kind == "offer" else slots.last_created_answer
        if sdp and sdp != last:
            raise RefusedError("InvalidModificationError")
        if sdp:
            return self._set(operation, kind, sdp, remote=False)
        wanted = kind
        # 4. and 5. Whether the last created one is accurate is asked now; it need not be used for all that.
        is_accurate = bool(last) and self._is_accurate(Text(last), wanted)
        if not is_accurate:
            (self.create_offer if wanted == "offer" else self.create_answer)(operation)

        def create_then_set() -> Step:
            if not operation.made:
                if (slots.signaling_state, False, wanted) not in _LEGAL:
                    raise RefusedError("InvalidStateError")
                raise RefusedError("nothing, but there is no text")
            if not is_accurate or operation.made[-1] != last:
                self._created(operation, is_offer=wanted == "offer")
            return lambda: self._set(operation, wanted, operation.made[-1], remote=False)

        return create_then_set

    def _is_accurate(self, text: Text, kind: str) -> bool:
        states = {"offer": ("stable", "have-local-offer")}.get(
            kind, ("have-remote-offer", "have-local-pranswer")
        )
        if self.slots.signaling_state not in states:
            return False
        try:
            if kind == "offer":
                check_offer(self.slots, text)
            else:
                check_answer(self.slots, text)
        except DivergenceError:
            return False
        return True

    def set_remote(self, operation: Operation, kind: str, sdp: str) -> Step:
        """The chained steps of setRemoteDescription."""
        if kind == "offer" and (self.slots.signaling_state, True, "offer") not in _LEGAL:
            return self._set(
                operation,
                "rollback",
                "",
                remote=False,
                then=lambda: self._set(operation, kind, sdp, remote=True),
            )
        return self._set(operation, kind, sdp, remote=True)

    def _set(
        self, operation: Operation, kind: str, sdp: str, *, remote: bool, then: Step | None = None
    ) -> Step:
        """To set a session description."""
        slots = self.slots
        # 2.
        if kind == "rollback" and slots.signaling_state in (
            "stable",
            "have-local-pranswer",
            "have-remote-pranswer",
        ):
            raise RefusedError("InvalidStateError")

        def apply() -> Step | None:
            # 4.3. It cannot be applied.
            if (slots.signaling_state, remote, kind) not in _LEGAL:
                raise RefusedError("InvalidStateError")
            # 4.4.3. Start over.
            if self._setting_parameters:
                return lambda: apply
            if kind != "rollback" and not sdp.startswith("v=0"):
                raise RefusedError("RTCError")
            if operation.may_be_refused is not None and kind != "rollback":
                raise RefusedError(operation.may_be_refused)
            setting = Setting(slots, kind, Text(sdp), remote, self._stop)
            changed = setting.run()
            if slots.signaling_state == "stable":
                slots.needed = False
                self.update_needed()
            setting.fire(changed)
            return then

        return apply

    # -- section 5.1: tracks and transceivers -----------------------------------------------------

    def add_track(self, track: str, kind: str, streams: Sequence[str]) -> Transceiver:
        """addTrack."""
        slots = self.slots
        if slots.is_closed:
            raise RefusedError("InvalidStateError")
        if any(each.track == track for each in slots.transceivers if not each.stopped):
            raise RefusedError("InvalidAccessError")
        found = next(
            (
                each
                for each in slots.transceivers
                if each.track is None and each.kind == kind and not each.stopping and not each.has_sent
            ),
            None,
        )
        if found is not None:
            found.track = track
            found.set_streams(streams)
            found.direction = {"recvonly": "sendrecv", "inactive": "sendonly"}.get(
                found.direction, found.direction
            )
        else:
            found = slots.add(Transceiver(kind, "sendrecv", track, by_add_track=True))
            found.set_streams(streams)
        found.attached = True
        self.update_needed()
        return found

    def remove_track(self, transceiver: Transceiver | None) -> None:
        """removeTrack; None stands for a sender of another connection."""
        if self.slots.is_closed:
            raise RefusedError("InvalidStateError")
        if transceiver is None:
            raise RefusedError("InvalidAccessError")
        if transceiver.stopping or transceiver not in self.slots.transceivers or transceiver.track is None:
            return
        transceiver.track = None
        transceiver.direction = {"sendrecv": "recvonly", "sendonly": "inactive"}.get(
            transceiver.direction, transceiver.direction
        )
        self.update_needed()

    def add_transceiver(
        self,
        kind: str,
        direction: str,
        track: str | None,
        streams: Sequence[str],
        encodings: Sequence[Encoding],
    ) -> Transceiver:
        """addTransceiver, with encodings that are valid."""
        if self.slots.is_closed:
            raise RefusedError("InvalidStateError")
        made = Transceiver(kind, direction, track)
        made.set_streams(streams)
        kept = list(encodings)[: 3 if kind == "video" else 1]
        if kept:
            if kind == "video" and all(each.scale == 0 for each in kept):
                kept = [replace(each, scale=float(2 ** (len(kept) - i - 1))) for i, each in enumerate(kept)]
            kept = [replace(each, scale=each.scale or 1.0) for each in kept]
            made.encodings = [replace(kept[0], rid=None)] if len(kept) == 1 else kept
        self.slots.add(made)
        self.update_needed()
        return made

    def stop(self, transceiver: Transceiver) -> None:
        """RTCRtpTransceiver.stop."""
        if self.slots.is_closed:
            raise RefusedError("InvalidStateError")
        if transceiver.stopping:
            return
        self._stop_sending_and_receiving(transceiver)
        self.update_needed()

    def _stop_sending_and_receiving(self, transceiver: Transceiver) -> None:
        def end() -> None:
            if not transceiver.ended:
                transceiver.ended = True
                self.slots.events.append(("ended", transceiver.number))

        self.tasks.queue(end)
        transceiver.direction = "inactive"
        transceiver.stopping = True

    def _stop(self, transceiver: Transceiver) -> None:
        """Stop the RTCRtpTransceiver."""
        if not transceiver.stopping:
            self._stop_sending_and_receiving(transceiver)
        transceiver.stopped = True
        transceiver.current_direction = None
        transceiver.remote_streams = []
        transceiver.last_stable_remote_streams = []

    def set_direction(self, transceiver: Transceiver, direction: str) -> None:
        """The setter of direction."""
        if transceiver.stopping:
            raise RefusedError("InvalidStateError")
        if direction == transceiver.direction:
            return
        if direction == "stopped":
            raise RefusedError("TypeError")
        transceiver.direction = direction
        self.update_needed()

    def set_streams(self, transceiver: Transceiver, streams: Sequence[str]) -> None:
        """setStreams."""
        if self.slots.is_closed:
            raise RefusedError("InvalidStateError")
        transceiver.set_streams(streams)
        self.update_needed()

    def replace_track(self, operation: Operation, transceiver: Transceiver, track: str | None) -> Step:
        """The chained steps of replaceTrack."""
        if transceiver.stopping:
            raise RefusedError("InvalidStateError")

        def change() -> None:
            transceiver.track = track

        return change

    def set_parameters(
        self,
        transceiver: Transceiver,
        encodings: list[Encoding],
        error: str | None,
        settled: Callable[[str], None],
    ) -> None:
        """setParameters, with what getParameters gave in the same turn and `encodings` changed in it.

        Args:
            transceiver: of the sender.
            encodings: the new ones.
            error: what validation says of them.
            settled: told of the outcome.
        """
        if transceiver.stopping:
            settled("InvalidStateError")
            return
        if error is not None:
            settled(error)
            return
        self._setting_parameters += 1

        def change() -> None:
            self._setting_parameters -= 1
            transceiver.encodings = encodings
            settled("")

        self.tasks.queue(change)

    # -- section 4.4.2: candidates and the rest ---------------------------------------------------

    def add_candidate(
        self, operation: Operation, text: str, mid: str | None, index: int | None, ufrag: str | None
    ) -> Step:
        """The chained steps of addIceCandidate."""
        slots = self.slots
        remote = slots.remote
        if remote is None:
            raise RefusedError("InvalidStateError")

        def steps() -> None:
            descriptions = [
                each[1] for each in (slots.pending_remote, slots.current_remote) if each is not None
            ]
            latest = descriptions[0]
            media = None
            if mid is not None:
                media = latest.of_mid(mid)
                if media is None:
                    raise RefusedError("OperationError")
            elif index is not None:
                if index >= len(latest.media):
                    raise RefusedError("OperationError")
                media = latest.media[index]
            if media is not None:
                transceiver = slots.of_mid(media.mid)
                if media.kind != "application" and (transceiver is None or transceiver.stopped):
                    return
            if ufrag is not None:
                known = {
                    each.ufrag
                    for description in descriptions
                    for each in ([description.of_mid(media.mid)] if media is not None else description.media)
                    if each is not None
                }
                if ufrag not in known:
                    raise RefusedError("OperationError")
            if text and not text.startswith("candidate:"):
                raise RefusedError("OperationError")

        return steps

    def restart_ice(self) -> None:
        """restartIce."""
        slots = self.slots
        pending = set() if slots.pending_local is None else slots.pending_local[1].credentials
        slots.credentials_to_replace = slots.used_credentials | pending
        self.update_needed()

    def create_channel(self, label: str, negotiated_id: int | None) -> Channel:
        """createDataChannel."""
        slots = self.slots
        if slots.is_closed:
            raise RefusedError("InvalidStateError")
        if negotiated_id is not None and any(
            each.id == negotiated_id and each.state != "closed" for each in slots.channels
        ):
            raise RefusedError("OperationError")
        channel = Channel(label, negotiated_id is not None, negotiated_id)
        channel.has_id = negotiated_id is not None or slots.dtls_client is not None
        slots.channels.append(channel)
        if not slots.has_created_channels:
            slots.has_created_channels = True
            self.update_needed()
        return channel

    def close(self) -> None:
        """To close the connection."""
        slots = self.slots
        if slots.is_closed:
            return
        slots.is_closed = True
        slots.signaling_state = "closed"
        for each in slots.transceivers:
            if not each.stopped:
                self._stop(each)
        for channel in slots.channels:
            channel.state = "closed"
