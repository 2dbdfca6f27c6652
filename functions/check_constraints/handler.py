"""Check: a message in, a verdict out. The rules are shared/domain/constraints.py's, in its order; the first that blocks is the reason."""

from collections.abc import Sequence

from shared.domain.constraints import ORDER
from shared.domain.errors import SwitchboardError
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.snapshot import Snapshot


async def handle(messages: Sequence[Message], principal: Principal, snapshot: Snapshot) -> list[SwitchboardError | None]:
    """A verdict for each message of one principal, in order: None for accepted, else the error of the rule that blocks."""
    return [verdict(message, principal, snapshot) for message in messages]


def verdict(message: Message, principal: Principal, snapshot: Snapshot) -> SwitchboardError | None:
    """What the constraints say of one message. Raises nothing for a bad one."""
    for constraint in ORDER:
        blocked = constraint(message, principal, snapshot)
        if blocked is not None:
            return blocked
    return None
