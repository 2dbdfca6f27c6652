"""Clients with an agent's credentials, as tests are them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from nats.aio.client import Client
from nats.errors import NoRespondersError

from shared.adapters.nats.signing_in import options_of
from shared.domain.registry.login import read_login
from tests.waiting import eventually

WITHIN = 60.0


class Agent:
    """A client with credentials, which notes what it is refused."""

    def __init__(self, made: dict[str, Any]) -> None:
        self.made = made
        self.refused: list[str] = []
        self.connection = Client()

    async def note(self, error: Exception) -> None:
        self.refused.append(str(error))

    async def connect(self) -> None:
        await self.connection.connect(
            self.made["endpoint"].split(","),
            inbox_prefix=self.made["inbox_prefix"].encode(),
            error_cb=self.note,
            allow_reconnect=False,
            connect_timeout=30,
            **options_of(read_login(self.made["credentials"])),
        )

    async def asks(self, subject: str, body: Any = b"") -> dict[str, Any] | None:
        """The answer of the server's API; None where the server refuses to take the question."""
        before = len(self.refused)
        request = body if isinstance(body, bytes) else json.dumps(body).encode()
        asking = asyncio.create_task(self.connection.request(subject, request, timeout=WITHIN))
        await eventually(lambda: asking.done() or len(self.refused) > before, within=WITHIN)
        if not asking.done():
            asking.cancel()
            return None
        try:
            answer = await asking
        except NoRespondersError:
            return {"nobody": True}
        found: dict[str, Any] = json.loads(answer.data)
        return found

    async def hears_nothing_of(self, subject: str) -> bool:
        """Whether a subscription to it is refused."""
        before = len(self.refused)
        await self.connection.subscribe(subject)
        return bool(await eventually(lambda: len(self.refused) > before, within=WITHIN))


@asynccontextmanager
async def connected(made: dict[str, Any]) -> AsyncIterator[Agent]:
    agent = Agent(made)
    try:
        await agent.connect()
        yield agent
    finally:
        await agent.connection.close()


async def heard(agent: Agent, name: str, subject: str, stream: str) -> list[str]:
    """The subjects of what a consumer has, acknowledged."""
    pulled = await agent.connection.jetstream().pull_subscribe(subject, durable=name, stream=stream)
    messages = await pulled.fetch(1, timeout=WITHIN)
    for message in messages:
        await message.ack_sync(timeout=WITHIN)
    return [message.subject for message in messages]
