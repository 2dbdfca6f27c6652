"""Times and ids as psycopg takes them. Ours are microseconds, and days, since 1970 UTC."""

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from struct import Struct

from psycopg.adapt import Dumper
from psycopg.pq import Format

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_DAY = BEGINNING.toordinal()
_UUID = 2950  # the type of the elements
_ARRAY = Struct(">iii").pack  # dimensions, nulls, type of the elements
_BOUNDS = Struct(">ii").pack  # elements, the first one's subscript
_SIXTEEN = b"\x00\x00\x00\x10"  # the length before each element
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


def dates(days: Iterable[int]) -> list[date]:
    """The days in their order. Raises as date_of does."""
    return [date_of(day) for day in sorted(days)]


class Uuids(bytes):
    """A uuid[] in PostgreSQL's binary form: for thousands of ids far cheaper than one UUID each, for the server too."""


class UuidsDumper(Dumper):
    """Gives Uuids to the server as they are."""

    format = Format.BINARY
    oid = 2951

    def dump(self, obj: Uuids) -> Uuids:
        return obj


def uuids(ids: Collection[bytes]) -> Uuids:
    """The ids, 16 bytes each, as a parameter."""
    if not ids:
        return Uuids(_ARRAY(0, 0, _UUID))
    return Uuids(_ARRAY(1, 0, _UUID) + _BOUNDS(len(ids), 1) + _SIXTEEN + _SIXTEEN.join(ids))
