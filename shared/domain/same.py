"""Whether two events of one identity with different digests are the same event after all (log.md, "The same event again")."""

import json
import re
from typing import Any

from shared.domain.errors import Fault, NotProcessable
from shared.domain.message import Message

_JSON = re.compile(r"\s*[^/;\s]+/(?:json|[^;\s]+\+json)\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)


def conflicting(message: Message) -> NotProcessable:
    """The refusal of an event that isn't the one which has its identity."""
    told = "was accepted before with other content"
    return NotProcessable(f"{message.source} {message.event_id} {told}", rule="identity", faults=[Fault("/id", told)])


def same_event(first: Message, second: Message) -> bool:
    """True where everything but the JSON's spelling is equal: white space, order of members, escapes.

    Numbers are compared as they are written: 1 and 1.0 are two things to somebody. What isn't JSON is the same only byte for byte.
    """
    if (first.type, first.subject, first.topic, _type(first), first.dataschema) != (
        second.type,
        second.subject,
        second.topic,
        _type(second),
        second.dataschema,
    ):
        return False
    if first.body is None or second.body is None or first.body == second.body:
        return first.body == second.body
    if not _JSON.fullmatch(_type(first)):
        return False
    try:
        return bool(_read(first.body) == _read(second.body))
    except (ValueError, RecursionError):
        return False


def _type(message: Message) -> str:
    return message.datacontenttype or "application/json"


def _read(body: bytes) -> Any:
    """The JSON as values that are equal where the text means the same: members by name, all of those with one name; numbers as texts
    in a tuple, which nothing else becomes. Raises ValueError for what isn't JSON, RecursionError for what is too deep."""
    return json.loads(body, object_pairs_hook=_members, parse_int=_number, parse_float=_number, parse_constant=_refuse)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    members: dict[str, list[Any]] = {}
    for name, value in pairs:
        members.setdefault(name, []).append(value)
    return members


def _number(text: str) -> tuple[str]:
    return (text,)


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
