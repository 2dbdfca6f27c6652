"""Publishing for doors that call this Service: the targets an accepted event names, in the order the events came."""

import asyncio
from collections.abc import Sequence
from weakref import WeakValueDictionary

import msgspec

from shared.domain.message import Message
from shared.domain.publishing import Outgoing, Published, PublishedGroup
from shared.ports import Backbones
from shared.stages.events import DELIVERED, UNDELIVERABLE, Made, Said, now
from shared.stages.hop import Asked, Replied

TOO_LATE = Published(lost="it came too late to be published")


class Publisher:
    """Puts messages on backbones and says what became of each. The calling door keeps gates, completions and delivery records."""

    def __init__(self, backbones: Backbones) -> None:
        self._backbones = backbones
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, asked: Sequence[Asked]) -> list[Replied]:
        """An answer for each event: `delivered` where every target took it, else `undeliverable`, with the reason."""
        places: dict[tuple[str, str], list[int]] = {}
        for place, (message, said) in enumerate(asked):
            for target in said.targets:
                places.setdefault((target, message.org), []).append(place)
        streams = list(places.items())
        answers = await asyncio.gather(*(self._publish(*key, [asked[place] for place in some]) for key, some in streams))
        made: list[list[Made]] = [[] for _ in asked]
        for (_, some), deliveries in zip(streams, answers, strict=True):
            for place, delivery in zip(some, deliveries, strict=True):
                made[place].append(delivery)
        return [_replied(said, deliveries) for (_, said), deliveries in zip(asked, made, strict=True)]

    async def _publish(self, backbone: str, org: str, asked: Sequence[Asked]) -> list[Made]:
        """What became of each on one stream. Groups of several doors take turns: a stream has one group in flight."""
        turn = self._turns.setdefault((backbone, org), asyncio.Lock())
        async with turn:
            late = now()
            in_time = [place for place, (_, said) in enumerate(asked) if late <= said.until]
            group = [_outgoing(*asked[place]) for place in in_time]
            published = await self._backbones.publish(backbone, org, group)
        made = [_made(published, TOO_LATE, "")] * len(asked)
        for place, result, subject in zip(in_time, published.results, published.subjects, strict=True):
            made[place] = _made(published, result, subject)
        return made


def _outgoing(message: Message, said: Said) -> Outgoing:
    return Outgoing(message, said.config_revision, said.known, said.nats_id)


def _made(published: PublishedGroup, result: Published, subject: str) -> Made:
    return Made(
        published.backbone, published.stream, published.created, subject, result.sequence, result.duplicate, result.refused, result.lost
    )


def _replied(said: Said, deliveries: Sequence[Made]) -> Replied:
    whole = bool(deliveries) and all(delivery.sequence for delivery in deliveries)
    return DELIVERED if whole else UNDELIVERABLE, msgspec.structs.replace(said, deliveries=tuple(deliveries))
