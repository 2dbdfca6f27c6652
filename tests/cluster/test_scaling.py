"""To zero and back: what a cold start costs, and that nobody's first request is refused for it."""

import statistics
import time

import httpx

from tests.cluster.conftest import Took
from tests.cluster.install import LOOK, Install
from tests.waiting import eventually_now

STARTS = 10  # P8 wants the median of so many,
SECONDS = 40  # but no longer than this: Knative takes 20 s to go to zero each time
LEAST = 3
COLD = 20.0  # seconds: more than a bad day on two cores, less than what any sender waits


def test_post_is_202_when_ingest_is_at_zero(inline: Install, org: str, took: Took) -> None:
    key = inline.new_key("cold", org, "action=publish")
    headers = {"ce-specversion": "1.0", "ce-source": "/cold", "ce-type": "cold.start", "content-type": "application/json"}
    cold: list[float] = []
    until = time.monotonic() + SECONDS
    with inline.client(key) as client:
        while len(cold) < STARTS and (len(cold) < LEAST or time.monotonic() < until):
            eventually_now(lambda: inline.pods("ingest") == [], within=120, step=LOOK)
            began = time.monotonic()
            answer = client.post("/v1/events", content=b"{}", headers={**headers, "ce-id": f"cold-{len(cold)}"})
            cold.append(time.monotonic() - began)
            assert answer.status_code == 202, answer.text
            assert answer.json()["deliveries"][0]["stream"] == f"sb-{org}"
    took(f"ingest from zero to 202 (P8), median of {len(cold)}", f"{statistics.median(cold):.2f} s, max {max(cold):.2f} s")
    assert max(cold) < COLD


def test_query_answers_when_it_is_at_zero(inline: Install, took: Took) -> None:
    eventually_now(lambda: inline.pods("query") == [], within=120, step=LOOK)
    began = time.monotonic()
    answer = httpx.get(f"{inline.url}/v1/messages", headers={"authorization": f"Bearer {inline.key}"}, timeout=60)
    took("query from zero to 200", f"{time.monotonic() - began:.2f} s")
    assert answer.status_code == 200, answer.text
