"""One random walk of two connections beside their models."""

from __future__ import annotations

import asyncio
import random

from rtcstack import IceSettings, RTCConfiguration, RTCPeerConnection, Settings
from rtcstack.testing import run
from tests.support.loops import stand_on
from tests.support.model.errors import DivergenceError
from tests.support.walk.agreement import agree
from tests.support.walk.both import Both
from tests.support.walk.codecsets import without
from tests.support.walk.exchange import Exchange
from tests.support.walk.extracalls import ExtraCalls
from tests.support.walk.flow import Flow
from tests.support.walk.mediamoves import CodecMoves, MediaMoves, RestartMoves
from tests.support.walk.moves import Moves
from tests.support.walk.studio import Studio

__all__ = ["KINDS", "walk"]

STEPS = 25

KINDS = ("honest", "wild", "media", "codecs", "lite")
"""What a walk may be like:

- honest: descriptions reach the other side as they were made, and in order; both sides agree in the end.
- wild: they get whatever was ever described, as whatever type.
- media: honest, with tracks that flow; at quiet points what was negotiated is what arrives.
- codecs: likewise, and the two have not all codecs in common.
- lite: as media, with one side that is an ICE lite agent, and ICE that is restarted often.
"""


def walk(seed: int, kind: str = "honest", steps: int = STEPS) -> None:
    """Walk, and compare after each step.

    Args:
        seed: of everything that is left to chance.
        kind: of `KINDS`.
        steps: how far.

    Raises:
        DivergenceError: a connection is not as its model; with the story so far.
    """
    story: list[str] = []
    try:
        run(_walk(seed, steps, story, kind), seed=seed)
    except Exception as error:
        told = "\n  ".join(story)
        raise DivergenceError(
            f"seed {seed} {kind}: {type(error).__name__}: {error}\nstory:\n  {told}"
        ) from error


async def _walk(seed: int, steps: int, story: list[str], kind: str) -> None:
    dice = random.Random(seed)
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(f"{context.get('message')}: {context.get('exception')!r}")
    )
    policy = dice.choice(("balanced", "max-bundle", "max-compat"))
    sides = []
    for name in ("alice", "bob"):
        is_lite = kind == "lite" and name == "bob"
        settings = Settings(ice=IceSettings(lite=is_lite))
        with stand_on(name):
            pc = RTCPeerConnection(RTCConfiguration(bundlePolicy=policy, settings=settings))
        sides.append(Both(name, pc, story))
        sides[-1].is_lite = is_lite
    a, b = sides
    studio = Studio()
    flow = Flow((a, b), studio) if kind in ("media", "codecs", "lite") else None
    exchange = Exchange((a, b), dice)
    if kind == "lite":
        exchange.wait_s = 0.05
    if kind == "codecs":
        missing, exchange.carry = without(dice)
        story.append(f"not in common: {', '.join(missing)}")
    moves = [_moves(kind, side, dice, studio) for side in exchange.sides]
    for side in exchange.sides:
        side.is_honest = kind != "wild"
        side.has_media = flow is not None
    with stand_on("stranger"):
        stranger = RTCPeerConnection()
    stranger.addTransceiver("audio")
    for each in moves:
        each.stranger = stranger
        each.moves += ExtraCalls(each.both, dice, has_media=flow is not None).moves
    try:
        for _ in range(steps):
            await (_wild_step if kind == "wild" else _step)(dice, exchange, moves)
            if flow is not None:
                await _listen(dice, exchange, flow)
        if kind == "wild":
            return
        if dice.random() < 0.15:
            story.append("close")
            await _close(dice, exchange, moves)
        else:
            story.append("-- agreement")
            await agree(exchange)
            if flow is not None and flow.is_quiet:
                await flow.look()
    finally:
        studio.stop()
        if flow is not None:
            flow.stop()
        for each_side in sides:
            await each_side.pc.close()
        await stranger.close()
    await asyncio.sleep(0.1)
    if reported:
        raise DivergenceError(f"an exception reached the loop: {reported[0]}")


def _moves(kind: str, side: Both, dice: random.Random, studio: Studio) -> Moves:
    match kind:
        case "media":
            return MediaMoves(side, dice, studio)
        case "codecs":
            return CodecMoves(side, dice, studio)
        case "lite":
            return RestartMoves(side, dice, studio)
    return Moves(side, dice)


async def _step(dice: random.Random, exchange: Exchange, moves: list[Moves]) -> None:
    for _ in range(dice.choice((0, 0, 1, 1, 2, 3))):
        dice.choice(moves).make()
    if dice.random() < 0.15:
        exchange.wrong(dice.choice(exchange.sides))
    if dice.random() < 0.3:
        # at the same time as what is chained already
        for _ in range(dice.choice((1, 2))):
            dice.choice(moves).make()
    for side in exchange.sides:
        await side.settle()
    if dice.random() < 0.6:
        await exchange.step()
    if dice.random() < 0.2:
        # while the task of a step is on its way
        dice.choice(moves).make()
    if dice.random() < 0.1:
        await asyncio.sleep(dice.choice((0.01, 0.5, 3.0)))
    for side in exchange.sides:
        await side.settle()


async def _listen(dice: random.Random, exchange: Exchange, flow: Flow) -> None:
    """Somebody listens by now, perhaps; and where nothing is under way, all is listened to."""
    if dice.random() < 0.5:
        flow.attach(dice.choice(exchange.sides))
    if dice.random() < 0.15:
        await exchange.complete()
    if exchange.offerer is None and flow.is_quiet and dice.random() < 0.5:
        await flow.look()


async def _wild_step(dice: random.Random, exchange: Exchange, moves: list[Moves]) -> None:
    """Some calls, all at once."""
    for _ in range(dice.choice((1, 1, 2, 3, 4))):
        if dice.random() < 0.5:
            dice.choice(moves).make()
        else:
            exchange.wild(dice.choice(exchange.sides))
    for side in exchange.sides:
        await side.settle()
        exchange.remember(side)


async def _close(dice: random.Random, exchange: Exchange, moves: list[Moves]) -> None:
    """One side closes with calls under way; afterwards all it may do is refused."""
    side = dice.choice(exchange.sides)
    made = moves[exchange.sides.index(side)]
    if dice.random() < 0.5:
        made.make()
        exchange.wrong(side)
    side.call("close", side.pc.close, side.model.close)
    for _ in range(4):
        made.make()
    exchange.set_local(side)
    exchange.set_remote(side, "offer", "rubbish")
    await side.settle()
