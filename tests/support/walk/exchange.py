"""Offers and answers between two sides, as an honest signalling channel brings them: late, but in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from tests.support.walk.both import Both
from tests.support.walk.watched import Call

__all__ = ["Exchange"]


class Exchange:
    """Where the exchange between two sides stands, and what may be done next.

    Args:
        sides: the two.
        dice: the source of chance.

    Attributes:
        offerer: whose offer was set; None between exchanges.
        stage: "offered", "delivered" (the other side has set it), "provisional" (it has set a provisional
            answer), "answered" (it has set its answer).
        created: what createOffer or createAnswer gave last, by side and type.
        carry: what a description becomes on its way.
        wait_s: how long it waits for its candidates before that.
    """

    def __init__(self, sides: tuple[Both, Both], dice: random.Random) -> None:
        self.sides = sides
        self.dice = dice
        self.offerer: Both | None = None
        self.stage = ""
        self.created: dict[tuple[str, str], Call] = {}
        self.carry: Callable[[str], str] = lambda sdp: sdp
        self.wait_s = 0.0
        self._texts: list[str] = []

    def other(self, side: Both) -> Both:
        """The other side."""
        return self.sides[1] if side is self.sides[0] else self.sides[0]

    # -- calls ------------------------------------------------------------------------------------

    def set_local(
        self, side: Both, kind: str | None = None, sdp: str = "", *, may_be_refused: bool = False
    ) -> Call:
        """setLocalDescription."""
        given: dict[str, Any] | None = None if kind is None else {"type": kind, "sdp": sdp}
        return side.chain(
            f"setLocalDescription({kind or ''}{', as created' if sdp else ''})",
            lambda: side.pc.setLocalDescription(given),
            lambda operation: side.model.set_local(operation, kind, sdp),
            may_be_refused=may_be_refused,
        )

    def set_remote(self, side: Both, kind: str, sdp: str, *, may_be_refused: bool = False) -> Call:
        """setRemoteDescription."""
        return side.chain(
            f"setRemoteDescription({kind})",
            lambda: side.pc.setRemoteDescription({"type": kind, "sdp": sdp}),
            lambda operation: side.model.set_remote(operation, kind, sdp),
            may_be_refused=may_be_refused,
        )

    def create(self, side: Both, kind: str) -> Call:
        """createOffer or createAnswer."""
        is_offer = kind == "offer"
        call = side.chain(
            "createOffer" if is_offer else "createAnswer",
            side.pc.createOffer if is_offer else side.pc.createAnswer,
            side.model.create_offer if is_offer else side.model.create_answer,
        )
        self.created[side.name, kind] = call
        return call

    # -- steps ------------------------------------------------------------------------------------

    async def step(self) -> None:
        """The next step of an exchange, or none."""
        dice = self.dice
        offerer = self.offerer
        if offerer is None:
            side = dice.choice(self.sides)
            await self._offer(side)
            self.offerer, self.stage = side, "offered"
            return
        answerer = self.other(offerer)
        match self.stage, dice.randrange(10):
            case "offered", 0 | 1:
                self.set_local(offerer, "rollback")
                self.offerer, self.stage = None, ""
            case "offered", 2:
                await self._offer(offerer)
            case "offered", 3:
                # glare: the other side's offer is taken back when ours arrives
                await self._offer(answerer)
                await self.deliver()
            case "offered", _:
                await self.deliver()
            case "delivered", 0:
                self.set_remote(answerer, "rollback", "")
                self.stage = "offered"
            case "delivered", 1:
                self.set_remote(answerer, "rollback", "")
                self.set_local(offerer, "rollback")
                self.offerer, self.stage = None, ""
            case "delivered", 2:
                await self._offer(offerer)
                await self.deliver()
            case (("delivered" | "provisional"), 3 | 4):
                await self._answer(answerer, "pranswer")
            case (("delivered" | "provisional"), _):
                await self._answer(answerer, "answer")
            case "answered", _:
                await self.finish()

    async def _offer(self, side: Both) -> None:
        if side.model.slots.signaling_state not in ("stable", "have-local-offer"):
            return
        match self.dice.randrange(4):
            case 0:
                call = self.create(side, "offer")
                await side.settle()
                self.set_local(side, "offer", call.value.sdp)
            case 1:
                self.set_local(side, "offer")
            case _:
                self.set_local(side)
        await side.settle()

    async def _wait(self) -> None:
        if self.wait_s:
            await asyncio.sleep(self.wait_s)

    async def deliver(self) -> None:
        """The offer reaches the other side."""
        assert self.offerer is not None
        await self._wait()
        description = self.offerer.pc.localDescription
        assert description is not None
        side = self.other(self.offerer)
        self.set_remote(side, "offer", self.carry(description.sdp))
        await side.settle()
        self.stage = "delivered"

    async def _answer(self, side: Both, kind: str) -> None:
        if kind == "pranswer":
            self.set_local(side, "pranswer")
        elif self.dice.random() < 0.3:
            call = self.create(side, "answer")
            await side.settle()
            self.set_local(side, "answer", call.value.sdp)
        else:
            self.set_local(side)
        await side.settle()
        assert self.offerer is not None
        if kind == "pranswer":
            await self._wait()
            description = side.pc.localDescription
            assert description is not None
            self.set_remote(self.offerer, "pranswer", self.carry(description.sdp))
            await self.offerer.settle()
            self.stage = "provisional"
        else:
            self.stage = "answered"

    async def finish(self) -> None:
        """The answer reaches the offerer."""
        assert self.offerer is not None
        await self._wait()
        description = self.other(self.offerer).pc.currentLocalDescription
        assert description is not None
        self.set_remote(self.offerer, "answer", self.carry(description.sdp))
        await self.offerer.settle()
        self.offerer, self.stage = None, ""

    async def complete(self) -> None:
        """Bring the exchange under way to its end."""
        if self.stage == "offered":
            await self.deliver()
        if self.stage in ("delivered", "provisional"):
            assert self.offerer is not None
            await self._answer(self.other(self.offerer), "answer")
        if self.stage == "answered":
            await self.finish()

    async def exchange(self, offerer: Both) -> None:
        """A whole exchange."""
        await self._offer(offerer)
        self.offerer, self.stage = offerer, "offered"
        await self.complete()

    # -- wrong ones -------------------------------------------------------------------------------

    def wrong(self, side: Both) -> None:
        """A call that must be refused, whatever the state is, and change nothing."""
        match self.dice.randrange(6):
            case 0:
                self.set_local(side, "offer", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n")
            case 1:
                # not an offer in "have-local-offer": that would take ours back before it is looked at
                may_be_offer = side.model.slots.signaling_state in ("stable", "have-remote-offer")
                self.set_remote(side, "offer" if may_be_offer else "answer", "rubbish")
            case 2 if side.model.slots.signaling_state in ("stable", "have-remote-offer"):
                side_sdp = self.other(side).pc.localDescription
                if side_sdp is not None:
                    self.set_remote(side, "pranswer", side_sdp.sdp)
            case 3 if side.model.slots.signaling_state != "have-remote-offer":
                self.set_remote(side, "rollback", "")
            case 4 if side.model.slots.signaling_state != "have-local-offer":
                self.set_local(side, "rollback")
            case 5 if side.model.slots.signaling_state not in ("have-remote-offer", "have-local-pranswer"):
                self.create(side, "answer")
            case _:
                if side.model.slots.signaling_state not in ("stable", "have-local-offer"):
                    self.create(side, "offer")

    # -- without honesty --------------------------------------------------------------------------

    def remember(self, side: Both) -> None:
        """What it describes may be set by anybody, at any time from now on."""
        for name in ("currentLocalDescription", "pendingLocalDescription"):
            description = getattr(side.pc, name)
            if description is not None and description.sdp not in self._texts:
                self._texts.append(description.sdp)
        del self._texts[:-12]

    def wild(self, side: Both) -> None:
        """Any call with any description."""
        dice = self.dice
        match dice.randrange(9):
            case 0:
                self.create(side, dice.choice(("offer", "answer")))
            case 1 | 2:
                self.set_local(
                    side, dice.choice((None, None, None, "offer", "answer", "pranswer", "rollback"))
                )
            case 3:
                kind = dice.choice(("offer", "answer"))
                made = self.created.get((side.name, kind))
                if made is not None and made.value is not None:
                    # the answer may be to another offer
                    self.set_local(side, kind, made.value.sdp, may_be_refused=True)
            case 4:
                self.set_remote(side, "rollback", "")
            case 5 if self._texts:
                self.set_remote(
                    side,
                    dice.choice(("offer", "answer", "pranswer")),
                    dice.choice(self._texts),
                    may_be_refused=True,
                )
            case _:
                theirs = self.other(side).pc.localDescription
                if theirs is not None:
                    self.set_remote(side, str(theirs.type.value), theirs.sdp, may_be_refused=True)
