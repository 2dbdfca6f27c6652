"""A config state in memory: all of it at one revision, never changed but copied and replaced."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

import msgspec

from shared.domain.authority import rules_all
from shared.domain.issuers import issuer_text
from shared.domain.principal import Principal
from shared.domain.registry.deciding import Kept, Place
from shared.domain.registry.reach import reaches
from shared.domain.registry.shapes import encode
from shared.domain.retention import left_of
from shared.domain.revisions import Change, Document, Held, OrgState
from shared.domain.sessions import named_by
from shared.domain.snapshot import Snapshot, standing
from shared.domain.token_issuer import Issuer


class Key(NamedTuple):
    """An API key as it is kept."""

    org: str
    name: str
    hash: bytes
    created: str


class State(NamedTuple):
    """Documents by org and path; principals by org and name, with their revisions; keys by id; orgs by name; the
    registry by org and path; issuers of tokens by name, with their revisions; sessions that were signed out by path."""

    documents: dict[tuple[str, str], Document]
    principals: dict[tuple[str, str], tuple[Principal, int]]
    keys: dict[str, Key]
    orgs: dict[str, OrgState]
    registry: dict[Place, Kept]
    issuers: dict[str, tuple[Issuer, int]]
    sessions: dict[str, int]

    def copy(self) -> "State":
        """The same, to be changed."""
        return State(*(dict(part) for part in self))  # type: ignore[arg-type]  # each is a copy of its own part

    def snapshot(self, revision: int, home: str, sealed: Mapping[str, bytes]) -> Snapshot:
        """What functions get to see of it; `sealed` are backbones' keys."""
        documents: dict[str, dict[str, bytes]] = {}
        for (org, path), document in self.documents.items():
            documents.setdefault(org, {})[path] = document.text
        keys = {key.hash: self.principals[key.org, key.name][0] for key in self.keys.values()}
        orgs, doors = standing(principal for principal, _ in self.principals.values())
        keyed = {(key.org, key.name) for key in self.keys.values()}
        keyless = tuple(principal for place, (principal, _) in sorted(self.principals.items()) if place not in keyed)
        issuers = tuple(issuer for _, (issuer, _) in sorted(self.issuers.items()))
        ended = {named_by(path): expires for path, expires in self.sessions.items()}
        return Snapshot(revision, keys, home, documents, orgs, doors, issuers, keyless, reaches(self.registry, sealed), ended=ended)

    def is_ruled(self) -> bool:
        """Whether a system admin that may do everything can sign in."""
        return any(rules_all(self.principals[key.org, key.name][0]) for key in self.keys.values())

    def held(self, org: str) -> Held:
        """How many principals and keys an org has."""
        grants = [msgspec.json.encode(principal.grants) for (whose, _), (principal, _) in self.principals.items() if whose == org]
        return Held(len(grants), sum(map(len, grants)), sum(key.org == org for key in self.keys.values()))

    def drop_keys(self, wanted: Callable[[Key], bool]) -> None:
        """Remove the keys that are wanted."""
        for key_id in [key_id for key_id, key in self.keys.items() if wanted(key)]:
            del self.keys[key_id]

    def drop_org(self, org: str, revision: int) -> None:
        """Remove an org's principals and keys, and of its documents all but how long its messages are kept."""
        said = self.documents.get((org, "org"))
        for document in [place for place in self.documents if place[0] == org]:
            del self.documents[document]
        if said is not None and (left := left_of(said.text)) is not None:
            self.documents[org, "org"] = Document(left, revision)
        for principal in [place for place in self.principals if place[0] == org]:
            del self.principals[principal]
        self.drop_keys(lambda key: key.org == org)


def new_key(org: str, name: str) -> tuple[str, str, Key]:
    """A key's id, the key itself, and what is kept of it."""
    key = f"sb_{secrets.token_urlsafe(32)}"
    return f"k_{secrets.token_hex(6)}", key, Key(org, name, sha256(key.encode()).digest(), second())


def second() -> str:
    """The time, RFC 3339."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def changes_of(before: State, after: State) -> Iterator[Change]:
    """What became of documents, principals and issuers, by path."""
    was, now = _texts(before), _texts(after)
    for org, path in sorted(was.keys() | now.keys(), key=lambda place: place[1]):
        if was.get((org, path)) != now.get((org, path)):
            yield Change(path, was.get((org, path), (None, 0))[0], now.get((org, path), (None, 0))[0])


def _texts(state: State) -> dict[tuple[str, str], tuple[bytes | None, int]]:
    """Text and revision by org and path."""
    texts: dict[tuple[str, str], tuple[bytes | None, int]] = {
        place: (document.text, document.revision) for place, document in state.documents.items()
    }
    for (org, name), (principal, revision) in state.principals.items():
        said = msgspec.json.encode({"grants": principal.grants, "system": principal.system})
        texts[org, f"principals/{name}"] = (said, revision)
    texts |= {place: (encode(kept.declared), kept.revision) for place, kept in state.registry.items()}
    texts |= {("", f"issuers/{name}"): (issuer_text(issuer), revision) for name, (issuer, revision) in state.issuers.items()}
    return texts
