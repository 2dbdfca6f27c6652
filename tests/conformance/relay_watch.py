"""What every relay watch must do (log.md, "Publish, pending, relay").

Subclasses give `queue`, an empty log as a door sees it, `watch` and `rival`, two workers' for backbones `local` and `other`, `relay`, the
relay log of the first worker for `local`, and `lapse` and `age`, as the relay log's suite has them.
"""

import pytest

from shared.domain.errors import Conflict
from shared.ports import LogQueue, RelayLog, RelayWatch
from tests.conformance.relay_log import Act, relayed
from tests.events import accepted

BOTH = ("local", "other")


class RelayWatchConformance:
    async def test_all_leases_are_taken_in_one_look_and_renewed_in_the_next(self, watch: RelayWatch) -> None:
        first = await watch.look(BOTH)
        assert sorted(first) == sorted(BOTH)
        assert all(0 < each.lasts_s <= 3.0 for each in first.values())
        assert {each.gate.state for each in first.values()} == {"open"}
        again = await watch.look(BOTH)
        assert {name: each.lease for name, each in again.items()} == {name: each.lease for name, each in first.items()}
        assert await watch.look(()) == {}

    async def test_one_that_another_worker_has_is_left_out(self, watch: RelayWatch, rival: RelayWatch, lapse: Act) -> None:
        assert list(await rival.look(("local",))) == ["local"]
        assert list(await watch.look(BOTH)) == ["other"]
        await lapse()
        assert "local" in await watch.look(BOTH)
        assert "local" not in await rival.look(("local",))

    async def test_the_relay_may_do_what_it_has_the_lease_for_and_no_longer(
        self, queue: LogQueue, watch: RelayWatch, rival: RelayWatch, relay: RelayLog, lapse: Act
    ) -> None:
        (entry,) = await queue.append([accepted("e1")])
        relay.hold((await watch.look(("local",)))["local"].lease)
        assert (await relay.gate()).pending == 1
        await relay.done(relayed(entry))
        await lapse()
        await rival.look(("local",))
        with pytest.raises(Conflict):
            await relay.gate()

    async def test_it_sees_what_the_relay_would_and_holds_what_waited_too_long(
        self, queue: LogQueue, watch: RelayWatch, relay: RelayLog, age: Act
    ) -> None:
        await queue.append([accepted("e1")])
        gate = (await watch.look(BOTH))["local"].gate
        assert (gate.state, gate.pending, gate.due, gate.stuck) == ("open", 1, 0, 0)
        await age()
        seen = await watch.look(BOTH)
        relay.hold(seen["local"].lease)
        own = await relay.gate()
        assert (seen["local"].gate.state, seen["local"].gate.turn, seen["local"].gate.pending) == ("held", own.turn, own.pending)
        assert seen["other"].gate.state == "open"
