"""What a created description must say.

Spec: RFC 9429, sections 5.2 (offers) and 5.3 (answers); webrtc-pc, "final steps to create an offer".
"""

from __future__ import annotations

from tests.support.model.errors import DivergenceError
from tests.support.model.slots import Slots
from tests.support.model.text import AUXILIARY, SEND, Media, Text, intersect, reverse
from tests.support.model.transceiver import Transceiver

__all__ = ["check_answer", "check_offer"]


def _expect(what: bool, message: str, text: Text) -> None:
    if not what:
        raise DivergenceError(f"{message} in\n{text.sdp}")


def _layout(slots: Slots) -> Text | None:
    """The description that an offer continues: the one that was set last."""
    candidates = [each for each in (slots.pending_local, slots.pending_remote) if each is not None]
    if not candidates:
        candidates = [each for each in (slots.current_local, slots.current_remote) if each is not None]
    return max((each[1] for each in candidates), key=lambda text: len(text.media), default=None)


def check_offer(slots: Slots, text: Text) -> dict[str, Transceiver]:
    """Check an offer.

    Returns:
        The transceivers that its media descriptions were created from, by mid.
    """
    mids = [each.mid for each in text.media]
    _expect(len(set(mids)) == len(mids), "a mid stands twice", text)
    before = _layout(slots)
    alive = [each for each in slots.transceivers if not each.stopping and not each.stopped]
    found: dict[str, Transceiver] = {}
    for index, old in enumerate(before.media if before is not None else ()):
        _expect(index < len(text.media), f"section {old.mid} is missing", text)
        media = text.media[index]
        if media.mid != old.mid:
            # 5.2.2: recycled, where it was rejected in a current description
            _expect(_is_free(slots, old.mid), f"section {old.mid} is recycled and was not rejected", text)
    new: list[Media] = []
    for media in text.media:
        transceiver = slots.of_mid(media.mid)
        if media.kind == "application":
            # once negotiated it stays; a session never leaves its data section
            continue
        if transceiver is not None:
            found[media.mid] = transceiver
            is_alive = not transceiver.stopping and not transceiver.stopped
            _expect(media.rejected == (not is_alive), f"section {media.mid} is wrongly alive or dead", text)
        elif before is not None and before.of_mid(media.mid) is not None:
            _expect(media.rejected, f"section {media.mid} has no transceiver and is alive", text)
        else:
            new.append(media)
    waiting = [each for each in alive if each.jsep_mid is None]
    # mids are given in the order in which transceivers were made
    for media in sorted(new, key=lambda each: int(each.mid)):
        transceiver = next((each for each in waiting if each.kind == media.kind), None)
        _expect(transceiver is not None and not media.rejected, f"section {media.mid} is nobody's", text)
        assert transceiver is not None
        waiting.remove(transceiver)
        found[media.mid] = transceiver
    _expect(not waiting, "a transceiver has no section", text)
    for mid, transceiver in found.items():
        each_media = text.of_mid(mid)
        if each_media is not None and not each_media.rejected:
            _check_section(each_media, transceiver, transceiver.direction, text)
            rids = [each.rid for each in transceiver.encodings if each.rid is not None]
            offered = rids if len(rids) > 1 and transceiver.direction in SEND else []
            _expect(each_media.send_rids == offered, f"section {mid} has not the layers {offered}", text)
    _expect(
        (text.data is not None)
        == (slots.has_created_channels or (before is not None and before.data is not None)),
        "the section of the data channels is wrong",
        text,
    )
    _expect(not text.credentials & slots.credentials_to_replace, "ICE is not restarted", text)
    return found


def _is_free(slots: Slots, mid: str) -> bool:
    transceiver = slots.of_mid(mid)
    if transceiver is not None and not transceiver.stopped:
        return False
    return any(
        described is not None and (media := described[1].of_mid(mid)) is not None and media.rejected
        for described in (slots.current_local, slots.current_remote)
    )


def _check_section(media: Media, transceiver: Transceiver, direction: str, text: Text) -> None:
    _expect(media.direction == direction, f"section {media.mid} is not {direction}", text)
    if transceiver.direction in SEND:
        streams = list(transceiver.streams)
        _expect(sorted(media.streams) == sorted(streams), f"section {media.mid} has not {streams}", text)
        _expect(bool(media.msids), f"section {media.mid} has no msid", text)
    else:
        _expect(not media.msids, f"section {media.mid} has msids", text)
    if transceiver.preferences:
        beside = set(media.codecs) - set(transceiver.preferences)
        _expect(not beside, f"section {media.mid} has codecs beside the preferred ones: {beside}", text)
        wanted = [each for each in _preferred(transceiver) if each in media.media_codecs]
        _expect(media.media_codecs == wanted, f"section {media.mid} has not the order {wanted}", text)


def _preferred(transceiver: Transceiver) -> list[str]:
    """The codecs that are preferred and carry media, in order."""
    names = [each for each in transceiver.preferences if each.split("/")[0] not in AUXILIARY]
    return list(dict.fromkeys(names))


def _common(slots: Slots, offered: Media, transceiver: Transceiver) -> list[str]:
    """The codecs of an answer: what is offered and known, in the order of the preferences or the offer."""
    wanted = _preferred(transceiver)
    known = [each for each in offered.media_codecs if each in slots.known_codecs]
    return [each for each in wanted if each in known] if wanted else known


def _check_rejected(slots: Slots, offer: Text, offered: Media, text: Text) -> None:
    """5.3.1: what may have a section rejected."""
    transceiver = slots.of_mid(offered.mid)
    if offered.rejected or transceiver is None or transceiver.stopping or transceiver.stopped:
        return
    if not _common(slots, offered, transceiver):
        return
    group = next((each for each in offer.bundle if offered.mid in each), [])
    tag = text.of_mid(group[0]) if group else None
    _expect(tag is not None and tag.rejected, f"section {offered.mid} is rejected for no reason", text)


def check_answer(slots: Slots, text: Text) -> None:
    """Check an answer to the pending remote offer."""
    assert slots.pending_remote is not None
    offer = slots.pending_remote[1]
    _expect(len(text.media) == len(offer.media), "the number of sections differs from the offer's", text)
    for offered, media in zip(offer.media, text.media, strict=True):
        _expect((media.mid, media.kind) == (offered.mid, offered.kind), "a section is another one", text)
        if offered.rejected:
            _expect(media.rejected, f"section {media.mid} was rejected by the offer", text)
        if media.kind == "application":
            continue
        if media.rejected:
            _check_rejected(slots, offer, offered, text)
            continue
        transceiver = slots.of_mid(media.mid)
        _expect(transceiver is not None, f"section {media.mid} has no transceiver", text)
        assert transceiver is not None
        direction = intersect(transceiver.direction, reverse(offered.direction))
        _check_section(media, transceiver, direction, text)
        # Departure: one stream alone goes without a rid, also where it is what is left of several.
        configured = [each.rid for each in transceiver.encodings] if len(transceiver.encodings) > 1 else []
        sent = [rid for rid in offered.recv_rids if rid in configured] if direction in SEND else []
        _expect(media.send_rids == sent, f"section {media.mid} has not the layers {sent}", text)
        _expect(not transceiver.stopped, f"section {media.mid} has a stopped transceiver", text)
        common = _common(slots, offered, transceiver)
        _expect(sorted(media.media_codecs) == sorted(common), f"section {media.mid} has not {common}", text)
        # Departure: what a track is encoded with already comes first.
        if transceiver.track is None or transceiver.preferences:
            _expect(media.media_codecs == common, f"section {media.mid} has not the order {common}", text)
    for each in text.bundle:
        _expect(any(set(each) <= set(group) for group in offer.bundle), "more is bundled than offered", text)
