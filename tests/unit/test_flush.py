"""Which records of a flush count."""

import pytest

from shared.domain.record import Flush, Record
from tests.stored import NOON, accepted, attempt


@pytest.mark.parametrize(("mask", "counted"), [(b"nn", [0, 1, 2]), (b"nd", [0, 2]), (b"cn", [1, 2]), (b"df", [2]), (b"", [0, 1, 2])])
def test_records_count_when_they_are_new_or_behind_the_mask(mask: bytes, counted: list[int]) -> None:
    records: list[Record] = [accepted("1"), accepted("2"), attempt("3")]
    assert list(Flush(1, NOON, mask, records).new()) == [(index, records[index]) for index in counted]
