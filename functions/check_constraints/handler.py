"""Check: a message in, a verdict out. The rules and their order are shared/domain/rules/check.py's; the first that blocks is the reason."""

from collections.abc import Sequence
from time import monotonic

from shared.domain.errors import Fault, Forbidden
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.rules import check
from shared.domain.rules.limits import Limits
from shared.domain.snapshot import Snapshot
from shared.domain.verdict import Detailed, Verdict


async def handle(messages: Sequence[Message], principal: Principal, snapshot: Snapshot, limits: Limits) -> list[Verdict]:
    """A verdict for each message of one principal, in order: None for accepted, else the error of the rule that blocks; Detailed where
    shadow policies would have done something, or a message's own content said where it goes.

    Raises nothing for a bad message: a rule that can't be evaluated blocks under its own name.
    """
    now = monotonic()
    return [verdict(message, principal, snapshot, limits, now) for message in messages]


def verdict(message: Message, principal: Principal, snapshot: Snapshot, limits: Limits, now: float) -> Verdict:
    """What the rules say of one message; `now` is in seconds, of the clock of `limits`."""
    scope = snapshot.rules.scope(message.org, message.topic, message.subject)
    if scope.free and check.free(message, principal, scope):  # the first, so that others are spared the call
        return None
    judged = check.judge(message, principal, scope, limits, now)
    to = judged.to if scope.targets is None and judged.blocked is None else None
    return judged.blocked if to is None and not judged.shadows else Detailed(judged.blocked, judged.shadows, to)


def by_name(message: Message, principal: Principal | None, snapshot: Snapshot, limits: Limits, now: float) -> Verdict:
    """The same for a message whose principal was known by its name alone: None where the config revision has none of that name."""
    if principal is None:
        fault = Fault("/topic", "not granted")
        return Forbidden("no grant to publish: the principal is not there in this config revision", rule="grant", faults=[fault])
    return verdict(message, principal, snapshot, limits, now)


def give_back(messages: Sequence[Message], principal: Principal, snapshot: Snapshot, limits: Limits) -> None:
    """Return the tokens of messages that turned out to be duplicates: the first copy has paid."""
    now = monotonic()
    for message in messages:
        scope = snapshot.rules.scope(message.org, message.topic, message.subject)
        if scope.limits:
            check.give_back(message, principal, scope, limits, now)
