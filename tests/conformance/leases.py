"""What every keeper of leases must do."""

from shared.ports import Leases
from tests.waiting import eventually


class LeasesConformance:
    """Subclasses give `one` and `other`: two holders of one install."""

    async def test_name_is_one_holders_when_two_want_it(self, one: Leases, other: Leases) -> None:
        assert await one.hold(["a", "b"], 60) == {"a", "b"}
        assert await other.hold(["c", "b", "a"], 60) == {"c"}
        assert await one.hold(["c", "b", "a"], 60) == {"a", "b"}
        assert await one.hold([], 60) == set()

    async def test_name_is_free_when_its_holder_gave_it_up(self, one: Leases, other: Leases) -> None:
        await one.hold(["a", "b"], 60)
        await other.release(["a", "b"])
        await one.release(["a"])
        assert await other.hold(["a", "b"], 60) == {"a"}

    async def test_name_is_free_when_its_holder_was_silent_for_too_long(self, one: Leases, other: Leases) -> None:
        await one.hold(["a"], 0.2)
        assert await eventually(lambda: other.hold(["a"], 60)) == {"a"}
        assert await one.hold(["a"], 60) == set()
