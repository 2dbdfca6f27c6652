"""What a leaf's stream takes from a hub's, and from where on: taken again from a hub that lost messages.

The server that fills the leaf's stream remembers the sequence it got to, and asks for what is behind it. A hub that comes back with an old
store gives the sequences that it lost to other messages, which that server would never ask for. So each source says which life of the
hub's stream it is of: a stream can lose its newest messages only where a server starts, or a leader is elected, and that is another life.
Of a new one everything that the leaf's stream lacks is looked for, and taken from the first such message on, as another source: what
the stream has already is dropped by its id, within the duplicate window.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from shared.adapters.nats.connection import Connection
from shared.adapters.nats.reading import asked, first_without, ids_from, stored_at
from shared.adapters.nats.replies import ApiError, Lost
from shared.adapters.nats.streams import API
from shared.domain.registry.streams import Source

WITNESS = "switchboard=life"  # no principal's consumer is called so
AWAY_S = 5.0  # seconds for which a hub that didn't answer isn't asked again: a leaf may have a thousand streams
OVERLAP = 1_000  # messages of a leaf's stream that may have come while it was asked

Json = dict[str, Any]

_log = logging.getLogger(__name__)


class Mark(NamedTuple):
    """What a look found: by the hub's time `at` all that the hub's stream had up to `sequence` was in the leaf's, up to `leaf` there. What
    the hub stored before that time is what it was."""

    sequence: int = 0
    leaf: int = 0
    at: str = ""


class _State(msgspec.Struct):
    first_seq: int = 0
    last_seq: int = 0


class _Cluster(msgspec.Struct):
    leader_since: str = ""


class _Origin(msgspec.Struct):
    """A hub's stream. `ts` is the hub's time."""

    created: str = ""
    ts: str = ""
    state: _State = msgspec.field(default_factory=_State)
    cluster: _Cluster = msgspec.field(default_factory=_Cluster)
    error: ApiError | None = None


class _Filled(msgspec.Struct):
    """How far a source got."""

    external: Json = {}  # msgspec copies it
    seq: int = 0


class Leaf(msgspec.Struct):
    """A leaf's stream, as the server tells it."""

    config: Json = {}
    state: _State = msgspec.field(default_factory=_State)
    sources: list[_Filled] | None = None
    error: ApiError | None = None

    def source(self, domain: str) -> Json:
        """The source it has of a hub; empty where there is none."""
        found: Json = next((one for one in self.config.get("sources") or () if _is_of(one, domain)), {})
        return found

    def reached(self, domain: str) -> int:
        """The sequence up to which all that the hub has was taken."""
        taken = max((one.seq for one in self.sources or () if _is_of(msgspec.to_builtins(one), domain)), default=0)
        return max(taken, int(self.source(domain).get("opt_start_seq", 1)) - 1)


class _Made(msgspec.Struct):
    created: str = ""
    error: ApiError | None = None


class Sourcing:
    """What was found at the last look at each leaf's stream: with it only what came since is read when a hub has begun a new life."""

    def __init__(self) -> None:
        self._marks: dict[tuple[str, str, str], Mark] = {}
        self._away: dict[tuple[str, str], float] = {}  # hubs that didn't answer a leaf: until when they aren't asked, by the loop's time
        self._reading = asyncio.Lock()  # one stream at a time: all of it may have to be read

    def forget(self, backbone: str) -> None:
        """It is looked after no more."""
        self._marks = {place: mark for place, mark in self._marks.items() if place[0] != backbone}
        self._away = {pair: until for pair, until in self._away.items() if pair[0] != backbone}

    async def sources(self, connection: Connection, backbone: str, stream: str, wanted: Sequence[Source]) -> list[Json]:
        """The sources that a leaf's stream is to have, in the server's own names. Those of a hub that doesn't answer stay as they are.

        Raises Lost where the leaf doesn't answer.
        """
        leaf = await asked(connection, f"STREAM.INFO.{stream}", {}, Leaf, API)
        if leaf.error is not None:
            return [source_of(one) for one in wanted]
        return [await self._source(connection, (backbone, stream, one.domain), leaf, one) for one in wanted]

    async def _source(self, connection: Connection, place: tuple[str, str, str], leaf: Leaf, one: Source) -> Json:
        found, pair, now = leaf.source(one.domain), (place[0], one.domain), asyncio.get_running_loop().time()
        before = life_of(found)
        as_it_is = source_of(one, before, found.get("opt_start_seq", 0))
        if now < self._away.get(pair, now):
            return as_it_is
        try:
            origin, life = await _life(connection, one)
            if not life:
                return as_it_is
            if life == before:
                self._marks[place] = Mark(leaf.reached(one.domain), leaf.state.last_seq, origin.ts)
                return as_it_is
            async with self._reading:
                start = await _first_missing(connection, place[1], leaf, one, origin, self._marks.get(place, Mark()))
        except Lost as lost:
            _log.debug("%s: the hub %s can't be asked: %s", place[1], one.domain, lost)
            self._away[pair] = asyncio.get_running_loop().time() + AWAY_S
            return as_it_is
        if start <= leaf.reached(one.domain):
            _log.warning("%s of %s takes what %s has from %d on again: it lost messages", place[1], place[0], one.domain, start)
        return source_of(one, life, start)


def source_of(one: Source, life: str = "", start: int = 0) -> Json:
    """A source as the server takes it. The life of the hub's stream is told by a subject that nothing is published on: with another one it
    is another source to the server, which begins at `start`."""
    transforms = [{"src": f"sb.{one.org}.>", "dest": f"sbg.{one.org}.>"}]
    if life:
        transforms.append({"src": f"sb.{one.org}", "dest": f"sbg.{one.org}.{life}"})
    source = {"name": f"sb-{one.org}", "external": {"api": api_of(one.domain), "deliver": ""}, "subject_transforms": transforms}
    return source | ({"opt_start_seq": start} if start else {})


def life_of(source: Mapping[str, Any]) -> str:
    """Which life of the hub's stream a source is of; empty where it doesn't say."""
    return "".join(str(one["dest"]).rpartition(".")[2] for one in (source.get("subject_transforms") or ())[1:])


def api_of(domain: str) -> str:
    """Where JetStream of a domain is asked."""
    return f"$JS.{domain}.API"


def _is_of(source: Mapping[str, Any], domain: str) -> bool:
    return bool((source.get("external") or {}).get("api") == api_of(domain))


async def _life(connection: Connection, one: Source) -> tuple[_Origin, str]:
    """A hub's stream, and the name of its life: its time is asked first, so that it is of that life. No name where there is no such stream,
    or nobody may make a consumer of it. Raises Lost where the hub doesn't answer."""
    api, stream = api_of(one.domain), f"sb-{one.org}"
    origin = await asked(connection, f"STREAM.INFO.{stream}", {}, _Origin, api)
    if origin.error is not None:
        return origin, ""
    if origin.cluster.leader_since:  # of a cluster: no other may have taken over
        return origin, _named(origin.created, origin.cluster.leader_since)
    # A single server says nothing of when it started; but a consumer in its memory is gone then, and made anew here.
    config: Json = {"durable_name": WITNESS, "ack_policy": "none", "deliver_policy": "new", "mem_storage": True, "num_replicas": 1}
    request: Json = {"stream_name": stream, "config": config}
    witness = await asked(connection, f"CONSUMER.DURABLE.CREATE.{stream}.{WITNESS}", request, _Made, api)
    if witness.error is not None:
        return origin, ""
    return origin, _named(origin.created, witness.created)


def _named(*said: str) -> str:
    return hashlib.sha256(" ".join(said).encode()).hexdigest()[:12]


async def _first_missing(connection: Connection, stream: str, leaf: Leaf, one: Source, origin: _Origin, mark: Mark) -> int:
    """The first sequence of the hub's stream whose message isn't in the leaf's; the next one that the hub will give, where all are. Raises
    Lost."""
    api, hubs, last = api_of(one.domain), f"sb-{one.org}", origin.state.last_seq
    start = await _unsure_from(connection, api, hubs, origin, mark)
    behind = 1 if start is None else max(1, mark.leaf + 1 - OVERLAP)
    had = {id async for _, id in ids_from(connection, API, stream, behind, leaf.state.last_seq)}
    since = mark.at if start is None else ""
    return await first_without(ids_from(connection, api, hubs, start or 1, last, since), had) or last + 1


async def _unsure_from(connection: Connection, api: str, hubs: str, origin: _Origin, mark: Mark) -> int | None:
    """The sequence from which on the hub may have what the leaf lacks; None: whatever it stored after the mark's time.

    What it stored before is as it was, and of that the leaf has all up to the mark's sequence. What is under that sequence tells whether
    the hub still had it when it began its life.
    """
    if not mark.at:
        return 1
    if mark.sequence < origin.state.first_seq:  # it expired, or there was nothing yet
        return mark.sequence + 1
    if mark.sequence > origin.state.last_seq:
        return None
    stored = await stored_at(connection, api, hubs, mark.sequence)
    if stored is None:  # somebody removed it
        return 1
    return mark.sequence + 1 if _moment(stored) <= _moment(mark.at) else None


def _moment(text: str) -> datetime:
    """Of the server's time, whose nanoseconds are cut: a server doesn't start within a microsecond."""
    return datetime.fromisoformat(text)
