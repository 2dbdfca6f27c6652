"""check_constraints as a deployable: events `switchboard.message.received` in, verdicts out, for doors with SWITCHBOARD_CHECK_URL and, by
way of a Broker's Trigger, for doors with K_SINK.

`python -m functions.check_constraints.main`; or `uvicorn functions.check_constraints.main:app`; or the stock runner,
`functions-framework --target check_constraints`. For the first it resolves nothing and logs nothing: the door does. For the
others it does both before it answers (functions/check_constraints/ruling.py).
"""

import sys
from collections.abc import Sequence
from time import monotonic

import functions_framework.aio
import msgspec
from starlette.requests import Request

from functions.check_constraints.handler import by_name
from functions.check_constraints.ruling import Judge
from shared.bodies import Bodies
from shared.compiling import Compiling
from shared.domain.message import Message
from shared.domain.received import Received
from shared.domain.refused import refused
from shared.domain.verdict import Verdict, blocked_by, shadows_of
from shared.edge.app import Edge, WithEvents
from shared.edge.asgi import ASGIApp
from shared.edge.framework import framework_app
from shared.edge.server import run
from shared.edge.stock import served
from shared.receipts import Places
from shared.resources import Resources
from shared.stages.events import ACCEPTED, RECEIVED, REJECTED, Said, principal_of
from shared.stages.hop import Asked, Hop, Replied


class Verdicts:
    """Answers events: with a verdict alone for doors that log it themselves, with one that is logged for what the log has as received."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._snapshots = resources.snapshots
        self._compiling = Compiling()

    async def __call__(self, asked: Sequence[Asked]) -> list[Replied | None]:
        """An answer for each. Raises Unavailable where a stamped revision isn't to be had: a retry harms none of the others."""
        return [await self._logged(message, said) if said.brokered else await self._judged(message, said) for message, said in asked]

    async def _judged(self, message: Message, said: Said) -> Replied:
        snapshot = await self._snapshots.at(said.config_revision)
        await self._compiling.ready(snapshot.rules, [message])
        return _replied(said, by_name(message, principal_of(said, snapshot), snapshot, await self._resources.limits(), monotonic()))

    async def _logged(self, message: Message, said: Said) -> Replied | None:
        """None: the verdict is long past, and in the log."""
        settled = await (await judge_of(self._resources))(Received(said.record_id, message, said.grants))
        if settled.kept is None:
            return None
        kept = settled.kept
        told = msgspec.structs.replace(
            said, config_revision=kept.revision, targets=kept.targets, refusal=kept.refusal, shadows=kept.shadows
        )
        return ACCEPTED if kept.refusal is None else REJECTED, told


async def judge_of(resources: Resources) -> Judge:
    """The process's judge of what the log has as received. Raises Unavailable, Misconfigured."""

    async def make() -> tuple[Judge, None]:
        received, receipts = await resources.received(), Places(resources)
        return Judge(received, Bodies(resources.known), resources.snapshots, resources.limits, receipts), None

    return await resources.once("judge", make)


def _replied(said: Said, verdict: Verdict) -> Replied:
    blocked, shadows = blocked_by(verdict), shadows_of(verdict)
    if shadows:
        said = msgspec.structs.replace(said, shadows=shadows)
    return (ACCEPTED, said) if blocked is None else (REJECTED, msgspec.structs.replace(said, refusal=refused(blocked)))


def stage(resources: Resources) -> Hop:
    """The stage on a process's resources. Raises Misconfigured where there is no secret to prove with."""
    return Hop("check-constraints", RECEIVED, Verdicts(resources), resources)


@functions_framework.aio.http  # type: ignore[arg-type]  # an ASGI app is as good as a Response
async def check_constraints(request: Request) -> ASGIApp:
    """The framework's function: the stage, which answers as ASGI."""
    return await served(request.app, stage)


def build(resources: Resources) -> WithEvents:
    """The function's ASGI app on a process's resources."""
    app = framework_app("check_constraints", __name__)
    app.state.served = hop = stage(resources)
    return WithEvents(app, hop.post)


app = Edge("check_constraints", build)

if __name__ == "__main__":
    sys.exit(run(app))
