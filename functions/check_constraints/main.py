"""check_constraints as a deployable: events `switchboard.message.received` in, verdicts out, for doors with SWITCHBOARD_CHECK_URL.

`python -m functions.check_constraints.main`; or `uvicorn functions.check_constraints.main:app`; or the stock runner,
`functions-framework --target check_constraints`. It resolves nothing and logs nothing: the door does.
"""

import sys
from collections.abc import Sequence
from time import monotonic

import functions_framework.aio
import msgspec
from starlette.requests import Request

from functions.check_constraints.handler import verdict
from shared.domain.errors import Fault, Forbidden
from shared.domain.message import Message
from shared.domain.verdict import Verdict, blocked_by, shadows_of
from shared.edge.app import Edge, WithEvents
from shared.edge.asgi import ASGIApp
from shared.edge.framework import framework_app
from shared.edge.server import run
from shared.edge.stock import served
from shared.resources import Resources
from shared.stages.events import ACCEPTED, RECEIVED, REJECTED, Said, principal_of, refused
from shared.stages.hop import Asked, Hop, Replied


class Judge:
    """Gives verdicts on messages at the revisions that their doors stamped."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._snapshots = resources.snapshots

    async def __call__(self, asked: Sequence[Asked]) -> list[Replied]:
        """An answer for each. Raises Unavailable where a stamped revision isn't to be had: a retry harms none of the others."""
        return [_replied(said, await self._verdict(message, said)) for message, said in asked]

    async def _verdict(self, message: Message, said: Said) -> Verdict:
        snapshot = await self._snapshots.at(said.config_revision)
        principal = principal_of(said, snapshot)
        if principal is None:
            fault = Fault("/topic", "not granted")
            return Forbidden("no grant to publish: the principal is not there in this config revision", rule="grant", faults=[fault])
        return verdict(message, principal, snapshot, await self._resources.limits(), monotonic())


def _replied(said: Said, verdict: Verdict) -> Replied:
    blocked, shadows = blocked_by(verdict), shadows_of(verdict)
    if shadows:
        said = msgspec.structs.replace(said, shadows=shadows)
    return (ACCEPTED, said) if blocked is None else (REJECTED, msgspec.structs.replace(said, refusal=refused(blocked)))


def stage(resources: Resources) -> Hop:
    """The stage on a process's resources. Raises Misconfigured where there is no secret to prove with."""
    return Hop("check-constraints", RECEIVED, Judge(resources), resources)


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
