"""The candidate pairs of one transport: which there are, and what the application does with them.

Spec: webrtc-extensions, section "RTCIceTransport extensions".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rtcstack.api.candidatepair import (
    Credentials,
    RTCIceCandidatePair,
    RTCIceCandidatePairEvent,
    remote_candidate,
    renew,
)
from rtcstack.api.description import RTCIceCandidate
from rtcstack.errors import InvalidStateError, NotFoundError, OperationError
from rtcstack.ice import IceFeature, IceState, PairNews, lacking
from rtcstack.promises import Operation, Task, promise, rejected

if TYPE_CHECKING:
    from rtcstack.events import EventTarget
    from rtcstack.ice import AnyIceAgent, PairKey, PairView

__all__ = ["CandidatePairs"]

_IDLE = (IceState.NEW, IceState.FAILED, IceState.CLOSED)


class CandidatePairs:
    """[[CandidatePairs]] and [[ProposalPending]] of one transport.

    Objects are made when somebody is to see them. There are no more pairs than the agent has: 100 of each
    generation in use.

    Args:
        agent: what has the pairs.
        told: the candidates of ours that were told: a pair of one of them has that object.
        signalled: the mid that candidates are signalled with, and the peer's credentials where known.
    """

    __slots__ = ("_agent", "_is_closed", "_pairs", "_signalled", "_told", "_waiting", "is_pending")

    def __init__(
        self,
        agent: AnyIceAgent,
        told: Callable[[], Iterable[RTCIceCandidate]],
        signalled: Callable[[], tuple[str, Credentials | None]],
    ) -> None:
        self._agent = agent
        self._told = told
        self._signalled = signalled
        self._pairs: dict[PairKey, RTCIceCandidatePair | None] = {}
        self._waiting: list[tuple[PairKey, asyncio.Future[None]]] = []
        self._is_closed = False
        self.is_pending = False
        """[[ProposalPending]]"""

    def __len__(self) -> int:
        return len(self._pairs)

    def shown(self, view: PairView) -> RTCIceCandidatePair:
        """The object of a pair, with what is known of it by now; one that is not listed gets a new one."""
        fresh = self._made(view)
        if view.key is None or view.key not in self._pairs:
            return fresh
        known = self._pairs[view.key]
        if known is None:
            known = self._pairs[view.key] = fresh
        else:
            renew(known, fresh)
        return known

    def _made(self, view: PairView) -> RTCIceCandidatePair:
        """To create an RTCIceCandidatePair (webrtc-pc, section 5.6.4)."""
        text = f"candidate:{view.local}"
        mid, parameters = self._signalled()
        own = next((each for each in self._told() if each.candidate == text), None)
        return RTCIceCandidatePair(
            own or RTCIceCandidate(text, sdpMid=mid), remote_candidate(view.remote, mid, parameters)
        )

    # -- what the agent tells ---------------------------------------------------------------------

    def on_news(self, news: PairNews, view: PairView, target: EventTarget | None) -> None:
        """The tasks that the agent queues for its pairs.

        Args:
            news, view: what is told of which pair.
            target: the transport's object, if there is one.
        """
        if self._is_closed or view.key is None:  # 1., 2.
            return
        match news:
            case PairNews.ADDED:
                self._pairs[view.key] = None
                self._fire("icecandidatepairadd", view, target)
            case PairNews.PROPOSED:
                self._propose(view.key, view, target)
            case PairNews.REMOVED:
                self._remove(view.key, view, target)
            case PairNews.CHOSEN | PairNews.NOT_CHOSEN:
                self._settle(view.key, works=news is PairNews.CHOSEN)

    def _fire(
        self, name: str, view: PairView, target: EventTarget | None, *, cancelable: bool = False
    ) -> RTCIceCandidatePairEvent | None:
        """Fire an event with a pair, if anybody listens."""
        if target is None or not target.has_listeners(name):
            return None
        event = RTCIceCandidatePairEvent(name, self.shown(view), cancelable=cancelable)
        target.dispatchEvent(event)
        return event

    def _propose(self, key: PairKey, view: PairView, target: EventTarget | None) -> None:
        """To nominate a candidate pair."""
        # 3. and 4. are the arguments. 5.
        self.is_pending = True
        # 6.
        event = self._fire("icecandidatepairnominate", view, target, cancelable=True)

        def decide() -> None:
            # 7.
            self.is_pending = False
            if self._is_closed:
                return
            # 8. and 9.
            self._agent.answer_nomination(key, accepted=event is None or not event.defaultPrevented)

        if event is None:
            decide()
        else:
            # What a coroutine function does before its first await belongs to the event in JavaScript, and
            # is run in the loop's next turn here.
            asyncio.get_running_loop().call_soon(decide)

    def _remove(self, key: PairKey, view: PairView, target: EventTarget | None) -> None:
        """To remove a candidate pair."""
        # 3. and 4. are the arguments. 5. This agent frees no candidate of its own accord: nothing to cancel.
        # 6.
        self.is_pending, was_pending = True, self.is_pending
        # 7.
        self._fire("icecandidatepairremove", view, target)
        # 8.
        self.is_pending = was_pending
        # 10. The agent has done so.
        self._pairs.pop(key, None)

    def _settle(self, key: PairKey, *, works: bool) -> None:
        """What was selected carries packets, or never will."""
        ended = [future for each, future in self._waiting if each == key]
        self._waiting = [each for each in self._waiting if each[0] != key]
        for future in ended:
            if works:
                future.set_result(None)
            else:
                future.set_exception(
                    OperationError(
                        "selectCandidatePair: the pair does not work, is gone, or another was selected"
                    )
                )

    # -- what the application calls ---------------------------------------------------------------

    def _key(self, name: str, pair: RTCIceCandidatePair, state: IceState) -> PairKey:
        """What the steps of both methods begin with."""
        # 1. and 2. A closed connection's transports are closed. 3.
        if self.is_pending:
            raise InvalidStateError(f"{name} while a nomination or a removal is being decided")
        # 4.
        if self._is_closed or state in _IDLE:
            raise InvalidStateError(f"{name} on a transport that is {state}")
        if IceFeature.PAIRS not in self._agent.features:
            raise lacking(self._agent.config, IceFeature.PAIRS, name)
        # 5. and 6.
        key = next((key for key, each in self._pairs.items() if each is pair), None)
        if key is None:
            raise NotFoundError(f"{name}: not a pair of this transport, or not any more")
        return key

    def select(self, pair: RTCIceCandidatePair, state: IceState) -> Operation[None]:
        """The steps of selectCandidatePair.

        Args:
            pair: which.
            state: [[IceTransportState]].
        """
        try:
            key = self._key("selectCandidatePair", pair, state)
            # 8.
            if not self._agent.select_pair(key):
                raise NotFoundError("selectCandidatePair: the pair is gone")
        except Exception as exc:  # the caller's or ours: whoever awaits the operation gets it
            return rejected(exc)
        # 7., 9. Settled behind the events of the changed pair.
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, future))
        return Operation(future)

    def remove(self, pair: RTCIceCandidatePair, state: IceState, target: EventTarget) -> Operation[None]:
        """The steps of removeCandidatePair.

        Args:
            pair: which.
            state: [[IceTransportState]].
            target: the transport's object.
        """

        def steps() -> Task[None]:
            key = self._key("removeCandidatePair", pair, state)
            # 7.
            del self._pairs[key]
            # 9.
            self._agent.remove_pair(key)

            def task() -> None:
                # 9.1. A closed connection tells nothing any more.
                if not self._is_closed:
                    target.dispatchEvent(RTCIceCandidatePairEvent("icecandidatepairremove", pair))

            return task

        return promise(steps)

    def hold(self) -> None:
        """Somebody listens for nominations: none is made without a word from now on."""
        if not self._is_closed:
            self._agent.hold_nominations()

    # -- the end ----------------------------------------------------------------------------------

    def fail(self) -> None:
        """ICE has failed: nobody waits for a pair any more."""
        self._end_all(OperationError("selectCandidatePair: ICE has failed"))

    def close(self) -> None:
        """The transport is closed, and nobody is told; promises end, so that no task waits for ever."""
        self._is_closed = True
        self._pairs.clear()
        self._end_all(InvalidStateError("selectCandidatePair: the transport was closed"))

    def _end_all(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            if not future.get_loop().is_closed():
                future.set_exception(error)
                future.exception()  # nobody is told off for not looking at it
