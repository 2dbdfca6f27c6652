"""The rules that a message was judged by, as they were: its scope under the config revision that is stamped on it."""

import asyncio
from collections.abc import Iterable, Mapping

from shared.domain.errors import Unavailable
from shared.domain.message import Message
from shared.domain.revisions import GLOBAL_ORG
from shared.domain.rules.rules import Rules
from shared.domain.rules.scope import Scope
from shared.domain.stored import StoredMessage
from shared.ports import ConfigDocuments

MOST_REVISIONS = 16  # of one message's attempts: each is a question to the store, and as many rules to compile

Judged = tuple[int, str, str | None]  # revision, topic, subject


def judged(message: Message) -> Judged:
    """What decides the scope of a message of a given org."""
    return message.revision, message.topic, message.subject


async def scopes(config: ConfigDocuments, rows: Iterable[StoredMessage]) -> dict[Judged, Scope]:
    """The scopes of rows of one org, newest row first. Those of more revisions than MOST_REVISIONS are left out; where the config can't
    be read, all are: what happened to a message is told nevertheless."""
    found: dict[Judged, Scope] = {}
    known: dict[int, Rules] = {}
    try:
        for message in (row.message for row in rows):
            if message.revision not in known and len(known) >= MOST_REVISIONS:
                continue
            if message.revision not in known:
                known[message.revision] = Rules(await _documents(config, message.org, message.revision))
            if judged(message) not in found:
                found[judged(message)] = await asyncio.to_thread(known[message.revision].scope, message.org, message.topic, message.subject)
    except Unavailable:
        return found
    return found


async def _documents(config: ConfigDocuments, org: str, revision: int) -> Mapping[str, Mapping[str, bytes]]:
    """The documents at a revision, by org and path: the org's, and those that are for everybody."""
    of = {name: await config.documents(name, revision) for name in (GLOBAL_ORG, org)}
    return {name: {path: document.text for path, document in documents.items()} for name, documents in of.items()}
