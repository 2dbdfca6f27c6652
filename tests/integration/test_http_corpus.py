"""Every event of the corpus over HTTP: the right status, the faulty field named, neighbours unharmed, the server as healthy as before."""

from typing import Any

import httpx
import pytest

from tests.corpus import BATCHES, SINGLE, Case
from tests.integration.fronts import FrontProcess


def named(case: Case) -> str:
    return case.name


def send(front: FrontProcess, case: Case) -> httpx.Response:
    headers = list(case.headers)
    if case.content_type is not None:
        headers.append((b"content-type", case.content_type))
    return front.client.post("/v1/events", headers=headers, content=case.body)


def pointers(problem: dict[str, Any]) -> list[str]:
    return [fault["pointer"] for fault in problem.get("errors", [])]


@pytest.mark.parametrize("case", SINGLE, ids=named)
def test_answer_is_the_corpus_s_when_one_event_is_sent(front: FrontProcess, case: Case) -> None:
    response = send(front, case)
    assert response.status_code == case.status, response.text
    if case.status != 202:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == case.status
        assert case.pointer is None or case.pointer in pointers(response.json()), response.text
    assert front.ready()


@pytest.mark.parametrize("case", BATCHES, ids=named)
def test_neighbours_are_unharmed_when_a_batch_has_a_bad_item(front: FrontProcess, case: Case) -> None:
    response = send(front, case)
    assert response.status_code == case.status, response.text
    if case.items:
        receipts = response.json()["receipts"]
        assert [receipt["status"] for receipt in receipts] == ["accepted" if item is None else "malformed" for item in case.items]
        for pointer, receipt in zip(case.items, receipts, strict=True):
            assert pointer is None or pointer in pointers(receipt["problem"]), receipt
    assert front.ready()
