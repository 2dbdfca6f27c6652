"""Messages that were sent one by one, and that came at once: what the short way takes of them is written down and published together.

Measured: the way of a message by itself, through tasks and futures of its own, is half of what a single event costs a door.
"""

from collections.abc import Sequence

from functions.door import OneByOne, Tell, told
from functions.pipeline import Pipeline, Sent, receipts_of, unavailable
from shared.domain.errors import Unavailable
from shared.domain.logged import Entry
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.record import Accepted
from shared.domain.verdict import Outcome


class Singles(OneByOne):
    """`Each` on a pipeline. Messages for different backbones are apart from the start, for a backbone may keep its own waiting. One that a
    rule has to be asked about, one whose event is in conflict, one that the log has no room for: each is by itself from there on."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline.submit)
        self._pipeline = pipeline

    def __call__(self, messages: Sequence[Message], principal: Principal, tell: Tell) -> None:
        try:
            records_or_none = self._records(messages, principal)
        except Exception as error:
            tell(range(len(messages)), error)
            return
        usual: dict[tuple[str, ...], tuple[list[int], list[Accepted]]] = {}
        for place, record in enumerate(records_or_none):
            if record is None:
                self.alone(place, messages[place], principal, tell)
                continue
            places, records = usual.setdefault(record.targets, ([], []))
            places.append(place)
            records.append(record)
        for places, records in usual.values():
            self.start(self._accept(places, records, tell))

    def _records(self, messages: Sequence[Message], principal: Principal) -> Sequence[Accepted | None]:
        """The records of the messages; None where more has to be asked than the place of the message."""
        ways, snapshot = self._pipeline.ways, self._pipeline.state.current
        if ways is None or not self._pipeline.compiling.idle:
            return [None] * len(messages)
        records = ways.accepted(messages, principal, snapshot)
        if records is not None:  # nearly always
            return records
        found = [ways.accepted([message], principal, snapshot) for message in messages]
        return [None if record is None else record[0] for record in found]

    async def _accept(self, places: Sequence[int], records: Sequence[Accepted], tell: Tell) -> None:
        """Write down what has the same targets, and tell of each as it is known: what lies in another flush, or another shard, is apart."""
        whole: tuple[Sequence[Entry], Sent | None] | None = None
        left: dict[int, int] | None = None  # by message, the places of those in flushes that aren't answered; None: it is one flush

        def publish(entries: Sequence[Entry]) -> None:
            nonlocal whole, left
            sent = self._pipeline.publish(entries)
            if len(entries) == len(records):  # nearly always
                whole = entries, sent
                return
            if left is None:
                left = {id(record.message): place for place, record in zip(places, records, strict=True)}
            some = [left.pop(id(entry.message)) for entry in entries if id(entry.message) in left]
            if some:
                self.start(self._written(some, entries, sent, tell))

        try:
            await self._pipeline.log.append(records, publish)
        except Exception as error:
            rest = [at for at, record in enumerate(records) if left is None or id(record.message) in left]
            left = {}  # flushes that are answered after this have nobody to tell
            if rest:
                refused = unavailable(error, [records[at] for at in rest]) if isinstance(error, Unavailable) else error
                tell([places[at] for at in rest], refused)
            return
        if whole is not None:
            await self._written(places, *whole, tell)

    async def _written(self, places: Sequence[int], entries: Sequence[Entry], sent: Sent | None, tell: Tell) -> None:
        """Tell of what one flush had."""
        if sent is not None and len(sent[0]) == len(entries):  # nearly always
            await told(places, receipts_of(*sent), tell)
            return
        left = {id(entry): (place, entry) for place, entry in zip(places, entries, strict=True)}
        if sent is not None:
            self.start(told([left.pop(id(entry))[0] for entry in sent[0]], receipts_of(*sent), tell))
        for place, entry in left.values():
            self.start(told((place,), self._not_taken(entry), tell))

    async def _not_taken(self, entry: Entry) -> list[Outcome]:
        return [await self._pipeline.not_taken(entry)]
