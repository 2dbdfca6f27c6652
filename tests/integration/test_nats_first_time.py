"""Groups that go to a stream for the first time, which are written as one batch at once: what the stream has is what it has of others."""

from typing import Any

import msgspec
import pytest
from nats.aio.client import Client

from shared.adapters.nats.backbones import NatsBackbones
from shared.adapters.nats.framed import Framed, framed
from shared.adapters.nats.publishing import BATCH_FROM
from shared.adapters.nats.streams import wanted
from shared.domain.message import Message
from shared.domain.publishing import FirstTime, InARow, Outgoing
from tests.compiled import compiled
from tests.conformance.backbones import BACKBONE, TRACE, message, sequences
from tests.integration.test_nats_backbones import MIB, jetstream
from tests.nats_streams import read_stream


def messages(org: str, count: int = BATCH_FROM, **changes: Any) -> list[Message]:
    return [message(org, f"e{number}", revision=number % 7, **changes) for number in range(count)]


async def test_stream_is_the_same_when_a_batch_is_written_at_once_or_of_items(backbones: NatsBackbones, nats_url: str, org: str) -> None:
    other = f"{org}-items"
    kinds: list[dict[str, Any]] = [{}, {"subject": None}, {"body": None}, {"time": None}, {"extensions": {"traceparent": TRACE, "rank": 4}}]
    ours, theirs = (
        [message(name, f"e{number}", revision=number % 7, **kinds[number % len(kinds)]) for number in range(BATCH_FROM)]
        for name in (org, other)
    )
    compiled()
    assert isinstance(framed(FirstTime(ours), MIB), Framed)
    await backbones.publish(BACKBONE, org, FirstTime(ours))
    await backbones.publish(BACKBONE, other, [Outgoing(one, one.revision) for one in theirs])
    own = ("ce-sbid", "nats-msg-id", "nats-batch-id")
    at_once, of_items = [
        [
            (one.sequence, one.subject.replace(name, ""), {key: value for key, value in one.headers.items() if key not in own}, one.body)
            for one in await read_stream(nats_url, name)
        ]
        for name in (org, other)
    ]
    assert at_once == of_items
    assert len(at_once) == BATCH_FROM


async def test_group_is_stored_in_a_row_when_the_stream_knows_none_of_it(backbones: NatsBackbones, nats_url: str, org: str) -> None:
    group = messages(org, 1000)
    published = await backbones.publish(BACKBONE, org, FirstTime(group))
    assert isinstance(published.results, InARow)
    assert (sequences(published), published.subjects) == (list(range(1, 1001)), (f"sb.{org}.agent-7.orders.created",) * 1000)
    assert [one.headers["ce-id"] for one in await read_stream(nats_url, org)] == [one.event_id for one in group]


@pytest.mark.parametrize("count", [1, 40])
async def test_small_group_is_stored_in_a_row_when_the_stream_knows_none_of_it(
    count: int, backbones: NatsBackbones, nats_url: str, org: str
) -> None:
    before, group = messages(org, 2), messages(org, count + 2)[2:]
    await backbones.publish(BACKBONE, org, FirstTime(before))
    published = await backbones.publish(BACKBONE, org, FirstTime(group))
    assert isinstance(published.results, InARow)
    assert (sequences(published), len(published.subjects)) == (list(range(3, 3 + count)), count)
    assert [one.headers["ce-id"] for one in await read_stream(nats_url, org)][2:] == [one.event_id for one in group]
    again = await backbones.publish(BACKBONE, org, FirstTime(group))
    assert not isinstance(again.results, InARow)
    assert (sequences(again), {result.duplicate for result in again.results}) == (list(range(3, 3 + count)), {True})


async def test_group_is_stored_in_its_order_when_it_is_more_than_a_batch(backbones: NatsBackbones, nats_url: str, org: str) -> None:
    group = messages(org, 1500)
    assert sequences(await backbones.publish(BACKBONE, org, FirstTime(group))) == list(range(1, 1501))
    assert [one.headers["ce-id"] for one in await read_stream(nats_url, org)] == [one.event_id for one in group]


async def test_all_of_it_is_stored_when_the_group_is_larger_than_a_batch_may_be(backbones: NatsBackbones, nats_url: str, org: str) -> None:
    group = messages(org, 300, body=b"x" * 40_000)  # 12 MB
    published = await backbones.publish(BACKBONE, org, FirstTime(group))
    assert not isinstance(published.results, InARow)
    assert sequences(published) == list(range(1, 301))
    assert [one.headers["ce-id"] for one in await read_stream(nats_url, org)] == [one.event_id for one in group]


async def test_all_of_it_is_there_once_when_the_stream_knows_one(backbones: NatsBackbones, org: str) -> None:
    group = messages(org)
    await backbones.publish(BACKBONE, org, FirstTime(group[50:51]))
    published = await backbones.publish(BACKBONE, org, FirstTime(group))
    assert sequences(published) == [*range(2, 52), 1, *range(52, BATCH_FROM + 1)]
    assert [place for place, result in enumerate(published.results) if result.duplicate] == [50]


async def test_another_message_of_an_identity_is_stored_too_when_the_batch_is_refused_for_it(
    backbones: NatsBackbones, nats_url: str, org: str
) -> None:
    group = messages(org)
    first = message(org, "e9", b"another body", digest=b"d" * 32)
    await backbones.publish(BACKBONE, org, FirstTime([first]))
    published = await backbones.publish(BACKBONE, org, FirstTime(group))
    assert all(result.sequence and not result.duplicate for result in published.results)
    assert sorted(one.headers["ce-id"] for one in await read_stream(nats_url, org)) == sorted(["e9", *(one.event_id for one in group)])


async def test_stream_is_made_anew_when_it_was_deleted(backbones: NatsBackbones, client: Client, org: str) -> None:
    await backbones.publish(BACKBONE, org, FirstTime([message(org, "before")]))
    await client.jetstream().delete_stream(f"sb-{org}")
    assert sequences(await backbones.publish(BACKBONE, org, FirstTime(messages(org)))) == list(range(1, BATCH_FROM + 1))


async def test_messages_go_one_by_one_when_the_stream_takes_no_batch(backbones: NatsBackbones, client: Client, org: str) -> None:
    await backbones.publish(BACKBONE, org, FirstTime([message(org, "before")]))
    await jetstream(client, f"STREAM.UPDATE.sb-{org}", **(wanted(org, 256 * MIB) | {"allow_atomic": False}))
    assert sequences(await backbones.publish(BACKBONE, org, FirstTime(messages(org)))) == list(range(2, BATCH_FROM + 2))


async def test_message_is_refused_and_its_neighbours_stored_when_no_server_takes_it(backbones: NatsBackbones, org: str) -> None:
    group = messages(org)
    group[7] = msgspec.structs.replace(group[7], body=b"x" * (4 * MIB))
    published = await backbones.publish(BACKBONE, org, FirstTime(group))
    assert (published.results[7].refused or "").startswith("headers and data take")
    assert sequences(published) == [*range(1, 8), 0, *range(8, BATCH_FROM)]
