"""What an agent may do on a backbone (contracts.md, "On the backbone"): the tags that its user token has, and what
the servers make of them.

Permissions are not in the token: the account's key that signs agents' tokens has them, with a place for each tag, and the servers multiply
them out. So a token is small, and everything an agent may do is written here.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from shared.domain.authority import holds_all
from shared.domain.errors import Fault, NotProcessable
from shared.domain.names import filter_tail
from shared.domain.principal import Grant, Principal

ROLE = "agent"
LIFE_S = 30 * 24 * 3600
STREAMS = ("sb", "sbg")  # what is published there, and what comes from its hubs
CONSUMERS = 8  # <principal>, <principal>-2 to -8
MAX_TAILS = 64  # patterns; the server multiplies them by consumers and streams
MAX_GIVEN = 1_000  # live ones of an org on a backbone

# A consumer is made with its filter in the subject: the server refuses one that has another filter, several or none. What has a wildcard
# at the end of a filter is given only as `>`: on a publish the server takes a literal `>` for one token, so `*` would let it through.
PUBLISH = (
    "submit.{{tag(org)}}.>",
    "request.{{tag(org)}}.>",
    *(
        f"$JS.API.CONSUMER.CREATE.{{{{tag(stream)}}}}.{{{{tag(consumer)}}}}.{prefix}.{{{{tag(org)}}}}.{{{{tag(tail)}}}}"
        for prefix in STREAMS
    ),
    *(f"$JS.API.CONSUMER.{action}.{{{{tag(stream)}}}}.{{{{tag(consumer)}}}}" for action in ("INFO", "DELETE", "MSG.NEXT")),
    "$JS.ACK.{{tag(stream)}}.{{tag(consumer)}}.>",
)
SUBSCRIBE = ("_INBOX.{{tag(org)}}.{{tag(inbox)}}.>",)


class Credential(msgspec.Struct, frozen=True):
    """One agent's credentials, without the secret part: `key` is its user's public key, `grants` are the principal's that they rest on.
    Times are seconds since 1970; `why` says by whom or what they were revoked."""

    id: str
    backbone: str
    org: str
    principal: str
    key: str
    grants: tuple[Grant, ...]
    consumers: tuple[str, ...]
    created: int
    expires: int
    author: str
    revoked: int | None = None
    why: str = ""

    def live(self, now: int) -> bool:
        """Whether it lets anybody in."""
        return self.revoked is None and now < self.expires


def read_grants(principal: Principal) -> tuple[Grant, ...]:
    """What the principal may read, as grants to read and nothing else."""
    return tuple(Grant("read", one.topics, one.subjects) for one in principal.grants if one.action in ("read", "admin"))


def tails_of(grants: Iterable[Grant]) -> tuple[str, ...]:
    """What grants to read allow a consumer to be filtered by, behind `sb.<org>.`. Raises NotProcessable for what no credentials can say."""
    tails: dict[str, None] = {}
    for grant in grants:
        for subject in grant.subjects:
            for topic in grant.topics:
                if topic.split(".")[-1] == "*":
                    detail = f"its grant to read the topics {topic} can't be given to a user of NATS: a filter may end in a word or in '>'"
                    raise NotProcessable(detail, rule="credentials", faults=[Fault("/principal", detail)])
                tail = filter_tail(subject, topic)
                tails[">" if tail == "*.>" else tail] = None  # all of it, in whatever way a filter says that
    if len(tails) > MAX_TAILS:
        raise too_many(f"its grants to read have {len(tails)} patterns of subject and topic, and {MAX_TAILS} are allowed")
    return tuple(tails)


def too_many(detail: str) -> NotProcessable:
    """The error of grants that don't fit into a token."""
    return NotProcessable(detail, rule="credentials", faults=[Fault("/principal", detail)])


def consumers_of(principal: str, others: Iterable[str]) -> tuple[str, ...]:
    """The consumers that are its own: not those that another principal is called like."""
    taken = set(others) - {principal}
    names = (principal, *(f"{principal}-{number}" for number in range(2, CONSUMERS + 1)))
    return tuple(name for name in names if name not in taken)


def tags_of(org: str, principal: str, tails: Sequence[str], consumers: Sequence[str]) -> tuple[str, ...]:
    """The tags of its token."""
    streams = tuple(f"stream:{stream_of(prefix, org)}" for prefix in STREAMS)
    return f"org:{org}", f"inbox:{principal}", *streams, *(f"consumer:{one}" for one in consumers), *(f"tail:{one}" for one in tails)


def stream_of(prefix: str, org: str) -> str:
    """`sb-<org>` or `sbg-<org>`."""
    return f"{prefix}-{org}"


def inbox_of(org: str, principal: str) -> str:
    """The inbox prefix: nothing else can be subscribed to."""
    return f"_INBOX.{org}.{principal}"


def check_given(wanted: Credential, known: Iterable[Credential], now: int) -> None:
    """Raise NotProcessable where an org has too many on a backbone, or another principal's may use the same consumers. `known` are those of
    the same org and backbone."""
    live = [one for one in known if one.live(now)]
    if len(live) >= MAX_GIVEN:
        raise too_many(f"{wanted.org} has {MAX_GIVEN} credentials on {wanted.backbone}: revoke some first")
    for one in live:
        if one.principal != wanted.principal and (both := sorted(set(one.consumers) & set(wanted.consumers))):
            detail = f"{one.principal}'s credentials {one.id} may use the consumer {both[0]}: revoke them first, and give it new ones after"
            raise NotProcessable(detail, rule="credentials", faults=[Fault("/principal", detail)])


def lost_by(credential: Credential, principal: Principal | None) -> str:
    """Why credentials hold no longer, given the principal as it is now; empty where they do."""
    if principal is None:
        return "the principal was removed"
    return "" if holds_all(read_grants(principal), credential.grants) else "the principal lost grants"


def revocations(known: Iterable[Credential], now: int) -> Iterator[tuple[str, int]]:
    """The public keys that a backbone's servers are to refuse, and since when: those that would be let in otherwise."""
    for one in known:
        if one.revoked is not None and now < one.expires:
            yield one.key, max(one.revoked, one.created)
