"""How long messages are kept (contracts.md, "Config": `retention`)."""

from collections.abc import Mapping

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
