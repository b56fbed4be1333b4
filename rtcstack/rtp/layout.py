"""Where the elements of an RTP header extension stand.

Spec: RFC 8285, section 4.
"""

from __future__ import annotations

__all__ = ["ONE_BYTE_PROFILE", "Layout", "extension_elements", "is_two_byte_profile"]

ONE_BYTE_PROFILE = 0xBEDE
"""Spec: RFC 8285, section 4.2."""

_TWO_BYTE_PROFILE = 0x1000


def is_two_byte_profile(profile: int) -> bool:
    """Whether header extensions come with two-byte headers. Spec: RFC 8285, section 4.3."""
    return profile & 0xFFF0 == _TWO_BYTE_PROFILE


def extension_elements(block: bytes, *, two_byte: bool) -> list[tuple[int, int, int]]:
    """The elements of an extension block, as (id, start, end) within it.

    A length that points beyond the block ends the list: what came before it stands.

    Spec: RFC 8285, sections 4.2 and 4.3.
    """
    elements: list[tuple[int, int, int]] = []
    position, size = 0, len(block)
    while position < size:
        head = block[position]
        if head == 0:  # padding
            position += 1
            continue
        if two_byte:
            if position + 2 > size:
                break
            identifier, start = head, position + 2
            end = start + block[position + 1]
        else:
            identifier, start = head >> 4, position + 1
            if identifier == 15:  # "MUST terminate processing"
                break
            end = start + (head & 0x0F) + 1
        if end > size:
            break
        if identifier:
            elements.append((identifier, start, end))
        position = end
    return elements


class Layout:
    """Where the elements of an extension block stand, for all blocks of the same shape.

    The packets of a stream carry the same elements in the same order for long times. A block has
    this shape exactly if the bytes that head its elements are the same, which one AND and one
    comparison of integers tell, instead of a walk through it.

    Args:
        block: the elements, without the four bytes before them.
        profile: the 16 bits "defined by profile".
        transport_cc, mid: ids of two extensions, or 0.

    Attributes:
        spans: id -> (start, end) within the block.
        transport_cc: where the two bytes of the transport-wide sequence number stand, or -1.
        mid: where the MID stands, or None.
    """

    __slots__ = ("_expected", "_mask", "mid", "profile", "size", "spans", "transport_cc")

    def __init__(self, block: bytes, profile: int, transport_cc: int = 0, mid: int = 0) -> None:
        two_byte = is_two_byte_profile(profile)
        known = two_byte or profile == ONE_BYTE_PROFILE
        elements = extension_elements(block, two_byte=two_byte) if known else []
        self.spans: dict[int, tuple[int, int]] = {}
        # Padding is part of the shape as well: an element might stand where it was.
        mask = bytearray(b"\xff" * len(block))
        for identifier, start, end in elements:
            self.spans.setdefault(identifier, (start, end))
            mask[start:end] = bytes(end - start)
        self._mask = int.from_bytes(mask, "big")
        self._expected = int.from_bytes(block, "big") & self._mask
        self.size = len(block)
        self.profile = profile
        start, end = self.spans.get(transport_cc, (0, 0))
        self.transport_cc = start if end - start == 2 else -1
        self.mid = self.spans.get(mid)

    def fits(self, block: bytes, profile: int) -> bool:
        """Whether this is the shape of that block."""
        return (
            len(block) == self.size
            and profile == self.profile
            and int.from_bytes(block, "big") & self._mask == self._expected
        )
