"""What times, ages, limits and ids of a query mean, and which parameter an error names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.query.parameters import count, message_uuid, moment
from shared.domain.errors import Malformed
from shared.view import time_text

NOON = 1_767_268_800_000_000  # 2026-01-01T12:00:00Z


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("2026-01-01T12:00:00Z", NOON),
        ("2026-01-01t12:00:00z", NOON),
        ("2026-01-01 12:00:00Z", NOON),
        ("2026-01-01T14:00:00+02:00", NOON),
        ("2026-01-01T14:00:00 02:00", NOON),
        ("2026-01-01T12:00:00.5Z", NOON + 500_000),
        ("2026-01-01T12:00:00.123456789Z", NOON + 123_456),
        ("2025-12-31T23:59:60Z", NOON - 12 * 3_600_000_000),
        ("0001-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59-23:59", 253_402_300_799_999_999),
        ("30s", NOON - 30_000_000),
        ("15m", NOON - 900_000_000),
        ("2h", NOON - 7_200_000_000),
        ("7d", NOON - 604_800_000_000),
        ("999999999d", 0),
    ],
)
def test_time_is_read_when_it_is_rfc3339_or_an_age(text: str, means: int) -> None:
    assert moment("since", text, NOON) == means


@given(st.integers(0, 253_402_300_799_999_999))
def test_time_comes_back_when_it_is_one_that_answers_show(microseconds: int) -> None:
    assert moment("since", time_text(microseconds), NOON) == microseconds


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "15", "15 m", "-1h", "1w", "9999999999d", "15m\n", "\x00", "٣m", "1' OR '1'='1"),
        *("2026-01-01", "2026-01-01T12:00:00", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "10000-01-01T00:00:00Z"),
        *("0000-01-01T00:00:00Z", "2026-01-01T25:00:00Z", "2026-01-01T12:00:61Z", "2026-01-01T12:00:00+99:00"),
    ],
)
def test_time_is_refused_by_name_when_it_is_neither(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        moment("until", text, NOON)
    assert refused.value.faults[0].pointer == "until"


@pytest.mark.parametrize(("text", "means"), [(None, 100), ("1", 1), ("1000", 1000)])
def test_limit_is_read_when_it_is_in_bounds(text: str | None, means: int) -> None:
    assert count(text) == means


@pytest.mark.parametrize("text", ["", "0", "1001", "-1", "1.0", "1e2", " 1", "٣", "9" * 5000, "1;DROP TABLE messages"])
def test_limit_is_refused_by_name_when_it_is_not(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        count(text)
    assert refused.value.faults[0].pointer == "limit"


def test_id_is_read_when_its_letters_are_upper_case() -> None:
    assert message_uuid("00010203-0405-0607-0809-0A0B0C0D0E0F") == bytes(range(16))


@pytest.mark.parametrize(
    "text", ["", "1", "{00010203-0405-0607-0809-0a0b0c0d0e0f}", "000102030405060708090a0b0c0d0e0f", "' OR 1=1 --", "\x00"]
)
def test_id_is_refused_by_name_when_it_is_no_uuid(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        message_uuid(text)
    assert refused.value.faults[0].pointer == "id"
