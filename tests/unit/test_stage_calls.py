"""Whoever calls a stage guesses nothing: an answer that is not whole, proven and to the very question is no answer."""

import asyncio
from collections.abc import Callable, Sequence

import httpx
import msgspec
import pytest

from shared.domain.errors import Forbidden, Unavailable
from shared.domain.principal import Grant, Principal
from shared.domain.publishing import Outgoing
from shared.domain.refused import refused
from shared.domain.snapshot import Snapshot
from shared.domain.verdict import Detailed, Shadow, Verdict, blocked_by, shadows_of
from shared.edge.asgi import Receive, Scope, Send, answer
from shared.stages import events as wire
from shared.stages.calls import IN_FLIGHT, Calls, EventCalls
from shared.stages.check import RemoteCheck
from shared.stages.route import RemoteBackbones
from tests.events import message

KEY, FOREIGN = b"k" * 40, b"f" * 40
SHOP = Principal("shop", "acme", (Grant("publish"),))
SNAPSHOT = Snapshot(revision=42, keys={})
EMITS = (wire.ACCEPTED, wire.REJECTED)
NO = refused(Forbidden("no", rule="grant"))

Answers = Callable[[Sequence[wire.Event]], Sequence[wire.Event]]


class Stage:
    """A stage that answers with what `answers` makes of the events, after `failing` answers with `status` or broken connections (0)."""

    def __init__(self, answers: Answers, status: int = 200, failing: int = 0) -> None:
        self.answers, self.status, self.failing = answers, status, failing
        self.asked = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        event = await receive()
        content_type = dict(scope["headers"])[b"content-type"].decode()
        batch, events = wire.decode(content_type, {"content-type": content_type}, event["body"])
        status = self.status
        if self.failing:
            self.failing -= 1
            if not status:
                raise httpx.ReadError("the connection broke")
        elif self.status in (0, 502, 503, 504):
            status = 200
        encoded = [wire.encode(one) for one in self.answers(events)]
        kind, body = wire.joined(encoded) if not batch else (wire.BATCH, b"[" + b",".join(encoded) + b"]")
        await answer(send, status, body, [(b"content-type", kind.encode())])

    def calls(self, asks: str, emits: Sequence[str], pauses: Sequence[float] = ()) -> EventCalls:
        transport = httpx.ASGITransport(self)
        return EventCalls(Calls("stage", "http://stage/", 5, pauses, transport), (KEY,), "/clusters/local/ingest", asks, emits)

    def check(self, pauses: Sequence[float] = ()) -> RemoteCheck:
        return RemoteCheck(self.calls(wire.RECEIVED, EMITS, pauses))


def signed(event: wire.Event, type: str = wire.ACCEPTED, key: bytes = KEY, **changes: object) -> wire.Event:
    said = msgspec.structs.replace(event.data, **changes)
    return wire.signed(key, type, "/clusters/local/check-constraints", said, wire.message_of(event))


def accepting(events: Sequence[wire.Event]) -> list[wire.Event]:
    return [signed(one) for one in events]


def mixed(events: Sequence[wire.Event]) -> list[wire.Event]:
    return [signed(one, wire.REJECTED, refusal=NO) if place % 2 else signed(one) for place, one in enumerate(events)]


LIES: dict[str, Answers] = {
    "nothing": lambda events: [],
    "one too few": lambda events: accepting(events)[1:],
    "in another order": lambda events: accepting(events)[::-1],
    "no proof": lambda events: [msgspec.structs.replace(one, sbproof="") for one in accepting(events)],
    "another key": lambda events: [signed(one, key=FOREIGN) for one in events],
    "the question itself": lambda events: list(events),
    "another type": lambda events: [signed(one, wire.DELIVERED) for one in events],
    "rejected made accepted": lambda events: [
        msgspec.structs.replace(signed(one, wire.REJECTED, refusal=NO), type=wire.ACCEPTED) for one in events
    ],
    "rejected for no reason": lambda events: [signed(one, wire.REJECTED) for one in events],
    "another revision": lambda events: [signed(one, config_revision=41) for one in events],
    "another principal": lambda events: [signed(one, principal="admin") for one in events],
    "another record": lambda events: [signed(one, record_id=b"x" * 16) for one in events],
}


async def verdicts(check: RemoteCheck, *ids: str) -> list[Verdict]:
    return await check([message(id, principal="shop") for id in ids], SHOP, SNAPSHOT)


async def test_shadows_come_with_their_verdict_when_the_stage_has_some() -> None:
    shadows = (Shadow("new", "block", "too many"),)
    check = Stage(lambda events: [signed(one, shadows=shadows) for one in events]).check()
    assert await verdicts(check, "e1") == [Detailed(None, shadows)]
    check = Stage(lambda events: [signed(one, wire.REJECTED, refusal=NO, shadows=shadows) for one in events]).check()
    (verdict,) = await verdicts(check, "e1")
    assert isinstance(blocked_by(verdict), Forbidden)
    assert shadows_of(verdict) == shadows


async def test_verdicts_are_the_stage_s_in_order() -> None:
    check = Stage(mixed).check()
    first, second, third = await verdicts(check, "e1", "e2", "e3")
    assert (first, third) == (None, None)
    assert isinstance(second, Forbidden)
    assert (second.detail, second.rule) == ("no", "grant")
    assert await verdicts(check, "e1") == [None]


@pytest.mark.parametrize("answers", LIES.values(), ids=LIES)
async def test_check_is_unavailable_when_the_answer_is_not_a_proven_one_to_the_question(answers: Answers) -> None:
    check = Stage(answers).check()
    with pytest.raises(Unavailable):
        await verdicts(check, "e1", "e2")
    assert not check.reachable() or answers is LIES["rejected for no reason"]


@pytest.mark.parametrize("status", [201, 202, 204, 302, 400, 401, 429, 500])
async def test_check_is_unavailable_when_the_status_is_not_200(status: int) -> None:
    stage = Stage(accepting, status)
    with pytest.raises(Unavailable):
        await verdicts(stage.check(), "e1")
    assert stage.asked == 1


@pytest.mark.parametrize("status", [0, 502, 503, 504])
async def test_check_is_asked_again_when_its_pods_change_and_not_for_ever(status: int) -> None:
    stage = Stage(accepting, status, failing=2)
    assert await verdicts(stage.check((0.0, 0.0)), "e1") == [None]
    assert stage.asked == 3
    stage.failing = 3
    with pytest.raises(Unavailable):
        await verdicts(stage.check((0.0, 0.0)), "e1")


async def test_messages_are_lost_and_nothing_is_sent_after_them_when_route_fails() -> None:
    stage = Stage(accepting, 503, failing=9)
    route = RemoteBackbones(stage.calls(wire.ACCEPTED, (wire.DELIVERED, wire.UNDELIVERABLE)))
    group = [Outgoing(message(f"e{number}", body=b"x" * 4_000_000), 42) for number in range(4)]
    published = await route.publish("local", "acme", group)
    assert all(result.lost for result in published.results)
    assert stage.asked == 1, "what publishes is never asked twice, nor asked for what comes after"
    assert not route.reachable("local")


async def test_only_the_message_that_json_can_t_carry_is_refused() -> None:
    def deliver(events: Sequence[wire.Event]) -> list[wire.Event]:
        return [
            signed(one, wire.DELIVERED, deliveries=(wire.Made("local", "sb-acme", "c", "s", place + 1),))
            for place, one in enumerate(events)
        ]

    route = RemoteBackbones(Stage(deliver).calls(wire.ACCEPTED, (wire.DELIVERED, wire.UNDELIVERABLE)))
    hostile = msgspec.structs.replace(message("e2"), subject="\ud800")
    group = [Outgoing(one, 42) for one in (message("e1"), hostile, message("e3"))]
    published = await route.publish("local", "acme", group)
    assert [result.sequence for result in published.results] == [1, 0, 2]
    assert published.results[1].refused


async def test_calls_wait_for_their_turn_outside_the_pool_when_there_are_many() -> None:
    """The pool looks at each connection for each request that waits in it, whenever one is done."""
    now = most = 0

    async def slow(_: httpx.Request) -> httpx.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _turn in range(5):
            await asyncio.sleep(0)
        now -= 1
        return httpx.Response(202)

    calls = Calls("route", "http://route", 30.0, transport=httpx.MockTransport(slow))
    answers = await asyncio.gather(*(calls.post(b"", {}) for _ in range(3 * IN_FLIGHT)))
    assert ({answer.status_code for answer in answers}, len(answers), most) == ({202}, 3 * IN_FLIGHT, IN_FLIGHT)
    await calls.close()
