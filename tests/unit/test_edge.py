"""The edge around a function: health, errors, the app's own start and stop, the request log line."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from shared.domain.errors import Forbidden, Misconfigured
from shared.domain.snapshot import Snapshot
from shared.edge import openapi
from shared.edge.app import Edge
from shared.edge.asgi import ASGIApp, Receive, Scope, Send
from shared.edge.lifespan import lifespan_of
from shared.edge.rest import rest_app
from shared.resources import Resources
from shared.settings import Settings
from tests.unit.test_snapshots import Store, snapshot


def resources_on(store: Store, directory: Path) -> Resources:
    """Resources whose config store is the test's."""
    made = Resources(Settings(state_dir=directory))
    made._held["config"] = store
    return made


@asynccontextmanager
async def running(app: ASGIApp, resources: Resources) -> AsyncIterator[httpx.AsyncClient]:
    edge = Edge("tested", lambda _: app, resources)
    async with lifespan_of(edge), httpx.AsyncClient(transport=httpx.ASGITransport(app=edge), base_url="http://edge") as client:
        yield client


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/refused":
        raise Forbidden("no grant", rule="grant")
    raise RuntimeError("secret detail")


async def test_process_is_ready_when_it_has_a_snapshot(tmp_path: Path) -> None:
    async with running(failing, resources_on(Store(snapshot(1)), tmp_path)) as client:
        assert (await client.get("/healthz")).status_code == 200
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready", "degraded": []})


async def test_process_is_not_ready_when_it_drains(tmp_path: Path) -> None:
    resources = resources_on(Store(snapshot(1)), tmp_path)
    async with running(failing, resources) as client:
        resources.draining = True
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")


async def test_process_lives_and_says_what_is_lost_when_there_never_was_a_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.resources.FIRST_SNAPSHOT", 0.05)
    async with running(failing, resources_on(Store(None), tmp_path)) as client:
        assert (await client.get("/healthz")).status_code == 200
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, {"status": "starting", "degraded": ["config"]})
        assert 'switchboard_degraded{dependency="config"} 1.0' in (await client.get("/metrics")).text


async def test_error_is_a_problem_when_the_function_raises(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(failing, resources_on(Store(snapshot(1)), tmp_path)) as client:
        refused = await client.get("/refused", headers={"traceparent": "00-a-b-01"})
        assert (refused.status_code, refused.json()["rule"]) == (403, "grant")
        assert refused.headers["traceparent"] == "00-a-b-01"
        broken = await client.get("/broken")
        assert (broken.status_code, broken.headers["content-type"]) == (500, "application/problem+json")
        assert "secret" not in broken.text
        assert len([record for record in caplog.records if record.exc_info]) == 1
        assert 'switchboard_http_responses_total{status="403"} 1.0' in (await client.get("/metrics")).text


async def test_log_has_one_wide_line_when_a_request_was_answered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with running(failing, resources_on(Store(snapshot(1)), tmp_path)) as client:
        await client.get("/refused?secret=1")
    (line,) = [record.__dict__ for record in caplog.records if record.name == "switchboard.request"]
    assert (line["method"], line["path"], line["status"], line["function"]) == ("GET", "/refused", 403, "tested")


async def test_app_starts_and_stops_within_the_edge_when_it_has_a_lifespan(tmp_path: Path) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        seen.append("started")
        yield
        seen.append("stopped")

    async with running(FastAPI(lifespan=lifespan), resources_on(Store(snapshot(1)), tmp_path)):
        assert seen == ["started"]
    assert seen == ["started", "stopped"]


async def test_start_fails_with_the_reason_when_an_operator_must_act(tmp_path: Path) -> None:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        raise Misconfigured("appendfsync is everysec")
        yield

    edge = Edge("tested", lambda _: FastAPI(lifespan=lifespan), resources_on(Store(snapshot(1)), tmp_path))
    with pytest.raises(RuntimeError, match="appendfsync"):
        async with lifespan_of(edge):
            pass
    assert edge.misconfigured is not None
    assert edge.misconfigured.EXIT_CODE == 78


async def test_the_first_snapshot_is_waited_for_beside_what_a_function_prepares(tmp_path: Path) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    class Waiting(Store):
        async def changes(self) -> AsyncIterator[Snapshot]:
            asked.set()
            await answered.wait()
            yield snapshot(1)

    async def prepare(_: Resources) -> None:
        await asked.wait()
        answered.set()

    edge = Edge("tested", lambda _: FastAPI(), resources_on(Waiting(snapshot(1)), tmp_path), prepare)
    async with asyncio.timeout(30), lifespan_of(edge):
        assert edge.resources is not None
        assert edge.resources.ready


async def test_start_fails_with_the_reason_when_what_is_prepared_is_misconfigured(tmp_path: Path) -> None:
    async def prepare(_: Resources) -> None:
        raise Misconfigured("appendfsync is everysec")

    edge = Edge("tested", lambda _: FastAPI(), resources_on(Store(snapshot(1)), tmp_path), prepare)
    with pytest.raises(RuntimeError, match="appendfsync"):
        async with lifespan_of(edge):
            pass
    assert edge.misconfigured is not None


async def test_rest_errors_are_problems_when_a_route_or_fastapi_raises(tmp_path: Path) -> None:
    resources = resources_on(Store(snapshot(1)), tmp_path)
    app = rest_app("tested", resources.snapshots)

    @app.get("/v1/numbers/{number}")
    async def read(number: int) -> int:
        raise Forbidden("no grant", rule="grant")

    async with running(app, resources) as client:
        assert (await client.get("/v1/numbers/1")).json()["status"] == 403
        invalid = (await client.get("/v1/numbers/one")).json()
        assert (invalid["status"], invalid["errors"][0]["pointer"]) == (400, "/number")
        assert (await client.get("/v1/nothing")).json()["status"] == 404
        assert (await client.delete("/v1/numbers/1")).json()["status"] == 405
        assert (await client.get("/v1/numbers/1/")).json()["status"] == 404  # and no redirect to the host of the request's Host header


def test_documents_are_one_when_functions_have_their_own() -> None:
    app = FastAPI()
    app.get("/v1/a", summary="<Read> a")(lambda: None)
    made = {"post": {"summary": "Make a", "responses": {"202": {"description": "made"}, "403": {"description": "no"}}}}
    document = openapi.merged([{"paths": {"/v1/a": made}}, app.openapi()])
    answers = document["paths"]["/v1/a"]["post"]["responses"]
    assert [status for status, answer in answers.items() if "application/problem+json" in answer.get("content", {})] == ["403"]
    assert set(document["paths"]["/v1/a"]) == {"post", "get"}
    assert b"&lt;Read&gt; a" in openapi.page(document)
