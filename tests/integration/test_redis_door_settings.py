"""The Redis door at its start, on a Redis that isn't the log's and isn't set as the log's must be."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from shared.adapters.redis.door_settings import check_door
from shared.domain.errors import Misconfigured
from tests.integration.fronts import ROOT, environment, new_key
from tests.integration.redis_installs import ORG, install
from tests.integration.redis_tenants import without_config
from tests.integration.services import Service, serving
from tests.ports import free_port
from tests.servers import LocalServer
from tests.waiting import eventually_now


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


@pytest.mark.parametrize(("policy", "told"), [("noeviction", None), ("allkeys-lru", "allkeys-lru")])
def test_door_s_redis_that_lets_nobody_ask_is_judged_by_what_it_tells(own_redis: LocalServer, policy: str, told: str | None) -> None:
    set_to(own_redis, "maxmemory-policy", policy)
    url = without_config(own_redis)
    if told is not None:
        with pytest.raises(Misconfigured, match=f"maxmemory-policy={told}"):
            asyncio.run(check_door(url))
        return
    said = asyncio.run(check_door(url))
    assert said is not None
    assert "doesn't say how it is set (appendonly, appendfsync; NOPERM)" in said


@contextmanager
def door_whose_redis_was_away(settings: dict[str, str], tmp_path: Path, own_redis: LocalServer, database: str) -> Iterator[Service]:
    """A door whose Redis comes once it has said that it is away."""
    asyncio.run(new_key(database, ORG, "admin"))
    door = Service("redis_source", settings | {"SWITCHBOARD_REDIS_DOOR_URL": own_redis.url}, tmp_path)
    own_redis.pause()
    with serving(door):
        eventually_now(lambda: "redis-door" in door.degraded())
        own_redis.resume()
        yield door


def test_door_ends_and_says_why_when_its_redis_was_away_at_the_start_and_evicts(
    tmp_path: Path, redis_url: str, own_redis: LocalServer, nats_url: str, database: str
) -> None:
    set_to(own_redis, "maxmemory-policy", "allkeys-lru")
    settings = environment(tmp_path, redis_url, nats_url, database)
    with door_whose_redis_was_away(settings, tmp_path, own_redis, database) as door:
        assert door.ended() == 0
    assert "misconfigured: the door's Redis (SWITCHBOARD_REDIS_DOOR_URL" in door.log.read_text()
    assert "died" not in door.log.read_text()


def test_door_serves_and_says_so_when_its_redis_was_away_at_the_start_and_a_crash_may_lose_what_was_pushed(
    tmp_path: Path, redis_url: str, own_redis: LocalServer, nats_url: str, database: str
) -> None:
    set_to(own_redis, "appendfsync", "everysec")
    settings = environment(tmp_path, redis_url, nats_url, database)
    with door_whose_redis_was_away(settings, tmp_path, own_redis, database) as door:
        eventually_now(lambda: "appendfsync=everysec" in door.log.read_text())
        eventually_now(lambda: "redis-door" not in door.degraded())
        assert door.stop() == 0
