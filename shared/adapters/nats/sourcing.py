"""What a leaf's stream takes from a hub's, and from where on: taken again from a hub that lost messages.

The server that fills the leaf's stream remembers the sequence it got to, and asks for what is behind it. A hub that comes back with an old
store gives the sequences that it lost to other messages, which that server would never ask for. So the leaf's stream says which life of the
hub's it was compared with: a stream can lose its newest messages only where a server starts, or a leader is elected, and that is another
life. Of a new one everything that the leaf's stream lacks is looked for, and where that is among what its server passes over it is taken
from there on, as another source: what the stream has already is dropped by its id, within the duplicate window.
"""

import asyncio
import hashlib
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from shared.adapters.nats.asking import API, asked
from shared.adapters.nats.connection import Connection
from shared.adapters.nats.reading import Unreadable, ids_from, stored_at
from shared.adapters.nats.replies import ApiError, Lost
from shared.adapters.nats.streams import NOT_FOUND
from shared.domain.registry.streams import Source

WITNESS = "switchboard=life"  # no principal's consumer is called so
AWAY_S = 5.0  # seconds for which a hub that didn't answer isn't asked again: a leaf may have a thousand streams
FIRST_NUMBER, NUMBERS = 1_000, 2**31 - 1_001  # of sources: longer than any org's name, and what the server reads as a number
OVERLAP = 1_000  # messages of a leaf's stream that may have come while it was asked

Json = dict[str, Any]

_log = logging.getLogger(__name__)

_NUMBER = re.compile(r"\{\{left\(1,(\d+)\)\}\}")


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

    @property
    def metadata(self) -> dict[str, str]:
        """What else is said of it, by anybody."""
        return dict(self.config.get("metadata") or {})

    def reached(self, domain: str) -> int:
        """The sequence up to which all that the hub has was taken."""
        taken = max((one.seq for one in self.sources or () if _is_of(msgspec.to_builtins(one), domain)), default=0)
        return max(taken, int(self.source(domain).get("opt_start_seq", 1)) - 1)

    def says(self, domain: str) -> bool:
        """Whether it is known how far it got: a server that has just become the stream's leader doesn't say yet."""
        return self.reached(domain) > 0 or self.state.last_seq == 0


class _Made(msgspec.Struct):
    created: str = ""
    error: ApiError | None = None


class Sourcing:
    """What was found at the last look at each leaf's stream: with it only what came since is read when a hub has begun a new life."""

    def __init__(self) -> None:
        self._marks: dict[tuple[str, str, str], Mark] = {}
        self._compared: dict[tuple[str, str, str], tuple[str, Json]] = {}  # a life, and its source, that a server may have refused to take
        self._away: dict[tuple[str, str], float] = {}  # hubs that didn't answer a leaf: until when they aren't asked, by the loop's time
        self._reading = asyncio.Lock()  # one stream at a time: all of it may have to be read

    def forget(self, backbone: str) -> None:
        """It is looked after no more."""
        self._marks = {place: mark for place, mark in self._marks.items() if place[0] != backbone}
        self._compared = {place: found for place, found in self._compared.items() if place[0] != backbone}
        self._away = {pair: until for pair, until in self._away.items() if pair[0] != backbone}

    async def sourced(self, connection: Connection, backbone: str, stream: str, wanted: Sequence[Source]) -> Json:
        """What a leaf's stream is to say of its sources, in the server's own names. Those of a hub that doesn't answer stay as they are.

        Raises Lost where the leaf doesn't answer.
        """
        leaf = await asked(connection, f"STREAM.INFO.{stream}", {}, Leaf)
        if leaf.error is not None and leaf.error.err_code == NOT_FOUND:
            return {"sources": [source_of(one) for one in wanted]}
        if leaf.error is not None:  # an election: what it has must not be taken for what it hasn't
            raise Lost(f"{stream}: {leaf.error.description}")
        found = [await self._source(connection, (backbone, stream, one.domain), leaf, one) for one in wanted]
        lives = {life_key(one.domain): life for one, (_, life) in zip(wanted, found, strict=True) if life}
        return {"sources": [source for source, _ in found], "metadata": leaf.metadata | lives}

    async def _source(self, connection: Connection, place: tuple[str, str, str], leaf: Leaf, one: Source) -> tuple[Json, str]:
        """The source of one hub, and the life of the hub's stream that it was compared with."""
        found, before, pair = leaf.source(one.domain), leaf.metadata.get(life_key(one.domain), ""), (place[0], one.domain)
        as_it_is = source_of(one, number_of(found), found.get("opt_start_seq", 0))
        if self._is_away(pair):
            return as_it_is, before
        try:
            origin, life = await _life(connection, one)
            if life == before and leaf.says(one.domain):
                self._compared.pop(place, None)
                self._marks[place] = Mark(leaf.reached(one.domain), leaf.state.last_seq, origin.ts)
            if life in ("", before) or not leaf.says(one.domain):
                return as_it_is, before
            if self._compared.get(place, ("", {}))[0] != life:
                async with self._reading:
                    if self._is_away(pair):
                        return as_it_is, before
                    start = await _first_missing(connection, place[1], one, origin, self._marks.get(place, Mark()))
                self._compared[place] = life, self._from(place, leaf, one, life, start, as_it_is)
        except Unreadable as refused:
            _log.warning("%s of %s isn't compared with what %s has: %s", place[1], place[0], one.domain, refused)
            return as_it_is, before
        except Lost as lost:
            _log.debug("%s: the hub %s can't be asked: %s", place[1], one.domain, lost)
            self._away[pair] = asyncio.get_running_loop().time() + AWAY_S
            return as_it_is, before
        return self._compared[place][1], life

    def _is_away(self, pair: tuple[str, str]) -> bool:
        return asyncio.get_running_loop().time() < self._away.get(pair, 0.0)

    def _from(self, place: tuple[str, str, str], leaf: Leaf, one: Source, life: str, start: int, as_it_is: Json) -> Json:
        """The source that gives what is missing from `start` on."""
        if start > leaf.reached(one.domain):  # the leaf's server asks for it by itself
            return as_it_is
        _log.warning("%s of %s takes what %s has from %d on again: it lost messages", place[1], place[0], one.domain, start)
        return source_of(one, FIRST_NUMBER + int(life, 16) % NUMBERS, start)


def source_of(one: Source, number: int = 0, start: int = 0) -> Json:
    """A source as the server takes it. With another `number` it is another source to the server, which begins at `start`.

    The number stands where it changes nothing: as the length to which an org's name is cut. A source that says which org costs a hub least,
    and so has none until it must.
    """
    cut = f"{{{{left(1,{number})}}}}"
    transform = {"src": "sb.*.>", "dest": f"sbg.{cut}.>"} if number else {"src": f"sb.{one.org}.>", "dest": f"sbg.{one.org}.>"}
    source = {"name": f"sb-{one.org}", "external": {"api": api_of(one.domain), "deliver": ""}, "subject_transforms": [transform]}
    return source | ({"opt_start_seq": start} if start else {})


def number_of(source: Mapping[str, Any]) -> int:
    """The number that a source has; 0 where it has none."""
    found = [_NUMBER.search(str(one.get("dest"))) for one in source.get("subject_transforms") or ()]
    return next((int(one[1]) for one in found if one is not None), 0)


def life_key(domain: str) -> str:
    """Where a leaf's stream says which life of a hub's it was compared with."""
    return f"switchboard.life.{domain}"


def api_of(domain: str) -> str:
    """Where JetStream of a domain is asked."""
    return f"$JS.{domain}.API"


def _is_of(source: Mapping[str, Any], domain: str) -> bool:
    return bool((source.get("external") or {}).get("api") == api_of(domain))


async def _life(connection: Connection, one: Source) -> tuple[_Origin, str]:
    """A hub's stream, and the name of its life: its time is asked first, so that it is of that life. No name where there is no such stream,
    or nobody may make a consumer of it. Raises Lost where the hub doesn't answer."""
    api, stream = api_of(one.domain), f"sb-{one.org}"
    origin = await asked(connection, f"STREAM.INFO.{stream}", {}, _Origin, api=api)
    if origin.error is not None:
        return origin, ""
    if origin.cluster.leader_since:  # of a cluster: no other may have taken over
        return origin, _named(origin.created, origin.cluster.leader_since)
    # A single server says nothing of when it started; but a consumer in its memory is gone then, and made anew here.
    config: Json = {"durable_name": WITNESS, "ack_policy": "none", "deliver_policy": "new", "mem_storage": True, "num_replicas": 1}
    request: Json = {"stream_name": stream, "config": config}
    witness = await asked(connection, f"CONSUMER.DURABLE.CREATE.{stream}.{WITNESS}", request, _Made, api=api)
    if witness.error is not None:
        return origin, ""
    return origin, _named(origin.created, witness.created)


def _named(*said: str) -> str:
    return hashlib.sha256(" ".join(said).encode()).hexdigest()[:12]


async def _first_missing(connection: Connection, stream: str, one: Source, origin: _Origin, mark: Mark) -> int:
    """The first sequence of the hub's stream whose message the leaf's should have and hasn't; the next one that the hub will give, where
    there is none. Raises Lost."""
    api, hubs, last = api_of(one.domain), f"sb-{one.org}", origin.state.last_seq
    start, since = await _unsure_from(connection, api, hubs, origin, mark)
    given = [each async for each in ids_from(connection, api, hubs, start, last, since)]
    if not given:
        return last + 1
    leaf = await asked(connection, f"STREAM.INFO.{stream}", {}, Leaf)  # now: it goes on taking what the hub gives
    whole = start <= mark.sequence or not mark.at
    behind = 1 if whole or since else max(1, mark.leaf + 1 - OVERLAP)
    had = {id async for _, id in ids_from(connection, API, stream, behind, leaf.state.last_seq)}
    return first_missing(given, had, older_may_be_gone=whole and not since) or last + 1


def first_missing(given: Sequence[tuple[int, bytes]], had: Collection[bytes], *, older_may_be_gone: bool) -> int | None:
    """The sequence of the first message that a hub has and a leaf hasn't. `older_may_be_gone`: a leaf's limits may have taken what is
    before the first one that both have, and all where there is none."""
    missing = not older_may_be_gone
    for sequence, id in given:
        if id in had:
            missing = True
        elif id and missing:
            return sequence
    return None


async def _unsure_from(connection: Connection, api: str, hubs: str, origin: _Origin, mark: Mark) -> tuple[int, str]:
    """The sequence from which on the hub may have what the leaf lacks; or 1 and a time: whatever it stored after that.

    What it stored before is as it was, and of that the leaf has all up to the mark's sequence. What is under that sequence tells whether
    the hub still had it when it began its life.
    """
    if not mark.at or not mark.sequence:
        return 1, ""
    if mark.sequence < origin.state.first_seq:  # it expired
        return mark.sequence + 1, ""
    if mark.sequence > origin.state.last_seq:
        return 1, mark.at
    stored = await stored_at(connection, api, hubs, mark.sequence)
    if stored is None:  # somebody removed it
        return 1, ""
    return (mark.sequence + 1, "") if _moment(stored) <= _moment(mark.at) else (1, mark.at)


def _moment(text: str) -> datetime:
    """Of the server's time, whose nanoseconds are cut: a server doesn't start within a microsecond."""
    return datetime.fromisoformat(text)
