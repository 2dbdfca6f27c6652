"""P3's reference, the literal stack: functions-framework's cloud_event, SDK objects, celpy, js.publish and one LPUSH, each an event.

`literal` is what one would write first, under what `functions-framework --target literal` starts: Flask under gunicorn, one worker, eight
threads. The design's own figure for the literal stack is this one's. `literal_asgi` is the same with the framework's `aio` module, under
the uvicorn that serves ingest: the fastest that can be made of the same parts. It is measured beside.
"""

import asyncio
import json
import os
import threading
from concurrent.futures import Future
from typing import Any

import celpy
import functions_framework
import functions_framework.aio
import nats
import redis
import redis.asyncio
from celpy.adapter import json_to_cel
from cloudevents.http import CloudEvent, to_structured

_environment = celpy.Environment()
_policy = _environment.program(_environment.compile("message.data.quantity > 1000"))
_clients: dict[str, Any] = {}
_connecting = asyncio.Lock()
_once = threading.Lock()


def check(event: CloudEvent) -> None:
    """Raises PermissionError where the policy says so."""
    if _policy.evaluate({"message": json_to_cel({"data": event.data, "type": event["type"]})}):
        raise PermissionError("blocked")


def publishing(jetstream: Any, event: CloudEvent) -> Any:
    """What is awaited for the PubAck."""
    return jetstream.publish(f"literal.{event['subject']}", json.dumps(event.data).encode(), headers={"Nats-Msg-Id": event["id"]})


async def _jetstream() -> Any:
    connection = await nats.connect(os.environ["SWITCHBOARD_NATS_URL"])
    jetstream = connection.jetstream(timeout=30)
    await jetstream.add_stream(name="literal", subjects=["literal.>"], max_bytes=256 << 20)
    return jetstream


@functions_framework.cloud_event
def literal(event: CloudEvent) -> None:
    """Check, write down, publish: one by one."""
    with _once:
        if "jetstream" not in _clients:
            loop = asyncio.new_event_loop()  # nats-py has no other interface: its loop gets a thread
            threading.Thread(target=loop.run_forever, daemon=True).start()
            _clients["loop"] = loop
            _clients["redis"] = redis.Redis.from_url(os.environ["SWITCHBOARD_REDIS_URL"])
            _clients["jetstream"] = asyncio.run_coroutine_threadsafe(_jetstream(), loop).result()
    check(event)
    _clients["redis"].lpush("literal:queue", to_structured(event)[1])
    published: Future[Any] = asyncio.run_coroutine_threadsafe(publishing(_clients["jetstream"], event), _clients["loop"])
    published.result()


@functions_framework.aio.cloud_event
async def literal_asgi(event: CloudEvent) -> None:
    """The same, with many events on their way at once."""
    if "jetstream" not in _clients:
        async with _connecting:
            if "jetstream" not in _clients:
                _clients["redis"] = redis.asyncio.Redis.from_url(os.environ["SWITCHBOARD_REDIS_URL"])
                _clients["jetstream"] = await _jetstream()
    check(event)
    await _clients["redis"].lpush("literal:queue", to_structured(event)[1])
    await publishing(_clients["jetstream"], event)


def app() -> Any:
    """The framework's own app for `literal_asgi`: one process, as the door is one, and not gunicorn's workers."""
    return functions_framework.aio.create_asgi_app("literal_asgi", __file__)  # type: ignore[no-untyped-call]
