"""What a server tells of its settings: some services let nobody ask for them, with a refusal or with an empty answer."""

from collections.abc import Sequence
from typing import Any

from shared.adapters.redis.resp import Refused


def told_settings(names: Sequence[str], replies: Sequence[Any]) -> dict[str, str]:
    """The settings by name, of the replies to a `CONFIG GET` each; those that it doesn't tell are missing: a proxy may answer anything."""
    told = zip(names, replies, strict=True)
    return {
        name: reply[1].decode(errors="replace")
        for name, reply in told
        if isinstance(reply, list) and len(reply) > 1 and isinstance(reply[1], bytes)
    }


def is_forbidden(reply: Any) -> bool:
    """Whether a refusal is for good, for this user or on this service."""
    return isinstance(reply, Refused) and (reply.code == "NOPERM" or "unknown command" in str(reply).lower())
