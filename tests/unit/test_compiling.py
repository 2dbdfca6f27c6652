"""Rules are compiled beside the event loop: who waits for them, and who doesn't."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from shared.compiling import Compiling
from shared.domain.message import Message
from shared.domain.rules.rules import Rules, Wanted
from shared.domain.rules.scope import Scope
from tests.events import message
from tests.unit.test_pipeline import receipt, refusal
from tests.unit.test_pipeline_rules import Ruled
from tests.waiting import eventually


def policy(when: str) -> bytes:
    return json.dumps({"policies": [{"name": "p", "when": when}]}).encode()


DOCUMENTS = {
    "acme": {"topics/a": policy("data.a == 1"), "topics/b": policy("data.b == 1")},
    "globex": {"org": policy("data.c == 1")},
    "plain": {"org": b'{"max_bytes": 10, "rate_limits": [{"name": "l", "per": ["topic"], "rate": 1, "burst": 1}]}'},
}


class Gate:
    """Compiling waits here, in its thread, until the test opens it; `begun` are the orgs in the order they were begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._open = threading.Semaphore(0)

    def pass_through(self, wanted: Wanted) -> None:
        if threading.current_thread() is threading.main_thread():  # next to nothing, and done on the spot
            assert wanted.org in ("plain", "nobody")
            return
        self.begun.append(wanted.org)
        assert self._open.acquire(timeout=60)

    def open(self, times: int = 1) -> None:
        self._open.release(times)


@pytest_asyncio.fixture
async def gate(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    held, compiled = Gate(), Wanted.compiled

    def slow(wanted: Wanted) -> Scope:
        held.pass_through(wanted)
        return compiled(wanted)

    monkeypatch.setattr(Wanted, "compiled", slow)
    yield held
    held.open(100)


def of(org: str, topic: str = "a") -> Message:
    return message("1", org=org, topic=topic)


async def test_only_the_orgs_own_messages_wait_when_its_rules_are_compiled(gate: Gate) -> None:
    rules, compiling = Rules(DOCUMENTS), Compiling()
    waiting = asyncio.create_task(compiling.ready(rules, [of("acme")]))
    await eventually(lambda: gate.begun)
    await compiling.ready(rules, [of("plain"), of("nobody")])
    assert rules.knows([of("plain"), of("nobody")])
    assert not waiting.done()
    gate.open()
    await waiting
    assert rules.scope("acme", "a", None).blockers.asked
    assert gate.begun == ["acme"]


async def test_no_message_overtakes_an_earlier_one_of_its_org_when_rules_are_compiled(gate: Gate) -> None:
    rules, compiling, gone_on = Rules(DOCUMENTS), Compiling(), list[str]()

    async def one(name: str, topic: str) -> None:
        await compiling.ready(rules, [of("acme", topic)])
        gone_on.append(name)

    gate.open()
    await compiling.ready(rules, [of("acme", "b")])
    first, second, third = (asyncio.create_task(one(name, topic)) for name, topic in (("1", "a"), ("2", "b"), ("3", "a")))
    await eventually(lambda: len(gate.begun) == 2)
    assert not gone_on
    gate.open()
    await first
    fourth = asyncio.create_task(one("4", "a"))
    await asyncio.gather(second, third, fourth)
    assert gone_on == ["1", "2", "3", "4"]
    assert compiling.idle


async def test_documents_are_compiled_once_when_many_messages_want_them(gate: Gate) -> None:
    rules, compiling = Rules(DOCUMENTS), Compiling()
    waiting = [asyncio.create_task(compiling.ready(rules, [of("acme")])) for _ in range(20)]
    gate.open(20)
    await asyncio.gather(*waiting)
    assert gate.begun == ["acme"]
    assert rules.knows([of("acme")])


async def test_orgs_take_turns_when_one_has_much_to_compile(gate: Gate) -> None:
    rules, compiling = Rules(DOCUMENTS), Compiling()
    waiting = [asyncio.create_task(compiling.ready(rules, [one])) for one in (of("acme", "a"), of("acme", "b"), of("globex"))]
    await eventually(lambda: gate.begun)
    gate.open(3)
    await asyncio.gather(*waiting)
    assert gate.begun == ["acme", "globex", "acme"]


async def test_the_next_goes_on_when_one_that_waits_is_cancelled(gate: Gate) -> None:
    rules, compiling = Rules(DOCUMENTS), Compiling()
    gone = asyncio.create_task(compiling.ready(rules, [of("acme")]))
    await eventually(lambda: gate.begun)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    gate.open(2)
    await compiling.ready(rules, [of("acme")])
    assert rules.scope("acme", "a", None).blockers.asked


async def test_messages_are_judged_by_the_rules_they_waited_for(gate: Gate) -> None:
    product = Ruled(org={"policies": [{"name": "no-pay", "when": 'message.topic == "pay"'}], "buffer": {"in_flight": 10}})
    submitted = asyncio.create_task(product.submit(message("e1"), message("e2", topic="pay")))
    await eventually(lambda: gate.begun)
    assert not product.logged()
    gate.open(10)
    good, bad = await submitted
    assert receipt(good).revision == 42
    assert refusal(bad).error.rule == "policy:no-pay"
    assert gate.begun == ["acme"]  # one set of documents, whichever topic
