"""Scopes narrowed down to places, by which of their guards are false there: each is compiled while a message waits, so they are few."""

from collections import Counter
from collections.abc import Iterable

from shared.domain.rules.scope import Scope

MAX_WAYS = 8  # of one scope
MAX_NARROWED = 1_024  # of all scopes, at up to 70 KB for ten policies; of one org's as many as it leaves free
REFUSED = 65_536  # messages, of new places, without their narrowed scope: then what is kept may be nobody's any more

_Kept = dict[int, tuple[str, Scope, dict[frozenset[str], Scope]]]  # by a scope's id: its org, itself


class Ways:
    """Those that are kept. A scope for which there is no room is asked whole, with the same verdicts: forgetting others for it would have
    each message of whoever makes up subjects compile one, 3 ms in the event loop."""

    def __init__(self) -> None:
        self._kept: _Kept = {}
        self._of_orgs: Counter[str] = Counter()
        self._count = self._refused = 0

    def __len__(self) -> int:
        return self._count

    def of(self, scopes: Iterable[Scope]) -> "Ways":
        """A copy with what is of these scopes."""
        ids, copy = set(map(id, scopes)), Ways()
        for key, (org, scope, narrowed) in self._kept.items():
            if key in ids:
                copy._kept[key] = org, scope, dict(narrowed)
                copy._count += len(narrowed)
                copy._of_orgs[org] += len(narrowed)
        return copy

    @property
    def stale(self) -> bool:
        """Whether so many had no room that all is better begun anew: each that is made again by then costs little."""
        return self._refused >= REFUSED

    def narrowed(self, org: str, scope: Scope, false: frozenset[str]) -> Scope:
        """An org's scope where the guards of these texts are false; all of it where it differs in too many ways, or there is no room."""
        _, _, known = self._kept.get(id(scope), (org, scope, {}))
        found = known.get(false)
        if found is not None or len(known) >= MAX_WAYS:
            return found or scope
        if self._of_orgs[org] >= MAX_NARROWED - self._count:
            self._refused += 1
            return scope
        found = known[false] = scope.without(false)
        self._kept[id(scope)] = org, scope, known
        self._of_orgs[org] += 1
        self._count += 1
        return found
