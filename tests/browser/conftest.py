"""A browser, a pod that serves the page with its query, and what both are written by.

One browser for a module's tests, which all run in one loop for that: starting one takes a second of CPU. Each test's pages are of
contexts of their own, which share nothing.
"""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.browser.pages import Store
from tests.feed import FixedSnapshots, Log, Pod, pod
from tests.missing import missing

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("s" * 43)
    return path


@pytest_asyncio.fixture(loop_scope="module")
async def feed(redis_url: str, database: str, secret: Path) -> AsyncIterator[Pod]:
    async with pod(redis_url, secret, FixedSnapshots(), database=database) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def log(redis_url: str) -> AsyncIterator[Log]:
    writer = Log(redis_url)
    yield writer
    await writer.redis.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def store(database: str) -> AsyncIterator[Store]:
    writer = Store(database)
    yield writer
    await writer.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        missing("no Chromium on this machine: infra/local/system-packages chromium installs it")
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def browser(chromium: Browser) -> AsyncIterator[Browser]:
    """The module's, without the pages of the tests before."""
    yield chromium
    for context in chromium.contexts:
        await context.close()
