"""What the registry's snapshot has, for processes of the install (contracts.md, "Config")."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypedDict

import httpx
import msgspec
import pytest_asyncio

from shared.domain.registry.reach import Reach
from shared.domain.request_proof import HEADER, prove_request
from tests.declared import made, registering
from tests.rest import Api, problem
from tests.waiting import eventually


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with registering(tmp_path) as served:
        yield served


class Held(TypedDict):
    """What the snapshot has."""

    revision: int
    home: str
    cluster: str
    backbones: tuple[Reach, ...]


async def snapshot(api: Api, query: str = "", key: bytes = b"s" * 48, known: str | None = None) -> httpx.Response:
    """The answer to a process of the install."""
    target = "/v1/registry/snapshot" + query
    proof = {HEADER: prove_request(key, "GET", target, int(time.time()))}
    return await api.ask(None, target, headers=proof if known is None else proof | {"if-none-match": known})


async def test_snapshot_has_the_backbones_of_a_revision_and_says_when_they_change(api: Api) -> None:
    admin = await api.key()
    await made(api, admin)
    current = await api.config.snapshot()
    await eventually(lambda: api.resources.snapshots.current == current)
    answer = await snapshot(api)
    found = msgspec.msgpack.decode(answer.content, type=Held)
    assert found == Held(revision=current.revision, home="local", cluster="local", backbones=current.backbones)
    assert answer.headers["etag"] == f'"{current.revision}"'
    assert (await snapshot(api, known=answer.headers["etag"])).status_code == 304
    poll = asyncio.create_task(snapshot(api, "?wait=20", known=answer.headers["etag"]))
    await asyncio.wait([poll], timeout=0.1)
    assert not poll.done()
    second = await made(api, admin, name="second")
    changed = msgspec.msgpack.decode((await asyncio.wait_for(poll, 30)).content, type=Held)
    assert second["id"] in [one.id for one in changed["backbones"]]
    before = msgspec.msgpack.decode((await snapshot(api, f"?revision={current.revision}")).content, type=Held)
    assert before["backbones"] == current.backbones
    problem(await snapshot(api, f"?revision={changed['revision'] + 1}"), 404)


async def test_snapshot_is_for_processes_of_the_install_only(api: Api) -> None:
    problem(await api.ask(await api.key("root", "default", system=True), "/v1/registry/snapshot"), 401)
    problem(await snapshot(api, key=b"another key, as long as the others are"), 401)
