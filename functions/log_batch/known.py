"""What edges ask of what they logged: bodies whose flush left their log, and deliveries. The store is the hub's."""

from shared.domain.stored import FirstCopy
from shared.ports import FirstCopies, Known
from shared.stages.known import Bodies, Delivered, WantedAccepted, WantedBodies, WantedDeliveries

READ_AT_ONCE = 16  # messages: one may have 2 MiB
ANSWER_BYTES = 16 * 1024 * 1024  # of bodies in an answer; the message that goes beyond is the last


async def bodies(asked: WantedBodies, store: Known) -> Bodies:
    """The messages, as many as an answer may have, and how many were looked for. Raises Unavailable."""
    found = []
    size = answered = 0
    while answered < len(asked.wanted) and size < ANSWER_BYTES:
        some = asked.wanted[answered : answered + READ_AT_ONCE]
        there = await store.bodies(some)
        for place, each in enumerate(some, answered):
            message = there.get(each)
            if message is not None:
                found.append((place, message))
                size += len(message.body or b"")
        answered += len(some)
    return Bodies(answered, tuple(found))


async def delivered(asked: WantedDeliveries, store: Known) -> Delivered:
    """Which of them the backbone is recorded to have taken. Raises Unavailable."""
    taken = await store.delivered(asked.backbone, asked.wanted)
    return Delivered(tuple(place for place, each in enumerate(asked.wanted) if each in taken))


async def accepted(asked: WantedAccepted, store: FirstCopies) -> list[tuple[int, FirstCopy]]:
    """What is recorded of those that were accepted, each with its place in the question. Raises Unavailable."""
    found = await store.accepted(asked.org, asked.wanted)
    return [(place, found[each]) for place, each in enumerate(asked.wanted) if each in found]
