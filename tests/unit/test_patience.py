"""The clients that tests look at servers with."""

from typing import Any

import httpx
import redis
import redis.asyncio

from tests.patience import PATIENCE


def test_clients_wait_long_unless_they_are_told_otherwise() -> None:
    for of in (redis.Redis, redis.asyncio.Redis):
        for client, waits in ((of(), PATIENCE), (of.from_url("redis://h"), PATIENCE), (of.from_url("redis://h", socket_timeout=1), 1)):
            connection: Any = client.connection_pool.make_connection()
            assert (connection.socket_timeout, connection.socket_connect_timeout) == (waits, PATIENCE)
    assert httpx.Client().timeout == httpx.AsyncClient().timeout == httpx.Timeout(PATIENCE)
    assert httpx.Client(timeout=1).timeout == httpx.Timeout(1)
