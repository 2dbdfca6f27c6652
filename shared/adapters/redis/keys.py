"""Names of the log's keys: every key of a shard starts with its prefix, whose braces keep the shard in one slot."""

import zlib

LIMITS = "sb:limits:{limits}:"  # what the keys of the rate limits start with, in one slot as well

SNAPSHOT = "sb:snapshot"  # an edge's last good config


def prefix(shard: int) -> str:
    """What every key of the shard starts with."""
    return f"sb:log:{{{shard}}}:"


def shard_of(org: str, source: str, shards: int) -> int:
    """The shard of an (org, source): order is promised within one, so both of a source's messages must meet there."""
    return zlib.crc32(f"{org}\0{source}".encode()) % shards if shards > 1 else 0


# ---- the Redis door: every key of an org in one slot -------------------------------------------------------------------------------


def submit_list(org: str) -> str:
    """Where the org's clients LPUSH."""
    return f"sb:submit:{{{org}}}"


def rejected_list(org: str) -> str:
    """Where what can't be read is told of."""
    return f"sb:rejected:{{{org}}}"


def door_prefix(org: str) -> str:
    """What the door's own keys of the org start with: no client needs them."""
    return f"sb:door:{{{org}}}:"
