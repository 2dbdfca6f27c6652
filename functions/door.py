"""What every door ends in: decoded events in, one outcome for each out. Behind it is the pipeline, whatever the door."""

from collections.abc import Sequence
from typing import Protocol

from shared.domain.errors import Malformed, SwitchboardError
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.verdict import Outcome, Refusal


class Submit(Protocol):
    """The pipeline: judges, writes down, delivers. One outcome a message, in order."""

    async def __call__(self, messages: Sequence[Message], principal: Principal) -> Sequence[Outcome]: ...


async def handle(items: Sequence[Message | Malformed], principal: Principal, submit: Submit) -> Sequence[Outcome]:
    """The outcome of each item, in the order given. An item that could not be read is refused, and harms none of its neighbours.

    Where the pipeline as a whole can't answer (Unavailable, Overloaded), that is the outcome of every message in it. Raises nothing for
    an event.
    """
    messages = [item for item in items if isinstance(item, Message)]
    outcomes: Sequence[Outcome] = []
    if messages:
        try:
            outcomes = await submit(messages, principal)
        except SwitchboardError as error:
            outcomes = [Refusal(error, message.id) for message in messages]
    if len(messages) == len(items):
        return outcomes
    submitted = iter(outcomes)
    return [Refusal(item, item.identity) if isinstance(item, Malformed) else next(submitted) for item in items]
