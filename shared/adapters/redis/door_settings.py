"""Whether the Redis door's server keeps what is pushed to it: looked at by a source as it starts, and by `doctor`."""

from shared.adapters.redis.link import Link
from shared.adapters.redis.resp import Refused
from shared.domain.errors import Misconfigured

SETTINGS = ("appendonly", "appendfsync", "maxmemory-policy")


async def check_door(url: str) -> str | None:
    """What a crash of the server may lose, as a sentence; None where it keeps all.

    Raises Misconfigured for a server that evicts: submit lists, what is in hand of them, and receipts. Raises Unavailable.
    """
    link = Link(url)
    try:
        replies = await link.call(*(("CONFIG", "GET", name) for name in SETTINGS))
    finally:
        await link.close()
    found: dict[str, str] = {}
    for name, reply in zip(SETTINGS, replies, strict=True):
        if isinstance(reply, Refused):
            return f"the door's Redis doesn't say how it is set ({reply.code}): see that it has `noeviction` and `appendfsync always`"
        found[name] = reply[1].decode() if len(reply) > 1 else ""
    policy = found["maxmemory-policy"]
    if policy != "noeviction":
        raise Misconfigured(
            f"the door's Redis (SWITCHBOARD_REDIS_DOOR_URL, else SWITCHBOARD_REDIS_URL) has maxmemory-policy={policy}: set `noeviction`, "
            "or it evicts events"
        )
    if (found["appendonly"], found["appendfsync"]) == ("yes", "always"):
        return None
    return (
        f"the door's Redis has appendonly={found['appendonly']} and appendfsync={found['appendfsync']}: a crash may lose what was pushed, "
        "unless they are as in the log's Redis, `yes` and `always`"
    )
