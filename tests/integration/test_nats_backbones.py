"""Publishing to NATS: batches, refusals, and streams that others meddle with."""

import json
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.adapters.nats.backbones import NatsBackbones
from shared.adapters.nats.publishing import BATCH_FROM
from shared.adapters.nats.streams import wanted
from shared.domain.publishing import Outgoing
from tests.conformance.backbones import BACKBONE, message, outgoing, sequences
from tests.nats_streams import connected, read_stream

MIB = 1024 * 1024


async def jetstream(client: Client, method: str, **body: object) -> dict[str, Any]:
    answer = await client.request(f"$JS.API.{method}", json.dumps(body).encode(), timeout=10)
    found: dict[str, Any] = json.loads(answer.data)
    return found


async def raw_headers(client: Client, org: str, sequence: int) -> dict[str, str]:
    found = await client.jetstream().get_msg(f"sb-{org}", sequence)
    return dict(found.headers or {})


# ---- batches and singles --------------------------------------------------------------------------------------------------------


async def test_stream_is_the_same_when_a_group_goes_as_batch_or_one_by_one(backbones: NatsBackbones, nats_url: str, org: str) -> None:
    other = f"{org}-singles"
    pairs = [(message(org, f"e{number}"), message(other, f"e{number}")) for number in range(120)]
    await backbones.publish(BACKBONE, org, [Outgoing(one, 1) for one, _ in pairs])
    for start in range(0, 120, 40):
        await backbones.publish(BACKBONE, other, [Outgoing(one, 1) for _, one in pairs[start : start + 40]])

    def comparable(headers: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in headers.items() if name not in ("ce-sbid", "nats-msg-id")}

    batched, single = await read_stream(nats_url, org), await read_stream(nats_url, other)
    assert [(one.sequence, comparable(one.headers), one.body) for one in batched] == [
        (one.sequence, comparable(one.headers), one.body) for one in single
    ]
    assert [one.subject.replace(org, "") for one in batched] == [one.subject.replace(other, "") for one in single]


async def test_group_is_one_atomic_batch_when_it_is_long_enough(backbones: NatsBackbones, client: Client, org: str) -> None:
    await backbones.publish(BACKBONE, org, outgoing(org, BATCH_FROM))
    await backbones.publish(BACKBONE, org, outgoing(org, BATCH_FROM - 1))
    assert "Nats-Batch-Id" in await raw_headers(client, org, 1)
    assert "Nats-Batch-Commit" in await raw_headers(client, org, BATCH_FROM)
    assert "Nats-Batch-Id" not in await raw_headers(client, org, BATCH_FROM + 1)


async def test_messages_go_one_by_one_when_the_stream_takes_no_batch(backbones: NatsBackbones, client: Client, org: str) -> None:
    await backbones.publish(BACKBONE, org, outgoing(org, 1))
    await jetstream(client, f"STREAM.UPDATE.sb-{org}", **(wanted(org, 256 * MIB) | {"allow_atomic": False}))
    published = await backbones.publish(BACKBONE, org, outgoing(org, 100))
    assert sequences(published) == list(range(2, 102))


async def test_messages_go_one_by_one_when_too_many_batches_are_open(backbones: NatsBackbones, client: Client, org: str) -> None:
    await backbones.publish(BACKBONE, org, outgoing(org, 1))
    for number in range(60):
        await client.publish(f"sb.{org}._.t", b"", headers={"Nats-Batch-Id": f"open-{number}", "Nats-Batch-Sequence": "1"})
    await client.flush()
    published = await backbones.publish(BACKBONE, org, outgoing(org, 100))
    assert sequences(published) == list(range(2, 102))


async def test_all_messages_are_stored_when_ten_thousand_come(backbones: NatsBackbones, nats_url: str, org: str) -> None:
    group = outgoing(org, 10_000)
    for start in range(0, 10_000, 1000):
        published = await backbones.publish(BACKBONE, org, group[start : start + 1000])
        assert sequences(published) == list(range(start + 1, start + 1001))
    assert [one.headers["ce-id"] for one in await read_stream(nats_url, org)] == [one.message.event_id for one in group]


# ---- refusals -------------------------------------------------------------------------------------------------------------------


async def test_message_is_refused_in_the_servers_words_when_it_is_over_the_streams_limit(
    backbones: NatsBackbones, client: Client, org: str
) -> None:
    await backbones.publish(BACKBONE, org, outgoing(org, 1))
    await jetstream(client, f"STREAM.UPDATE.sb-{org}", **(wanted(org, 256 * MIB) | {"max_msg_size": 1000}))
    group = outgoing(org, 100)
    group[50] = Outgoing(message(org, body=b"x" * 1000), 1)
    published = await backbones.publish(BACKBONE, org, group)
    assert published.results[50].refused == "message size exceeds maximum allowed"
    assert sequences(published) == [*range(2, 52), 0, *range(52, 101)]


async def test_messages_are_refused_in_the_servers_words_when_the_stream_is_full(
    backbones: NatsBackbones, client: Client, org: str
) -> None:
    await backbones.publish(BACKBONE, org, outgoing(org, 1))
    await jetstream(client, f"STREAM.UPDATE.sb-{org}", **(wanted(org, 256 * MIB) | {"discard": "new", "max_msgs": 41}))
    published = await backbones.publish(BACKBONE, org, outgoing(org, 80))
    assert sequences(published) == [*range(2, 42), *([0] * 40)]
    assert {result.refused for result in published.results[40:]} == {"maximum messages exceeded"}


# ---- streams --------------------------------------------------------------------------------------------------------------------


async def test_stream_is_made_as_contracted_when_it_is_missing(backbones: NatsBackbones, client: Client, org: str) -> None:
    published = await backbones.publish(BACKBONE, org, outgoing(org, 1))
    found = await jetstream(client, f"STREAM.INFO.sb-{org}")
    assert found["created"] == published.created
    assert {name: found["config"].get(name) for name in wanted(org, 256 * MIB)} == wanted(org, 256 * MIB)


async def test_stream_is_corrected_and_keeps_the_rest_when_it_differs(backbones: NatsBackbones, client: Client, org: str) -> None:
    await jetstream(
        client, f"STREAM.CREATE.sb-{org}", name=f"sb-{org}", subjects=[f"sb.{org}.>"], max_msg_size=5000, metadata={"by": "ops"}
    )
    published = await backbones.publish(BACKBONE, org, outgoing(org, 70))
    config = (await jetstream(client, f"STREAM.INFO.sb-{org}"))["config"]
    assert sequences(published) == list(range(1, 71))
    assert (config["allow_atomic"], config["max_msg_size"]) == (True, 5000)
    assert config["metadata"]["by"] == "ops"


@pytest.mark.parametrize("count", [3, 100])
async def test_stream_is_made_again_when_somebody_deleted_it(backbones: NatsBackbones, client: Client, org: str, count: int) -> None:
    before = await backbones.publish(BACKBONE, org, outgoing(org, 5))
    await jetstream(client, f"STREAM.DELETE.sb-{org}")
    after = await backbones.publish(BACKBONE, org, outgoing(org, count))
    assert sequences(after) == list(range(1, count + 1))
    assert after.created > before.created


async def test_pub_ack_is_not_counted_when_another_stream_took_the_message(client: Client, nats_url: str, org: str) -> None:
    async with connected(nats_url, timeout=0.5) as backbones:
        await backbones.publish(BACKBONE, org, outgoing(org, 1))
        await jetstream(client, f"STREAM.DELETE.sb-{org}")
        await jetstream(client, f"STREAM.CREATE.foreign-{org}", name=f"foreign-{org}", subjects=[f"sb.{org}.>"])
        published = await backbones.publish(BACKBONE, org, outgoing(org, 2))
    assert [result.lost for result in published.results] == [f"acknowledged by stream foreign-{org} of domain local"] * 2


async def test_everything_is_lost_with_the_reason_when_the_stream_cannot_be_made(
    backbones: NatsBackbones, client: Client, org: str
) -> None:
    await jetstream(client, f"STREAM.CREATE.foreign-{org}", name=f"foreign-{org}", subjects=[f"sb.{org}.*.x"])
    published = await backbones.publish(BACKBONE, org, outgoing(org, 2))
    assert [result.lost for result in published.results] == [f"no stream sb-{org}: subjects overlap with an existing stream"] * 2


@pytest.mark.parametrize("count", [2, BATCH_FROM])
async def test_messages_are_sent_again_when_their_ids_are_being_stored_right_now(
    backbones: NatsBackbones, client: Client, org: str, count: int
) -> None:
    """Only replicated streams answer so: here a responder stands where the stream was."""
    await backbones.publish(BACKBONE, org, outgoing(org, 1))
    await jetstream(client, f"STREAM.DELETE.sb-{org}")
    answered: list[str] = []

    async def answer(request: Msg) -> None:
        if not request.reply:
            return  # inside a batch
        headers = request.headers or {}
        seen = headers["Nats-Msg-Id"] in answered
        answered.append(headers["Nats-Msg-Id"])
        size = int(headers.get("Nats-Batch-Sequence", "1"))
        conflict = {"error": {"code": 409, "err_code": 10158, "description": "duplicate message id is in process"}, "stream": f"sb-{org}"}
        taken = {"stream": f"sb-{org}", "domain": "local", "seq": 1_000 + len(answered), "count": size}
        await client.publish(request.reply, json.dumps(taken if seen else conflict).encode())

    await client.subscribe(f"sb.{org}.>", cb=answer)
    await client.flush()
    await client.flush()  # the first one may overtake the subscription
    published = await backbones.publish(BACKBONE, org, outgoing(org, count))
    assert not any(result.lost or result.refused for result in published.results)
    assert len(answered) == (4 if count == 2 else 2)
