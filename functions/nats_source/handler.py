"""The NATS door: messages in, what becomes of each out. What differs from other doors ends here, where a Message begins."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import time_ns
from typing import TypeVar

import msgspec

from shared.codec.event import Context, malformed
from shared.codec.nats import decode_from_nats, header_pairs, reply_to_of, topic_of
from shared.codec.receipts import encode_receipt
from shared.codec.trace import trace_of
from shared.domain.errors import Fault, Forbidden, Malformed, SwitchboardError
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.snapshot import Snapshot
from shared.domain.verdict import Outcome, Refusal
from shared.sources.outcomes import RETRY_MS, Rejected, Retry, Settled, Submit, Way, comes_back

DOOR = "nats"

Authenticate = Callable[[bytes], Principal]  # the value of an Authorization header to whose key it is; raises SwitchboardError


class Read(msgspec.Struct, frozen=True, gc=False):
    """A NATS message as it was read: who sends, the event or why there is none, and where the sender wants the receipt, if anywhere."""

    principal: Principal
    event: Message | SwitchboardError
    reply_to: str | None


def read(subject: bytes, block: bytes | None, payload: bytes, org: str, snapshot: Snapshot, authenticate: Authenticate) -> Read:
    """Read a message that came on `<submit or request>.<org>.<topic>`. Raises nothing for what it holds."""
    principal = snapshot.door_principal(DOOR, org)
    pairs: list[tuple[bytes, bytes]] = []
    try:
        pairs = header_pairs(block)
        found = dict(pairs)
        if (authorization := found.get(b"authorization")) is not None:
            principal = _own_principal(pairs, authorization, org, authenticate)
        trace = trace_of(pairs) if b"traceparent" in found else None
        topic = topic_of(subject.split(b".", 2)[2])
        context = Context(org, DOOR, principal.name, time_ns() // 1000, snapshot.revision, trace, topic)
        message = decode_from_nats(pairs, payload, context)
    except SwitchboardError as error:
        return Read(principal, error, reply_to_of(pairs, None))
    return Read(principal, message, reply_to_of(pairs, message))


def _own_principal(pairs: Sequence[tuple[bytes, bytes]], authorization: bytes, org: str, authenticate: Authenticate) -> Principal:
    if sum(name == b"authorization" for name, _ in pairs) > 1:
        raise malformed([Fault("authorization", "is there twice")])
    principal = authenticate(authorization)
    if principal.org != org:
        raise Forbidden("the key is of another org than the subject", faults=[Fault("authorization", "of another org")])
    return principal


async def settle(some: Sequence[Read], way: Way) -> list[Settled]:
    """What becomes of each submitted message, in the order given. One that could not be read is rejected, and harms no neighbour.

    Where nobody can say now who sent one (the keys of its token's issuer are not to be had), it and what came after it are tried again.
    """
    waits = next((place for place, one in enumerate(some) if isinstance(one.event, SwitchboardError) and comes_back(one.event)), len(some))
    found = await _by_principal(some[:waits], way, lambda error: Rejected(f"{error.kind}: {error.detail}", encode_receipt(_refusal(error))))
    return [*found, *(_later(some[waits]) for _ in some[waits:])]


def _later(one: Read) -> Settled:
    assert isinstance(one.event, SwitchboardError)
    return Retry(one.event.retry_after_ms or RETRY_MS)


async def answer(some: Sequence[Read], submit: Submit) -> list[Outcome]:
    """The outcome of each request, in the order given.

    Where the pipeline as a whole can't answer (Unavailable, Overloaded), that is the outcome of every message in it.
    """

    async def outcomes(messages: Sequence[Message], principal: Principal) -> Sequence[Outcome]:
        try:
            return await submit(messages, principal)
        except SwitchboardError as error:
            return [Refusal(error, message.id) for message in messages]

    return await _by_principal(some, outcomes, _refusal)


Result = TypeVar("Result")


async def _by_principal(
    some: Sequence[Read],
    submit: Callable[[Sequence[Message], Principal], Awaitable[Sequence[Result]]],
    refuse: Callable[[SwitchboardError], Result],
) -> list[Result]:
    """What `submit` says of each principal's messages, begun in the order of their first ones, and `refuse` of what is none."""
    messages: dict[Principal, list[Message]] = {}
    for one in some:
        if isinstance(one.event, Message):
            messages.setdefault(one.principal, []).append(one.event)
    results = await asyncio.gather(*(submit(group, principal) for principal, group in messages.items()))
    left = {principal: iter(part) for principal, part in zip(messages, results, strict=True)}
    return [next(left[one.principal]) if isinstance(one.event, Message) else refuse(one.event) for one in some]


def _refusal(error: SwitchboardError) -> Refusal:
    return Refusal(error, error.identity if isinstance(error, Malformed) else None)
