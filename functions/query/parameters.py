"""What a query's parameters mean: times, ages, limits, ids. Every fault names the parameter."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

from shared.domain.errors import Fault, Malformed

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100

_AGE = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
# RFC 3339, section 5.6. A space for the offset's sign: `+` in a query string that nobody escaped.
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+ -]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = 253_402_300_799_999_999  # the end of the year 9999, microseconds since 1970


def moment(name: str, text: str, now: int) -> int:
    """A point in time, RFC 3339 (`2026-01-31T12:00:00Z`) or an age (`30s`, `15m`, `2h`, `7d`), as microseconds since 1970.

    `now` likewise. Nothing is older than 1970: earlier times become 0. Raises Malformed naming the parameter.
    """
    if age := _AGE.fullmatch(text):
        return max(0, now - int(age[1]) * _SECONDS[age[2]] * 1_000_000)
    if not (parts := _TIME.fullmatch(text)):
        raise wrong(name, "neither an RFC 3339 time with its offset, like 2026-01-31T12:00:00Z, nor an age, like 15m, 2h or 7d")
    day, minute, second, fraction, offset = parts.groups()
    leap = second == "60"
    try:
        whole = datetime.fromisoformat(f"{day}T{minute}:{'59' if leap else second}{offset.upper().replace(' ', '+')}")
    except ValueError as error:
        raise wrong(name, f"not a time: {error}") from error
    microseconds = (whole - _EPOCH) // timedelta(microseconds=1) + leap * 1_000_000 + int((fraction or "0")[:6].ljust(6, "0"))
    return min(max(0, microseconds), _LAST)


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
