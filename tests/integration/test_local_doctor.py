"""`switchboard doctor` and `switchboard env` against real servers."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis

from infra.local.checks import Finding, Subject, examine
from shared.settings import Settings
from tests.integration.redis_tenants import without_config
from tests.servers import LocalServer

ANY_PORT = {"PORT": "0"}  # the usual one may be the quickstart's, which another worker is at


async def found(**urls: str) -> dict[str, Finding]:
    return dict(await examine(Subject(Settings.from_env(ANY_PORT), urls)))


async def test_nothing_fails_when_all_is_well(redis_url: str, nats_url: str, database: str) -> None:
    findings = await found(redis=redis_url, nats=nats_url, database=database)
    assert {name: each for name, each in findings.items() if each.status == "failed" and name != "dependencies"} == {}
    assert findings["log durability"].status == "ok"
    assert findings["JetStream"].found.startswith("domain local")
    assert findings["migrations"] == Finding("ok", "up to date")


async def test_port_is_found_taken_when_another_program_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        finding = dict(await examine(Subject(Settings.from_env({"PORT": str(number)}), {})))["port"]
    assert (finding.status, finding.found) == ("failed", f"{number} is taken by another program")


async def test_servers_are_skipped_when_nothing_runs() -> None:
    findings = await found()
    assert {name for name, each in findings.items() if each.status == "skipped"} >= {"log durability", "JetStream", "migrations", "front"}


async def test_the_log_is_found_unsafe_when_redis_syncs_once_a_second(own_redis: LocalServer) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("appendfsync", "everysec")
    finding = (await found(redis=own_redis.url))["log durability"]
    assert finding.status == "failed"
    assert "appendfsync" in finding.found


@pytest.mark.parametrize(
    ("setting", "value", "status", "said"),
    [
        ("appendfsync", "always", "ok", "noeviction"),
        ("appendfsync", "everysec", "warning", "appendfsync=everysec"),
        ("maxmemory-policy", "allkeys-lru", "failed", "maxmemory-policy=allkeys-lru"),
        ("maxmemory-policy", "volatile-ttl", "failed", "maxmemory-policy=volatile-ttl"),
    ],
)
async def test_doors_redis_is_found_unsafe_when_it_evicts_or_a_crash_loses_what_was_pushed(
    own_redis: LocalServer, setting: str, value: str, status: str, said: str
) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set(setting, value)
    settings = Settings.from_env({"SWITCHBOARD_REDIS_DOOR_URL": own_redis.url})
    finding = dict(await examine(Subject(settings, {})))["Redis door"]
    assert finding.status == status
    assert said in finding.found


async def test_doors_redis_is_found_unknown_when_it_lets_nobody_ask(own_redis: LocalServer) -> None:
    url = without_config(own_redis)
    finding = dict(await examine(Subject(Settings.from_env({"SWITCHBOARD_REDIS_DOOR_URL": url}), {})))["Redis door"]
    assert (finding.status, "NOPERM" in finding.found) == ("warning", True)


async def test_a_missing_schema_is_found_when_nothing_was_migrated(plain_database: str) -> None:
    findings = await found(database=plain_database)
    assert findings["migrations"].status == "failed"
    assert findings["TimescaleDB"].status == "warning"


@pytest.mark.parametrize("name", ["redis", "nats", "database"])
async def test_a_server_is_found_missing_when_nobody_listens(name: str, redis_url: str, nats_url: str, database_url: str) -> None:
    url = {"redis": redis_url, "nats": nats_url, "database": database_url}[name]
    parts = urlsplit(url)
    nobody = urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:1"))
    assert "failed" in {each.status for each in (await found(**{name: nobody})).values()}


def switchboard(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.cli.main", *arguments]
    root = Path(__file__).parents[2]
    told = {"PYTHONPATH": str(root), "HOME": str(cwd), **environment}
    return subprocess.run(command, cwd=cwd, env=told, capture_output=True, text=True, check=False)


def test_doctor_ends_with_1_when_something_fails(tmp_path: Path, database_url: str) -> None:
    done = switchboard("doctor", "-o", "json", cwd=tmp_path, SWITCHBOARD_DATABASE_URL=database_url)
    rows = {row["check"]: row["status"] for row in json.loads(done.stdout)}
    assert rows["migrations"] == "failed"
    assert done.returncode == 1


def test_env_can_be_evaluated_when_up_runs(tmp_path: Path) -> None:
    state = tmp_path / ".switchboard"
    state.mkdir()
    (state / "admin.key").write_text("it's-a-key\n")
    urls = {"http": "http://127.0.0.1:1", "redis": "redis://:p@h", "nats": "nats://u:p@h", "database": "postgresql://u:p@h/d"}
    (state / "endpoints.json").write_text(json.dumps({**urls, "admin_key_file": str(state / "admin.key"), "processes": {}}))
    exports = switchboard("env", cwd=tmp_path).stdout
    shell = subprocess.run(["sh", "-c", f'{exports}\necho "$SWITCHBOARD_URL $SWITCHBOARD_KEY"'], capture_output=True, text=True, check=True)
    assert shell.stdout == "http://127.0.0.1:1 it's-a-key\n"


def test_env_says_what_to_do_when_nothing_runs(tmp_path: Path) -> None:
    done = switchboard("env", cwd=tmp_path)
    assert done.returncode == 78
    assert "switchboard up" in done.stderr
