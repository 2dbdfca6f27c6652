"""Compiling what messages are judged by beside the event loop: hundreds of rules take a hundred milliseconds, and an org that changes
its config all the time would take them from every other org at the same door.

A thread doesn't run beside another of this process (the GIL), but is made to let it run after 5 ms; what can't be interrupted, one call
of a library, takes as long at most (policies.MAX_TOGETHER; of a schema of 256 KiB twice that).
"""

import asyncio
from collections.abc import Sequence
from weakref import WeakValueDictionary

from shared.domain.message import Message
from shared.domain.rules.rules import Rules


class Compiling:
    """Lets the messages of an org wait for their rules, and nobody else's. One set of documents is compiled at a time, the orgs in turn: of
    an org one waits for the others, and who comes later behind all of them, so that no message overtakes an earlier one of its source."""

    def __init__(self) -> None:
        self._one = asyncio.Lock()
        self._orgs: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # those that wait, each with its turn

    @property
    def idle(self) -> bool:
        """Whether nobody waits."""
        return not self._orgs

    async def ready(self, rules: Rules, messages: Sequence[Message]) -> None:
        """Return once the rules of these messages are compiled, and those before them have gone on: nearly always at once."""
        if self.idle and rules.knows(messages):
            return
        for org, topic, subject in dict.fromkeys((message.org, message.topic, message.subject) for message in messages):
            if org in self._orgs or rules.wanted(org, topic, subject) is not None:
                await self._compile(rules, org, topic, subject)

    async def _compile(self, rules: Rules, org: str, topic: str, subject: str | None) -> None:
        turn = self._orgs.setdefault(org, asyncio.Lock())
        async with turn:
            if rules.wanted(org, topic, subject) is None:  # who came before may have wanted the same
                return
            async with self._one:
                wanted = rules.wanted(org, topic, subject)
                if wanted is not None:
                    rules.keep(wanted, await asyncio.to_thread(wanted.compiled))
