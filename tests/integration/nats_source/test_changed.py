"""What somebody changes of an org's streams and consumer under a running source is made as it was."""

import asyncio
import json
from typing import Any

import pytest
from nats.errors import NoRespondersError
from nats.js.errors import NoStreamResponseError

from shared.adapters.nats.connection import Connection
from shared.adapters.nats.submissions import Submissions, Submitted
from tests.integration.nats_source.conftest import Agent, Door, event, headers
from tests.waiting import eventually

HEALS_WITHIN = 60.0  # seconds: the source looks every 5


async def emptied(agent: Agent) -> bool:
    """Whether everything submitted has its outcome."""
    return (await agent.client.jetstream().stream_info(f"sb-submit-{agent.org}")).state.messages == 0


async def test_a_reject_is_kept_and_nobody_waits_for_it_when_its_stream_was_removed(agent: Agent) -> None:
    """The first message that nobody could read held up the org until the source was started anew."""
    await agent.client.jetstream().delete_stream(f"sb-rejected-{agent.org}")
    await agent.submit("orders", b"no event")
    await agent.submit("orders", event("after"))
    await eventually(lambda: emptied(agent), HEALS_WITHIN)
    assert (await agent.client.jetstream().stream_info(f"sb-rejected-{agent.org}")).state.messages == 1


CHANGES: list[dict[str, Any]] = [
    {"filter_subject": "submit.{org}.nothing"},
    {"ack_wait": 1_000_000_000},
    {"backoff": [1_000_000, 2_000_000], "max_deliver": 3},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: "-".join(change))
async def test_the_consumer_is_as_it_was_when_somebody_changed_it(agent: Agent, change: dict[str, Any]) -> None:
    stream, name = f"sb-submit-{agent.org}", "nats-source"
    as_it_was = await config_of(agent, stream, name)
    changed = {key: value.format(org=agent.org) if isinstance(value, str) else value for key, value in change.items()}
    await ask(agent, f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": as_it_was | changed})
    assert await config_of(agent, stream, name) != as_it_was

    async def restored() -> bool:
        return await config_of(agent, stream, name) == as_it_was

    await eventually(restored, HEALS_WITHIN)
    await agent.submit("orders", b"{}", headers("after"))
    await eventually(lambda: agent.receipts, HEALS_WITHIN)
    assert agent.receipts[0]["status"] == "accepted"


async def test_submits_are_taken_when_a_consumer_of_another_kind_has_the_name(agent: Agent) -> None:
    stream, name = f"sb-submit-{agent.org}", "nats-source"
    await ask(agent, f"CONSUMER.DELETE.{stream}.{name}", {})
    pushed = {
        "durable_name": name,
        "name": name,
        "ack_policy": "explicit",
        "deliver_policy": "all",
        "deliver_subject": agent.client.new_inbox(),
    }
    await ask(agent, f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": pushed})
    await agent.submit("orders", b"{}", headers("after"))
    await eventually(lambda: agent.receipts, HEALS_WITHIN)
    assert agent.receipts[0]["status"] == "accepted"


async def test_submits_are_taken_when_somebody_gave_the_stream_other_subjects(agent: Agent) -> None:
    stream = f"sb-submit-{agent.org}"
    config = (await ask(agent, f"STREAM.INFO.{stream}", {}))["config"]
    await ask(agent, f"STREAM.UPDATE.{stream}", config | {"subjects": [f"submit.{agent.org}.other"]})
    await eventually(lambda: submitted(agent), HEALS_WITHIN)
    await eventually(lambda: agent.receipts, HEALS_WITHIN)


async def test_submits_are_taken_when_the_stream_was_removed(agent: Agent) -> None:
    await agent.client.jetstream().delete_stream(f"sb-submit-{agent.org}")
    await eventually(lambda: submitted(agent), HEALS_WITHIN)
    await eventually(lambda: agent.receipts, HEALS_WITHIN)


async def submitted(agent: Agent) -> bool:
    """Whether the stream took it."""
    try:
        await agent.submit("orders", b"{}", headers("1"))
    except (NoRespondersError, NoStreamResponseError):
        return False
    return True


async def test_what_has_the_same_place_in_a_new_stream_is_not_meant_when_a_message_of_the_old_one_is_done(door: Door, agent: Agent) -> None:
    """It left the new stream, though whoever had it might still die of it."""
    org, taken = "old-and-new-" + agent.org, list[Submitted]()
    connection, loop = Connection(), asyncio.get_running_loop()
    await connection.open([door.nats], "test")
    submissions = Submissions(connection, org, taken.append, lambda: None)

    async def taken_anew(count: int) -> int:
        """The next message, of a stream just made; how many the stream has that aren't acknowledged."""
        await submissions.open(loop.time() + 30)
        await agent.client.jetstream().publish(f"submit.{org}.x", b"%d" % count)
        submissions.pull(1)
        await eventually(lambda: len(taken) == count)
        return await submissions.lag(loop.time() + 30)

    assert await taken_anew(1) == 1
    await agent.client.jetstream().delete_stream(f"sb-submit-{org}")
    assert await taken_anew(2) == 1
    assert taken[0].sequence == taken[1].sequence
    for one, left in zip(taken, (1, 0), strict=True):
        submissions.ack([one])
        await connection.flush()
        assert await submissions.lag(loop.time() + 30) == left
    await connection.close()


async def config_of(agent: Agent, stream: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = (await ask(agent, f"CONSUMER.INFO.{stream}.{name}", {}))["config"]
    return found


async def ask(agent: Agent, method: str, body: dict[str, Any]) -> dict[str, Any]:
    """What JetStream's API answers; nats-py's own calls don't know all of it."""
    answer: dict[str, Any] = json.loads((await agent.client.request(f"$JS.API.{method}", json.dumps(body).encode(), timeout=30)).data)
    assert "error" not in answer, answer
    return answer
