"""A user of a Redis that lets nobody ask how it is set, as managed services have it."""

from urllib.parse import urlsplit, urlunsplit

import redis

from tests.servers import LocalServer


def without_config(server: LocalServer) -> str:
    """The server's URL for a user that may do everything but CONFIG."""
    with redis.Redis.from_url(server.url) as client:
        client.acl_setuser("tenant", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-config"])
    parts = urlsplit(server.url)
    return urlunsplit(parts._replace(netloc=f"tenant:secret@{parts.hostname}:{parts.port}"))
