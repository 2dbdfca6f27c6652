"""Lists of messages: filters, pages, cursors (contracts.md, "Query"); on stores in memory."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from functions.query import filtered, handler
from functions.query.main import build
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.message_store import MemoryMessageStore
from shared.domain.principal import Grant
from shared.domain.stored import Search, StoredMessage
from tests.rest import Api, problem, serving
from tests.stored import NOON, accepted, attempt, stored


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(build, tmp_path, MemoryMessageStore(), MemoryConfigStore()) as served:
        yield served


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        *(
            ("subjet=a", "subjet"),
            ("subject=a&subject=b", "subject"),
            ("raw=1", "raw"),
            ("subject=%00", "subject"),
            ("topic=a.%3E.b", "topic"),
        ),
        *(("topic=", "topic"), ("verdict=maybe", "verdict"), ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit")),
        *(("since=yesterday", "since"), ("until=10000-01-01T00:00:00Z", "until"), ("since=1m&until=2m", "since")),
        *(
            ("filter=1", "filter"),
            ("filter=", "filter"),
            ("filter=data.map(x,x)", "filter"),
            ("cursor=", "cursor"),
            ("cursor=AAAA", "cursor"),
            ("cursor=%F0%9F%92%A9", "cursor"),
        ),
    ],
)
async def test_answer_is_400_naming_the_parameter_that_is_wrong(api: Api, query: str, pointer: str) -> None:
    problem(await api.ask(await api.key(), f"/v1/messages?{query}"), 400, pointer)


async def ids(api: Api, key: str, **asked: str) -> tuple[list[str], str | None]:
    """The event ids of a page, and where the next one begins."""
    answer = await api.ask(key, "/v1/messages", params=asked)
    assert answer.status_code == 200, answer.text
    page = answer.json()
    return [item["event_id"] for item in page["items"]], page["next"]


async def test_messages_are_found_when_the_filter_is_true_of_them(api: Api) -> None:
    bodies = {"1": b'{"total":150}', "2": b'{"total":50}', "3": b'{"total":"many"}', "4": b"{}", "5": b"no JSON", "6": None}
    await stored(api, *(accepted(id, body=body) for id, body in bodies.items()), accepted("1", "globex", body=bodies["1"]))
    key = await api.key()
    for filter, found in {
        "data.total > 100": ["1"],  # of "many", and where there is none, it can't be evaluated
        "has(data.total) && data.total == 50": ["2"],
        "data == null": ["6", "5"],
        f'principal.name == "{accepted().message.principal}" && message.event_id == "4"': ["4"],
        'principal.org == "globex"': [],
        "true": ["6", "5", "4", "3", "2", "1"],
    }.items():
        assert sorted((await ids(api, key, filter=filter))[0]) == sorted(found), filter
    limited = await api.key("reader", "acme", Grant("read", ("pay.>",)))
    assert await ids(api, limited, filter="true") == ([], None)


async def test_pages_go_on_looking_when_a_request_has_looked_at_enough(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await stored(api, *(accepted(str(number), received_at=NOON + number) for number in range(400)))
    monkeypatch.setattr(filtered, "ROWS", 100)
    key, filter = await api.key(), 'message.event_id in ["0", "1", "399"]'
    found: list[str] = []
    cursor: str | None = ""
    pages = 0
    while cursor is not None:
        page, cursor = await ids(api, key, filter=filter, **({"cursor": cursor} if cursor else {}))
        found += page
        pages += 1
    assert (found, pages) == (["399", "1", "0"], 4)
    assert (await ids(api, key, filter=filter, limit="1"))[0] == ["399"]


async def test_request_ends_when_its_time_is_spent(api: Api) -> None:
    await stored(api, *(accepted(str(number), received_at=NOON + number) for number in range(50)))
    seconds = iter(range(1_000))
    sifted = await filtered.sift(
        api.store, Search(org="acme", readable=(Grant("read"),)), filtered.compiled("false"), asyncio.Lock(), lambda: next(seconds) * 0.5
    )
    assert sifted.rows == []
    assert sifted.end is not None
    assert 0 < sifted.end[0] - NOON < 49


async def test_filters_are_asked_in_turns_when_there_are_many_at_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four that took 100 ms of a message had a publish of somebody else wait for two seconds, and twenty would have for ten."""
    monkeypatch.setattr(filtered, "LONGEST_PAUSE", 0.001)
    await stored(api, *(accepted(str(number), received_at=NOON + number) for number in range(3)))
    turns, now, asked = 0, 0.0, []

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    class Slow:
        def matches(self, row: StoredMessage) -> bool:
            nonlocal now
            now += 0.1
            asked.append(turns)
            return False

    turn, wanted = asyncio.Lock(), Search(org="acme", readable=(Grant("read"),))
    going = asyncio.create_task(others())
    sifted = await asyncio.gather(*(filtered.sift(api.store, wanted, Slow(), turn, lambda: now) for _ in range(8)))  # type: ignore[arg-type]
    going.cancel()
    assert all(one.end is None for one in sifted)
    assert len(asked) == len(set(asked)) == 24


async def test_cursor_is_refused_when_another_org_or_query_shows_it(api: Api) -> None:
    await stored(api, accepted("1"), accepted("2"), accepted("1", "globex"), accepted("2", "globex"))
    key = await api.key()
    cursor = (await api.ask(key, "/v1/messages?limit=1&topic=orders.*")).json()["next"]
    assert len((await api.ask(key, f"/v1/messages?topic=orders.*&cursor={cursor}")).json()["items"]) == 1
    problem(await api.ask(key, f"/v1/messages?cursor={cursor}"), 400, "cursor")
    problem(await api.ask(await api.key("admin", "globex"), f"/v1/messages?topic=orders.*&cursor={cursor}"), 400, "cursor")


async def test_page_is_shorter_than_its_limit_when_bodies_are_big(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "PART", 3)
    monkeypatch.setattr(handler, "PAGE_BYTES", 4_000)
    await stored(
        api, *(accepted(str(number), body=b"x" * 1000, datacontenttype="text/plain", received_at=NOON + number) for number in range(10))
    )
    key, pages, cursor = await api.key(), [], ""
    while cursor is not None:
        answer = (await api.ask(key, "/v1/messages" + (f"?cursor={cursor}" if cursor else ""))).json()
        pages.append([item["event_id"] for item in answer["items"]])
        cursor = answer["next"]
    assert pages == [["9", "8", "7", "6", "5", "4"], ["3", "2", "1", "0"]]


async def test_attempts_are_items_with_their_cut_body_as_base64(api: Api) -> None:
    await stored(api, attempt(body=b"text", datacontenttype="text/plain"))
    [item] = (await api.ask(await api.key(), "/v1/messages?verdict=blocked")).json()["items"]
    assert (item["verdict"], base64.b64decode(item["data_base64"])) == ("blocked", b"text")
