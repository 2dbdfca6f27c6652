"""How many clients of a process may catch up at once with what no store has yet: after a long outage of the store that is all that the feed
holds, 256 MiB a shard, read and unpacked for each of them.
"""

from collections.abc import Hashable

from shared.domain.errors import Overloaded

CLIENTS = 16  # at once
FAR_S = 10.0  # seconds back in the log from which on it counts: loggers are a fraction of one behind where nothing is wrong
AGAIN_MS = 5_000


class CatchingUp:
    """Who does."""

    def __init__(self) -> None:
        self._orgs: dict[Hashable, str] = {}

    def __len__(self) -> int:
        return len(self._orgs)

    def begin(self, one: Hashable, org: str, behind_s: float) -> None:
        """Count a client in that is so far behind. Raises Overloaded where there are too many: of its org as many as it leaves free."""
        if behind_s < FAR_S or one in self._orgs:
            return
        if sum(other == org for other in self._orgs.values()) >= CLIENTS - len(self._orgs):
            much = f"no store has the messages of the last {behind_s:.0f} s, and too many clients read them here"
            then = f"watch from now on, without `begin`, or come back in {AGAIN_MS // 1000} s"
            raise Overloaded(f"{much}: {then}", retry_after_ms=AGAIN_MS, status=503)
        self._orgs[one] = org

    def end(self, one: Hashable) -> None:
        """It has caught up, goes elsewhere, or is gone."""
        self._orgs.pop(one, None)
