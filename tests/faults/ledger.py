"""What the store and the stream say after a fault, beside what the senders were told."""

from collections import Counter
from typing import Any

import nats
import psycopg
from nats.js.api import ConsumerConfig, DeliverPolicy


def rows(database_url: str) -> Counter[str]:
    """How many rows each accepted message id has."""
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT id::text, count(*) FROM messages WHERE verdict = 'accepted' GROUP BY id").fetchall()
    return Counter(dict(found))


def delivered(database_url: str) -> set[str]:
    """The message ids that some backbone is recorded to have taken."""
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT DISTINCT message_id::text FROM deliveries WHERE sequence IS NOT NULL").fetchall()
    return {id for (id,) in found}


async def streamed(nats_url: str, stream: str) -> list[str]:
    """The Nats-Msg-Id of every message on a stream, in its order."""
    connection = await nats.connect(nats_url)
    try:
        jetstream = connection.jetstream()
        last = (await jetstream.stream_info(stream)).state.messages
        ids: list[str] = []
        everything = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        consumer: Any = await jetstream.subscribe("sb.>", stream=stream, ordered_consumer=True, config=everything)
        while len(ids) < last:
            message = await consumer.next_msg(timeout=30)
            ids.append((message.headers or {})["Nats-Msg-Id"])
        return ids
    finally:
        await connection.close()
