"""Clients with which tests look at servers wait as long as a busy machine takes: their own bounds, 5 s, are no promise of anybody's.

Redis' would send a command a second time besides: an LPUSH that the server was only slow with is there twice then.
"""

import inspect
from typing import Any

import httpx
import pytest
import redis
import redis.asyncio.connection
import redis.connection

PATIENCE = 60.0  # seconds


def patient(patch: pytest.MonkeyPatch) -> None:
    """Until the patch is undone. What a caller says of its timeout holds, and the product says it wherever it matters to anybody."""
    for phase in ("connect", "read", "write", "pool"):
        patch.setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, phase, PATIENCE)
    for of in (redis.Redis, redis.asyncio.Redis, redis.connection.AbstractConnection, redis.asyncio.connection.AbstractConnection):
        _by_default(patch, of.__init__, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)


def _by_default(patch: pytest.MonkeyPatch, function: Any, **values: object) -> None:
    """Other defaults for those parameters."""
    function = inspect.unwrap(function)  # redis-py decorates some
    parameters = inspect.signature(function).parameters.values()
    own = [one for one in parameters if one.default is not one.empty]
    assert values.keys() <= {one.name for one in own}
    by_place = [one for one in own if one.kind is not one.KEYWORD_ONLY]
    patch.setattr(function, "__defaults__", tuple(values.get(one.name, one.default) for one in by_place))
    by_name = {one.name: values.get(one.name, one.default) for one in own if one.kind is one.KEYWORD_ONLY}
    patch.setattr(function, "__kwdefaults__", by_name or None)
