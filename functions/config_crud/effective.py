"""What holds for a topic and a subject, which document says so, and what would be said of messages if a document were another."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from functions.config_crud.access import READ, reach_all, reach_topic
from functions.config_crud.documents import Admit, path_of
from shared.checking import Question
from shared.domain.config.document import Document as ConfigDocument
from shared.domain.config.merge import merge, shown
from shared.domain.config.paths import Path, applies, parse_path
from shared.domain.errors import NotFound
from shared.domain.json_text import canonical
from shared.domain.principal import Principal
from shared.domain.revisions import GLOBAL_ORG, Document
from shared.ports import ConfigStore

_read = msgspec.json.Decoder(ConfigDocument).decode
Texts = Mapping[str, bytes]


class Effective(NamedTuple):
    """The merged document, and for each value, by JSON pointer, the path of the document that gave it (`default`: none did)."""

    revision: int
    document: dict[str, Any]
    origins: Mapping[str, str]


class Proposal(NamedTuple):
    """A document as it would be at a path; `value` None: there would be none."""

    path: str
    value: Any


class Asked(NamedTuple):
    """What is to be checked: structured CloudEvents, as of the principal of that name (None: the caller), under a proposal, if any."""

    events: Sequence[Any]
    principal: str | None = None
    proposal: Proposal | None = None


async def effective(store: ConfigStore, caller: Principal, org: str | None, topic: str, subject: str | None) -> Effective:
    """What holds for messages of a topic and subject. Raises Forbidden."""
    whose = reach_topic(caller, org, topic, subject)
    revision, everybodys, own = await _in_force(store, whose)
    found = [
        (path, text) for texts in (everybodys, own) for name, text in texts.items() if applies(path := parse_path(name), topic, subject)
    ]
    merged = merge([(path, _read(text)) for path, text in found])
    return Effective(revision, shown(merged), merged.origins)


async def questioned(store: ConfigStore, admit: Admit, caller: Principal, org: str | None, asked: Asked, now: int) -> Question:
    """What is to be judged, by what documents, for the verdict on each event, without effect. `now` is in microseconds since 1970.

    Rate limits are not asked: their buckets are the doors'. Raises Forbidden, NotFound for a principal that isn't there, and
    NotProcessable for a document that doesn't hold.
    """
    whose = reach_all(caller, org, READ)
    principal = caller if asked.principal is None else await store.principal(whose, asked.principal)
    if principal is None:
        raise NotFound(f"no principal {asked.principal}")
    _, documents = await _documents(store, admit, whose, asked.proposal)
    return Question(documents, whose, principal, [canonical(event) for event in asked.events], now)


async def proposed(
    store: ConfigStore, admit: Admit, caller: Principal, org: str | None, proposal: Proposal
) -> tuple[str, Path, Mapping[str, Texts]]:
    """The org that is meant, the path, and all documents by org and path as they would be. Raises Forbidden, NotProcessable."""
    whose = reach_all(caller, org, READ)
    path, documents = await _documents(store, admit, whose, proposal)
    assert path is not None
    return whose, path, documents


async def _documents(store: ConfigStore, admit: Admit, whose: str, proposal: Proposal | None) -> tuple[Path | None, Mapping[str, Texts]]:
    """The documents in force, by org and path, with the proposal among them, once it is found to hold."""
    _, everybodys, own = await _in_force(store, whose)
    path = None if proposal is None else path_of(proposal.path)
    if proposal is not None and path is not None:
        if proposal.value is not None:
            await admit(whose, path.text, proposal.value, publish=False)
        if path.layer == "global":
            everybodys = _with(everybodys, path.text, proposal.value)
        else:
            own = _with(own, path.text, proposal.value)
    return path, {GLOBAL_ORG: everybodys, whose: own}


def _with(texts: Texts, path: str, value: Any) -> Texts:
    others = {name: text for name, text in texts.items() if name != path}
    return others if value is None else others | {path: canonical(value)}


async def _in_force(store: ConfigStore, org: str) -> tuple[int, Texts, Texts]:
    """The revision, and the texts of `global` and of the org as they were at it, whatever is written meanwhile."""
    revision = await store.current()
    return revision, _texts(await store.documents(GLOBAL_ORG, revision)), _texts(await store.documents(org, revision))


def _texts(documents: Mapping[str, Document]) -> Texts:
    return {path: document.text for path, document in documents.items()}
