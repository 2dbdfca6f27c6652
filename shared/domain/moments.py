"""Points in time as requests write them: RFC 3339, or an age."""

import re
from datetime import UTC, datetime, timedelta

_AGE = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
# RFC 3339, section 5.6. A space for the offset's sign: `+` in a query string that nobody escaped.
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+ -]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST = 253_402_300_799_999_999  # the end of the year 9999, microseconds since 1970


def moment(text: str, now: int) -> int:
    """A point in time, RFC 3339 (`2026-01-31T12:00:00Z`) or an age (`30s`, `15m`, `2h`, `7d`), as microseconds since 1970.

    `now` likewise. Nothing is older than 1970: earlier times become 0. Raises ValueError for what is neither.
    """
    if age := _AGE.fullmatch(text):
        return max(0, now - int(age[1]) * _SECONDS[age[2]] * 1_000_000)
    if not (parts := _TIME.fullmatch(text)):
        raise ValueError("neither an RFC 3339 time with its offset, like 2026-01-31T12:00:00Z, nor an age, like 15m, 2h or 7d")
    day, minute, second, fraction, offset = parts.groups()
    leap = second == "60"
    try:
        whole = datetime.fromisoformat(f"{day}T{minute}:{'59' if leap else second}{offset.upper().replace(' ', '+')}")
    except ValueError as error:
        raise ValueError(f"not a time: {error}") from error
    microseconds = (whole - _EPOCH) // timedelta(microseconds=1) + leap * 1_000_000 + int((fraction or "0")[:6].ljust(6, "0"))
    return min(max(0, microseconds), LAST)
