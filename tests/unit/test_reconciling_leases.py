"""Who looks after a backbone, and how long: leases, a reconciler that fails, and many backbones."""

import asyncio
import time

import pytest

from functions.reconcile_backbones.handler import World
from shared.domain.registry.deploying import Deployment, Ensured
from shared.ports.deploying import Seen
from tests.unit.reconcilers import QUICK, WITHIN, Install, Installed
from tests.waiting import eventually


@pytest.fixture
def install() -> Install:
    return Install()


async def test_another_goes_on_when_the_one_that_looked_after_it_is_silent(install: Install) -> None:
    await install.declare()
    async with install.reconciler("one") as one, install.reconciler("other") as other:
        await eventually(install.is_ready, within=WITHIN)
        await eventually(lambda: one.count + other.count == 1, within=WITHIN)  # the one that comes too late lets go at its next look
        first, second = (one, other) if one.count else (other, one)
        install.away = True
        await eventually(lambda: first.lost and not first.count, within=WITHIN)
        await eventually(lambda: "main-0a" in install.provider.gone, within=WITHIN)
        install.away = False
        await eventually(lambda: first.count + second.count == 1, within=WITHIN)


async def test_nothing_is_done_under_a_lease_that_ended_while_the_process_was_stopped(install: Install) -> None:
    await install.declare()
    async with install.reconciler() as keepers:
        await eventually(install.is_ready, within=WITHIN)
        install.leases["/backbones/main-0a"] = "other", time.monotonic() + 3600
        time.sleep(QUICK.lease_s + 0.1)  # noqa: ASYNC251  # as if it were stopped, with all of its timers
        install.provider.calls.clear()
        await eventually(lambda: not keepers.count, within=WITHIN)
        assert install.provider.calls == []
    assert install.leases["/backbones/main-0a"][0] == "other"


async def test_it_lets_go_when_the_store_does_not_answer_until_its_leases_end(install: Install) -> None:
    await install.declare()
    answers = asyncio.Event()
    answers.set()

    async def look() -> World:
        await answers.wait()
        return await install.look()

    theirs = Installed()
    async with install.reconciler("one", look=look) as one, install.reconciler("other", theirs) as other:
        await eventually(lambda: one.count and not other.count, within=WITHIN)
        answers.clear()
        await eventually(lambda: other.count, within=WITHIN)
        assert not one.count
        assert one.lost
        answers.set()
        await eventually(lambda: not one.lost, within=WITHIN)


async def test_it_is_told_when_the_reconciler_itself_fails(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    await install.declare()

    async def ensure(wanted: Deployment) -> Ensured:
        raise ZeroDivisionError

    monkeypatch.setattr(install.provider, "ensure", ensure)
    async with install.reconciler():
        assert (await install.turned("Ready", "Fault"))[0] == "False"
        monkeypatch.undo()
        await eventually(install.is_ready, within=WITHIN)


async def test_one_that_fails_holds_up_no_other_when_there_are_many(install: Install) -> None:
    install.streams.seen = Seen(streams="sb-acme: no room")
    for number in range(20):
        await install.declare(f"b{chr(97 + number)}-0{number:02}")
    async with install.reconciler() as keepers:
        await eventually(lambda: keepers.count == 20, within=WITHIN)
        await install.turned("Ready", "StreamsRefused", "bt-019")
