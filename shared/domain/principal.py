"""Who authenticated at a door, and what they may do (contracts.md, "Grants")."""

from functools import lru_cache

import msgspec

from shared.domain.names import matches, subject_matches

ACTIONS = ("publish", "read", "config:read", "config:write", "registry:read", "registry:write", "redrive", "admin")
DOORS = ("redis", "nats")  # where no key is shown: the principal is `<door>:<org>`


class Grant(msgspec.Struct, frozen=True, cache_hash=True):
    """One permission: an action, on topics and subjects that match any of the patterns. `admin` implies every other action."""

    action: str
    topics: tuple[str, ...] = (">",)
    subjects: tuple[str, ...] = ("*",)


class Principal(msgspec.Struct, frozen=True, cache_hash=True):
    """Who is asking. `system` marks a system admin, who may act for every org; everyone else acts for `org` alone."""

    name: str
    org: str
    grants: tuple[Grant, ...]
    system: bool = False

    def may(self, action: str) -> bool:
        """Whether any grant allows the action, on whatever topics."""
        return any(grant.action in (action, "admin") for grant in self.grants)

    def may_touch(self, action: str, topic: str, subject: str | None) -> bool:
        """Whether a grant allows the action on messages of that topic and subject (None: a message to nobody in particular)."""
        return _may_touch(self, action, topic, subject)


@lru_cache(maxsize=65536)
def _may_touch(principal: Principal, action: str, topic: str, subject: str | None) -> bool:
    return any(
        grant.action in (action, "admin")
        and any(matches(pattern, topic) for pattern in grant.topics)
        and any(subject_matches(pattern, subject) for pattern in grant.subjects)
        for grant in principal.grants
    )


def grants_along(principal: Principal) -> tuple[Grant, ...]:
    """The grants that must go along with a message: a token's principal (`<issuer>/<claim>`) is not in config."""
    return principal.grants if "/" in principal.name else ()
