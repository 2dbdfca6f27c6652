"""query on a real store: hostile input, paging, other orgs, unbounded ranges (reliability.md, "Bad input")."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest_asyncio

from functions.query.main import build
from shared.domain.names import matches
from shared.domain.principal import Grant
from tests.rest import Api, problem, serving_on
from tests.stored import NOON, accepted, attempt, flush, taken

HOSTILE = [
    "' OR '1'='1",
    "'; DROP TABLE messages; --",
    '" OR ""="',
    "\\' OR 1=1 --",
    "%",
    "_",
    "$1",
    "%(org)s",
    "%s",
    "{org}",
    "E'\\x41'",
    "a\nb\r\tc",
    "a/**/b",
    "*",
    "é€😀\u202e",
    "x" * 2000,
]
EXACT = ("subject", "source", "event_id", "type")


@pytest_asyncio.fixture
async def api(database: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving_on(database, build, tmp_path) as served:
        yield served


async def found(api: Api, key: str, **params: str) -> list[str]:
    """The event ids of a list's items."""
    response = await api.ask(key, "/v1/messages", params=params)
    assert response.status_code == 200, response.text
    return [item["event_id"] for item in response.json()["items"]]


async def test_hostile_text_matches_only_itself_when_it_is_a_filter(api: Api) -> None:
    rows = [
        accepted(str(number), subject=text, source=f"s{text}", type=f"t{text}", received_at=NOON + number)
        for number, text in enumerate(HOSTILE)
    ]
    await api.store.write(0, [flush(1, *rows, *(accepted(text, source="/by-id") for text in HOSTILE), accepted("plain"))])
    key = await api.key()
    for number, text in enumerate(HOSTILE):
        assert await found(api, key, subject=text) == [str(number)], text
        assert await found(api, key, source=f"s{text}") == [str(number)], text
        assert await found(api, key, type=f"t{text}") == [str(number)], text
        assert await found(api, key, event_id=text) == [text]
    assert len(await found(api, key)) == 2 * len(HOSTILE) + 1


async def test_hostile_text_breaks_nothing_in_any_parameter(api: Api) -> None:
    await api.store.write(0, [flush(1, accepted())])
    key = await api.key("root", system=True)
    for name in (*EXACT, "topic", "verdict", "since", "until", "limit", "cursor", "org", "filter", "nonsense"):
        for text in (*HOSTILE, "\0", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")):
            response = await api.ask(key, "/v1/messages", params={name: text})
            if response.status_code == 200:
                assert name in (*EXACT, "topic")
                assert response.json()["items"] == [], (name, text)
            else:
                assert problem(response, 400)["errors"][0]["pointer"].lstrip("/") == name
    assert await found(api, key) == ["1"]


TOPICS = ["orders.created", "orders.eu.created", "orders", "orders.%", "orders._x", "Orders.created", "a(b|c).[d]+$"]
PATTERNS = [*TOPICS, "orders.*", "orders.>", "*.created", "*", "*.*", "orders.*.>", ">", "a(b|c).*", "*.[d]+$", "o.*", "orders.created.>"]


async def test_topic_is_found_when_it_is_under_the_pattern_asked_for_or_granted(api: Api) -> None:
    await api.store.write(0, [flush(1, *(accepted(topic, topic=topic) for topic in TOPICS))])
    key = await api.key()
    limited = await asyncio.gather(*(api.key(f"agent-{place}", "acme", Grant("read", (one,))) for place, one in enumerate(PATTERNS)))
    for pattern, reader in zip(PATTERNS, limited, strict=True):
        under = sorted(topic for topic in TOPICS if matches(pattern, topic))
        assert sorted(await found(api, key, topic=pattern)) == under, pattern
        assert sorted(await found(api, reader)) == under, pattern


async def test_only_granted_rows_are_found_when_grants_name_topics_and_subjects(api: Api) -> None:
    sent = [accepted(f"{topic}:{subject}", topic=topic, subject=subject) for topic in ("a", "b") for subject in ("x", "y", "*", None)]
    await api.store.write(0, [flush(1, *sent)])
    key = await api.key("agent", "acme", Grant("read", ("a",), ("x",)), Grant("read", ("b",), ("y",)), Grant("publish"))
    assert sorted(await found(api, key)) == ["a:x", "b:y"]
    everyones = await api.key("watcher", "acme", Grant("read", ("a",)))
    assert sorted(await found(api, everyones)) == ["a:*", "a:None", "a:x", "a:y"]


async def test_each_row_comes_once_when_2500_have_one_time(api: Api) -> None:
    rows = [accepted(str(number), body=b"1") for number in range(2000)] + [attempt(f"a{number}", body=b"1") for number in range(500)]
    await api.store.write(0, [flush(1, *rows), flush(2, accepted("1", "globex"))])
    key = await api.key()
    for limit in (1000, 333):
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            answer = await api.ask(key, "/v1/messages", params={"limit": str(limit)} | ({"cursor": cursor} if cursor else {}))
            seen += [item["event_id"] for item in answer.json()["items"]]
            cursor = answer.json()["next"]
        assert len(seen) == len(set(seen)) == 2500


async def test_rows_come_newest_first_and_within_the_range_when_one_is_given(api: Api) -> None:
    await api.store.write(0, [flush(1, *(accepted(str(second), received_at=NOON + second * 1_000_000) for second in range(5)))])
    key = await api.key()
    assert await found(api, key, since="2026-01-01T12:00:01Z", until="2026-01-01T12:00:03Z") == ["2", "1"]
    assert await found(api, key, since="0001-01-01T00:00:00Z", until="9999-12-31T23:59:59Z") == ["4", "3", "2", "1", "0"]
    assert await found(api, key, since="9999-12-31T23:59:59.999999Z") == []
    assert await found(api, key, until="0001-01-01T00:00:00Z") == []


async def test_message_of_another_org_is_404_by_every_way_to_it(api: Api) -> None:
    sent, refused = accepted("1", "globex"), attempt("2", "globex")
    await api.store.write(0, [flush(1, sent, refused, taken(sent.message))])
    key = await api.key()
    for id in (sent.message.id, refused.message.id, refused.record_id):
        for tail in ("", "/why", "?raw=1"):
            problem(await api.ask(key, f"/v1/messages/{UUID(bytes=id)}{tail}"), 404)
    assert await found(api, key, source="/shop") == []


async def test_message_is_whole_when_it_is_found_by_id_and_in_a_list(api: Api) -> None:
    body = b'{ "n": 9007199254740993, "d": 1.00, "d": 2, "s": "\\u00e9" }'
    sent = accepted(
        body=body, time="2026-01-01T11:59:59.5+02:00", extensions={"tenant": "x", "count": 3, "flag": True}, dataschema="http://s/"
    )
    await api.store.write(0, [flush(1, sent, taken(sent.message))])
    key = await api.key()
    one = await api.ask(key, f"/v1/messages/{UUID(bytes=sent.message.id)}")
    assert b'"data":' + body in one.content
    assert one.json()["extensions"] == {"tenant": "x", "count": 3, "flag": True}
    assert one.json()["time"] == "2026-01-01T11:59:59.5+02:00"
    assert one.json()["received_at"] == "2026-01-01T12:00:00.000000Z"
    [listed] = (await api.ask(key, "/v1/messages")).json()["items"]
    assert listed == {name: value for name, value in one.json().items() if name not in ("earlier", "attempts")}
    assert (await api.ask(key, f"/v1/messages/{UUID(bytes=sent.message.id)}?raw=1")).content == body
    steps = (await api.ask(key, f"/v1/messages/{UUID(bytes=sent.message.id)}/why")).json()["steps"]
    assert [step["step"] for step in steps][-2:] == ["logged", "delivery"]
