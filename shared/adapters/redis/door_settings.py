"""Whether the Redis door's server keeps what is pushed to it: looked at by a source as it starts, and by `doctor`."""

from collections.abc import Mapping
from typing import Any

from shared.adapters.redis.link import Link
from shared.adapters.redis.resp import Refused
from shared.adapters.redis.told_settings import told_settings
from shared.domain.errors import Misconfigured

POLICY = "maxmemory-policy"
SETTINGS = ("appendonly", "appendfsync", POLICY)


async def check_door(url: str) -> str | None:
    """What a crash of the server may lose, or that it doesn't say, as a sentence; None where it keeps all.

    Raises Misconfigured for a server that evicts: submit lists, what is in hand of them, and receipts. Raises Unavailable.
    """
    link = Link(url)
    try:
        *replies, memory = await link.call(*(("CONFIG", "GET", name) for name in SETTINGS), ("INFO", "memory"))
    finally:
        await link.close()
    refusal = next((reply.code for reply in replies if isinstance(reply, Refused)), "")
    return judged(_policy_of(memory) | told_settings(SETTINGS, replies), refusal)


def judged(found: Mapping[str, str], refusal: str = "") -> str | None:
    """The same of the settings that the server tells; services that let nobody ask for them leave some out, or all, with a `refusal` or
    without one. Raises Misconfigured."""
    policy = found.get(POLICY, "noeviction")
    if policy != "noeviction":
        raise Misconfigured(
            f"the door's Redis (SWITCHBOARD_REDIS_DOOR_URL, else SWITCHBOARD_REDIS_URL) has maxmemory-policy={policy}: set `noeviction`, "
            "or it evicts events"
        )
    unsaid = [name for name in SETTINGS if name not in found]
    if unsaid:
        which = ", ".join(unsaid) + (f"; {refusal}" if refusal else "")
        return f"the door's Redis doesn't say how it is set ({which}): see that it has `noeviction`, `appendonly yes`, `appendfsync always`"
    if (found["appendonly"], found["appendfsync"]) == ("yes", "always"):
        return None
    return (
        f"the door's Redis has appendonly={found['appendonly']} and appendfsync={found['appendfsync']}: a crash may lose what was pushed, "
        "unless they are as in the log's Redis, `yes` and `always`"
    )


def _policy_of(memory: Any) -> dict[str, str]:
    """The policy as INFO has it: services that forbid CONFIG mostly have that."""
    if not isinstance(memory, bytes):
        return {}
    for line in memory.decode(errors="replace").splitlines():
        if line.startswith("maxmemory_policy:"):
            return {POLICY: line.partition(":")[2]}
    return {}
