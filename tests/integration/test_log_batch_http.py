"""log_batch over HTTP, as a logger with SWITCHBOARD_LOG_BATCH_URL would call it: a batch under its proof, 204 after the commit."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import psycopg
import pytest

from functions.log_batch.main import build
from shared.adapters.postgres.migrations import migrate
from shared.domain.errors import Unavailable
from shared.domain.logged import Unreadable
from shared.domain.record import pack_flush, pack_records
from shared.edge.app import Edge
from shared.resources import Resources
from shared.settings import Settings
from shared.stages.calls import Calls
from shared.stages.log_batch import RemoteRows
from shared.stages.rows import EVENT_TYPE, PROOF, SHARD, SOURCE, pack_batch, proof_of, source_of, unpack_batch
from tests.events import accepted
from tests.servers import LocalServer

KEY, EDGE_KEY = b"k" * 40, b"e" * 40  # the install's, and the edge-1's own


def settings(database_url: str, folder: Path) -> Settings:
    secret = folder / "secret"
    secret.write_bytes(KEY + b"\n")
    edges = folder / "edges"
    edges.mkdir(exist_ok=True)
    (edges / "edge-1").write_bytes(EDGE_KEY + b"\n")
    return Settings(database_url=database_url, secret_file=secret, state_dir=folder, edge_keys=edges)


@pytest.fixture
async def edge(database: str, tmp_path: Path) -> AsyncIterator[Edge]:
    edge = Edge("log_batch", build, Resources(settings(database, tmp_path)))
    await edge.start()
    yield edge
    await edge.stop()


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://log-batch") as client:
        yield client


@pytest.fixture
async def rows_call(edge: Edge) -> AsyncIterator[RemoteRows]:
    """The logger's side of it."""
    call = RemoteRows(Calls("log-batch", "http://log-batch", 20, transport=httpx.ASGITransport(edge)), (KEY,), "/clusters/local/logger")
    yield call
    await call.close()


def batch(*ids: str) -> bytes:
    return pack_batch([(1, pack_flush(1_800_000_000_000_000, b"n" * len(ids), pack_records([accepted(id) for id in ids])))])


def headers(body: bytes, shard: int = 0, key: bytes = KEY, cluster: str = "local") -> dict[str, str]:
    proof = proof_of(key, source_of(cluster), shard, body)
    told = {"ce-type": EVENT_TYPE, SOURCE: source_of(cluster), SHARD: str(shard), PROOF: proof}
    return told | {"content-type": "application/octet-stream"}


def rows(database: str) -> list[str]:
    with psycopg.connect(database) as connection:
        return [id for (id,) in connection.execute("SELECT event_id FROM messages ORDER BY event_id").fetchall()]


async def test_rows_are_there_when_the_answer_is_204_and_once_when_it_comes_twice(client: httpx.AsyncClient, database: str) -> None:
    body = batch("e1", "e2")
    for _ in range(2):
        answer = await client.post("/", content=body, headers=headers(body))
        assert (answer.status_code, answer.content) == (204, b"")
        assert rows(database) == ["e1", "e2"]


async def test_a_batch_is_401_and_not_written_when_its_proof_is_wrong(client: httpx.AsyncClient, database: str) -> None:
    body = batch("e1")
    for wrong in (
        headers(body, key=b"x" * 40),
        headers(body) | {SHARD: "1"},
        headers(body) | {SOURCE: source_of("edge")},
        headers(body) | {PROOF: ""},
        headers(b"other"),
    ):
        answer = await client.post("/", content=body, headers=wrong)
        assert answer.status_code == 401
        assert (await client.post("/", content=b"{}", headers={"content-type": "application/json"})).status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
    assert rows(database) == []


async def test_what_is_no_batch_is_400(client: httpx.AsyncClient) -> None:
    body = batch("e1")
    for wrong in (headers(body) | {"ce-type": "order"}, headers(body) | {SHARD: "x"}, headers(body) | {SOURCE: "/s"}, headers(body[:-1])):
        answer = await client.post("/", content=body[:-1], headers=wrong)
        assert answer.status_code == 400


async def test_a_batch_is_503_when_the_store_is_down(own_database: LocalServer, tmp_path: Path) -> None:
    migrate(own_database.url)
    edge = Edge("log_batch", build, Resources(settings(own_database.url, tmp_path)))
    await edge.start()
    own_database.kill()
    body = batch("e1")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://log-batch") as client:
        answer = await client.post("/", content=body, headers=headers(body))
        assert answer.status_code == 503
    await edge.stop()


async def test_logger_s_flushes_are_rows_once_when_they_are_handed_over_twice(rows_call: RemoteRows, database: str) -> None:
    flushes = unpack_batch(batch("e1", "e2"))
    for _ in range(2):
        await rows_call.write(0, flushes)
        assert rows(database) == ["e1", "e2"]
    assert rows_call.reachable()


async def test_logger_is_not_stopped_when_flushes_or_one_of_them_are_larger_than_the_receiver_takes(
    rows_call: RemoteRows, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.log_batch.api.MAX_BYTES", 1_000)
    names = [f"e{number:02}" for number in range(40)]
    flush, next_one = unpack_batch(batch(*names)), unpack_batch(batch("f1"))
    unread = Unreadable(2, b"?" * 3_000, "another release's")
    for _ in range(2):
        await rows_call.write(0, [*flush, unread, msgspec.structs.replace(next_one[0], number=3)])
        assert rows(database) == [*names, "f1"]
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT DISTINCT flush FROM quarantine").fetchall() == [(2,)]


async def test_logger_keeps_its_batch_when_the_answer_is_no_204(edge: Edge, database: str) -> None:
    call = RemoteRows(
        Calls("log-batch", "http://log-batch", 20, transport=httpx.ASGITransport(edge)), (b"x" * 40,), "/clusters/local/logger"
    )
    with pytest.raises(Unavailable):
        await call.write(0, unpack_batch(batch("e1")))
    assert not call.reachable()
    assert rows(database) == []
    await call.close()


@pytest.mark.parametrize(
    ("cluster", "key", "status"), [("edge-1", EDGE_KEY, 204), ("edge-1", KEY, 204), ("edge-2", EDGE_KEY, 401), ("local", EDGE_KEY, 401)]
)
async def test_edge_hands_over_batches_of_its_own_cluster_alone_when_it_has_a_key_of_its_own(
    client: httpx.AsyncClient, cluster: str, key: bytes, status: int
) -> None:
    source, body = source_of(cluster), pack_batch([(1, pack_flush(1_000_000, b"", pack_records([])))])
    headers = {"ce-type": EVENT_TYPE, SHARD: "0", SOURCE: source, PROOF: proof_of(key, source, 0, body)}
    answer = await client.post("/", content=body, headers=headers)
    assert answer.status_code == status, answer.text
