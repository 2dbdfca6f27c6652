"""The NATS door from a client's side, by request and by the submit stream, the topic in the subject as the event has it."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from shared.domain.names import nats_subject
from tests.integration.nats_source.conftest import Agent

Receipt = dict[str, Any]

STRUCTURED = {"Content-Type": "application/cloudevents+json"}
ASKING = 100  # requests in flight
PUBLISHED_AT_ONCE = 256  # before the client waits for the server
WITHIN = 60.0  # seconds for what is sent at once


class Requests:
    """`request.<org>.>`: the reply is the receipt."""

    name = "nats"

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def send(self, events: Sequence[bytes]) -> list[Receipt]:
        """The replies."""
        room = asyncio.Semaphore(ASKING)

        async def ask(event: bytes) -> Receipt:
            async with room:
                return await self._agent.ask(address(self._agent.org, event), event)

        async with asyncio.timeout(WITHIN):
            return list(await asyncio.gather(*map(ask, events)))


class Submits:
    """`submit.<org>.>`: the receipts come to the inbox that `ce-replyto` names, in the order of the stream."""

    name = "nats"

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def send(self, events: Sequence[bytes]) -> list[Receipt]:
        """The receipts."""
        client, org = self._agent.client, self._agent.org
        inbox = client.new_inbox()
        told = await client.subscribe(inbox, pending_msgs_limit=-1, pending_bytes_limit=-1)
        for number, event in enumerate(events, 1):
            await client.publish(f"submit.{org}.{address(org, event)}", event, headers={**STRUCTURED, "ce-replyto": inbox})
            if not number % PUBLISHED_AT_ONCE:
                await client.flush()
        async with asyncio.timeout(WITHIN):
            receipts = [json.loads((await told.next_msg(timeout=WITHIN)).data) for _ in events]
        await told.unsubscribe()
        return receipts


def address(org: str, event: bytes) -> str:
    """The tokens of the topic that an event names; where it is none, or names none that is one, any will do."""
    try:
        said = json.loads(event)
        topic = said.get("topic") or said["type"]
        return nats_subject(org, None, topic).removeprefix(f"sb.{org}._.")
    except Exception:
        return "corpus.case"
