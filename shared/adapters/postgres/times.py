"""Times and ids as PostgreSQL's client takes them. Ours are microseconds, and days, since 1970 UTC."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_DAY = BEGINNING.toordinal()
EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def moment(microseconds: int) -> datetime:
    """The time; one before the year 1 or after 9999 is the nearest there is."""
    try:
        return BEGINNING + timedelta(microseconds=microseconds)
    except OverflowError:
        return EARLIEST if microseconds < 0 else LATEST


def date_of(day: int) -> date:
    """Raises ValueError or OverflowError for a day that no calendar has."""
    return date.fromordinal(FIRST_DAY + day)


def uuids(ids: Iterable[bytes]) -> str:
    """A uuid[] in PostgreSQL's text form: for thousands of them far cheaper than one UUID each."""
    return "{" + ",".join(map(bytes.hex, ids)) + "}"
