"""How long messages are kept (contracts.md, "Config": `retention`)."""

from collections.abc import Mapping
from typing import Any

import msgspec

KEYS_AT_LEAST_S = 3 * 86_400  # identities are known today and yesterday (log.md), whatever the retention


class Retention(msgspec.Struct, frozen=True):
    """In seconds: of the orgs that say so themselves, and of all others."""

    by_org: Mapping[str, int]
    others: int

    @property
    def longest(self) -> int:
        """What nobody keeps any longer."""
        return max(self.others, *self.by_org.values()) if self.by_org else self.others

    def of(self, org: str) -> int:
        return self.by_org.get(org, self.others)


def left_of(document: bytes) -> bytes | None:
    """What stays of an org's document when the org is deleted, since its messages do: how long they are kept. None where it doesn't say.

    One that this release can't read stays whole.
    """
    try:
        said: Any = msgspec.json.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return document
    if not isinstance(said, dict) or "retention" not in said:
        return None
    return msgspec.json.encode({"retention": said["retention"]})
