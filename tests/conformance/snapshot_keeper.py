"""What every keeper of the last snapshot must do."""

from shared.ports import SnapshotKeeper


class SnapshotKeeperConformance:
    """Subclasses give `keeper` and `other`: two processes' ways to the same place."""

    async def test_nothing_is_kept_when_nobody_kept_anything(self, keeper: SnapshotKeeper) -> None:
        assert await keeper.kept() is None

    async def test_last_one_is_kept_whoever_kept_it(self, keeper: SnapshotKeeper, other: SnapshotKeeper) -> None:
        large = bytes(range(256)) * 8_000
        for place, packed in ((keeper, b"first"), (other, large), (keeper, large), (other, b"\0\r\n")):
            await place.keep(packed)
            assert await keeper.kept() == await other.kept() == packed

    async def test_older_one_is_kept_when_it_comes_last(self, keeper: SnapshotKeeper) -> None:
        """A hub restored from a backup has what was before."""
        for packed in (b"1", b"2", b"1"):
            await keeper.keep(packed)
        assert await keeper.kept() == b"1"
