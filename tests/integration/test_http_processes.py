"""The front as a process: it starts and ends in good order, shares its socket, and says what is lost."""

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import redis

from tests.integration.fronts import COMMAND, environment, fronting, listener, new_key, stop
from tests.servers import LocalServer
from tests.waiting import eventually_now

EVENT = {"ce-specversion": "1.0", "ce-source": "/shop", "ce-type": "order", "content-type": "application/json"}


@pytest.fixture
def settings(tmp_path: Path, redis_url: str, nats_url: str, database: str) -> dict[str, str]:
    return environment(tmp_path, redis_url, nats_url, database)


def send(url: str, bearer: dict[str, str], id: str, path: str = "/v1/events") -> httpx.Response:
    return httpx.post(url + path, headers={**EVENT, **bearer, "ce-id": id}, content=b"{}", timeout=20)


def test_nobody_is_refused_when_the_front_restarts_on_its_socket(tmp_path: Path, settings: dict[str, str], org: str) -> None:
    with listener() as listening:
        with fronting(tmp_path, settings, org, listening=listening) as first:
            assert send(first.url, first.bearer, "before").status_code == 202
            assert stop(first.process) == 0
        with fronting(tmp_path, settings, org, first.key, listening=listening) as second:
            assert send(second.url, second.bearer, "before").json()["duplicate"] is True


def test_ingest_serves_events_alone_when_it_is_its_own_process(tmp_path: Path, settings: dict[str, str], org: str) -> None:
    with fronting(tmp_path, settings, org, command=(sys.executable, "-m", "functions.ingest.main")) as ingest:
        assert send(ingest.url, ingest.bearer, "one").status_code == 202
        assert send(ingest.url, ingest.bearer, "one", "/").json()["duplicate"] is True
        assert ingest.client.options("/v1/events").headers["allow"] == "POST, OPTIONS"
        assert ingest.client.get("/v1/messages").status_code == 404
        assert stop(ingest.process) == 0


def test_two_fronts_serve_one_socket_when_it_is_shared(tmp_path: Path, settings: dict[str, str], org: str) -> None:
    with (
        listener() as listening,
        fronting(tmp_path, settings, org, listening=listening) as one,
        fronting(tmp_path, settings, org, one.key, listening=listening),
    ):
        assert stop(one.process) == 0
        assert send(one.url, one.bearer, "other").status_code == 202


async def test_accepted_events_are_answered_when_the_front_is_told_to_stop(
    tmp_path: Path, settings: dict[str, str], org: str, database: str
) -> None:
    key = await new_key(database, org)
    with fronting(tmp_path, settings, org, key) as front:
        async with httpx.AsyncClient(timeout=20, limits=httpx.Limits(max_connections=50)) as client:
            sending = [
                asyncio.create_task(
                    client.post(f"{front.url}/v1/events", headers={**EVENT, **front.bearer, "ce-id": str(number)}, content=b"{}")
                )
                for number in range(50)
            ]
            done, _ = await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
            assert done
            front.process.terminate()
            answers = await asyncio.gather(*sending, return_exceptions=True)
        assert await asyncio.to_thread(front.process.wait, 30) == 0
    statuses = {answer.status_code for answer in answers if isinstance(answer, httpx.Response)}
    assert statuses == {202}


def test_process_ends_with_78_when_an_operator_must_act(settings: dict[str, str]) -> None:
    settings["SWITCHBOARD_LOG_SHARDS"] = "none"
    ended = subprocess.run(COMMAND, env=settings, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 78
    assert "SWITCHBOARD_LOG_SHARDS" in ended.stderr


def test_process_ends_with_78_when_nobody_says_where_the_config_is(settings: dict[str, str]) -> None:
    del settings["SWITCHBOARD_DATABASE_URL"]
    ended = subprocess.run(COMMAND, env=settings, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 78
    assert "SWITCHBOARD_DATABASE_URL" in ended.stderr


def test_process_ends_with_78_when_the_log_would_lose_what_it_acknowledged(
    tmp_path: Path, own_redis: LocalServer, nats_url: str, database: str
) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("appendfsync", "everysec")
    settings = environment(tmp_path, own_redis.url, nats_url, database)
    with listener() as listening:
        settings["SWITCHBOARD_FRONT_FD"] = str(listening.fileno())
        ended = subprocess.run(
            COMMAND, env=settings, pass_fds=(listening.fileno(),), capture_output=True, text=True, timeout=30, check=False
        )
    assert ended.returncode == 78
    assert "appendfsync" in ended.stderr


def test_front_goes_on_with_the_last_snapshot_when_the_store_is_away(
    tmp_path: Path, redis_url: str, nats_url: str, own_database: LocalServer, org: str
) -> None:
    from shared.adapters.postgres.migrations import migrate

    migrate(own_database.url)
    settings = environment(tmp_path, redis_url, nats_url, own_database.url)
    with fronting(tmp_path, settings, org) as first:
        eventually_now(lambda: send(first.url, first.bearer, "first").status_code == 202)
        own_database.stop()
        assert send(first.url, first.bearer, "second").status_code == 202
        eventually_now(lambda: "config" in httpx.get(f"{first.url}/readyz").json()["degraded"])
    with fronting(tmp_path, settings, org, first.key, whole=False) as second:
        assert send(second.url, second.bearer, "third").status_code == 202
        assert "config" in httpx.get(f"{second.url}/readyz").json()["degraded"]


def test_answer_is_503_after_the_wait_and_the_same_id_is_taken_later_when_the_log_hangs(
    tmp_path: Path, own_redis: LocalServer, nats_url: str, database: str, org: str
) -> None:
    settings = environment(tmp_path, own_redis.url, nats_url, database) | {"SWITCHBOARD_LOG_WAIT": "1"}
    with fronting(tmp_path, settings, org) as front:
        assert send(front.url, front.bearer, "first").status_code == 202
        own_redis.pause()
        refused = send(front.url, front.bearer, "second")
        assert (refused.status_code, refused.json()["status"]) == (503, 503)
        assert "retry-after" in refused.headers
        own_redis.resume()
        eventually_now(lambda: send(front.url, front.bearer, "second").status_code == 202)


def test_answer_is_503_and_ready_says_so_when_the_log_is_away(
    tmp_path: Path, own_redis: LocalServer, nats_url: str, database: str, org: str
) -> None:
    with fronting(tmp_path, environment(tmp_path, own_redis.url, nats_url, database), org) as front:
        assert send(front.url, front.bearer, "first").status_code == 202
        own_redis.stop()
        refused = send(front.url, front.bearer, "second")
        assert (refused.status_code, refused.json()["status"]) == (503, 503)
        assert "retry-after" in refused.headers
        eventually_now(lambda: httpx.get(f"{front.url}/readyz").json()["degraded"] == ["log"])
        own_redis.start()
        eventually_now(lambda: send(front.url, front.bearer, "second").status_code == 202)


def test_stock_runner_gives_the_same_verdicts_when_it_serves_the_function(
    tmp_path: Path, settings: dict[str, str], org: str, front_port: int
) -> None:
    """`functions-framework --target ingest`: no wrapper of ours, the same door behind it."""
    runner = Path(sys.executable).with_name("functions-framework")
    command = [str(runner), "--target", "ingest", "--source", "functions/ingest/main.py", "--host", "127.0.0.1", "--port", str(front_port)]
    key = asyncio.run(new_key(settings["SWITCHBOARD_DATABASE_URL"], org))
    url, bearer = f"http://127.0.0.1:{front_port}", {"authorization": f"Bearer {key}"}
    with open(tmp_path / "runner.log", "wb") as log, subprocess.Popen(command, env=settings, stdout=log, stderr=log) as process:
        try:
            eventually_now(lambda: answers(url))
            accepted = send(url, bearer, "one", "/")
            assert (accepted.status_code, accepted.json()["org"]) == (202, org)
            assert send(url, bearer, "one", "/v1/events").json()["duplicate"] is True
            assert send(url, {}, "two", "/").status_code == 401
            malformed = httpx.post(url, headers={**bearer, "content-type": "application/cloudevents+json"}, content=b"{")
            assert (malformed.status_code, malformed.headers["content-type"]) == (400, "application/problem+json")
            assert send(url, bearer, "three", "/elsewhere").status_code == 404
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
def front_port() -> int:
    with listener() as free:
        port: int = free.getsockname()[1]
        return port


def answers(url: str) -> bool:
    try:
        return httpx.options(url, timeout=10).status_code == 200
    except httpx.TransportError:
        return False
