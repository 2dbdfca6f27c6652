"""What a leaf has of its hub when the hub comes back with less than it had: all of it, and each message once."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, DeliverPolicy, StreamSource

from shared.adapters.nats import backbone_streams, sourcing
from shared.adapters.nats.backbone_streams import NatsBackboneStreams
from shared.adapters.nats.leaves import life_key
from shared.domain.registry.reach import Reach
from shared.domain.registry.streams import Source, WantedStream
from tests.joined import HUB, LEAF, Joined, joined
from tests.waiting import eventually

WITHIN = 120.0  # seconds: a server that asked another one which has ended asks it again after 30
OURS = WantedStream("sb-acme", ("sb.acme.>",), "file", 1, 86_400, 64 * 1024**2)
COPY = OURS._replace(name="sbg-acme", subjects=(), sources=(Source(HUB, "acme"),))
OLD, LOST, NEW = ([f"{name}-{number}" for number in range(count)] for name, count in (("old", 30), ("lost", 20), ("new", 35)))


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Joined]:
    with joined(tmp_path / "servers") as servers:
        yield servers


@asynccontextmanager
async def looked_after(servers: Joined, *copies: WantedStream) -> AsyncIterator["Keeper"]:
    keeper = Keeper(servers, copies or (COPY,))

    await eventually(keeper.knows_another_life, within=WITHIN)
    try:
        yield keeper
    finally:
        await keeper.streams.stop()


class Keeper:
    """A reconciler's looks at both."""

    def __init__(self, servers: Joined, copies: Sequence[WantedStream]) -> None:
        self._servers, self.copies = servers, copies
        self._lives: dict[str, str | None] = {}
        self.streams = NatsBackboneStreams(None)

    async def knows_another_life(self) -> bool:
        """Whether the leaf's streams were compared with the hub's since the hub has started, after a look."""
        if not await self.look():
            return False
        said: dict[str, str | None] = {}
        async with client(self._servers.leaf.url) as connection:
            for one in self.copies:
                said[one.name] = ((await connection.jetstream().stream_info(one.name)).config.metadata or {}).get(life_key(HUB))
        if any(life in (None, self._lives.get(name)) for name, life in said.items()):
            return False
        self._lives = said
        return True

    async def look(self) -> bool:
        hub = Reach(HUB, "", "here", "global", self._servers.hub.url, HUB, here=True)
        leaf = Reach(LEAF, "", "here", "local", self._servers.leaf.url, LEAF, here=True)
        theirs = [OURS._replace(name=f"sb-{source.org}", subjects=(f"sb.{source.org}.>",)) for one in self.copies for source in one.sources]
        return await self.streams.ensure(hub, theirs) == ("", "") == await self.streams.ensure(leaf, [OURS, *self.copies])


@pytest.fixture(autouse=True)
def always_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look asks the servers."""
    monkeypatch.setattr(backbone_streams, "AGAIN_S", 0.0)


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    connection = await nats.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def publish(servers: Joined, ids: Sequence[str]) -> None:
    """On the hub, one after the other."""
    async with client(servers.hub.url) as connection:
        for id in ids[:-1]:
            await connection.publish("sb.acme.all.topic", b"{}", headers={"Nats-Msg-Id": id})
        await connection.jetstream().publish("sb.acme.all.topic", b"{}", headers={"Nats-Msg-Id": ids[-1]}, timeout=WITHIN)


async def heard(servers: Joined, stream: str = "sbg-acme") -> list[str]:
    """The ids of what is on a stream of the leaf's, in order."""
    async with client(servers.leaf.url) as connection:
        jetstream = connection.jetstream()
        if not (await jetstream.stream_info(stream)).state.messages:
            return []
        subscription = await jetstream.subscribe(
            ">", stream=stream, ordered_consumer=True, config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        )
        ids: list[str] = []
        while True:  # not so many as there were: of a stream that is full the oldest go while it is read
            message = await subscription.next_msg(timeout=WITHIN)
            ids.append((message.headers or {})["Nats-Msg-Id"])
            if not message.metadata.num_pending:
                return ids


async def has(servers: Joined, ids: Sequence[str]) -> bool:
    found = await heard(servers)
    assert sorted(found) == sorted(set(found)), "twice"
    return set(found) >= set(ids)


async def seen_on_both(servers: Joined, keeper: Keeper, ids: Sequence[str]) -> None:
    """Published on the hub, taken by the leaf, and looked at."""
    await publish(servers, ids)
    await eventually(lambda: has(servers, ids), within=WITHIN)
    await eventually(keeper.look, within=WITHIN)


async def starts(servers: Joined) -> int | None:
    """From which sequence on the leaf takes what the hub has."""
    [source] = await sources(servers)
    return source.opt_start_seq


async def sources(servers: Joined) -> list[StreamSource]:
    """What the leaf's stream is filled from."""
    async with client(servers.leaf.url) as connection:
        return (await connection.jetstream().stream_info("sbg-acme")).config.sources or []


@pytest.mark.parametrize("seen", ["before it was lost", "when it was there", "never: the reconciler is another"])
async def test_leaf_has_all_of_it_once_when_a_hub_gave_lost_sequences_to_others(servers: Joined, tmp_path: Path, seen: str) -> None:
    async with looked_after(servers) as keeper:
        await publish(servers, OLD)
        await eventually(lambda: has(servers, OLD), within=WITHIN)
        servers.keep_store(tmp_path / "before")
        await eventually(keeper.knows_another_life, within=WITHIN)
        if seen == "before it was lost":
            await eventually(keeper.look, within=WITHIN)
        await publish(servers, LOST)
        await eventually(lambda: has(servers, [*OLD, *LOST]), within=WITHIN)
        if seen == "when it was there":
            await eventually(keeper.look, within=WITHIN)
        servers.restore(tmp_path / "before")
        await publish(servers, NEW)  # the first 20 have the sequences that were lost
        await publish(servers, LOST)  # by repair
        if seen.startswith("never"):
            await keeper.streams.stop()
            keeper.streams = NatsBackboneStreams(None)

        async def there() -> bool:
            return await keeper.look() and await has(servers, [*OLD, *LOST, *NEW])

        await eventually(there, within=WITHIN)
        await publish(servers, ["last"])
        await eventually(lambda: has(servers, [*OLD, *LOST, *NEW, "last"]), within=WITHIN)
        assert (await heard(servers))[-1] == "last"
        assert await starts(servers) == len(OLD) + 1


async def test_leaf_goes_on_with_the_source_it_had_when_its_hub_was_gone_from_the_registry_for_a_moment(
    servers: Joined, tmp_path: Path
) -> None:
    async with looked_after(servers) as keeper:
        await seen_on_both(servers, keeper, OLD)
        servers.keep_store(tmp_path / "before")
        await eventually(keeper.knows_another_life, within=WITHIN)
        await publish(servers, LOST)
        await eventually(lambda: has(servers, [*OLD, *LOST]), within=WITHIN)
        servers.restore(tmp_path / "before")
        await publish(servers, [*NEW, *LOST])

        async def there() -> bool:
            return await keeper.look() and await has(servers, [*OLD, *LOST, *NEW])

        await eventually(there, within=WITHIN)
        begun = await sources(servers)
        keeper.copies = (COPY._replace(sources=(Source("another", "acme"),)),)
        await eventually(keeper.look, within=WITHIN)
        assert [one.external and one.external.api for one in await sources(servers)] == ["$JS.another.API"]
        keeper.copies = (COPY,)
        await eventually(keeper.look, within=WITHIN)
        assert await sources(servers) == begun
        await publish(servers, ["last"])
        await eventually(lambda: has(servers, ["last"]), within=WITHIN)
        assert (await heard(servers))[-1] == "last"


async def test_nothing_is_taken_again_when_a_hub_starts_anew_with_all_it_had(servers: Joined, tmp_path: Path) -> None:
    async with looked_after(servers) as keeper:
        await seen_on_both(servers, keeper, OLD)
        servers.hub.kill()
        servers.hub.start()

        await eventually(keeper.knows_another_life, within=WITHIN)
        assert await starts(servers) is None  # it is the source that it was
        await publish(servers, LOST)
        await eventually(lambda: has(servers, [*OLD, *LOST]), within=WITHIN)
        assert await heard(servers) == [*OLD, *LOST]


async def test_leaf_takes_all_of_it_when_the_hub_s_stream_is_made_anew(servers: Joined) -> None:
    async with looked_after(servers) as keeper:
        await seen_on_both(servers, keeper, OLD)
        async with client(servers.hub.url) as connection:
            await connection.jetstream().delete_stream("sb-acme")
        await eventually(keeper.look, within=WITHIN)
        await publish(servers, NEW)
        await publish(servers, OLD)

        async def there() -> bool:
            return await keeper.look() and await has(servers, [*OLD, *NEW])

        await eventually(there, within=WITHIN)


async def test_missing_message_is_found_when_it_is_behind_many(servers: Joined, tmp_path: Path) -> None:
    """More than are read at once."""
    many = [f"many-{number}" for number in range(1_300)]
    async with looked_after(servers) as keeper:
        await publish(servers, many)
        await eventually(lambda: has(servers, many), within=WITHIN)
        servers.keep_store(tmp_path / "before")
        await eventually(keeper.knows_another_life, within=WITHIN)
        await publish(servers, LOST)
        await eventually(lambda: has(servers, [*many, *LOST]), within=WITHIN)
        servers.restore(tmp_path / "before")
        await publish(servers, NEW)

        async def there() -> bool:
            return await keeper.look() and await has(servers, [*many, *LOST, *NEW])

        await eventually(there, within=WITHIN)
        assert await starts(servers) == len(many) + 1


async def test_nothing_is_taken_again_when_the_leaf_s_limits_took_the_oldest(servers: Joined) -> None:
    """By a reconciler that knows nothing of it: what the leaf lacks isn't what the hub lost."""
    many = [f"many-{number}" for number in range(300)]
    async with looked_after(servers, COPY._replace(max_bytes=16_384)) as keeper:
        await publish(servers, many)

        async def has_the_last() -> bool:
            return (await heard(servers))[-1:] == many[-1:]

        await eventually(has_the_last, within=WITHIN)
        kept = await heard(servers)
        assert kept == many[-len(kept) :] != many
        await keeper.streams.stop()
        keeper.streams = NatsBackboneStreams(None)
        servers.hub.kill()
        servers.hub.start()
        await eventually(keeper.knows_another_life, within=WITHIN)
        assert (await starts(servers), await heard(servers)) == (None, kept)


async def test_leaf_is_looked_at_again_soon_when_a_look_did_not_wait_for_its_comparison(
    servers: Joined, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sourcing, "WAITS_S", 0.0)
    keeper = Keeper(servers, (COPY,))
    try:
        await eventually(keeper.look, within=WITHIN)
        await publish(servers, OLD)
        await eventually(lambda: has(servers, OLD), within=WITHIN)
        await keeper.streams.stop()
        keeper.streams = NatsBackboneStreams(None)
        monkeypatch.setattr(backbone_streams, "AGAIN_S", 3_600.0)
        await eventually(keeper.look, within=WITHIN)
        assert not await keeper.knows_another_life()
        monkeypatch.setattr(sourcing, "WAITS_S", WITHIN)
        await eventually(keeper.knows_another_life, within=WITHIN)
    finally:
        await keeper.streams.stop()


async def test_an_org_without_a_message_is_compared_too_when_the_hub_starts_anew(servers: Joined) -> None:
    quiet = COPY._replace(name="sbg-quiet", sources=(Source(HUB, "quiet"),))
    async with looked_after(servers, quiet, COPY) as keeper:
        await seen_on_both(servers, keeper, OLD)
        servers.hub.kill()
        servers.hub.start()
        await eventually(keeper.knows_another_life, within=WITHIN)
        assert await heard(servers) == OLD
