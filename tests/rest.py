"""A REST function on a process's resources, asked as its clients ask: by HTTP, with keys."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.credentials import MemoryCredentials
from shared.adapters.memory.registry import MemoryRegistry
from shared.adapters.postgres import PostgresConfigStore, PostgresCredentials, PostgresMessageStore, PostgresRegistry
from shared.domain.principal import Grant, Principal
from shared.edge.app import Edge
from shared.edge.asgi import ASGIApp
from shared.ports import ConfigStore, Credentials, MessageStore, Registry
from shared.resources import Resources
from shared.settings import Settings
from tests.waiting import eventually

ADMIN = Grant("admin")
Build = Callable[[Resources], ASGIApp]


class Api:
    """The function behind its edge. `store` and `config` are those it has; so is `registry`, where there is one."""

    def __init__(
        self, resources: Resources, client: httpx.AsyncClient, store: MessageStore, config: ConfigStore, registry: Registry | None = None
    ) -> None:
        self.resources, self.client, self.store, self.config = resources, client, store, config
        self._registry = registry

    @property
    def registry(self) -> Registry:
        """The registry beside the config store."""
        assert self._registry is not None
        return self._registry

    async def key(self, name: str = "admin", org: str = "acme", *grants: Grant, system: bool = False) -> str:
        """A new principal's key, once it is in force. Without grants it is an admin."""
        await self.config.put_principal(Principal(name, org, grants or (ADMIN,), system), "test")
        _, key = await self.config.create_key(org, name, "test")
        await eventually(lambda: self.resources.snapshots.current.principal_of(key))
        return key

    async def ask(self, key: str | None, path: str, method: str = "GET", **request: Any) -> httpx.Response:
        """An answer; `request` is httpx's."""
        headers = {**({} if key is None else {"authorization": f"Bearer {key}"}), **request.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **request)


@asynccontextmanager
async def serving(
    build: Build,
    directory: Path,
    store: MessageStore,
    config: ConfigStore,
    registry: Registry | None = None,
    credentials: Credentials | None = None,
) -> AsyncIterator[Api]:
    """The function on these stores, in this process, for the time of the block. `directory` takes its state."""
    secret = directory / "secret"
    secret.write_bytes(b"s" * 48)
    resources = Resources(Settings(state_dir=directory / "state", secret_file=secret, edge_keys=directory / "edges"))

    async def given_store() -> tuple[MessageStore, None]:
        return store, None

    async def given_config() -> tuple[ConfigStore, None]:
        return config, None

    if registry is None and isinstance(config, MemoryConfigStore):
        credentials = MemoryCredentials(config)
        registry = MemoryRegistry(config, credentials)

    async def given_registry() -> tuple[Registry, None]:
        assert registry is not None
        return registry, None

    async def given_credentials() -> tuple[Credentials, None]:
        assert credentials is not None
        return credentials, None

    if credentials is not None:
        await resources.once("credentials", given_credentials)
    await resources.once("store", given_store)
    await resources.once("config", given_config)
    if registry is not None:
        await resources.once("registry", given_registry)
    edge = Edge("test", build, resources)
    await edge.start()
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=edge), base_url="http://front") as client:
            yield Api(resources, client, store, config, registry)
    finally:
        await edge.stop()


@asynccontextmanager
async def serving_on(database: str, build: Build, directory: Path) -> AsyncIterator[Api]:
    """The same on a real database, which is migrated already."""
    store, config, registry = PostgresMessageStore(database), PostgresConfigStore(database), PostgresRegistry(database)
    credentials = PostgresCredentials(database)
    await store.start()
    await config.start()
    try:
        async with serving(build, directory, store, config, registry, credentials) as served:
            yield served
    finally:
        await credentials.stop()
        await registry.stop()
        await config.stop()
        await store.stop()


def problem(response: httpx.Response, status: int, pointer: str | None = None) -> dict[str, Any]:
    """The problem of an answer, checked to be one of this status that names `pointer`."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), response.text
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    if pointer is not None:
        assert [fault["pointer"] for fault in document["errors"]] == [pointer], document
    return document
