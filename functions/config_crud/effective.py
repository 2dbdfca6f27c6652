"""What holds for a topic and a subject, which document says so, and what would be said of messages if a document were another."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from functions.config_crud.access import READ, reach_all, reach_topic
from functions.config_crud.documents import Admit, path_of
from shared.codec import Context, decode_structured
from shared.domain.config.document import Document as ConfigDocument
from shared.domain.config.merge import merge, shown
from shared.domain.config.paths import Path, applies, parse_path
from shared.domain.errors import Malformed, NotFound, SwitchboardError
from shared.domain.json_text import canonical
from shared.domain.message import uuid_text
from shared.domain.principal import Principal
from shared.domain.revisions import GLOBAL_ORG, Document
from shared.domain.rules.check import Judgement, judge
from shared.domain.rules.rules import Rules
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


async def check(store: ConfigStore, admit: Admit, caller: Principal, org: str | None, asked: Asked, now: int) -> list[dict[str, object]]:
    """The verdict on each event, without effect: nothing is counted, logged or published. `now` is in microseconds since 1970.

    Rate limits are not asked: their buckets are the doors'. Raises Forbidden, NotFound for a principal that isn't there, and
    NotProcessable for a document that doesn't hold.
    """
    whose = reach_all(caller, org, READ)
    principal = caller if asked.principal is None else await store.principal(whose, asked.principal)
    if principal is None:
        raise NotFound(f"no principal {asked.principal}")
    rules = Rules((await _documents(store, admit, whose, asked.proposal))[1])
    context = Context(whose, "http", principal.name, now)
    return [_verdict(event, context, principal, rules, now) for event in asked.events]


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


def _verdict(event: Any, context: Context, principal: Principal, rules: Rules, now: int) -> dict[str, object]:
    """`{id, status, rule, would_route_to}`; `detail` says why, `shadows` what shadow policies would have done."""
    try:
        message = decode_structured(canonical(event), context)
    except Malformed as error:
        return {"id": None, "status": "malformed", "rule": None, "would_route_to": [], "detail": error.detail, "errors": _faults(error)}
    found = judge(message, principal, rules.scope(context.org, message.topic, message.subject), None, now / 1_000_000)
    said: dict[str, object] = {"id": uuid_text(message.id), **_outcome(found)}
    return said | ({"shadows": [msgspec.to_builtins(shadow) for shadow in found.shadows]} if found.shadows else {})


def _outcome(found: Judgement) -> dict[str, object]:
    if found.blocked is None:
        return {"status": "accepted", "rule": None, "would_route_to": list(found.to)}
    blocked = found.blocked
    return {"status": "blocked", "rule": blocked.rule, "would_route_to": [], "detail": blocked.detail, "errors": _faults(blocked)}


def _faults(error: SwitchboardError) -> list[dict[str, str]]:
    return [fault._asdict() for fault in error.faults]


def _with(texts: Texts, path: str, value: Any) -> Texts:
    others = {name: text for name, text in texts.items() if name != path}
    return others if value is None else others | {path: canonical(value)}


async def _in_force(store: ConfigStore, org: str) -> tuple[int, Texts, Texts]:
    """The revision, and the texts of `global` and of the org as they were at it, whatever is written meanwhile."""
    revision = await store.current()
    return revision, _texts(await store.documents(GLOBAL_ORG, revision)), _texts(await store.documents(org, revision))


def _texts(documents: Mapping[str, Document]) -> Texts:
    return {path: document.text for path, document in documents.items()}
