"""How much of the process filters may take: each client's is bounded, and all of them together, so that nobody else's messages wait."""

import time
from collections.abc import Callable

from shared.domain.errors import Overloaded

CLIENTS = 64  # with a filter, at once
ALL = 0.4  # seconds of evaluating a second, all filters together
ONE = 0.1  # one client's
SLICE = 0.02  # seconds that a round of all clients takes before others have their turn
LEAST = 0.0005


class Budget:
    """What the filters of a process may take, shared evenly between the clients that have one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._filtering: set[Spending] = set()

    @property
    def rate(self) -> float:
        """Seconds of evaluating a second that each client has now."""
        return min(ONE, ALL / max(1, len(self._filtering)))

    @property
    def slice(self) -> float:
        """Seconds that a client may evaluate before the others have their turn."""
        return max(LEAST, SLICE / max(1, len(self._filtering)))

    def open(self, one: "Spending") -> None:
        """Count a client in. Raises Overloaded where there are too many: of its org as many as it leaves free."""
        of_org = sum(other.org == one.org for other in self._filtering)
        if one not in self._filtering and of_org >= CLIENTS - len(self._filtering):
            raise Overloaded(
                "too many clients watch with a filter here: watch by topic, or come back later", retry_after_ms=5_000, status=503
            )
        self._filtering.add(one)

    def close(self, one: "Spending") -> None:
        """Count it out."""
        self._filtering.discard(one)


class Spending:
    """One client's part of the budget. What it took beyond a slice is waited for before it is given more."""

    def __init__(self, budget: Budget, org: str = "") -> None:
        self.budget, self.org = budget, org
        self._owed, self._at = 0.0, budget.clock()

    def owed(self) -> float:
        """Seconds until it may go on; 0: now."""
        now = self.budget.clock()
        rate = self.budget.rate
        self._owed, self._at = max(0.0, self._owed - (now - self._at) * rate), now
        return max(0.0, self._owed - self.budget.slice) / rate

    def took(self, seconds: float) -> None:
        """Note how long its filter was evaluated."""
        self._owed += seconds
