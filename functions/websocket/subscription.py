"""What a client wants to see, and what it may (contracts.md, "Watching")."""

import re
import weakref
from collections.abc import Iterable

import msgspec

from functions.websocket.items import ACCEPTED, BLOCKED, Item
from shared.domain.errors import Fault, Forbidden, Malformed
from shared.domain.names import check_org, check_pattern, subject_matches
from shared.domain.names import matches as topic_matches
from shared.domain.principal import Grant, Principal
from shared.domain.rules.filter import Filter

REMEMBERED = 10_000  # decisions a view keeps
WORK = 500_000  # that a filter may be for one message: 10 ms
STORED = "stored"


class Subscription(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query's parameters, or the `subscribe` member of a client's frame. Empty: no such restriction.

    Without a cursor, `begin` says where the feed begins: "" at what comes next, STORED at what no store has yet. Who asks the query once
    the first frame is there has everything then, some of it twice.
    """

    topic: str = ""
    subject: str = ""
    verdict: str = ""
    filter: str = ""
    cursor: str = ""
    org: str = ""
    begin: str = ""


class _FirstFrame(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    subscribe: Subscription


_PLACE = re.compile(r" - at `\$([^`]*)`$")
_FIELD = re.compile(r"(?:unknown|missing required) field `([^`]*)`")
_decode_frame = msgspec.json.Decoder(_FirstFrame).decode
_MEMBERS = frozenset(Subscription.__struct_fields__)


def from_query(pairs: Iterable[tuple[str, str]]) -> Subscription | None:
    """The subscription of a query string's pairs; None where there are none. Raises Malformed."""
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in _MEMBERS:
            raise Malformed(f"the feed has no parameter {name!r}", faults=[Fault(name[:100], "unknown")])
        if name in given:
            raise Malformed(f"the parameter {name!r} is there twice", faults=[Fault(name, "given twice")])
        given[name] = value
    return _checked(Subscription(**given)) if given else None


def from_frame(text: str) -> Subscription:
    """The subscription of a client's frame. Raises Malformed."""
    try:
        return _checked(_decode_frame(text).subscribe)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeEncodeError, RecursionError) as error:
        raise Malformed(
            f'the feed takes frames like {{"subscribe":{{"topic":"orders.>"}}}}: {error}', faults=[Fault(_pointer(error), str(error)[:200])]
        ) from error


def _pointer(error: Exception) -> str:
    """What msgspec found fault with, as a JSON pointer: it says ``unknown field `x` - at `$.subscribe` ``."""
    text = str(error)
    place, field = _PLACE.search(text), _FIELD.search(text)
    pointer = place[1].replace(".", "/") if place else ""
    return (f"{pointer}/{field[1]}" if field else pointer)[:100]


def _checked(wanted: Subscription) -> Subscription:
    if wanted.filter:
        try:
            Filter(wanted.filter, WORK)
        except ValueError as error:
            raise Malformed(f"the filter is none: {error}", faults=[Fault("/filter", str(error))]) from error
    if wanted.topic:
        try:
            check_pattern(wanted.topic)
        except Malformed as error:
            raise Malformed(error.detail, faults=[Fault("/topic", "not a NATS pattern")]) from error
    if wanted.verdict not in ("", ACCEPTED, BLOCKED):
        raise Malformed(f"a verdict is {ACCEPTED!r} or {BLOCKED!r}", faults=[Fault("/verdict", "neither accepted nor blocked")])
    if wanted.org:
        check_org(wanted.org)
    if wanted.begin not in ("", STORED):
        raise Malformed(f"the feed begins at what comes next, or at {STORED!r}", faults=[Fault("/begin", f"not {STORED}")])
    if wanted.begin and wanted.cursor:
        raise Malformed("a cursor says where the feed begins", faults=[Fault("/begin", "not together with cursor")])
    return wanted


class View:
    """What one kind of client is shown: an org's messages under its read grants and its subscription. Clients of a kind share it.

    Of a message that the filter left out deliveries are left out, too; of one that isn't remembered they are shown. `frames` keeps the last
    frames made for it, by where they start (handler.py).
    """

    def __init__(self, org: str, grants: tuple[Grant, ...], wanted: Subscription) -> None:
        self.org = org
        self._reader = Principal("", org, grants)
        self._topic, self._subject, self._verdict = wanted.topic or ">", wanted.subject or "*", wanted.verdict
        self.filter = Filter(wanted.filter, WORK) if wanted.filter else None
        self._left_out: dict[bytes, None] = {}  # ids of messages
        self._seen: dict[tuple[str, str | None], bool] = {}
        self.frames: dict[object, object] = {}

    def shows(self, item: Item) -> bool:
        """Whether the client may, and wants to, see this."""
        if item.org != self.org or (self._verdict and item.verdict != self._verdict):
            return False
        place = item.topic, item.subject
        known = self._seen.get(place)
        if known is None:
            if len(self._seen) >= REMEMBERED:
                self._seen.clear()
            known = self._seen[place] = self._decide(*place)
        return known and (self.filter is None or self._passes(item, self.filter))

    def _passes(self, item: Item, filter: Filter) -> bool:
        if not item.message:
            return item.id not in self._left_out
        row = item.row
        if row is not None and filter.matches(row):
            self._left_out.pop(item.id, None)  # an attempt of the same id was left out
            return True
        while len(self._left_out) >= REMEMBERED:
            del self._left_out[next(iter(self._left_out))]
        self._left_out[item.id] = None
        return False

    def _decide(self, topic: str, subject: str | None) -> bool:
        return (
            topic_matches(self._topic, topic) and subject_matches(self._subject, subject) and self._reader.may_touch("read", topic, subject)
        )


_views: "weakref.WeakValueDictionary[tuple[object, ...], View]" = weakref.WeakValueDictionary()


def view_of(principal: Principal, wanted: Subscription) -> View:
    """The view of a principal's subscription. Raises Forbidden without a read grant, or for another org's feed."""
    if not principal.may("read"):
        raise Forbidden("this key has no grant to read", rule="grant")
    org = wanted.org or principal.org
    if org != principal.org and not principal.system:
        raise Forbidden("only a system admin may watch another org", rule="grant")
    key = (org, principal.grants, wanted.topic, wanted.subject, wanted.verdict, wanted.filter)
    view = _views.get(key)
    if view is None:
        view = _views[key] = View(org, principal.grants, wanted)
    return view
