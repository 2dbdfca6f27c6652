"""What the log answers: to a door that writes a message down, and to a logger that reads flushes."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

import msgspec

from shared.domain.message import Message
from shared.domain.record import Accepted, Flush


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What the log said of one message.

    `outcome` is `new`, `duplicate` (accepted before, same digest), `conflict` (another digest), `full` (over the org's or the log's
    limit: nothing was written) or `unknown` (the log did not answer: it may be there, or not). `flush` and `index` are the place of the
    first copy, `revision` and `targets` those it was accepted under.
    """

    outcome: str
    message: Message
    targets: tuple[str, ...]
    revision: int
    shard: int
    flush: int
    index: int
    undeliverable: str | None = None
    logged: float = 0.0  # time.monotonic() when the log answered: what was logged long ago is the relay's
    epoch: bytes = b""  # of the log that `flush` is a number of: after a lost log the numbers begin again


class Run(NamedTuple):
    """New messages that one flush has in a row, from index `first` on. `logged` and `epoch` as in an Entry."""

    records: Sequence[Accepted]
    shard: int
    flush: int
    first: int
    logged: float
    epoch: bytes


class Fresh(Sequence[Entry]):
    """Entries of messages that are new, all of one org and for the same backbones, by the runs they lie in: nearly all are like that.

    Entries are made when somebody asks for one, and nearly nobody does. They are made once: who is given them twice finds the same.
    """

    __slots__ = ("_entries", "messages", "runs")

    def __init__(self, runs: Sequence[Run], messages: Sequence[Message] | None = None) -> None:
        self.runs = runs
        self.messages = [record.message for run in runs for record in run.records] if messages is None else messages
        self._entries: list[Entry] | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """The backbones of each of them."""
        return self.runs[0].records[0].targets

    @property
    def org(self) -> str:
        """The org of each of them."""
        return self.runs[0].records[0].message.org

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._made())

    @overload
    def __getitem__(self, place: int) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> list[Entry]: ...
    def __getitem__(self, place: int | slice) -> Entry | list[Entry]:
        return self._made()[place]

    def _made(self) -> list[Entry]:
        if self._entries is None:
            self._entries = [_entry(run, index, record) for run in self.runs for index, record in enumerate(run.records, run.first)]
        return self._entries


def _entry(run: Run, index: int, record: Accepted) -> Entry:
    message = record.message
    return Entry("new", message, record.targets, message.revision, run.shard, run.flush, index, record.undeliverable, run.logged, run.epoch)


def joined(parts: Sequence[Sequence[Entry]]) -> Sequence[Entry]:
    """The entries of all of them, in order, which are of one org and for the same backbones."""
    if len(parts) == 1:
        return parts[0]
    fresh = [part for part in parts if isinstance(part, Fresh)]
    if len(fresh) == len(parts):
        return Fresh([run for part in fresh for run in part.runs], [message for part in fresh for message in part.messages])
    return [entry for part in parts for entry in part]


class Unreadable(msgspec.Struct, frozen=True):
    """A flush whose bytes this release can't read: it goes to quarantine whole."""

    number: int
    packed: bytes
    reason: str


Taken = Flush | Unreadable
