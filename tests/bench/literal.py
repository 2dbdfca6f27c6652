"""P3's reference, the literal stack: functions-framework, SDK objects, celpy, js.publish and one LPUSH, each an event."""

import asyncio
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
_connecting = asyncio.Lock()


async def _connect() -> None:
    _clients["redis"] = redis.asyncio.Redis.from_url(os.environ["SWITCHBOARD_REDIS_URL"])
    connection = await nats.connect(os.environ["SWITCHBOARD_NATS_URL"])
    jetstream = connection.jetstream(timeout=30)
    await jetstream.add_stream(name="literal", subjects=["literal.>"], max_bytes=256 << 20)
    _clients["jetstream"] = jetstream


@functions_framework.aio.cloud_event
async def literal(event: CloudEvent) -> None:
    """Check, write down, publish: one by one, as one would write it first."""
    if "jetstream" not in _clients:
        async with _connecting:
            if "jetstream" not in _clients:
                await _connect()
    if _policy.evaluate({"message": json_to_cel({"data": event.data, "type": event["type"]})}):
        raise PermissionError("blocked")
    _, body = to_structured(event)
    await _clients["redis"].lpush("literal:queue", body)
    await _clients["jetstream"].publish(
        f"literal.{event['subject']}", json.dumps(event.data).encode(), headers={"Nats-Msg-Id": event["id"]}
    )


def app() -> Any:
    """The framework's own app: one process, as the door is one, and not gunicorn's workers."""
    return functions_framework.aio.create_asgi_app("literal", __file__)  # type: ignore[no-untyped-call]
