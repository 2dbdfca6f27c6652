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
from shared.trust.logins import Logins
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


async def snapshot(api: Api, query: str = "", key: bytes = b"s" * 48, known: str | None = None, method: str = "GET") -> httpx.Response:
    """The answer to a process of the install."""
    target = "/v1/registry/snapshot" + query
    proof = {HEADER: prove_request(key, method, target, int(time.time()))}
    return await api.ask(None, target, method, headers=proof if known is None else proof | {"if-none-match": known})


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


async def test_edge_gets_its_own_token_in_the_place_of_the_keys_when_a_backbone_has_some(api: Api, tmp_path: Path) -> None:
    edges = {"eu-1": b"e" * 48, "us-1": b"u" * 48}
    (tmp_path / "edges").mkdir()
    for name, key in edges.items():
        (tmp_path / "edges" / name).write_bytes(key)
    admin = await api.key(system=True)
    await made(api, admin)
    cluster = {"name": "ours", "provider": "helm", "access": {"in_cluster": True}}
    assert (await api.ask(admin, "/v1/clusters", "POST", json=cluster)).status_code == 202
    keyed = (await api.ask(admin, "/v1/backbones", "POST", json={"cluster": "ours", "name": "keyed"})).json()["id"]
    said = {"cluster": "ours", "name": "theirs", "spec": {"values": {"auth": {"secret": "mine"}}}}
    theirs = (await api.ask(admin, "/v1/backbones", "POST", json=said)).json()["id"]
    current = await api.config.snapshot()
    await eventually(lambda: api.resources.snapshots.current == current)
    whole = msgspec.msgpack.decode((await snapshot(api)).content, type=Held)["backbones"]
    assert whole == current.backbones
    assert {one.id: bool(one.keys) for one in whole}.items() >= {keyed: True, theirs: False}.items()
    credentials = set()
    for key in edges.values():
        told = {one.id: one for one in msgspec.msgpack.decode((await snapshot(api, key=key)).content, type=Held)["backbones"]}
        assert told.keys() == {one.id for one in whole}
        assert {one.keys for one in told.values()} == {b""}
        assert [id for id, one in told.items() if one.token] == [id for one in whole if (id := one.id) and one.keys]
        credentials.add(Logins((key,)).of(told[keyed]))
    assert len(credentials) == 2
    assert "" not in credentials


async def test_head_says_of_the_snapshot_what_get_does_under_a_proof_of_its_own(api: Api) -> None:
    await made(api, await api.key())
    current = await api.config.snapshot()
    await eventually(lambda: api.resources.snapshots.current == current)
    whole, told = await snapshot(api), await snapshot(api, method="HEAD")
    assert (told.status_code, told.headers, told.content) == (200, whole.headers, b"")
    assert int(told.headers["content-length"]) == len(whole.content)
    assert (await snapshot(api, known=told.headers["etag"], method="HEAD")).status_code == 304
    proven = whole.request.headers[HEADER]
    assert (await api.ask(None, "/v1/registry/snapshot", "HEAD", headers={HEADER: proven})).status_code == 401


async def test_snapshot_is_for_processes_of_the_install_only(api: Api) -> None:
    problem(await api.ask(await api.key("root", "default", system=True), "/v1/registry/snapshot"), 401)
    problem(await snapshot(api, key=b"another key, as long as the others are"), 401)
