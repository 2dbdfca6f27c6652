"""Names of the log's keys: every key of a shard starts with its prefix, whose braces keep the shard in one slot."""

import zlib

LIMITS = "sb:limits:{limits}:"  # what the keys of the rate limits start with, in one slot as well


def prefix(shard: int) -> str:
    """What every key of the shard starts with."""
    return f"sb:log:{{{shard}}}:"


def shard_of(org: str, source: str, shards: int) -> int:
    """The shard of an (org, source): order is promised within one, so both of a source's messages must meet there."""
    return zlib.crc32(f"{org}\0{source}".encode()) % shards if shards > 1 else 0
