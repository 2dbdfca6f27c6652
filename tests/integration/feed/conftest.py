"""Pods, a log to write and a key to read with, for the tests of the feed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.feed import FixedSnapshots, Log, Start, pod


@pytest.fixture
def snapshots() -> FixedSnapshots:
    return FixedSnapshots()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("s" * 43)
    return path


@pytest.fixture
def start(redis_url: str, secret: Path, snapshots: FixedSnapshots) -> Start:
    """Starts pods that share the log, the keys and the secret."""
    return lambda limits=None, shards=1: pod(redis_url, secret, snapshots, limits, shards)


@pytest.fixture
async def log(redis_url: str) -> AsyncIterator[Log]:
    writer = Log(redis_url)
    yield writer
    await writer.redis.aclose()


@pytest.fixture
def key(snapshots: FixedSnapshots, org: str) -> str:
    return snapshots.add(org)
