"""The codec against the corpus: every bad input is named, every good one is taken, and neighbours are unharmed."""

import time

import pytest

from shared.codec import Context, decode_event_or_array, decode_http
from shared.domain.errors import Malformed, SwitchboardError
from shared.domain.message import Message
from tests.corpus import BATCHES, SINGLE, STRUCTURED, Case

CONTEXT = Context("acme", "http", "tester", 1_700_000_000_000_000)
SECONDS = 1.0  # of CPU, for the worst of them; they take a tenth


def first_pointer(error: SwitchboardError) -> str:
    assert error.faults
    assert all(len(fault.pointer) < 100 for fault in error.faults)
    assert len(error.detail) < 400
    return error.faults[0].pointer


def named(cases: tuple[Case, ...]) -> list[object]:
    assert len({case.name for case in cases}) == len(cases)
    return [pytest.param(case, id=case.name.encode("ascii", "replace").decode()) for case in cases]


@pytest.mark.parametrize("case", named(SINGLE))
def test_single_event_is_taken_or_named_when_it_comes_by_http(case: Case) -> None:
    headers = case.headers if case.content_type is None else ((b"content-type", case.content_type), *case.headers)
    started = time.process_time()
    if case.status == 202:
        decoded = decode_http(case.content_type, headers, case.body, CONTEXT)
        assert decoded.single
        assert [type(item) for item in decoded.items] == [Message]
    else:
        with pytest.raises(Malformed) as raised:
            decode_http(case.content_type, headers, case.body, CONTEXT)
        assert raised.value.status == case.status
        if case.pointer is not None:
            assert first_pointer(raised.value) == case.pointer
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize("case", named(tuple(case for case in SINGLE if case.content_type == STRUCTURED and not case.headers)))
def test_event_is_the_same_or_as_bad_when_it_comes_without_headers(case: Case) -> None:
    if case.body.lstrip().startswith(b"["):
        assert decode_event_or_array(case.body, CONTEXT).items == []
    elif case.status == 202:
        decoded = decode_event_or_array(memoryview(case.body), CONTEXT)
        assert decoded == decode_http(STRUCTURED, (), case.body, CONTEXT)
    else:
        with pytest.raises(Malformed) as raised:
            decode_event_or_array(case.body, CONTEXT)
        assert case.pointer is None or first_pointer(raised.value) == case.pointer


@pytest.mark.parametrize("case", named(BATCHES))
def test_batch_takes_its_good_events_when_others_are_bad(case: Case) -> None:
    started = time.process_time()
    if case.status in (202, 207):
        decoded = decode_http(case.content_type, case.headers, case.body, CONTEXT)
        assert not decoded.single
        assert tuple(first_pointer(item) if isinstance(item, Malformed) else None for item in decoded.items) == case.items
    else:
        with pytest.raises(SwitchboardError) as raised:
            decode_http(case.content_type, case.headers, case.body, CONTEXT)
        assert raised.value.status == case.status
        assert case.pointer is None or first_pointer(raised.value) == case.pointer
    assert time.process_time() - started < SECONDS
