"""Inline, remote and brokered on a cluster: one corpus ends in the same verdicts and rows, inline and remote in the same receipts; and the
stages really served it."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import redis

from tests.cluster.conftest import Took
from tests.cluster.install import BROKERED, INLINE, LOOK, REMOTE, Install
from tests.corpus import BATCH, BATCHES, SINGLE, STRUCTURED, Case, attributes
from tests.faults import ledger
from tests.waiting import eventually, eventually_now

STAGES = ("check-constraints", "route", "log-batch")
CHOSEN = (
    "binary", "binary with every attribute", "percent-encoded", "UTF-8 as it is", "ce-time", "ce-id twice", "no ce-source",
    "data null", "base64", "extensions of every type", "unusual type", "sbid is ours", "no id", "cut off", "plain JSON",
    "batch", "empty batch", "batch with no JSON", "batch with an empty object", "batch that is cut off",
)  # fmt: skip
ROWS = """
    SELECT event_id, source, topic, subject, type, time, datacontenttype, extensions::text, encode(digest, 'hex'), md5(body), door,
           principal, verdict, rule, status, targets, conflict
    FROM messages WHERE org = %s ORDER BY event_id, source, verdict, digest, rule
"""


def corpus() -> Iterator[Case]:
    """A little of everything a door may be sent, then what the rules have something to say about: the key may publish below `orders.`."""
    yield from (case for case in (*SINGLE, *BATCHES) if case.name in CHOSEN)
    events = [attributes(f"batch {number}", topic="pay.now" if number % 3 else "orders.x") for number in range(9)]
    for name, changes in (
        ("granted", {"topic": "orders.created"}),
        ("not granted", {"topic": "pay.now"}),
        ("granted", {"topic": "orders.created"}),  # a duplicate
        ("granted", {"topic": "orders.created", "data": {"a": 2}}),  # the same identity with another body
        ("too large", {"topic": "orders.created", "data": "x" * 1_048_577}),
    ):
        yield Case(name, STRUCTURED, (), json.dumps(attributes(name, **changes)).encode())
    yield Case("mixed", BATCH, (), json.dumps([*events, events[0], {"id": "bad"}]).encode())


def plain(value: Any) -> Any:
    """An answer without what differs from org to org, and from moment to moment."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "backbone" in value:
        return value["backbone"]  # delivered, or left to the relay: the same verdict
    return {name: plain(one) for name, one in value.items() if name not in ("id", "instance", "org", "config_revision")}


def sent(install: Install, org: str, settled: Callable[[], bool] = lambda: True) -> dict[str, Any]:
    """The answers to the corpus, sent to a new org, by the cases' names and numbers; each case once what came before it is `settled`."""
    key = install.new_key("shop", org, "action=publish,topics=orders.>,corpus.>")
    found: dict[str, Any] = {}
    with install.client(key) as client:
        for number, case in enumerate(corpus()):
            headers = [*case.headers, *([(b"content-type", case.content_type)] if case.content_type else [])]
            answer = client.post("/v1/events", content=case.body, headers=headers)
            found[f"{number}: {case.name}"] = (answer.status_code, plain(answer.json()))
            eventually_now(settled, within=60)
    return found


@contextmanager
def log_of(install: Install) -> Iterator[Callable[[], bool]]:
    """Whether nothing waits in the log for its verdict or its backbone: behind a Broker nobody promises an order of its own."""
    client = redis.Redis.from_url(install.server("redis_url"), socket_timeout=None)
    try:
        yield lambda: not client.exists("sb:log:{0}:received", "sb:log:{0}:pending:local")
    finally:
        client.close()


def without_verdicts(answers: dict[str, Any]) -> dict[str, list[Any]]:
    """What a door says that gives no verdict: which events it can't read, and that it has the others."""
    found: dict[str, list[Any]] = {}
    for name, (status, body) in answers.items():
        items = body.get("receipts", [body])
        found[name] = [
            one.get("problem", one).get("detail") if one.get("status") == "malformed" or status in (400, 415) else "taken" for one in items
        ]
    return found


def rows(install: Install, org: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(install.server("database_url")) as connection:
        return connection.execute(ROWS, (org,)).fetchall()


async def test_wiring_makes_no_difference_to_verdicts_and_rows(install: Install, took: Took) -> None:
    orgs = [f"w-{secrets.token_hex(4)}" for _ in range(3)]
    install.has(INLINE)
    inline = sent(install, orgs[0])
    assert {status for status, _ in inline.values()} == {202, 207, 400, 403, 413, 415, 422}
    eventually_now(lambda: not any(install.pods(name) for name in STAGES), within=120, step=LOOK)
    took("change from inline to remote", f"{install.deploy(REMOTE).seconds:.1f} s")
    remote = sent(install, orgs[1])
    assert remote == inline
    assert all(install.pods(name) for name in STAGES), "nobody asked the stages, or they would have pods now"

    def same() -> bool:
        assert rows(install, orgs[0]) == rows(install, orgs[1])
        return True

    await eventually(same, within=30)
    assert len(rows(install, orgs[0])) > len(CHOSEN)
    took("change from remote to brokered", f"{install.deploy(BROKERED).seconds:.1f} s")
    with log_of(install) as settled:
        brokered = sent(install, orgs[2], settled)
    assert without_verdicts(brokered) == without_verdicts(inline)
    assert {status for status, _ in brokered.values()} == {202, 207, 400, 415}, "the verdicts come later"

    def same_again() -> bool:
        assert rows(install, orgs[2]) == rows(install, orgs[0])
        return True

    await eventually(same_again, within=60)
    streams = [await ledger.streamed(install.server("nats_url"), f"sb-{org}") for org in orgs]
    assert len(streams[0]) == len(streams[1]) == len(streams[2]) > 0
