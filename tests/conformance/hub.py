"""A hub for the suites: its functions on given stores, in this process, asked by an edge's own adapters."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from functions.config_crud.main import build as config_crud
from functions.log_batch.api import Rows
from shared.adapters.hub import HubCalls
from shared.edge.app import Edge
from shared.edge.asgi import ASGIApp
from shared.ports import ConfigStore, MessageStore
from shared.resources import Resources
from shared.settings import Settings


@asynccontextmanager
async def asked(app: ASGIApp, key: bytes) -> AsyncIterator[HubCalls]:
    """The way to an app as an edge has it."""
    calls = HubCalls("http://hub", (key,), httpx.ASGITransport(app))
    yield calls
    await calls.stop()


@asynccontextmanager
async def config_hub(config: ConfigStore, folder: Path) -> AsyncIterator[HubCalls]:
    """config-crud on this store."""
    resources, key = _resources(folder)

    async def given() -> tuple[ConfigStore, None]:
        return config, None

    await resources.once("config", given)
    edge = Edge("hub", config_crud, resources)
    await edge.start()
    async with asked(edge, key) as calls:
        yield calls
    await edge.stop()


@asynccontextmanager
async def store_hub(store: MessageStore, folder: Path) -> AsyncIterator[HubCalls]:
    """log-batch on this store."""
    resources, key = _resources(folder)

    async def given() -> tuple[MessageStore, None]:
        return store, None

    await resources.once("store", given)
    async with asked(Rows(resources), key) as calls:
        yield calls
    await resources.stop()


def _resources(folder: Path) -> tuple[Resources, bytes]:
    key = secrets.token_hex(24).encode()
    (folder / "secret").write_bytes(key)
    return Resources(Settings(state_dir=folder / "state", secret_file=folder / "secret")), key
