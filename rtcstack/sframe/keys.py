"""Both ends of a protected stream: keys by their identifiers, and counters that never come again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from threading import Lock
from weakref import WeakValueDictionary

from cryptography.exceptions import InvalidTag

from rtcstack.sframe.cipher import CipherSuite, FrameKey
from rtcstack.sframe.errors import SFrameError, SFrameFault
from rtcstack.sframe.header import MAX_VALUE, parse_header

__all__ = ["MAX_KEYS", "MAX_REMEMBERED", "Opener", "Sealer"]

MAX_KEYS = 256
"""Keys that one end of a stream holds; the one that was set first gives way."""

MAX_REMEMBERED = 4096
"""Keys of this process whose counters are remembered, for all streams, beside those that are in use; of
digests of them, not of them."""


class _Counter:
    """The next use of a key. A counter that came twice would show two frames' difference (RFC 9605,
    section 9.1), so whoever seals with the same key and identifier in this process counts on."""

    __slots__ = ("__weakref__", "next")

    def __init__(self) -> None:
        self.next = 0


_counters: OrderedDict[bytes, _Counter] = OrderedDict()
_in_use: WeakValueDictionary[bytes, _Counter] = WeakValueDictionary()
_lock = Lock()  # loops of several threads may seal with one key


def _counter_of(suite: CipherSuite, key_id: int, base_key: bytes) -> _Counter:
    digest = hashlib.sha256(f"{suite} {key_id} ".encode() + base_key).digest()
    with _lock:
        found = _in_use.get(digest)
        if found is None:
            found = _in_use[digest] = _Counter()
        _counters[digest] = found
        _counters.move_to_end(digest)
        while len(_counters) > MAX_REMEMBERED:
            _counters.popitem(last=False)
    return found


class Sealer:
    """Seals frames, with the key that was set last. Args: suite."""

    __slots__ = ("_counter", "_key", "_suite")

    def __init__(self, suite: CipherSuite) -> None:
        self._suite = suite
        self._key: FrameKey | None = None
        self._counter = _Counter()

    def set_key(self, key_id: int, base_key: bytes) -> None:
        """Use this key from now on. Args: see `FrameKey`."""
        self._key = FrameKey(self._suite, key_id, base_key)
        self._counter = _counter_of(self._suite, key_id, base_key)

    @property
    def is_ready(self) -> bool:
        """Whether it has a key that can be used once more."""
        return self._key is not None and self._counter.next <= MAX_VALUE

    def seal(self, data: bytes) -> bytes:
        """A ciphertext. Only while `is_ready`."""
        assert self._key is not None
        with _lock:
            counter, self._counter.next = self._counter.next, self._counter.next + 1
        return self._key.seal(counter, data)


class Opener:
    """Opens frames, with the key that each names. Args: suite.

    A frame that comes twice is opened twice: what is carried below tells replays (SRTP).
    """

    __slots__ = ("_keys", "_suite")

    def __init__(self, suite: CipherSuite) -> None:
        self._suite = suite
        self._keys: OrderedDict[int, FrameKey] = OrderedDict()

    def set_key(self, key_id: int, base_key: bytes) -> None:
        """Open frames of this identifier with this key. Args: see `FrameKey`."""
        self._keys.pop(key_id, None)
        self._keys[key_id] = FrameKey(self._suite, key_id, base_key)
        if len(self._keys) > MAX_KEYS:
            self._keys.popitem(last=False)

    def open(self, data: bytes) -> bytes:
        """What was sealed.

        Raises:
            SFrameError: it is none of ours, or not what was sealed.
        """
        key_id, counter, size = parse_header(data)
        key = self._keys.get(key_id)
        if key is None:
            raise SFrameError(SFrameFault.KEY_ID, f"no key {key_id}", key_id)
        if len(data) < size + key.tag_bytes:
            raise SFrameError(SFrameFault.SYNTAX, f"an SFrame ciphertext of {len(data)} octets", key_id)
        try:
            return key.open(counter, data[:size], data[size:])
        except InvalidTag:
            raise SFrameError(SFrameFault.AUTHENTICATION, "a frame that was not sealed so", key_id) from None
