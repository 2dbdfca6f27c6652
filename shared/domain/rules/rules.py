"""The rules of one config revision: which scope a message falls into. Fixed but for what it remembers, which is bounded."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import msgspec

from shared.domain.config.document import Document
from shared.domain.config.merge import DEFAULT, Delivering, merge
from shared.domain.config.paths import Path, parse_path, specificity
from shared.domain.errors import NotProcessable
from shared.domain.message import Message
from shared.domain.names import subject_matches
from shared.domain.principal import Principal
from shared.domain.retention import Retention
from shared.domain.rules.check import routed
from shared.domain.rules.facts import Facts, needs_of
from shared.domain.rules.scope import Scope, scope_of
from shared.domain.rules.topics import Topics
from shared.domain.rules.ways import Ways

MAX_SCOPES = 1_024  # compiled sets of documents, at up to 70 KB for ten policies
LONGEST_KEPT = 3_650 * 86_400  # seconds: the longest retention there is
_COMPILED = (b'"when"', b'"schema"')  # what takes time: CEL, and JSON Schemas
MAX_KNOWN = 16_384  # (org, topic, subject) whose scope is remembered

_read = msgspec.json.Decoder(Document).decode


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """One document as it is stored. It is itself only: what is compiled from it is remembered by it."""

    path: Path
    text: bytes


class Org:
    """An org's documents, general first, and the patterns among them."""

    __slots__ = ("documents", "source", "topics", "unreadable")

    def __init__(self, source: Mapping[str, bytes], previous: "Org | None") -> None:
        self.source = source
        self.unreadable = ""  # the path of a document that isn't known to be for no message
        before: dict[Path, Stored] = {one.path: one for one in previous.documents} if previous is not None else {}
        found: list[Stored] = []
        for text, content in source.items():
            try:
                path = parse_path(text)
            except NotProcessable:
                self.unreadable = text
                continue
            old = before.get(path)
            found.append(old if old is not None and old.text == content else Stored(path, content))
        self.documents: tuple[Stored, ...] = tuple(sorted(found, key=lambda one: specificity(one.path)))
        self.topics = Topics(one.path.pattern for one in self.documents if one.path.layer == "topics")


_NONE = Org({}, None)


class Wanted(NamedTuple):
    """A scope that isn't there yet: an org's name, its documents for some messages, and the path of one that can't be read."""

    org: str
    documents: tuple[Stored, ...]
    unreadable: str

    def compiled(self) -> Scope:
        """The scope. Takes a hundred milliseconds where there are hundreds of rules, and may be called in any thread."""
        return _compiled(*self)


class Rules:
    """All documents of a revision, by org and path, as canonical JSON; those of the org `""` are for all orgs. Nothing is read or compiled
    before a message asks for it. Given the rules that were in force before, what didn't change isn't compiled again."""

    def __init__(self, documents: Mapping[str, Mapping[str, bytes]], previous: "Rules | None" = None) -> None:
        self._documents = documents
        self._orgs: dict[str, Org] = {}
        self._known: dict[tuple[str, str, str | None], Scope] = {}
        self._scopes: dict[tuple[str, tuple[Stored, ...]], Scope] = {}
        self._ways = Ways()
        self._fixed: dict[tuple[int, str], tuple[Scope, Scope]] = {}  # by a scope and who gives its targets: the scope, and that with them
        if previous is not None:
            self._orgs = {name: self._org(name, org) for name, org in previous._orgs.items() if name in documents}
            alive = {one for org in self._orgs.values() for one in org.documents}
            self._scopes = {key: scope for key, scope in previous._scopes.items() if not scope.unreadable and alive.issuperset(key[1])}
            self._ways = previous._ways.of(self._scopes.values())

    def scope(self, org: str, topic: str, subject: str | None) -> Scope:
        """What messages of that org, topic and subject are judged by."""
        scope = self._known.get((org, topic, subject))
        return self._remembered(org, topic, subject, self.matching(org, topic, subject)) if scope is None else scope

    def _remembered(self, org: str, topic: str, subject: str | None, stored: tuple[Stored, ...]) -> Scope:
        scope = self._narrowed(self._scope(org, stored), org, topic, subject)
        if scope.placed:
            scope = self._placed(scope, org, topic, subject)
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[org, topic, subject] = scope
        return scope

    def knows(self, messages: Iterable[Message]) -> bool:
        """Whether what these are judged by is remembered, so that scope() has nothing to do."""
        known = self._known
        for message in messages:  # noqa: SIM110  # asked of every message, and a generator costs more than what it asks
            if (message.org, message.topic, message.subject) not in known:
                return False
        return True

    def wanted(self, org: str, topic: str, subject: str | None) -> Wanted | None:
        """What scope() would have to compile. None where that is done, or next to nothing: then scope() knows it from now on."""
        stored = self.matching(org, topic, subject)
        if (org, stored) not in self._scopes and any(mark in one.text for one in stored for mark in _COMPILED):
            return Wanted(org, stored, self._unreadable(org))
        self._remembered(org, topic, subject, stored)
        return None

    def keep(self, wanted: Wanted, scope: Scope) -> None:
        """Remember a scope that was compiled elsewhere."""
        if len(self._scopes) >= MAX_SCOPES:
            self._scopes.clear()
        self._scopes[wanted.org, wanted.documents] = scope

    def _narrowed(self, scope: Scope, org: str, topic: str, subject: str | None) -> Scope:
        """The scope without the policies that can't be true of that topic and subject; where they differ in too many ways, all of it."""
        guards = scope.guards
        if not guards:
            return scope
        facts = Facts(_at(org, topic, subject), Principal("", org, ()), needs_of([guard.shape for guard in guards]))
        false = frozenset(guard.text for guard in guards if facts.ask(guard) is False)
        if not false:
            return scope
        if self._ways.stale:
            self._ways = Ways()
            self._known.clear()
        return self._ways.narrowed(org, scope, false)

    def _placed(self, scope: Scope, org: str, topic: str, subject: str | None) -> Scope:
        """The scope with its targets, which are the same for all messages of that topic and subject: conditions are asked once. Where one
        fails they are asked of each message, and refuse it."""
        found = routed(_at(org, topic, subject), Principal("", org, ()), scope)
        if found.blocked is not None:
            return scope
        key = (id(scope), found.routed_by)
        kept = self._fixed.get(key)
        if kept is None or kept[0] is not scope:
            if len(self._fixed) >= MAX_SCOPES:
                self._fixed.clear()
            kept = self._fixed[key] = (scope, scope.fixed(found.to, found.routed_by))
        return kept[1]

    def delivering(self, message: Message) -> Delivering:
        """How much of such messages is under way, and how a refused delivery of one is tried again."""
        return self.scope(message.org, message.topic, message.subject).effective.delivering

    def in_flight(self, message: Message) -> int | None:
        """How many of such messages one process may have under way; None where no document says."""
        effective = self.scope(message.org, message.topic, message.subject).effective
        return None if effective.origins["/buffer/in_flight"] == DEFAULT else effective.delivering.in_flight

    def batched(self, message: Message) -> int | None:
        """How many of such messages one batch of the logger may have; None where no document says."""
        effective = self.scope(message.org, message.topic, message.subject).effective
        return None if effective.origins["/buffer/messages"] == DEFAULT else effective.delivering.messages

    @cached_property
    def retention(self) -> Retention:
        """How long messages are kept: by the orgs that say so, and by all others. Of a document that can't be read: as long as can be."""
        everybody = self._kept(self._of("").documents)
        by_org = {name: self._kept((*self._of("").documents, *self._org_wide(name))) for name in self._documents if name}
        return Retention({name: kept for name, kept in by_org.items() if kept != everybody}, everybody)

    def _org_wide(self, name: str) -> list[Stored]:
        return [one for one in self._of(name).documents if one.path.layer == "org"]

    def _kept(self, stored: Sequence[Stored]) -> int:
        try:
            return merge([(one.path, _read(one.text)) for one in stored]).retention_s
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
            return LONGEST_KEPT

    @cached_property
    def buffered(self) -> bool:
        """Whether any document may bound how much of something is under way: where none does, nobody has to look."""
        return any(b'"buffer"' in text for documents in self._documents.values() for text in documents.values())

    def matching(self, org: str, topic: str, subject: str | None) -> tuple[Stored, ...]:
        """The documents for these messages, general first."""
        own = self._of(org)
        topics = own.topics.matching(topic)
        return (*self._of("").documents, *(one for one in own.documents if _for(one.path, topics, subject)))

    def _of(self, name: str) -> Org:
        org = self._orgs.get(name)
        if org is None:
            if name not in self._documents:
                return _NONE
            org = self._orgs[name] = self._org(name, None)
        return org

    def _org(self, name: str, previous: Org | None) -> Org:
        source = self._documents[name]
        return previous if previous is not None and previous.source == source else Org(source, previous)

    def _scope(self, org: str, stored: tuple[Stored, ...]) -> Scope:
        key = (org, stored)
        scope = self._scopes.get(key)
        if scope is None:
            wanted = Wanted(org, stored, self._unreadable(org))
            scope = wanted.compiled()
            self.keep(wanted, scope)
        return scope

    def _unreadable(self, org: str) -> str:
        return self._of(org).unreadable or self._of("").unreadable


def _compiled(org: str, stored: tuple[Stored, ...], unreadable: str) -> Scope:
    """The scope of some documents. One that can't be read, which only another release's can't be, makes it a scope that takes nothing."""
    documents = []
    for one in stored:
        try:
            documents.append((one.path, _read(one.text)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            unreadable = unreadable or one.path.text
    try:
        return scope_of(org, documents, unreadable)
    except ValueError:  # a duration that isn't one
        return scope_of(org, [], unreadable or stored[-1].path.text)


def _at(org: str, topic: str, subject: str | None) -> Message:
    """A message of which nothing but its place is known."""
    return Message(b"\0" * 16, b"\0" * 32, org, topic, subject, "", "", "", None, None, None, None, None, 0, "", "")


def _for(path: Path, topics: frozenset[str], subject: str | None) -> bool:
    if path.layer == "topics":
        return path.pattern in topics
    return path.layer == "org" or subject_matches(path.pattern, subject)
