"""What an org submits at the two doors that are event sources, in one face: messages by number, and the receipts they have so far."""

import json
from typing import Any

import nats
import redis.asyncio


class Redis:
    """LPUSH, and the receipts in a list."""

    name, orgs = "redis_source", "redis_door_orgs"

    def __init__(self, settings: dict[str, str], org: str) -> None:
        self._url = settings["SWITCHBOARD_REDIS_URL"]
        self._submit, self._place = f"sb:submit:{{{org}}}", f"sb:receipts:{{{org}}}:told"
        self._held = f"sb:door:{{{org}}}:taken:*"

    async def __aenter__(self) -> "Redis":
        self._client: Any = redis.asyncio.Redis.from_url(self._url, socket_timeout=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def ready(self) -> bool:
        return True

    async def send(self, numbers: range) -> None:
        await self._client.lpush(self._submit, *(event(number, replyto=self._place) for number in numbers))

    async def told(self) -> list[dict[str, Any]]:
        return [json.loads(receipt) for receipt in await self._client.lrange(self._place, 0, -1)]

    async def count(self) -> int:
        """How many receipts there are."""
        return int(await self._client.llen(self._place))

    async def left(self) -> int:
        """How many messages nobody has taken."""
        return int(await self._client.llen(self._submit))

    async def over(self) -> bool:
        """Whether nobody holds anything, and nothing waits."""
        return not await self._client.exists(self._submit) and not await self._client.keys(self._held)


class Nats:
    """Publishing on the submit stream, and the receipts in an inbox."""

    name, orgs = "nats_source", "nats_source_orgs"

    def __init__(self, settings: dict[str, str], org: str) -> None:
        self._url, self._org = settings["SWITCHBOARD_NATS_URL"], org
        self._receipts: list[dict[str, Any]] = []

    async def __aenter__(self) -> "Nats":
        self._client = await nats.connect(self._url, inbox_prefix=f"_INBOX.{self._org}".encode())
        self._inbox = self._client.new_inbox()

        async def note(message: Any) -> None:
            self._receipts.append(json.loads(message.data))

        await self._client.subscribe(self._inbox, cb=note, pending_msgs_limit=-1, pending_bytes_limit=-1)
        await self._client.flush()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def ready(self) -> bool:
        return any(stream.config.name == f"sb-submit-{self._org}" for stream in await self._client.jetstream().streams_info())

    async def send(self, numbers: range) -> None:
        for number in numbers:
            await self._client.publish(f"submit.{self._org}.takeover", event(number, replyto=self._inbox))
        await self._client.flush()

    async def told(self) -> list[dict[str, Any]]:
        return self._receipts

    async def count(self) -> int:
        """How many receipts there are."""
        return len(self._receipts)

    async def left(self) -> int:
        """How many messages have no outcome."""
        return int((await self._client.jetstream().stream_info(f"sb-submit-{self._org}")).state.messages)

    async def over(self) -> bool:
        """Whether the stream is empty."""
        return await self.left() == 0


Door = Redis | Nats


def event(number: int, **more: object) -> bytes:
    attributes = {"specversion": "1.0", "id": f"e{number}", "source": f"/source/{number % 8}", "type": "takeover.test", "topic": "takeover"}
    return json.dumps(attributes | {"data": number} | more).encode()
