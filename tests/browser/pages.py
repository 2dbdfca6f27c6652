"""The page as somebody has it before them, and what it is shown from: the live feed's log, and the store of the query."""

import time
from pathlib import Path

from playwright.async_api import Browser, Page, expect

from shared.adapters.postgres import PostgresMessageStore
from shared.domain.record import NEW, Accepted, Flush, Record
from tests.feed import Pod

PICTURES = Path(__file__).parents[2] / "build" / "screenshots"
expect.set_options(timeout=30_000)  # milliseconds: other tests may have the machine
QUERY = "**/v1/messages?*"
PATIENT = "AbortSignal.timeout = () => new AbortController().signal"  # how long a page waits for the query is no machine's business here


class Store:
    """Writes flushes to a store, as a logger does."""

    def __init__(self, database: str) -> None:
        self._store = PostgresMessageStore(database)
        self._flushes = 0

    async def write(self, *records: Record) -> None:
        """One flush: those that have an identity first, as the log has them."""
        self._flushes += 1
        ordered = sorted(records, key=lambda record: not isinstance(record, Accepted))
        mask = bytes([NEW]) * sum(isinstance(record, Accepted) for record in records)
        await self._store.write(0, [Flush(self._flushes, time.time_ns() // 1000, mask, ordered)])

    async def stop(self) -> None:
        await self._store.stop()


async def opened(page: Page, feed: Pod, key: str) -> list[str]:
    """Sign in, and wait until it is live. What the page complains about, from now on."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" and "401" not in line.text else None)
    await page.add_init_script(PATIENT)
    await page.goto(feed.url)
    await page.get_by_label("API key").fill(key)
    async with page.expect_request(QUERY):  # the feed is open then, and what is logged from now on comes
        await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("#state")).to_have_text("live")
    return complaints


async def signed_in(browser: Browser, feed: Pod, key: str, **options: object) -> tuple[Page, list[str]]:
    """The page of somebody who signed in, and what it complains about."""
    page = await browser.new_page(**options)  # type: ignore[arg-type]
    return page, await opened(page, feed, key)
