"""A leaf's stream, and the hub's that it is filled from: what the servers say of both, and what we have said in the leaf's."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from shared.adapters.nats.replies import ApiError, Moment, Number
from shared.domain.registry.streams import Source

Json = dict[str, Any]

_NUMBER = re.compile(r"\{\{left\(1,(\d+)\)\}\}")
_KEPT = re.compile(r"(\d{1,10}) (\d{1,19}) (\S+)")


class State(msgspec.Struct):
    """The sequences that a stream has."""

    first_seq: Number = 0
    last_seq: Number = 0


class _Cluster(msgspec.Struct):
    leader_since: str = ""


class Origin(msgspec.Struct):
    """A hub's stream. `ts` is the time of the server that answered."""

    created: Moment = ""
    ts: Moment = ""
    state: State = msgspec.field(default_factory=State)
    cluster: _Cluster = msgspec.field(default_factory=_Cluster)
    error: ApiError | None = None


class Begun(NamedTuple):
    """A source that began anew: its number, from where on it takes what the hub's stream has, and when that stream was created."""

    number: int = 0
    start: int = 0
    created: str = ""

    def __str__(self) -> str:
        return f"{self.number} {self.start} {self.created}"


PLAIN = Begun()


class _Filled(msgspec.Struct):
    """How far a source got."""

    external: Json = {}  # msgspec copies it
    seq: int = 0


class Leaf(msgspec.Struct):
    """A leaf's stream, as the server tells it."""

    config: Json = {}
    state: State = msgspec.field(default_factory=State)
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

    def life(self, domain: str) -> str:
        """Which life of a hub's stream it was compared with; empty where none is."""
        return self.metadata.get(life_key(domain), "")

    def begun(self, domain: str) -> Begun:
        """The source of a hub that began anew, also where there is none of that hub at the moment."""
        kept = _kept(self.metadata.get(begun_key(domain), ""))
        if found := self.source(domain):
            number = number_of(found)
            return Begun(number, found.get("opt_start_seq", 0), kept.created) if number else PLAIN
        return kept

    def reached(self, domain: str) -> int:
        """The sequence up to which all that the hub has was taken."""
        taken = max((one.seq for one in self.sources or () if _is_of(msgspec.to_builtins(one), domain)), default=0)
        return max(taken, int(self.source(domain).get("opt_start_seq", 1)) - 1)

    def says(self, domain: str) -> bool:
        """Whether it is known how far it got: a server that has just become the stream's leader doesn't say yet."""
        return self.reached(domain) > 0 or self.state.last_seq == 0


def source_of(one: Source, begun: Begun = PLAIN) -> Json:
    """A source as the server takes it. With another number it is another source to the server, which begins where that one is to.

    The number stands where it changes nothing: as the length to which an org's name is cut. A source that says which org costs a hub least,
    and so has none until it must.
    """
    cut = f"{{{{left(1,{begun.number})}}}}"
    plain = {"src": f"sb.{one.org}.>", "dest": f"sbg.{one.org}.>"}
    transform = {"src": "sb.*.>", "dest": f"sbg.{cut}.>"} if begun.number else plain
    source = {"name": f"sb-{one.org}", "external": {"api": api_of(one.domain), "deliver": ""}, "subject_transforms": [transform]}
    return source | ({"opt_start_seq": begun.start} if begun.start else {})


def number_of(source: Mapping[str, Any]) -> int:
    """The number that a source has; 0 where it has none."""
    found = [_NUMBER.search(str(one.get("dest"))) for one in source.get("subject_transforms") or ()]
    return next((int(one[1]) for one in found if one is not None), 0)


def life_key(domain: str) -> str:
    """Where a leaf's stream says which life of a hub's it was compared with."""
    return f"switchboard.life.{domain}"


def begun_key(domain: str) -> str:
    """Where a leaf's stream says which source of a hub began anew."""
    return f"switchboard.source.{domain}"


def api_of(domain: str) -> str:
    """Where JetStream of a domain is asked."""
    return f"$JS.{domain}.API"


def _kept(text: str) -> Begun:
    found = _KEPT.fullmatch(text)
    return PLAIN if found is None else Begun(int(found[1]), int(found[2]), found[3])


def _is_of(source: Mapping[str, Any], domain: str) -> bool:
    return bool((source.get("external") or {}).get("api") == api_of(domain))
