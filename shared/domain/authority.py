"""Who may give what to whom: nobody grants more than they hold."""

from collections.abc import Callable, Sequence
from functools import cache, reduce
from operator import or_

from shared.domain.principal import Grant, Principal

EVERYTHING = (Grant("admin"),)


def holds_all(held: Sequence[Grant], wanted: Sequence[Grant]) -> bool:
    """Whether everything that `wanted` allows is allowed by `held` too. An unlimited `admin` grant holds everything.

    Each topic and each subject is asked for once: which grants hold it, as bits. Pair by pair, a hundred grants took hours.
    """
    actions = {want.action for want in wanted}
    for action in actions:
        able = [grant for grant in held if grant.action in (action, "admin")]
        of_topic = _holders(covers, [grant.topics for grant in able])
        of_subject = _holders(_covers_subject, [grant.subjects for grant in able])
        pairs = {
            (topics, subjects)
            for want in wanted
            if want.action == action
            for topics in set(map(of_topic, want.topics))
            for subjects in set(map(of_subject, want.subjects))
        }
        if not all(topics & subjects for topics, subjects in pairs):
            return False
    return True


def _holders(covers: Callable[[str, str], bool], wide: Sequence[tuple[str, ...]]) -> Callable[[str], int]:
    """A function that says which places of `wide` have a pattern that covers a given one, as bits; it remembers what it said."""
    places: dict[str, int] = {}
    for place, patterns in enumerate(wide):
        for pattern in patterns:
            places[pattern] = places.get(pattern, 0) | 1 << place

    open_ones = [(pattern, bits) for pattern, bits in places.items() if "*" in pattern or ">" in pattern]

    @cache
    def holders(narrow: str) -> int:
        return reduce(or_, (bits for pattern, bits in open_ones if covers(pattern, narrow)), places.get(narrow, 0))

    return holders


def rules_all(principal: Principal) -> bool:
    """Whether this is a system admin that may do everything: the only kind that can give everything back to others."""
    return principal.system and holds_all(principal.grants, EVERYTHING)


def author(caller: Principal, org: str) -> str:
    """Who changed something, as revisions and the audit trail name them."""
    return caller.name if caller.org == org else f"{caller.org}/{caller.name}"


def covers(wide: str, narrow: str) -> bool:
    """Whether every topic under the NATS pattern `narrow` is under `wide` too."""
    wide_tokens, narrow_tokens = wide.split("."), narrow.split(".")
    for place, token in enumerate(wide_tokens):
        if token == ">":
            return len(narrow_tokens) > place
        if place >= len(narrow_tokens) or narrow_tokens[place] == ">" or token not in ("*", narrow_tokens[place]):
            return False
    return len(narrow_tokens) == len(wide_tokens)


def _covers_subject(wide: str, narrow: str) -> bool:
    """The same for a subject's pattern, which is one token: `*` and `>` take every subject, and messages without one."""
    return wide in ("*", ">") or wide == narrow
