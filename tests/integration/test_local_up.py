"""`switchboard up`: one run a state directory, what it tells others, what it restarts, and what is left after a crash."""

import contextlib
import ctypes
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import nats
import psycopg
import pytest
import redis
from nats.js.api import StreamConfig

from infra.local.child import birth
from tests.integration.running_up import PRODUCT, RunningUp
from tests.servers import LocalServer
from tests.waiting import eventually_now

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

StartUp = Callable[..., RunningUp]


@pytest.fixture
def start_up(tmp_path: Path) -> Iterator[StartUp]:
    """Starts `up` on one state directory; stops whatever still runs after the test."""
    started: list[RunningUp] = []

    def start(**environment: str) -> RunningUp:
        started.append(RunningUp(tmp_path / "state", environment))
        return started[-1]

    yield start
    for up in started:
        up.stop()


@pytest.fixture
def servers(redis_url: str, nats_url: str, database_url: str) -> dict[str, str]:
    """The run's servers as settings: for tests that aren't about the embedded ones, which take seconds to make."""
    return {"SWITCHBOARD_REDIS_URL": redis_url, "SWITCHBOARD_NATS_URL": nats_url, "SWITCHBOARD_DATABASE_URL": database_url}


def is_gone(pid: int) -> bool:
    return birth(pid) is None


def test_endpoints_name_everything_when_ready_and_are_gone_when_stopped(start_up: StartUp) -> None:
    up = start_up()
    endpoints = up.ready()
    assert stat.S_IMODE(up.state.stat().st_mode) == 0o700
    for name in ("endpoints.json", "admin.key", "secret", "passwords.json"):
        assert stat.S_IMODE((up.state / name).stat().st_mode) == 0o600
    assert set(endpoints["processes"]) == {"logger", "front"}
    assert set(endpoints["servers"]) == {"redis", "nats", "database"}
    assert Path(endpoints["admin_key_file"]).read_text() == "a key\n"
    assert httpx.get(endpoints["http"]).status_code == 200
    with redis.Redis.from_url(endpoints["redis"]) as client:
        assert client.ping()
    with psycopg.connect(endpoints["database"]) as connection:
        connection.execute("SELECT 1")

    assert up.stop() == 0
    assert not (up.state / "endpoints.json").exists()
    assert all(is_gone(pid) for pid in (*endpoints["processes"].values(), *endpoints["servers"].values()))


def test_processes_are_told_where_everything_is_when_started(start_up: StartUp) -> None:
    up = start_up()
    endpoints = up.ready()
    told = up.front()["environment"]
    assert told["SWITCHBOARD_REDIS_URL"] == endpoints["redis"]
    assert told["SWITCHBOARD_NATS_URL"] == endpoints["nats"]
    assert told["SWITCHBOARD_DATABASE_URL"] == endpoints["database"]
    assert told["SWITCHBOARD_STATE_DIR"] == str(up.state)
    assert told["SWITCHBOARD_SECRET_FILE"] == str(up.state / "secret")


def test_a_second_up_is_refused_with_the_firsts_pid_when_one_runs(start_up: StartUp, servers: dict[str, str]) -> None:
    first = start_up(**servers)
    first.ready()
    second = start_up()
    assert second.ended() == 78
    assert f"pid {first.process.pid}\n" in second.output.read_text()
    assert first.front()["pid"] == first.endpoints()["processes"]["front"]


def zombies() -> set[int]:
    """The children of this process that ended and that nobody has waited for yet."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, parent = status.read_text().rpartition(")")[2].split()[:2]  # proc(5)
            if state == "Z" and int(parent) == os.getpid():
                found.add(int(status.parent.name))
    return found


@pytest.fixture
def nobody_waits_for_orphans() -> Iterator[None]:
    """What is left without a parent becomes this process's, which waits for none of it before the test's end."""
    libc, others = ctypes.CDLL(None, use_errno=True), zombies()
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1) == 0
    yield
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 0) == 0
    for pid in zombies() - others:
        os.waitpid(pid, 0)


async def test_all_data_is_there_when_everything_was_killed(start_up: StartUp) -> None:
    up = start_up()
    before = up.ready()
    with redis.Redis.from_url(before["redis"]) as client:
        client.rpush("list", "a", "b")
    with psycopg.connect(before["database"]) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS n")
    broker = await nats.connect(before["nats"], allow_reconnect=False, connect_timeout=30)
    await broker.jetstream().add_stream(StreamConfig(name="s", subjects=["s.>"]))
    await broker.jetstream().publish("s.a", b"1")
    await broker.close()

    up.kill_everything()
    after = start_up().ready()

    assert {name: after[name] for name in ("redis", "nats", "database")} == {name: before[name] for name in ("redis", "nats", "database")}
    with redis.Redis.from_url(after["redis"]) as client:
        assert client.lrange("list", 0, -1) == [b"a", b"b"]
    with psycopg.connect(after["database"]) as connection:
        assert connection.execute("SELECT n FROM t").fetchone() == (1,)
    broker = await nats.connect(after["nats"])
    assert (await broker.jetstream().stream_info("s")).state.messages == 1
    await broker.close()


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
@pytest.mark.usefixtures("nobody_waits_for_orphans")
def test_it_starts_again_when_nobody_has_waited_for_the_killed_servers(start_up: StartUp) -> None:
    up = start_up()
    orphans = up.ready()["servers"]
    up.kill_everything()
    eventually_now(lambda: set(orphans.values()) <= zombies())

    again = start_up().ready()["servers"]

    assert set(orphans.values()) <= zombies()
    assert set(again.values()).isdisjoint(orphans.values())


def test_an_acknowledged_message_is_found_when_the_product_was_killed(tmp_path: Path) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/t", "type": "t.sent", "data": {"n": 1}}
    up = RunningUp(tmp_path / "state", command=PRODUCT)
    try:
        up.ready()
        with up.client() as client:
            sent = client.post("/v1/events", json=event, headers={"content-type": "application/cloudevents+json"})
        up.kill_everything()
        assert sent.status_code == 202
        up = RunningUp(tmp_path / "state", command=PRODUCT)
        up.ready()
        with up.client() as client:
            path = f"/v1/messages/{sent.json()['id']}"
            eventually_now(lambda: client.get(path).is_success)
            found = client.get(path).json()
        assert (found["event_id"], found["data"]) == ("1", {"n": 1})
    finally:
        up.stop()


@pytest.mark.skipif(not Path("/proc").exists(), reason="the kernel ends orphans on Linux only; elsewhere the next `up` stops them")
def test_nothing_goes_on_when_up_alone_was_killed(start_up: StartUp) -> None:
    up = start_up()
    endpoints = up.ready()
    up.process.kill()
    up.process.wait()
    children = (*endpoints["processes"].values(), *endpoints["servers"].values())
    eventually_now(lambda: all(map(is_gone, children)))


def test_a_server_comes_back_under_its_url_when_it_was_killed(start_up: StartUp) -> None:
    up = start_up()
    before = up.ready()
    os.kill(before["servers"]["redis"], signal.SIGKILL)
    eventually_now(lambda: up.endpoints()["servers"]["redis"] != before["servers"]["redis"])
    after = up.endpoints()
    assert after["redis"] == before["redis"]
    assert after["servers"]["nats"] == before["servers"]["nats"]
    with redis.Redis.from_url(after["redis"]) as client:
        eventually_now(lambda: answers(client))


def answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_no_request_is_refused_when_the_front_restarts(start_up: StartUp, servers: dict[str, str]) -> None:
    up = start_up(**servers)
    first = up.ready()["processes"]["front"]
    with pytest.raises(httpx.RemoteProtocolError):
        up.front("/crash")
    assert up.front()["pid"] != first


def test_a_port_is_named_when_somebody_else_has_it(start_up: StartUp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = start_up(PORT=str(port))
        assert up.ended() == 78
    assert f"port {port} " in up.output.read_text()


def test_the_variable_is_named_when_a_setting_is_bad(start_up: StartUp) -> None:
    up = start_up(SWITCHBOARD_FRONTS="none")
    assert up.ended() == 78
    assert "SWITCHBOARD_FRONTS: " in up.output.read_text()


def test_up_is_refused_when_it_is_told_of_a_hub(tmp_path: Path) -> None:
    env = {**os.environ, "SWITCHBOARD_HUB_URL": "http://127.0.0.1:1", "SWITCHBOARD_STATE_DIR": str(tmp_path / "state")}
    done = subprocess.run([sys.executable, "-m", "infra.cli.main", "up"], env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 78
    assert "SWITCHBOARD_HUB_URL" in done.stderr
    assert not (tmp_path / "state").exists()


def test_it_ends_at_once_with_the_reason_when_a_process_is_misconfigured(start_up: StartUp, servers: dict[str, str]) -> None:
    up = start_up(**servers, REFUSE_TO_RUN="1")
    assert up.ended() == 78
    assert "is not for this service" in up.output.read_text()


def test_an_external_server_is_used_when_its_url_is_set(start_up: StartUp, servers: dict[str, str]) -> None:
    up = start_up(**servers)
    endpoints = up.ready()
    assert endpoints["servers"] == {}
    assert [endpoints["redis"], endpoints["nats"], endpoints["database"]] == list(servers.values())


@pytest.mark.parametrize(("name", "url"), [("REDIS", "redis://u:hunter2@127.0.0.1:1/0"), ("NATS", "nats://u:hunter2@127.0.0.1:1")])
def test_an_external_server_is_named_when_it_does_not_answer(start_up: StartUp, name: str, url: str) -> None:
    running = start_up(**{f"SWITCHBOARD_{name}_URL": url})
    assert running.ended() == 69
    said = running.output.read_text()
    assert f"SWITCHBOARD_{name}_URL can't be reached" in said
    assert "hunter2" not in said
    assert "ready" not in said


def test_a_doors_redis_is_refused_with_the_reason_when_it_evicts(
    start_up: StartUp, servers: dict[str, str], own_redis: LocalServer
) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory-policy", "allkeys-random")
    up = start_up(**servers, SWITCHBOARD_REDIS_DOOR_URL=own_redis.url)
    assert up.ended() == 78
    assert "SWITCHBOARD_REDIS_DOOR_URL" in up.output.read_text()
    assert "maxmemory-policy=allkeys-random" in up.output.read_text()


def test_several_fronts_share_the_port_when_asked_for(start_up: StartUp, servers: dict[str, str]) -> None:
    up = start_up(**servers, SWITCHBOARD_FRONTS="2")
    assert set(up.ready()["processes"]) == {"logger", "front", "front-2"}


def test_a_lost_password_file_is_not_guessed_when_it_is_broken(start_up: StartUp, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    broken = tmp_path / "state" / "passwords.json"
    broken.write_text("{")
    up = start_up()
    assert up.ended() == 78
    assert str(broken) in up.output.read_text()
