"""What every door ends in: decoded events in, one outcome for each out. Behind it is the pipeline, whatever the door."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Protocol

from shared.domain.errors import Malformed, SwitchboardError
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.verdict import Outcome, Refusal


class Submit(Protocol):
    """The pipeline: judges, writes down, delivers. One outcome a message, in order."""

    def __call__(self, messages: Sequence[Message], principal: Principal) -> Awaitable[Sequence[Outcome]]: ...


Told = Sequence[Outcome] | Exception
Tell = Callable[[Sequence[int], Told], None]  # what became of the messages at these places; called once for each of them, raises nothing


class Each(Protocol):
    """The pipeline, for messages of one principal that were sent one by one and came at once: what they have in common is done once.

    None waits for a verdict, a conflict or a backbone of its neighbour's. Raises nothing.
    """

    def __call__(self, messages: Sequence[Message], principal: Principal, tell: Tell) -> None: ...


class Running:
    """Work that nobody waits for: a loop keeps no task alive."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Let it run by itself."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


class OneByOne(Running):
    """Each message submitted by itself: for a way in that knows no better."""

    def __init__(self, submit: Submit) -> None:
        super().__init__()
        self._submit = submit

    def __call__(self, messages: Sequence[Message], principal: Principal, tell: Tell) -> None:
        for place, message in enumerate(messages):
            self.alone(place, message, principal, tell)

    def alone(self, place: int, message: Message, principal: Principal, tell: Tell) -> None:
        """Submit this one by itself."""
        self.start(told((place,), handle((message,), principal, self._submit), tell))


async def told(places: Sequence[int], outcomes: Awaitable[Sequence[Outcome]], tell: Tell) -> None:
    """Wait for the outcomes of the messages at these places, and tell."""
    said: Told
    try:
        said = await outcomes
    except Exception as error:
        said = error
    tell(places, said)


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
