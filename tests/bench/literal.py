"""P3's reference, the literal stack: functions-framework, SDK objects, celpy, js.publish and one LPUSH, each an event."""

import json
import os
from typing import Any

import celpy
import functions_framework.aio
import nats
import redis.asyncio
from celpy.adapter import json_to_cel
from cloudevents.http import CloudEvent, to_structured

_environment = celpy.Environment()
_policy = _environment.program(_environment.compile("message.data.quantity > 1000"))
_clients: dict[str, Any] = {}


async def _connect() -> None:
    _clients["redis"] = redis.asyncio.Redis.from_url(os.environ["SWITCHBOARD_REDIS_URL"])
    connection = await nats.connect(os.environ["SWITCHBOARD_NATS_URL"])
    _clients["jetstream"] = connection.jetstream()
    await _clients["jetstream"].add_stream(name="literal", subjects=["literal.>"], max_bytes=256 << 20)


@functions_framework.aio.cloud_event
async def literal(event: CloudEvent) -> None:
    """Check, write down, publish: one by one, as one would write it first."""
    if not _clients:
        await _connect()
    if _policy.evaluate({"message": json_to_cel({"data": event.data, "type": event["type"]})}):
        raise PermissionError("blocked")
    _, body = to_structured(event)
    await _clients["redis"].lpush("literal:queue", body)
    await _clients["jetstream"].publish(
        f"literal.{event['subject']}", json.dumps(event.data).encode(), headers={"Nats-Msg-Id": event["id"]}
    )
