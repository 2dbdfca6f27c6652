"""The orgs that a nats-source serves: they come and go with the config, and none waits for another that goes."""

import asyncio

from functions.nats_source.orgs import Orgs
from shared.adapters.nats.replies import Lost
from tests.waiting import eventually


class One:
    """An org that goes when it is let. `refuses`: how many times its streams can't be made."""

    def __init__(self, made: list[str], org: str, refuses: int = 0) -> None:
        self.org, self.refuses = org, refuses
        self.may_go, self.gone = asyncio.Event(), False
        self._made = made

    async def open(self) -> None:
        if self.refuses:
            raise Lost("not now")
        self._made.append(self.org)

    async def close(self) -> None:
        await self.may_go.wait()
        self.gone = True


class Made:
    """What was made of each org, in order."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.all: dict[str, list[One]] = {}
        self.refuses: dict[str, int] = {}
        self.gone: list[One] = []
        self.orgs = Orgs(self._make, self.gone.append)  # type: ignore[arg-type]  # open and close are all that is asked of an org here

    def _make(self, org: str) -> One:
        left = self.refuses.get(org, 0)
        self.refuses[org] = max(left - 1, 0)
        one = One(self.opened, org, left)
        self.all.setdefault(org, []).append(one)
        return one


async def test_others_are_served_when_one_that_goes_takes_long_over_what_it_has_in_hand() -> None:
    made = Made()
    await made.orgs.follow(["acme"])
    await made.orgs.follow(["globex"])
    assert list(made.orgs.served) == ["globex"]
    await made.orgs.follow(["globex", "acme"])
    assert made.opened == ["acme", "globex"], "not twice at once"
    (acme,) = made.all["acme"]
    assert [one.org for one in made.orgs.all] == ["globex", "acme"]
    assert made.gone == []
    acme.may_go.set()
    await eventually(lambda: acme.gone)
    await made.orgs.follow(["globex", "acme"])
    assert made.opened == ["acme", "globex", "acme"]
    assert made.gone == [acme]


async def test_org_is_tried_again_when_its_streams_could_not_be_made() -> None:
    made = Made()
    made.refuses["acme"] = 2
    for served in ([], [], ["acme"]):
        await made.orgs.follow(["acme"])
        assert list(made.orgs.served) == served


async def test_close_waits_for_those_that_go_when_the_source_stops() -> None:
    made = Made()
    await made.orgs.follow(["acme", "globex"])
    await made.orgs.follow(["globex"])
    closing = asyncio.create_task(made.orgs.close())
    made.all["globex"][0].may_go.set()
    await eventually(lambda: made.all["globex"][0].gone)
    assert not closing.done()
    made.all["acme"][0].may_go.set()
    await closing
    assert {one.org for one in made.gone if one.gone} == {"acme", "globex"}
    assert made.orgs.all == []
