"""The page at `/` in a real Chromium: sign in with a key, see messages live, filter, sign out."""

from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, expect

from tests.browser.pages import PICTURES, signed_in
from tests.feed import FixedSnapshots, Log, Pod, accepted, blocked, delivered, message, pod

pytestmark = pytest.mark.asyncio(loop_scope="module")  # the browser's


async def show_traffic(log: Log, org: str) -> None:
    """A few messages as they look in practice."""
    first = message(org, "order-1001", body=b'{"order": 1001, "lines": [{"sku": "A-7", "count": 2}], "total": 59.9}')
    second = message(org, "charge-77", topic="payments.charge.requested", subject="agent-billing", body=b'{"amount": 59.9}')
    third = message(org, "note-3", topic="support.notes", subject=None, body=b'{"text": "call back at nine"}')
    await log.write([*accepted(first, second, third), blocked(message(org, "huge-1", topic="orders.import", subject="agent-9"))])
    await log.write([delivered(first, second, sequence=4711)])


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_message_appears_with_its_delivery_and_opens_when_signed_in(
    browser: Browser, feed: Pod, log: Log, org: str, scheme: str
) -> None:
    key = feed.snapshots.add(org)
    page, complaints = await signed_in(browser, feed, key, color_scheme=scheme, viewport={"width": 1366, "height": 768})
    await show_traffic(log, org)

    row = page.locator("tr.message", has_text="orders.created")
    await expect(row).to_contain_text("accepted")
    await expect(row).to_contain_text("agent-7")
    await expect(row).to_contain_text("local #4711")
    await expect(page.locator("tr.message", has_text="orders.import")).to_contain_text("blocked")
    await row.get_by_role("button").click()
    await expect(page.locator("tr.detail pre")).to_contain_text('"order": 1001')
    await expect(page.locator("#count")).to_have_text("4 messages")
    await page.screenshot(path=PICTURES / f"feed-{scheme}.png")
    assert complaints == []


async def test_filter_shows_only_what_it_names(browser: Browser, feed: Pod, log: Log, org: str) -> None:
    page, complaints = await signed_in(browser, feed, feed.snapshots.add(org))
    await page.get_by_label("Topic").fill("payments.>")
    async with page.expect_request(lambda asked: "topic=payments" in asked.url):  # the feed is open then
        await page.get_by_role("button", name="Apply").click()
    await show_traffic(log, org)
    await expect(page.locator("tr.message")).to_have_count(1)
    await expect(page.locator("tr.message")).to_contain_text("payments.charge.requested")
    assert complaints == []


async def test_filter_in_cel_shows_what_it_is_true_of_and_says_what_is_wrong(browser: Browser, feed: Pod, log: Log, org: str) -> None:
    page, complaints = await signed_in(browser, feed, feed.snapshots.add(org))
    await page.get_by_label("Filter").fill("data.amount > 50.0")
    async with page.expect_request(lambda asked: "filter=data" in asked.url):  # the feed is open then
        await page.get_by_role("button", name="Apply").click()
    await show_traffic(log, org)
    await expect(page.locator("tr.message")).to_have_count(1)
    await expect(page.locator("tr.message")).to_contain_text("payments.charge.requested")
    assert complaints == []
    await page.get_by_label("Filter").fill("data.amount >")
    await page.get_by_role("button", name="Apply").click()
    await expect(page.locator("#problem")).to_contain_text("the filter is none")


async def test_wrong_pattern_is_said_when_it_is_applied(browser: Browser, feed: Pod, org: str) -> None:
    page, _ = await signed_in(browser, feed, feed.snapshots.add(org))
    await page.get_by_label("Topic").fill("a..b")
    await page.get_by_role("button", name="Apply").click()
    await expect(page.locator("#problem")).to_contain_text("not a pattern")
    await expect(page.locator("#state")).to_have_text("refused")


async def test_unknown_key_is_refused_and_stays_out(browser: Browser, feed: Pod) -> None:
    page = await browser.new_page(viewport={"width": 1366, "height": 768})
    await page.goto(feed.url)
    await page.get_by_label("API key").fill("nonsense")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("#sign-in-error")).to_contain_text("not known")
    await expect(page.locator("#feed")).to_be_hidden()
    await page.screenshot(path=PICTURES / "sign-in.png")


async def test_session_survives_a_reload_and_ends_with_sign_out_or_its_key(browser: Browser, feed: Pod, org: str) -> None:
    key = feed.snapshots.add(org)
    page, _ = await signed_in(browser, feed, key)
    await page.reload()
    await expect(page.locator("#state")).to_have_text("live")
    assert await page.evaluate("document.cookie") == ""  # no script can read it
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("API key")).to_be_visible()
    assert await page.context.cookies() == []

    page, _ = await signed_in(browser, feed, key)
    feed.snapshots.revoke(key)
    await expect(page.get_by_label("API key")).to_be_visible(timeout=30_000)


async def test_messages_of_a_session_that_ended_are_not_shown_to_who_signs_in_next(browser: Browser, feed: Pod, log: Log, org: str) -> None:
    key = feed.snapshots.add(org)
    page, _ = await signed_in(browser, feed, key)
    await log.write(accepted(message(org, "theirs")))
    await expect(page.locator("tr.message")).to_have_count(1)
    feed.snapshots.revoke(key)
    await expect(page.get_by_label("API key")).to_be_visible(timeout=30_000)
    await page.get_by_label("API key").fill(feed.snapshots.add("another-org"))
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("#who")).to_contain_text("another-org")
    await expect(page.locator("#state")).to_have_text("live", timeout=30_000)
    await log.write(accepted(message("another-org", "ours", topic="payments.charge")))
    await expect(page.locator("tr.message td:nth-child(3)")).to_have_text(["payments.charge"], timeout=30_000)


async def test_page_comes_back_and_misses_nothing_when_its_connection_is_lost(
    browser: Browser, redis_url: str, database: str, secret: Path, log: Log, org: str
) -> None:
    snapshots = FixedSnapshots()
    async with pod(redis_url, secret, snapshots, database=database) as feed:
        page, _ = await signed_in(browser, feed, snapshots.add(org))
        await log.write(accepted(message(org, "before")))
        await expect(page.locator("tr.message")).to_have_count(1)
    await expect(page.locator("#state")).to_contain_text("again")
    await log.write(accepted(message(org, "meanwhile")))
    async with pod(redis_url, secret, snapshots, port=int(feed.url.rpartition(":")[2]), database=database):
        await expect(page.locator("tr.message")).to_have_count(2)


async def test_another_sites_page_can_neither_watch_nor_sign_out(feed: Pod, org: str) -> None:
    key = feed.snapshots.add(org)
    elsewhere = {"Origin": "http://evil.example"}
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    async with httpx.AsyncClient(base_url=feed.url) as client:
        signed = await client.post("/v1/session", json={"key": key})
        assert signed.status_code == 200
        cookie = signed.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert key not in cookie
        assert (await client.get("/v1/feed", headers={**upgrade, **elsewhere})).status_code == 403
        assert (await client.get("/v1/feed", headers=upgrade)).status_code == 403  # no Origin at all
        assert (await client.delete("/v1/session", headers={**elsewhere, "X-Requested-With": "x"})).status_code == 403
        assert (await client.delete("/v1/session", headers={"Origin": feed.url})).status_code == 403
        assert (await client.post("/v1/session", json={"key": key}, headers=elsewhere)).status_code == 403
        assert (await client.post("/v1/session", data={"key": key})).status_code == 415
        assert (await client.get("/v1/session")).json()["org"] == org


async def test_page_is_served_with_headers_that_allow_no_inline_script(feed: Pod) -> None:
    async with httpx.AsyncClient(base_url=feed.url) as client:
        page = await client.get("/")
        policy = page.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "<script>" not in page.text
        for name in ("feed", "connection", "past", "table", "elements"):
            assert (await client.get(f"/page/{name}.js")).headers["content-type"].startswith("text/javascript")
        assert (await client.get("/", headers={"If-None-Match": page.headers["etag"]})).status_code == 304
        assert page.headers["x-content-type-options"] == "nosniff"
