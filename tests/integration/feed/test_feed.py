"""The live feed on a real Redis, through a real server (contracts.md, "Watching")."""

import asyncio
import json

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from shared.domain.principal import Grant
from shared.domain.record import Accepted, Record
from tests.feed import SUBPROTOCOL, FixedSnapshots, Log, Start, accepted, blocked, delivered, flushes, message, names, reading


async def test_message_and_its_delivery_arrive_in_contract_shape(start: Start, log: Log, key: str, org: str) -> None:
    async with start() as feed, reading(feed, key) as client:
        assert client.connection.subprotocol == SUBPROTOCOL
        sent = message(org, "one")
        await log.write(accepted(sent))
        frame = await client.frame()
        await log.write([delivered(sent, sequence=7)])
        after = await client.frame()

    assert frame.keys() == after.keys() == {"cursor", "messages", "deliveries"}
    (shown,) = frame["messages"]
    assert shown["event_id"] == "one"
    assert shown["verdict"] == "accepted"
    assert shown["data"] == {"n": 1}
    assert shown["subject"] == "agent-7"
    (delivery,) = after["deliveries"]
    assert delivery.keys() == {"id", "backbone", "stream", "sequence", "error", "time"}
    assert (delivery["id"], delivery["stream"], delivery["sequence"]) == (shown["id"], f"sb-{org}", 7)


async def test_recorded_refusal_is_shown_and_what_is_not_new_is_not(start: Start, log: Log, key: str, org: str) -> None:
    async with start() as feed, reading(feed, key) as client:
        await log.write([*accepted(message(org, "again"), message(org, "fresh")), blocked(message(org, "huge"))], mask=b"dn")
        assert await client.until(2) == ["fresh", "huge"]
        assert [one["verdict"] for one in client.messages] == ["accepted", "blocked"]
        assert client.messages[1]["rule"] == "size"


async def test_body_is_shown_cut_when_the_feed_has_a_part_and_never_because_an_extension_says_so(
    start: Start, log: Log, key: str, org: str
) -> None:
    whole = msgspec.structs.replace(message(org, "whole"), extensions={"sbcut": True})
    async with start() as feed, reading(feed, key) as client:
        await log.write([*accepted(whole), Accepted(message(org, "part"), ("local",), cut=True)])
        await client.until(2)
    assert [(one.get("cut"), "data" in one, one["extensions"]) for one in client.messages] == [
        (None, True, {"sbcut": True}),
        (True, False, {}),
    ]


async def test_reconnect_misses_nothing_and_doubles_nothing_while_5000_messages_pass(start: Start, log: Log, key: str, org: str) -> None:
    expected = names(5_000)

    async def write() -> None:
        for number, records in enumerate(flushes(org, expected)):
            await log.write(records)
            if number % 10 == 0:
                await asyncio.sleep(0)

    seen: list[str] = []
    async with start() as feed:
        async with reading(feed, key) as client:
            cursor = client.cursor
        writing = asyncio.create_task(write())
        while len(seen) < 5_000:
            async with reading(feed, key, cursor=cursor) as client:
                await client.until(min(370, 5_000 - len(seen)))
                seen += client.events
                cursor = client.cursor
        await writing
        async with reading(feed, key, cursor=cursor) as client:
            await log.write(accepted(message(org, "last")))
            assert await client.until(1) == ["last"]
    assert seen == expected


async def test_cursor_of_one_pod_is_good_at_another_and_both_show_the_same(start: Start, log: Log, key: str, org: str) -> None:
    async with start() as first, start() as second, reading(first, key) as one, reading(second, key) as two:
        for records in flushes(org, names(500)):
            await log.write(records)
        await asyncio.gather(one.until(500), two.until(500))
        assert one.events == two.events == names(500)
        async with reading(second, key, cursor=one.cursor) as moved:
            await log.write(accepted(message(org, "next")))
            assert await moved.until(1) == ["next"]


async def test_large_entry_is_cut_into_frames_that_resume_inside_it(start: Start, log: Log, key: str, org: str) -> None:
    body = json.dumps({"text": "x" * 15_000}).encode()
    await log.write(accepted(message(org, "before")))
    async with start() as feed:
        async with reading(feed, key) as client:
            await log.write(accepted(*(message(org, name, body=body) for name in names(100))))
            await client.frame()
            part, cursor = client.events, client.cursor
        assert 0 < len(part) < 100
        async with reading(feed, key, cursor=cursor) as client:
            rest = await client.until(100 - len(part))
    assert part + rest == names(100)


async def test_shards_are_read_together_and_a_cursor_remembers_each(start: Start, log: Log, key: str, org: str) -> None:
    async with start(shards=3) as feed:
        async with reading(feed, key) as client:
            for number, records in enumerate(flushes(org, names(30), size=1)):
                await log.write(records, shard=number % 3)
            await client.until(20)
            seen, cursor = client.events, client.cursor
        async with reading(feed, key, cursor=cursor) as client:
            seen += await client.until(30 - len(seen)) if len(seen) < 30 else []
    assert sorted(seen) == sorted(names(30))


async def test_gap_is_told_and_the_oldest_follows_when_the_cursor_fell_out_of_the_window(
    start: Start, log: Log, key: str, org: str
) -> None:
    async with start() as feed:
        async with reading(feed, key) as client:
            await log.write(accepted(message(org, "seen")))
            await client.until(1)
            cursor = client.cursor
        numbers = [await log.write(records) for records in flushes(org, names(10), size=1)]
        await log.trim(*range(1, numbers[4] + 1))
        async with reading(feed, key, cursor=cursor) as client:
            gap = (await client.frame())["gap"]
            assert gap["from"] < gap["to"]
            assert await client.until(5) == names(10)[5:]


async def test_nothing_is_a_gap_when_only_what_was_seen_is_trimmed(start: Start, log: Log, key: str, org: str) -> None:
    async with start() as feed:
        async with reading(feed, key) as client:
            number = await log.write(accepted(message(org, "seen")))
            await client.until(1)
            cursor = client.cursor
        await log.trim(number)
        await log.write(accepted(message(org, "next")))
        async with reading(feed, key, cursor=cursor) as client:
            assert await client.until(1) == ["next"]
            assert client.others == []


async def test_gap_is_told_when_redis_comes_back_empty(start: Start, log: Log, key: str, org: str) -> None:
    async with start() as feed, reading(feed, key) as client:
        for records in flushes(org, names(5), size=1):
            await log.write(records)
        await client.until(5)
        await log.redis.flushdb()
        await log.write(accepted(message(org, "new")))
        assert await client.until(6) == [*names(5), "new"]
        assert [frame.keys() for frame in client.others] == [{"gap"}]


@pytest.mark.parametrize("cursor", ["AAAA", "not a cursor", "é", "A" * 200])
async def test_forged_cursor_is_refused_with_a_problem_and_1008(start: Start, key: str, cursor: str) -> None:
    async with start() as feed, reading(feed, key, cursor=cursor) as client:
        problem = (await client.frame())["error"]
        assert (problem["status"], problem["errors"][0]["pointer"]) == (400, "/cursor")
        with pytest.raises(ConnectionClosed) as closed:
            await client.frame()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


async def test_other_orgs_and_what_no_grant_reads_are_never_sent(start: Start, log: Log, snapshots: FixedSnapshots, org: str) -> None:
    key = snapshots.add(org, (Grant("read", ("orders.>",), ("agent-7",)), Grant("publish")))
    mine = message(org, "mine")
    hidden = [
        message(f"{org}x", "other-org"),
        message(org, "other-topic", topic="pay.done"),
        message(org, "other-subject", subject="agent-8"),
        message(org, "nobody", subject=None),
    ]
    async with start() as feed, reading(feed, key) as client:
        await log.write([*accepted(*hidden), *(blocked(one) for one in hidden), *(delivered(one) for one in hidden)])
        await log.write([*accepted(mine), delivered(mine)])
        await client.until(1)
        assert client.events == ["mine"]
        assert [one["id"] for one in client.deliveries] == client.ids


async def test_each_sees_what_its_own_grants_read_when_two_of_an_org_watch_the_same(
    start: Start, log: Log, snapshots: FixedSnapshots, org: str
) -> None:
    """Views are shared by those for whom they are the same, which these aren't."""
    first, second = (snapshots.add(org, (Grant("read", (f"{topic}.>",)),)) for topic in ("orders", "pay"))
    both = accepted(message(org, "ordered", topic="orders.new"), message(org, "paid", topic="pay.new"))
    async with start() as feed, reading(feed, first) as one, reading(feed, second) as other:
        await log.write(both)
        assert (await one.until(1), await other.until(1)) == (["ordered"], ["paid"])
        await log.write(both, mask=b"nn")
        assert (await one.until(2), await other.until(2)) == (["ordered"] * 2, ["paid"] * 2)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"topic": "orders.>"}, ["a", "b", "d"]),
        ({"topic": "orders.*"}, ["a", "b", "d"]),
        ({"topic": "pay"}, ["c"]),
        ({"subject": "agent-8"}, ["b"]),
        ({"verdict": "blocked"}, ["d"]),
        ({"verdict": "accepted", "subject": "agent-7"}, ["a", "c"]),
    ],
)
async def test_subscription_chooses_by_topic_subject_and_verdict(
    start: Start, log: Log, key: str, org: str, wanted: dict[str, str], expected: list[str]
) -> None:
    some = [message(org, "a"), message(org, "b", subject="agent-8"), message(org, "c", topic="pay")]
    async with start() as feed, reading(feed, key, **wanted) as client:
        await log.write([*accepted(*some), blocked(message(org, "d", subject="agent-9"))])
        await client.until(len(expected))
        assert client.events == expected


async def test_first_frame_subscribes_as_query_parameters_do(start: Start, log: Log, key: str, org: str) -> None:
    async with start() as feed:
        headers = {"Authorization": f"Bearer {key}"}
        async with connect(feed.feed_url(), additional_headers=headers) as connection:
            await connection.send('{"subscribe":{"topic":"pay"}}')
            await connection.recv()
            await log.write(accepted(message(org, "a"), message(org, "b", topic="pay")))
            frame = json.loads(await connection.recv())
    assert [one["event_id"] for one in frame["messages"]] == ["b"]


async def test_filter_shows_what_it_is_true_of_and_changes_with_a_frame(start: Start, log: Log, key: str, org: str) -> None:
    def sent(number: int) -> list[Record]:
        return accepted(message(org, f"e-{number}", body=b'{"n":%d}' % number))

    async with start() as feed, reading(feed, key, filter="data.n > 2") as client, reading(feed, key) as every:
        for number in range(5):
            await log.write(sent(number))
        assert await client.until(2) == ["e-3", "e-4"]
        assert await every.until(5) == names(5)
        await client.connection.send(json.dumps({"subscribe": {"filter": "data.n == 1", "cursor": client.cursor}}))
        await log.write([record for number in (2, 1) for record in sent(number)])
        assert (await client.until(3))[2:] == ["e-1"]


async def test_client_with_a_filter_catches_up_from_its_cursor(start: Start, log: Log, key: str, org: str) -> None:
    async with start() as feed:
        async with reading(feed, key, filter='message.event_id.endsWith("7")') as client:
            await log.write(accepted(message(org, "e-7")))
            await client.until(1)
        for records in flushes(org, names(1_000, 8), size=10):
            await log.write(records)
        async with reading(feed, key, filter='message.event_id.endsWith("7")', cursor=client.cursor) as again:
            await again.until(100)
    assert again.events == [f"e-{number}" for number in range(17, 1_008, 10)]


@pytest.mark.parametrize(
    ("parameters", "status", "detail"),
    [
        ({"filter": "message.size > "}, 400, "filter"),
        ({"filter": "data.map(x, x)"}, 400, "filter"),
        ({"topic": "a..b"}, 400, "not a pattern"),
        ({"verdict": "maybe"}, 400, "verdict"),
        ({"begin": "never"}, 400, "stored"),
        ({"begin": "stored", "cursor": "x"}, 400, "cursor"),
        ({"colour": "blue"}, 400, "colour"),
        ({"org": "someone-else"}, 403, "system admin"),
    ],
)
async def test_wrong_subscription_is_refused_with_a_problem_that_names_it(
    start: Start, key: str, parameters: dict[str, str], status: int, detail: str
) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    async with start() as feed, connect(feed.feed_url(**parameters), additional_headers=headers) as connection:
        problem = json.loads(await connection.recv())["error"]
        await connection.wait_closed()
    assert problem["status"] == status
    assert detail in problem["detail"]
    assert connection.close_code == 1008


async def test_system_admin_sees_its_own_org_and_another_when_asked(start: Start, log: Log, snapshots: FixedSnapshots, org: str) -> None:
    key = snapshots.add(org, (Grant("admin"),), system=True)
    async with start() as feed, reading(feed, key) as own, reading(feed, key, org=f"{org}x") as other:
        await log.write(accepted(message(org, "own"), message(f"{org}x", "other")))
        await asyncio.gather(own.until(1), other.until(1))
        assert (own.events, other.events) == (["own"], ["other"])
