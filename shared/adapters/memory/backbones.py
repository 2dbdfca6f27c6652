"""The Backbones port in memory: streams with sequences and a duplicate window that never ends, and faults on demand."""

import itertools
from collections.abc import Collection, Sequence

from shared.adapters.nats.frames import Item, apart, content, encode, id_in
from shared.domain.errors import Unavailable
from shared.domain.publishing import Outgoing, Published, PublishedGroup
from shared.domain.repairing import LAST, InStream

MAX_PAYLOAD = 4 * 1024 * 1024  # bytes of headers and data, as our NATS servers have it

_streams_made = itertools.count(1)


class MemoryStream:
    """One org's stream: what was stored, in order (sequence n is `stored[n - 1]`, as subject, headers and body)."""

    def __init__(self) -> None:
        number = next(_streams_made)
        self.created = f"2026-01-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"  # each its own
        self.stored: list[tuple[str, str, bytes]] = []
        self._sequences: dict[bytes | str, int] = {}

    def store(self, item: Item) -> Published:
        """Store a message, or find it stored already; another message under its id stands beside it."""
        if (sequence := self._sequences.get(item.key)) is not None:
            _, headers, body = self.stored[sequence - 1]
            if item.apart or content(headers, body) == content(item.headers, item.body):
                return Published(sequence, duplicate=True)
            return self.store(apart(item))
        self.stored.append((item.subject, item.headers, item.body))
        self._sequences[item.key] = len(self.stored)
        return Published(len(self.stored))

    def id_at(self, sequence: int) -> bytes:
        """The message id at a sequence."""
        return id_in(self.stored[sequence - 1][1].encode()) or b""

    def lose(self, from_sequence: int) -> None:
        """What a server does that crashed: the messages from that sequence on are gone."""
        del self.stored[from_sequence - 1 :]
        self._sequences = {key: sequence for key, sequence in self._sequences.items() if sequence < from_sequence}


class MemoryBackbones:
    """Backbones by name. `down` holds the unreachable ones; `refuse` what a backbone says to messages of an event id."""

    def __init__(self, names: Collection[str] = ("local",)) -> None:
        self.down: set[str] = set()
        self.refuse: dict[str, str] = {}
        self.streams: dict[tuple[str, str], MemoryStream] = {}
        self.connections = 1
        self._names = frozenset(names)

    def reachable(self, backbone: str) -> bool:
        """Whether the backbone exists and isn't down."""
        return backbone in self._names and backbone not in self.down

    def connection(self, backbone: str) -> int:
        """See Backbones.connection."""
        return self.connections

    async def look(self, backbone: str, org: str, sequences: Sequence[int]) -> InStream:
        """See Backbones.look. Nothing expires here."""
        if not self.reachable(backbone):
            raise Unavailable("no connection")
        stream = self.streams.get((backbone, org))
        if stream is None:
            return InStream("", 0, 0, {})
        last = len(stream.stored)
        there = [asked for asked in (last if sequence == LAST else sequence for sequence in sequences) if 1 <= asked <= last]
        return InStream(stream.created, 1, len(stream.stored), {sequence: stream.id_at(sequence) for sequence in there})

    async def publish(self, backbone: str, org: str, group: Sequence[Outgoing]) -> PublishedGroup:
        """Store the group in the org's stream."""
        stream_name = f"sb-{org}"
        if not self.reachable(backbone):
            lost = Published(lost="no connection" if backbone in self._names else "no such backbone")
            return PublishedGroup(backbone, stream_name, "", ("",) * len(group), (lost,) * len(group))
        stream = self.streams.setdefault((backbone, org), MemoryStream())
        subjects: list[str] = []
        results: list[Published] = []
        for place, outgoing in enumerate(group):
            item = encode(place, outgoing, MAX_PAYLOAD)
            if isinstance(item, str):
                subjects.append("")
                results.append(Published(refused=item))
                continue
            subjects.append(item.subject)
            if (reason := self.refuse.get(outgoing.message.event_id)) is not None:
                results.append(Published(refused=reason))
            else:
                results.append(stream.store(item))
        return PublishedGroup(backbone, stream_name, stream.created, tuple(subjects), tuple(results))
