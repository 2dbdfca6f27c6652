"""Who may give what to whom: nobody grants more than they hold."""

from collections.abc import Sequence

from shared.domain.principal import Grant, Principal

EVERYTHING = (Grant("admin"),)


def holds_all(held: Sequence[Grant], wanted: Sequence[Grant]) -> bool:
    """Whether everything that `wanted` allows is allowed by `held` too. An unlimited `admin` grant holds everything."""
    return all(
        any(
            grant.action in (want.action, "admin")
            and any(covers(pattern, topic) for pattern in grant.topics)
            and any(_covers_subject(pattern, subject) for pattern in grant.subjects)
            for grant in held
        )
        for want in wanted
        for topic in want.topics
        for subject in want.subjects
    )


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
