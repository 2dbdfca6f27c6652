"""The embedded servers: what they promise by their configuration, who may use them, and what is left after a crash."""

import asyncio
import os
import signal
import stat
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import nats
import psycopg
import pytest
import redis
from nats.js.api import StreamConfig

from infra.local import child, postgres
from infra.local.postgres import SEGMENTS
from infra.local.server import SILENT, Progress
from infra.local.state import open_state
from tests.servers import LocalServer


def without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.hostname}:{parts.port}"))


def test_redis_syncs_every_write_when_it_answers(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        settings = client.config_get("append*", "maxmemory-policy", "save")
        assert settings["appendonly"] == "yes"
        assert settings["appendfsync"] == "always"
        assert settings["maxmemory-policy"] == "noeviction"
        assert settings["save"] == ""
        client.set("a", "1")
        assert client.execute_command("WAITAOF", 1, 0, 60_000) == [1, 0]


def test_redis_has_a_plain_copy_in_its_file_when_it_is_written_anew(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        settings = client.config_get("rdbcompression", "auto-aof-rewrite-min-size")
        assert settings == {"rdbcompression": "no", "auto-aof-rewrite-min-size": str(256 * 1024 * 1024)}


def test_redis_refuses_when_the_password_is_missing(redis_url: str) -> None:
    with redis.Redis.from_url(without_credentials(redis_url)) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


async def test_nats_has_the_local_domain_and_our_limits_when_connected(nats_url: str) -> None:
    client = await nats.connect(nats_url)
    try:
        assert client.max_payload == 4 * 1024 * 1024
        account = await client.jetstream().account_info()
        assert account.domain == "local"
    finally:
        await client.close()


async def test_nats_refuses_when_the_password_is_missing(nats_url: str) -> None:
    parts = urlsplit(nats_url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    await reader.readline()  # INFO
    writer.write(b"CONNECT {}\r\nPING\r\n")
    assert b"Authorization Violation" in await reader.readline()
    writer.close()
    await writer.wait_closed()


def test_database_is_utc_durable_and_checksummed_when_made(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        for name, value in {"TimeZone": "UTC", "fsync": "on", "synchronous_commit": "on", "data_checksums": "on", "jit": "off"}.items():
            assert connection.execute("SELECT current_setting(%s)", [name]).fetchone() == (value,)


def test_database_refuses_when_the_password_is_missing(database_url: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(without_credentials(database_url).replace("//", "//switchboard@"))


def test_hypertables_work_when_timescaledb_is_there(timescale_database: str) -> None:
    with psycopg.connect(timescale_database) as connection:
        connection.execute("CREATE TABLE m (time timestamptz NOT NULL)")
        connection.execute("SELECT create_hypertable('m', by_range('time'))")


def test_private_files_are_the_owners_alone_when_servers_run(
    redis_server: LocalServer, nats_server: LocalServer, database_server: LocalServer, servers_directory: Path
) -> None:
    assert stat.S_IMODE(servers_directory.stat().st_mode) == 0o700
    open_to_others = [path for path in servers_directory.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o077]
    assert open_to_others == []


def test_redis_has_every_entry_when_started_after_a_kill(own_redis: LocalServer) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.rpush("list", *range(1_000))
    own_redis.kill()
    own_redis.start()
    with redis.Redis.from_url(own_redis.url) as client:
        assert client.llen("list") == 1_000


async def test_nats_has_its_streams_when_started_after_a_kill(own_nats: LocalServer) -> None:
    client = await nats.connect(own_nats.url, allow_reconnect=False, connect_timeout=30)
    stream = client.jetstream()
    await stream.add_stream(StreamConfig(name="s", subjects=["s.>"]))
    await stream.publish("s.a", b"1")
    await client.close()
    own_nats.kill()
    own_nats.start()
    client = await nats.connect(own_nats.url)
    assert (await client.jetstream().stream_info("s")).state.messages == 1
    await client.close()


def test_database_has_committed_rows_when_started_after_a_kill(own_database: LocalServer) -> None:
    with psycopg.connect(own_database.url) as connection:
        connection.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
    own_database.kill()
    own_database.start()
    with psycopg.connect(own_database.url) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (1_000,)


@pytest.mark.skipif(not SEGMENTS.exists(), reason="only Linux says who has shared memory")
def test_database_starts_at_once_when_a_backend_outlived_the_killed_server_until_now(own_database: LocalServer, tmp_path: Path) -> None:
    """As one may that waits for its disk. A start before would end: "pre-existing shared memory block is still in use"."""
    waits = 0

    def pause(seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            os.kill(backend, signal.SIGCONT)
        SILENT.pause(seconds)

    with psycopg.connect(own_database.url) as connection:
        backend = connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        try:
            own_database.kill()
            again = postgres.prepare(open_state(tmp_path), Progress(print, pause))
        finally:
            os.kill(backend, signal.SIGCONT)
    assert waits >= 3
    own_database.process = child.spawn(again.program)
    child.wait_until_ready(again.program, own_database.process, within=60)
