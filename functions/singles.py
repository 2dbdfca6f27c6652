"""Messages that were sent one by one, and that came at once: what the short way takes of them is written down and published together.

Measured: the way of a message by itself, through tasks and futures of its own, is half of what a single event costs a door.
"""

from collections.abc import Sequence

from functions.door import OneByOne, Tell, told
from functions.pipeline import Pipeline, receipts_of, unavailable
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
        """Write down what has the same targets, and tell of each as it is known."""
        try:
            entries, sent = await self._pipeline.written(records)
        except Unavailable as error:
            tell(places, unavailable(error, records))
            return
        except Exception as error:
            tell(places, error)
            return
        if len(sent) == 1 and len(sent[0][0]) == len(entries):  # nearly always
            await told(places, receipts_of(*sent[0]), tell)
            return
        left = {id(entry): (place, entry) for place, entry in zip(places, entries, strict=True)}
        for taken, sending in sent:
            self.start(told([left.pop(id(entry))[0] for entry in taken], receipts_of(taken, sending), tell))
        for place, entry in left.values():
            self.start(told((place,), self._not_taken(entry), tell))

    async def _not_taken(self, entry: Entry) -> list[Outcome]:
        return [await self._pipeline.not_taken(entry)]
