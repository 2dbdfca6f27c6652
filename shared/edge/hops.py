"""Answers to a hop: a request with `Prefer: reply`, as a Knative broker sends it (contracts.md, "Event hops").

Never a 2xx with a body that isn't a CloudEvent: a broker makes a 502 of that, and sends the event again.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

from shared.domain.errors import Malformed, SwitchboardError, Unauthenticated, Unavailable
from shared.domain.message import uuid_text
from shared.domain.verdict import Outcome, Receipt, Refusal
from shared.edge.asgi import JSON, Header

MESSAGE_ID = b"switchboard-message-id"
REJECTED = b"switchboard.message.rejected"


class Answer(NamedTuple):
    """A whole response, `content-length` aside."""

    status: int
    headers: list[Header]
    body: bytes


def wants_reply(prefer: bytes) -> bool:
    """Whether a `Prefer` header (RFC 7240) has the preference `reply`."""
    return any(preference.partition(b";")[0].strip().lower() == b"reply" for preference in prefer.split(b","))


def goes_back(error: SwitchboardError) -> bool:
    """Whether the broker itself has to deal with it (by its status), rather than whoever takes the rejected event."""
    own_load = error.status == 429 and error.rule is None
    return own_load or error.status >= 500 or isinstance(error, Malformed | Unauthenticated | Unavailable)


def hop_answer(outcomes: Sequence[Outcome], receipts: bytes, cluster: str, function: str) -> Answer:
    """The answer to the hop. `receipts` is the JSON of the outcomes; it becomes the data of the rejected event.

    Raises the error that the whole hop is answered with: one the broker must retry first of all, since a retry harms none of the others.
    """
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    if not refused:
        ids = [uuid_text(outcome.message.id) for outcome in outcomes if isinstance(outcome, Receipt)]
        return Answer(202, [(MESSAGE_ID, ids[0].encode())] if len(ids) == 1 else [], b"")
    back = sorted((refusal.error for refusal in refused if goes_back(refusal.error)), key=lambda error: error.status, reverse=True)
    if back and (back[0].status in (429, 503) or back[0].status >= 500 or len(back) == len(outcomes)):
        raise back[0]
    return Answer(200, _rejected(refused, cluster, function), receipts)


def _rejected(refused: Sequence[Refusal], cluster: str, function: str) -> list[Header]:
    headers: list[Header] = [
        (b"ce-specversion", b"1.0"),
        (b"ce-type", REJECTED),
        (b"ce-source", f"/clusters/{cluster}/{function}".encode()),
        (b"ce-id", uuid4().hex.encode()),
        JSON,
    ]
    if len(refused) == 1 and refused[0].id is not None:
        headers.append((b"ce-subject", uuid_text(refused[0].id).encode()))
        headers.append((MESSAGE_ID, uuid_text(refused[0].id).encode()))
    return headers
