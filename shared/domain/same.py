"""Whether two events of one identity with different digests are the same event after all (log.md, "The same event again")."""

import json

from shared.domain.message import Message


def same_event(first: Message, second: Message) -> bool:
    """True where everything but the JSON's spelling is equal: white space, order of members, escapes.

    Numbers are compared as they are written: 1 and 1.0 are two things to somebody.
    """
    if (first.type, first.subject, first.topic, first.datacontenttype or "application/json", first.dataschema) != (
        second.type,
        second.subject,
        second.topic,
        second.datacontenttype or "application/json",
        second.dataschema,
    ):
        return False
    if first.body is None or second.body is None:
        return first.body is second.body
    return first.body == second.body or ((canonical := _canonical(first.body)) is not None and canonical == _canonical(second.body))


def _canonical(body: bytes) -> str | None:
    """JSON with sorted members and numbers as written; None where the body isn't JSON (or is too deep to read)."""
    try:
        value = json.loads(body, parse_int=_number, parse_float=_number, parse_constant=_refuse)
        return json.dumps(value, sort_keys=True)
    except (ValueError, RecursionError):
        return None


def _number(text: str) -> dict[str, str]:
    return {"\0number": text}


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
