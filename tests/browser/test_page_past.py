"""What the page shows of what was sent before it was opened: the last stored messages, then the live ones, none twice, none missing."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Page, Route, expect

from functions.websocket import catching_up
from shared.domain.message import Message
from tests.browser.pages import PATIENT, PICTURES, QUERY, Store, opened, signed_in
from tests.feed import FixedSnapshots, Log, Pod, accepted, blocked, delivered, message, names, pod
from tests.product import product

pytestmark = pytest.mark.asyncio(loop_scope="module")  # the browser's


def numbered(org: str, *events: str) -> list[Message]:
    """Messages whose topic says which each is."""
    return [message(org, event, topic=f"orders.{event}") for event in events]


async def topics(page: Page) -> list[str]:
    """What the rows are about, from the top of the page."""
    return await page.locator("tr.message td:nth-child(3)").all_inner_texts()


async def shows(page: Page, *events: str) -> None:
    """These and no others are on the page, the first one at the top."""
    await expect(page.locator("tr.message td:nth-child(3)")).to_have_text([f"orders.{event}" for event in events])


async def test_stored_messages_come_first_and_live_ones_above_when_the_page_opens(
    browser: Browser, feed: Pod, log: Log, store: Store, org: str
) -> None:
    first, second, last = numbered(org, "one", "two", "three")
    await store.write(*accepted(first, second), blocked(message(org, "huge", topic="orders.huge")), delivered(first, second, sequence=4711))
    await store.write(*accepted(*numbered("another-org", "theirs")))
    page, complaints = await signed_in(browser, feed, feed.snapshots.add(org), viewport={"width": 1366, "height": 768})
    await shows(page, "huge", "two", "one")
    await expect(page.locator("tr.message", has_text="orders.one")).to_contain_text("local #4711")
    await expect(page.locator("tr.message", has_text="orders.huge")).to_contain_text("blocked")
    await log.write(accepted(last))
    await shows(page, "three", "huge", "two", "one")
    await expect(page.locator("#count")).to_have_text("4 messages")
    await expect(page.locator("#older")).to_be_empty()
    await page.screenshot(path=PICTURES / "feed-past.png")
    assert complaints == []


async def test_page_says_why_and_comes_back_when_too_many_read_what_no_store_has(
    browser: Browser, feed: Pod, log: Log, store: Store, org: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, _ = await signed_in(browser, feed, feed.snapshots.add(org))
    monkeypatch.setattr(catching_up, "FAR_S", 0.0)
    monkeypatch.setattr(catching_up, "CLIENTS", 0)
    await log.unstored(await log.write(accepted(*numbered(org, "unwritten"))))
    await page.reload()
    await expect(page.locator("#problem")).to_contain_text("too many clients read them here")
    monkeypatch.setattr(catching_up, "CLIENTS", 2)
    await shows(page, "unwritten")
    await expect(page.locator("#problem")).to_be_empty()


async def test_message_is_there_once_when_the_store_has_none_a_part_or_all_of_what_was_logged(
    browser: Browser, feed: Pod, log: Log, store: Store, org: str
) -> None:
    """Nobody tells a page how far the loggers are: the feed begins at what they haven't written."""
    seen, both, unwritten = numbered(org, "seen", "both", "unwritten")
    await log.write(accepted(seen))
    records = [*accepted(both), delivered(both, sequence=7)]
    await log.unstored(await log.write(records))
    await log.unstored(await log.write(accepted(unwritten)))
    await store.write(*accepted(seen))
    await store.write(*records)
    page, complaints = await signed_in(browser, feed, feed.snapshots.add(org))
    await shows(page, "unwritten", "both", "seen")
    await expect(page.locator("#count")).to_have_text("3 messages")
    await page.locator("tr.message", has_text="orders.both").get_by_role("button").click()
    assert len(json.loads(await page.locator("tr.detail pre").inner_text())["deliveries"]) == 1
    assert complaints == []


async def test_live_messages_wait_when_the_query_takes_its_time(browser: Browser, feed: Pod, log: Log, store: Store, org: str) -> None:
    old, meanwhile, after = numbered(org, "old", "meanwhile", "after")
    await store.write(*accepted(old))
    asked, go = asyncio.Event(), asyncio.Event()

    async def slowly(route: Route) -> None:
        asked.set()
        await go.wait()
        await route.continue_()

    page = await browser.new_page()
    await page.route(QUERY, slowly)
    complaints = await opened(page, feed, feed.snapshots.add(org))
    await asyncio.wait_for(asked.wait(), 30)
    await log.write(accepted(meanwhile, after))
    await expect(page.locator("#count")).to_have_text("2 messages")  # they have come
    assert await topics(page) == []
    await store.write(*accepted(meanwhile))  # the answer has it, too
    go.set()
    await shows(page, "after", "meanwhile", "old")
    await expect(page.locator("#count")).to_have_text("3 messages")
    assert complaints == []


async def test_new_filter_is_shown_when_the_query_of_the_one_before_is_not_answered(
    browser: Browser, feed: Pod, log: Log, store: Store, org: str
) -> None:
    old, new, live = numbered(org, "old", "new", "live")
    await store.write(*accepted(old, new))
    go = asyncio.Event()

    async def slowly(route: Route) -> None:
        if "topic=" not in route.request.url:
            await go.wait()
        await route.continue_()

    page = await browser.new_page()
    await page.route(QUERY, slowly)
    await opened(page, feed, feed.snapshots.add(org))
    await page.get_by_label("Topic").fill("orders.new")
    await page.get_by_role("button", name="Apply").click()
    await shows(page, "new")
    await page.get_by_label("Topic").fill("*.*")
    await page.get_by_role("button", name="Apply").click()
    await shows(page, "new", "old")
    async with page.expect_response(lambda answer: "/v1/messages" in answer.url and "topic=" not in answer.url):
        go.set()
    await log.write(accepted(live))
    await shows(page, "live", "new", "old")
    await expect(page.locator("#count")).to_have_text("3 messages")


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("Topic", "payments.>", ["payments.charge"]),
        ("Topic", ">", ["orders.notes", "payments.charge", "orders.created"]),
        ("Subject", "agent-9", ["payments.charge"]),
        ("Subject", "*", ["orders.notes", "payments.charge", "orders.created"]),
        ("Subject", ">", ["orders.notes", "payments.charge", "orders.created"]),
        ("Filter", "data.n > 1", ["orders.notes", "payments.charge"]),
    ],
)
async def test_stored_messages_are_those_that_the_feed_would_have_shown_when_a_filter_is_applied(
    browser: Browser, feed: Pod, store: Store, org: str, field: str, text: str, expected: list[str]
) -> None:
    sent = [
        message(org, "1"),
        message(org, "2", topic="payments.charge", subject="agent-9", body=b'{"n":2}'),
        message(org, "3", topic="orders.notes", subject=None, body=b'{"n":3}'),
    ]
    await store.write(*accepted(*sent))
    page, complaints = await signed_in(browser, feed, feed.snapshots.add(org))
    rows = page.locator("tr.message td:nth-child(3)")
    await expect(rows).to_have_text(["orders.notes", "payments.charge", "orders.created"])
    await page.get_by_label(field).fill(text)
    await page.get_by_role("button", name="Apply").click()
    await expect(rows).to_have_text(expected)
    await expect(page.locator("#state")).to_have_text("live")
    assert complaints == []


async def test_no_verdict_but_the_one_asked_for_is_shown_when_there_are_stored_ones_of_both(
    browser: Browser, feed: Pod, store: Store, org: str
) -> None:
    await store.write(*accepted(*numbered(org, "good")), blocked(message(org, "bad", topic="orders.bad")))
    page, _ = await signed_in(browser, feed, feed.snapshots.add(org))
    await shows(page, "bad", "good")
    await page.get_by_label("Verdict").select_option("blocked")
    await page.get_by_role("button", name="Apply").click()
    await shows(page, "bad")


async def test_page_says_that_there_is_more_when_it_shows_the_last_50(browser: Browser, feed: Pod, store: Store, org: str) -> None:
    events = names(60)
    await store.write(*accepted(*numbered(org, *events)))
    page, _ = await signed_in(browser, feed, feed.snapshots.add(org))
    await shows(page, *reversed(events[10:]))
    await expect(page.locator("#older")).to_contain_text("There may be older ones")


async def test_page_is_live_and_says_why_nothing_is_older_when_the_query_fails(
    browser: Browser, feed: Pod, log: Log, store: Store, org: str
) -> None:
    async def failing(route: Route) -> None:
        problem = {"title": "Unavailable", "status": 503, "detail": "the store does not answer"}
        await route.fulfill(status=503, content_type="application/problem+json", body=json.dumps(problem))

    page = await browser.new_page()
    await page.route(QUERY, failing)
    await opened(page, feed, feed.snapshots.add(org))
    await log.write(accepted(*numbered(org, "live")))
    await shows(page, "live")
    await expect(page.locator("#older")).to_contain_text("the store does not answer")


async def test_gap_is_filled_from_the_store_when_the_page_comes_back_too_late(
    browser: Browser, redis_url: str, database: str, secret: Path, log: Log, store: Store, org: str
) -> None:
    snapshots = FixedSnapshots()
    await log.write([])
    async with pod(redis_url, secret, snapshots, database=database) as feed:
        page, _ = await signed_in(browser, feed, snapshots.add(org))
        (before,) = numbered(org, "before")
        await log.write(accepted(before))
        await shows(page, "before")
        await store.write(*accepted(before))
    await expect(page.locator("#state")).to_contain_text("again")
    gone, kept, live = numbered(org, "gone", "kept", "live")  # now: the page looks for what was received since it was cut off
    number = await log.write(accepted(gone))
    await log.write(accepted(kept))
    await store.write(*accepted(gone, kept), delivered(gone, sequence=8))
    await log.trim(*range(1, number + 1))
    async with pod(redis_url, secret, snapshots, port=int(feed.url.rpartition(":")[2]), database=database):
        await shows(page, "kept", "gone", "before")
        await expect(page.locator("tr.gap")).to_contain_text("What is stored of them is shown")
        await expect(page.locator("tr.message", has_text="orders.gone")).to_contain_text("local #8")
        await page.screenshot(path=PICTURES / "feed-gap.png")
        await log.write(accepted(live))
        await shows(page, "live", "kept", "gone", "before")


async def test_every_message_is_there_once_when_the_page_opens_while_they_are_sent(browser: Browser, tmp_path: Path) -> None:
    """The product itself: doors, log, logger and store, with its loggers as far behind as they are."""
    events = [f"n{number:03}" for number in range(40)]
    with product(tmp_path / "state") as endpoints:
        headers = {"Authorization": f"Bearer {endpoints['key']}", "Content-Type": "application/cloudevents+json"}
        page = await browser.new_page()
        await page.add_init_script(PATIENT)
        await page.goto(endpoints["http"])
        await page.get_by_label("API key").fill(endpoints["key"])
        async with httpx.AsyncClient(base_url=endpoints["http"], timeout=30) as client:
            for place, event in enumerate(events):
                sent = {"specversion": "1.0", "id": event, "source": "/shop", "type": "order", "topic": f"orders.{event}"}
                answer = await client.post("/v1/events", headers=headers, content=json.dumps(sent))
                assert answer.status_code == 202, answer.text
                if place == len(events) // 2:
                    await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("tr.message")).to_have_count(len(events))
        assert sorted(await topics(page)) == [f"orders.{event}" for event in events]
        for row in await page.locator("tr.message").all():
            await expect(row).to_contain_text("local #")
