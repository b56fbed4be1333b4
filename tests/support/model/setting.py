"""To set a session description, after it was applied successfully.

The numbers are those of the steps of "If description is applied successfully", which the text does not print.

Spec: webrtc-pc, section 4.4.1.5; RFC 9429, sections 5.9 and 5.10 for what belongs to which section.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.model.slots import Slots
from tests.support.model.text import RECV, Media, Text, intersect, reverse
from tests.support.model.transceiver import Encoding, Transceiver

__all__ = ["Setting"]

MAX_ENCODINGS = 3
"""The maximum number of encodings that the implementation can support."""


@dataclass(slots=True)
class Setting:
    """One description on its way through the steps.

    Attributes:
        slots: of the connection.
        kind: the description's type.
        text: the description's text.
        remote: whether it is the peer's.
        stop: to stop the RTCRtpTransceiver.
    """

    slots: Slots
    kind: str
    text: Text
    remote: bool
    stop: Callable[[Transceiver], None]
    track_events: list[tuple[Transceiver, tuple[str, ...]]] = field(default_factory=list)
    mute_tracks: list[Transceiver] = field(default_factory=list)
    add_list: list[tuple[str, Transceiver]] = field(default_factory=list)
    remove_list: list[tuple[str, Transceiver]] = field(default_factory=list)

    @property
    def is_answer(self) -> bool:
        return self.kind in ("answer", "pranswer")

    def run(self) -> bool:
        """All steps but the events.

        Returns:
            Whether the signaling state changed.
        """
        slots = self.slots
        before = slots.signaling_state
        earlier = slots.current_local if slots.pending_local is None else slots.pending_local
        if self.kind == "offer" and before == "stable":
            self._note_stable()
        self._set_slots()
        data = self.text.data
        if self.kind == "offer" and data is not None and not data.rejected:
            slots.has_sctp = True
        if self.kind == "answer" and data is not None and data.rejected:
            slots.has_sctp = False
        if self.is_answer and data is not None and not data.rejected:
            self._negotiate_dtls_role(data)
        if self.kind == "rollback":
            self._roll_back(before)
        else:
            before_media = [] if earlier is None else earlier[1].media
            for index, media in enumerate(self.text.media):
                if self.kind == "offer" and index < len(before_media):
                    self._disassociate(before_media[index], media)
                if self.remote:
                    self._remote_media(media)
                elif media.kind in ("audio", "video"):
                    self._local_media(media)
        if self.kind == "answer":
            for each in slots.transceivers:
                each.lost_section = None
            self._remove_stopped()
        return slots.signaling_state != before

    def fire(self, changed: bool) -> None:
        """The events."""
        slots = self.slots
        if changed:
            slots.events.append(("signalingstatechange", slots.signaling_state))
        for transceiver in self.mute_tracks:
            transceiver.muted = True
            slots.events.append(("mute", transceiver.number))
        for stream, transceiver in self.remove_list:
            tracks = slots.stream_tracks.setdefault(stream, [])
            if transceiver.number in tracks:
                tracks.remove(transceiver.number)
                if stream in slots.stream_ids:
                    slots.events.append(("removetrack", stream, transceiver.number))
        for stream, transceiver in self.add_list:
            tracks = slots.stream_tracks.setdefault(stream, [])
            if transceiver.number not in tracks:
                tracks.append(transceiver.number)
                if stream in slots.stream_ids:
                    slots.events.append(("addtrack", stream, transceiver.number))
        for transceiver, streams in self.track_events:
            slots.events.append(("track", transceiver.number, streams))
            slots.stream_ids.update(streams)

    # -- the connection's slots -------------------------------------------------------------------

    def _note_stable(self) -> None:
        slots = self.slots
        slots.last_stable_has_sctp = slots.has_sctp
        for each in slots.transceivers:
            each.last_stable_has_transport = each.has_transport
            lone = len(each.encodings) == 1 and each.encodings[0].rid is None
            each.last_stable_ridless = list(each.encodings) if lone else None
            each.last_stable_remote_streams = list(each.remote_streams)
            each.was_associated = each.jsep_mid is not None
            each.made_by_pending = False

    def _set_slots(self) -> None:
        slots, described = self.slots, (self.kind, self.text)
        match self.kind, self.remote:
            case "offer", False:
                slots.pending_local, slots.signaling_state = described, "have-local-offer"
            case "offer", True:
                slots.pending_remote, slots.signaling_state = described, "have-remote-offer"
            case "pranswer", False:
                slots.pending_local, slots.signaling_state = described, "have-local-pranswer"
            case "pranswer", True:
                slots.pending_remote, slots.signaling_state = described, "have-remote-pranswer"
            case "answer", _:
                if self.remote:
                    slots.current_remote, slots.current_local = described, slots.pending_local
                else:
                    slots.current_local, slots.current_remote = described, slots.pending_remote
                slots.pending_local = slots.pending_remote = None
                slots.last_created_offer = slots.last_created_answer = ""
                slots.signaling_state = "stable"
                if not slots.credentials_to_replace & slots.used_credentials:
                    slots.credentials_to_replace = set()

    def _negotiate_dtls_role(self, data: Media) -> None:
        slots = self.slots
        if slots.dtls_client is None:
            answerer_is_client = data.setup != "passive"
            slots.dtls_client = answerer_is_client is not self.remote
        for channel in slots.channels:
            if not channel.is_closing:
                channel.has_id = True

    # -- a local description ----------------------------------------------------------------------

    def _local_media(self, media: Media) -> None:
        slots = self.slots
        transceiver = slots.of_mid(media.mid)
        if transceiver is None:
            transceiver = slots.offered.get(normalized(self.text.sdp), {}).get(media.mid)
            if transceiver is None:
                return  # of a section that was rejected before it had one
            # RFC 9429, section 5.9
            transceiver.jsep_mid = media.mid
            transceiver.mid = transceiver.jsep_mid
            if transceiver.stopped:
                return
            # Departure: what is rejected already gets none.
            transceiver.has_transport = not media.rejected
        if transceiver.stopped:
            return
        # Departure: what an answer has refused gets one again with the offer that brings it back.
        transceiver.has_transport = transceiver.has_transport or (self.kind == "offer" and not media.rejected)
        direction = media.direction
        transceiver.receptive = direction in RECV
        if self.is_answer:
            if len(transceiver.encodings) > 1 and self._offered(media.mid).recv_rids:
                _narrow(transceiver, media.send_rids)
            if direction not in RECV and transceiver.fired_direction in RECV:
                self._set_remote_streams(transceiver, [], [])
                self._process_removal(transceiver)
            transceiver.set_current_direction(direction)
            transceiver.fired_direction = direction

    # -- a remote description ---------------------------------------------------------------------

    def _remote_media(self, media: Media) -> None:
        if media.kind not in ("audio", "video"):
            return
        slots = self.slots
        # Departure: what our offer rejected stays so, whatever a peer answers.
        rejected = media.rejected or (self.is_answer and self._offered(media.mid).rejected)
        proposed = self._proposed_encodings(media)
        transceiver = self._find(media)
        if transceiver is None:
            if self.is_answer or (media.rejected and self.kind == "offer"):
                # Departure: what is new and rejected gets no transceiver, which could only be stopped.
                return
            transceiver = slots.add(Transceiver(media.kind, "recvonly"))
            transceiver.made_by_pending = True
            if proposed:
                transceiver.encodings = proposed
            transceiver.jsep_mid = media.mid
        elif proposed and len(transceiver.encodings) == 1 and transceiver.encodings[0].rid is None:
            transceiver.encodings = proposed
        if self.is_answer and len(transceiver.encodings) > 1 and self._offered(media.mid).send_rids:
            _narrow(transceiver, media.recv_rids)
        transceiver.mid = transceiver.jsep_mid
        direction = "inactive" if rejected else reverse(media.direction)
        msids = media.streams if direction in RECV else []
        self._process_remote_tracks(transceiver, direction, msids)
        if self.is_answer:
            # Departure: an answer cannot take more than was offered.
            offered = self._offered(media.mid).direction
            transceiver.set_current_direction(intersect(direction, offered))
        # Departure: what is rejected gets none, and keeps what it had.
        transceiver.has_transport = transceiver.has_transport or not rejected
        transceiver.is_rejected = rejected
        if rejected and not transceiver.stopped:
            self.stop(transceiver)

    def _disassociate(self, old: Media, media: Media) -> None:
        """RFC 9429, section 5.10: a section that is recycled is nobody's any more.

        Departure: who had it is without current direction and transport, as what never had one.
        """
        transceiver = self.slots.of_mid(old.mid) if old.mid != media.mid else None
        if transceiver is None:
            return
        transceiver.lost_section = transceiver.mid, transceiver.current_direction
        transceiver.jsep_mid = None
        if not transceiver.stopped:
            transceiver.mid = transceiver.current_direction = None
            transceiver.has_transport = False

    def _find(self, media: Media) -> Transceiver | None:
        """RFC 9429, section 5.10: what is associated, or may be."""
        slots = self.slots
        found = slots.of_mid(media.mid)
        if (
            found is not None
            and found.stopped
            and found.is_rejected
            and self.kind == "offer"
            and not media.rejected
        ):
            # Departure: a section that comes back to life is taken for a recycled one.
            found.jsep_mid = None
            found = None
        if found is not None or self.is_answer or media.rejected:
            return found
        # webrtc-pc takes a stopping transceiver for a stopped one in createOffer alone. Departure: here, too;
        # else a transceiver that the application has stopped would take up what the peer sends.
        found = next(
            (
                each
                for each in slots.transceivers
                if each.by_add_track
                and each.kind == media.kind
                and each.jsep_mid is None
                and not each.stopping
                and not each.stopped
            ),
            None,
        )
        if found is None or media.direction not in RECV:
            return None
        found.jsep_mid = media.mid
        return found

    def _offered(self, mid: str) -> Media:
        """What is answered. Layers that were not offered, as of a section that is not to send, are not taken
        from it by an answer that does not name them."""
        slots = self.slots
        offer = slots.pending_local if self.remote else slots.pending_remote
        if self.kind == "answer":
            offer = slots.current_local if self.remote else slots.current_remote
        assert offer is not None
        media = offer[1].of_mid(mid)
        assert media is not None
        return media

    def _proposed_encodings(self, media: Media) -> list[Encoding]:
        if self.kind != "offer" or media.kind != "video":
            return []
        rids = list(dict.fromkeys(media.recv_rids))[:MAX_ENCODINGS]
        return [Encoding(rid, scale=float(2 ** (len(rids) - index - 1))) for index, rid in enumerate(rids)]

    # -- remote tracks (webrtc-pc, section 5.1.2) -------------------------------------------------

    def _process_remote_tracks(
        self, transceiver: Transceiver, direction: str | None, msids: list[str]
    ) -> None:
        added = len(self.add_list)
        self._set_remote_streams(transceiver, msids, self.add_list)
        if (direction in RECV and transceiver.fired_direction not in RECV) or len(self.add_list) > added:
            self.track_events.append((transceiver, tuple(transceiver.remote_streams)))
        if direction in ("sendonly", "inactive"):
            transceiver.receptive = False
            if transceiver.fired_direction in RECV:
                self._process_removal(transceiver)
        transceiver.fired_direction = direction

    def _process_removal(self, transceiver: Transceiver) -> None:
        if not transceiver.muted:
            self.mute_tracks.append(transceiver)

    def _set_remote_streams(
        self, transceiver: Transceiver, msids: list[str], add_list: list[tuple[str, Transceiver]]
    ) -> None:
        self.remove_list += [(each, transceiver) for each in transceiver.remote_streams if each not in msids]
        add_list += [(each, transceiver) for each in msids if each not in transceiver.remote_streams]
        transceiver.remote_streams = list(msids)

    # -- the rest ---------------------------------------------------------------------------------

    def _roll_back(self, before: str) -> None:
        slots = self.slots
        slots.has_sctp = slots.last_stable_has_sctp
        for each in list(slots.transceivers):
            if each.made_by_pending or not each.was_associated:
                each.jsep_mid = each.mid = None
            each.has_transport = each.last_stable_has_transport
            each.is_rejected = False
            if each.lost_section is not None:
                # Departure: it has its section again, as before; the transport is closed for good.
                each.mid, each.current_direction = each.lost_section
                each.jsep_mid, each.lost_section = each.mid, None
                each.has_transport = each.has_transport and each.stopped
            if each.last_stable_ridless is not None and any(e.rid is not None for e in each.encodings):
                each.encodings = list(each.last_stable_ridless)
            if before == "have-remote-offer":
                self._process_remote_tracks(
                    each, each.current_direction, list(each.last_stable_remote_streams)
                )
            if each.made_by_pending and not each.attached:
                self.stop(each)
                slots.transceivers.remove(each)
            elif each.made_by_pending:
                each.made_by_pending = False
                # it was made by addTrack as much as by the offer: RFC 9429, section 5.10 finds it again
                each.by_add_track = True
        slots.pending_local = slots.pending_remote = None
        slots.signaling_state = "stable"

    def _remove_stopped(self) -> None:
        slots = self.slots
        for each in slots.transceivers:
            if each.stopping and not each.stopped and each.jsep_mid is None:
                # Departure: what was stopped before it had a section would need negotiation for ever, which
                # no offer can describe. It ends with the exchange.
                self.stop(each)
        slots.transceivers = [each for each in slots.transceivers if not each.stopped or each.jsep_mid]
        current = [each[1] for each in (slots.current_local, slots.current_remote) if each is not None]
        slots.transceivers = [
            each
            for each in slots.transceivers
            if not (
                each.stopped
                and any((m := text.of_mid(each.jsep_mid)) is not None and m.rejected for text in current)
            )
        ]


def _narrow(transceiver: Transceiver, rids: list[str]) -> None:
    """The layers that an answer leaves."""
    kept = [each for each in transceiver.encodings if each.rid in rids]
    transceiver.encodings = kept or transceiver.encodings[:1]


def normalized(sdp: str) -> str:
    """A text without what gathering adds to it."""
    lines = []
    for line in sdp.splitlines():
        if line.startswith(("a=candidate:", "a=end-of-candidates", "c=", "a=rtcp:")):
            continue
        if line.startswith("m="):
            words = line.split(" ")
            words[1] = "0" if words[1] == "0" else "9"
            line = " ".join(words)
        lines.append(line)
    return "\n".join(lines)
