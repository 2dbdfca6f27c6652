"""What a query's parameters mean: times, ages, limits, ids. Every fault names the parameter."""

import re
from uuid import UUID

from shared.domain import moments
from shared.domain.errors import Fault, Malformed

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100


def moment(name: str, text: str, now: int) -> int:
    """A point in time, RFC 3339 or an age, as microseconds since 1970; `now` likewise. Raises Malformed naming the parameter."""
    try:
        return moments.moment(text, now)
    except ValueError as error:
        raise wrong(name, str(error)) from error


def count(text: str | None) -> int:
    """How many rows a page may have. Raises Malformed naming `limit` unless it is 1 to 1,000."""
    if text is None:
        return DEFAULT_LIMIT
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise wrong("limit", f"a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def message_uuid(text: str) -> bytes:
    """The 16 bytes of a message id. Raises Malformed naming `id` unless it is a UUID in its usual form."""
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        raise wrong("id", "not a UUID, like 8f14e45f-ceea-8b3a-95e4-61f7ce5a1474")
    return UUID(text).bytes


def wrong(name: str, detail: str) -> Malformed:
    """What is wrong with one parameter."""
    return Malformed(f"{name}: {detail}", faults=[Fault(name, detail)])
