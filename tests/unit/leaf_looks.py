"""Looks at a leaf's stream, on servers that a test may change between two questions."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from shared.adapters.nats.connection import Connection
from shared.adapters.nats.sourcing import Sourcing
from shared.domain.registry.reach import Reach
from shared.domain.registry.streams import Source
from tests.unit.jetstream import JetStream, Stream

HUB, OTHER = Source("hub", "acme"), Source("other", "acme")
OLD, LOST, NEW = ([f"{name}-{number}" for number in range(10)] for name in ("old", "lost", "new"))
READ = "CONSUMER.CREATE."
WITHIN = 30.0


class Scene:
    """A leaf, and two hubs of it. The leaf takes what its config says."""

    def __init__(self, leaf: str = "leaf", sourcing: Sourcing | None = None) -> None:
        self.copy, self.hub, self.other = Stream({}), Stream(), Stream()
        self.servers = JetStream({("", "sbg-acme"): self.copy, ("hub", "sb-acme"): self.hub, ("other", "sb-acme"): self.other})
        self.sourcing = sourcing or Sourcing()
        self.reach = Reach(leaf, "", "here", "local", "nats://leaf:4222", leaf)
        self.wanted: Sequence[Source] = (HUB,)

    async def look(self, *, refused: bool = False) -> list[dict[str, Any]]:
        """The sources that the leaf has after a look, unless it refused them."""
        look = self.sourcing.look(cast(Connection, self.servers), self.reach)
        said = await self.sourcing.sourced(look, "sbg-acme", self.wanted)
        sources: list[dict[str, Any]] = said["sources"]
        if not refused:
            self.copy.config |= said
            known = [one["external"]["api"] for one in sources]
            self.copy.filled = [one for one in self.copy.filled if one["external"]["api"] in known]
        return sources

    def took(self, *ids: str) -> None:
        """The leaf has these of the hub, and everything before them."""
        self.copy.add(*ids)
        self.copy.filled = [{"external": {"api": "$JS.hub.API"}, "seq": self.hub.last}]

    async def seen_with(self, *ids: str) -> None:
        """The hub has these, the leaf took them, and looks saw that."""
        self.hub.add(*ids)
        self.took(*ids)
        for _ in range(2):
            await self.look()
        self.servers.asked.clear()

    def lost(self, *ids: str) -> None:
        """The hub starts anew without its last ten, and has these in their place."""
        self.hub.messages = {sequence: found for sequence, found in self.hub.messages.items() if sequence <= len(OLD)}
        self.hub.starts += 1
        self.hub.add(*ids)

    async def begin_with_a_loss(self, *, answers: bool = True) -> None:
        """The hub has lost what the leaf has, which looks don't know yet. `answers`: unless it does, its messages can't be read for now."""
        await self.seen_with(*OLD, *LOST)
        self.lost(*NEW)
        if not answers:
            self.servers.reads["hub"] = asyncio.Event()

    def reads(self) -> int:
        return sum(method.startswith(READ) for method in self.servers.asked)


async def has_begun(scene: Scene) -> bool:
    """Whether a look left a comparison behind, which reads."""
    await scene.look()
    return scene.reads() == 1 and scene.sourcing.is_behind("leaf")


def beside() -> list[str]:
    """The comparisons under way."""
    return [name for task in asyncio.all_tasks() if (name := task.get_name()).startswith("beside")]
