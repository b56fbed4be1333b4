"""This machine's addresses: which come and go while an agent lives, and the names that stand for them.

Spec: draft-ietf-mmusic-mdns-ice-candidates, section 3.1.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from rtcstack.platform import Network, Watch

__all__ = ["Addresses"]

logger = logging.getLogger("rtcstack.ice.agent")


class Addresses:
    """Hears of addresses that go, which no socket on them tells of; has names for those that are hidden.

    Args:
        name: what the log calls the agent.
        on_changed: takes the addresses that are gone, and those that are back.
    """

    def __init__(self, name: str, on_changed: Callable[[frozenset[str], frozenset[str]], None]) -> None:
        self._name = name
        self._on_changed = on_changed
        self._network: Network | None = None
        self._watch: Watch | None = None
        self._here: frozenset[str] = frozenset()  # as far as was heard
        self._published: dict[str, str] = {}  # by address, the name that multicast DNS answers for

    def watch(self, network: Network) -> None:
        """Hear of changes from now on."""
        self._network = network
        self._here |= self._read(network) or frozenset()
        if self._watch is None:
            try:
                self._watch = network.watch(self.look)
            except Exception as exc:  # of a network that the application has installed
                logger.error("%s: lost addresses will not be heard of: %r", self._name, exc)

    def _read(self, network: Network) -> frozenset[str] | None:
        try:
            return frozenset(address.host for address in network.interfaces())
        except OSError as exc:  # out of file descriptors, say
            logger.warning("%s: this machine's addresses cannot be read: %s", self._name, exc)
            return None

    def look(self) -> None:
        """See whether they have changed."""
        here = None if self._network is None else self._read(self._network)
        if here is not None and here != self._here:
            gone, back, self._here = self._here - here, here - self._here, here
            self._on_changed(gone, back)

    def stop(self) -> None:
        """Hear of nothing any more."""
        watch, self._watch = self._watch, None
        if watch is not None:
            try:
                watch.close()
            except Exception as exc:  # of a network that the application has installed
                logger.error("%s: changes of addresses are still heard of: %r", self._name, exc)

    async def publish(self, network: Network, address: str) -> str:
        """A name for one of our addresses, the same in each generation, until they are withdrawn.

        Raises:
            OSError: there is none; see `Network.publish`.
        """
        if address not in self._published:
            name = await network.publish(address)
            if address in self._published:  # another generation was quicker
                network.withdraw(name)
            else:
                self._published[address] = name
                self._network = network
        return self._published[address]

    def withdraw(self) -> None:
        """The names are nobody's any more."""
        published, self._published = self._published, {}
        for name in published.values():
            assert self._network is not None
            try:
                self._network.withdraw(name)
            except Exception as exc:  # of a network that the application has installed
                logger.error("%s: %s is still answered for: %r", self._name, name, exc)
