"""A registry over REST with something declared in it: what tests of it begin with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from functions.registry_crud.main import build
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.message_store import MemoryMessageStore
from tests.rest import Api, serving

CLUSTERS, BACKBONES = "/v1/clusters", "/v1/backbones"
EU = {
    "name": "eu",
    "provider": "helm",
    "region": "west",
    "access": {"kubeconfig_secret": "acme.eu"},
    "metadata": {"tier": [1, {"a": None}]},
}
MAIN = {"cluster": "eu", "name": "main", "endpoint": "nats://nats.eu.example", "metadata": {"version": "2.11", "any": {"thing": 1}}}


@asynccontextmanager
async def registering(directory: Path) -> AsyncIterator[Api]:
    """The function on a registry in memory, for the time of the block."""
    async with serving(build, directory, MemoryMessageStore(), MemoryConfigStore()) as served:
        yield served


async def made(api: Api, key: str, **more: Any) -> Any:
    """A backbone of the caller's, in a cluster eu that is made where it is missing."""
    if (await api.ask(key, f"{CLUSTERS}/eu")).status_code == 404:
        assert (await api.ask(key, CLUSTERS, "POST", json=EU)).status_code == 202
    answer = await api.ask(key, BACKBONES, "POST", json=MAIN | more)
    assert answer.status_code == 202, answer.text
    return answer.json()
