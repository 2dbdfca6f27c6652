"""The Redis door at its start, on a Redis that isn't the log's and isn't set as the log's must be."""

import asyncio
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from tests.integration.fronts import ROOT, environment, new_key
from tests.integration.redis_installs import ORG, install
from tests.product import free_port
from tests.servers import LocalServer


def set_to(server: LocalServer, setting: str, value: str) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.config_set(setting, value)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lru"])
def test_door_does_not_start_and_says_why_when_its_redis_evicts(
    tmp_path: Path, redis_url: str, own_redis: LocalServer, nats_url: str, database: str, policy: str
) -> None:
    """It would evict what was pushed, or the receipts, which expire."""
    set_to(own_redis, "maxmemory-policy", policy)
    asyncio.run(new_key(database, ORG, "admin"))
    told = {"SWITCHBOARD_REDIS_DOOR_URL": own_redis.url, "PORT": str(free_port())}
    settings = environment(tmp_path, redis_url, nats_url, database) | told
    command = [sys.executable, "-m", "functions.redis_source.main"]
    done = subprocess.run(command, env=settings, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 78, said
    assert f"maxmemory-policy={policy}" in said
    assert str(urlsplit(own_redis.url).password) not in said


def test_door_serves_and_says_so_when_a_crash_of_its_redis_may_lose_what_was_pushed(
    tmp_path: Path, redis_url: str, own_redis: LocalServer, nats_url: str, database: str
) -> None:
    set_to(own_redis, "appendfsync", "everysec")
    with install(tmp_path, redis_url, own_redis.url, nats_url, database) as found:
        assert found.client.sent()["status"] == "accepted"
        assert "appendfsync=everysec" in found.door.log.read_text()
