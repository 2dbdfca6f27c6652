"""Credentials that hold no longer: what the reconciler notes, and what it tells the servers, on a store in memory."""

import asyncio
from functools import partial
from typing import Any

import msgspec
import pytest

from functions.reconcile_backbones import revoking
from functions.reconcile_backbones.revoking import AGAIN_S, LONGEST_PAUSE_S, SETTLES_S, Revoking
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.credentials import MemoryCredentials
from shared.domain.errors import Unavailable
from shared.domain.principal import Grant, Principal
from shared.domain.registry.agents import Credential
from shared.domain.registry.login import Login
from shared.domain.registry.reach import Reach
from shared.domain.snapshot import Snapshot
from shared.trust.backbone import BackboneTrust
from shared.trust.claims import read_claims
from shared.trust.keeping import KeptTrusts
from tests.conformance.credentials import GRANTS, credential
from tests.waiting import eventually

ID, ENDPOINT = "main-0a", "nats://eu:4222"
HOLDS = Principal("agent-7", "acme", GRANTS)


class Servers:
    """Accounts that take what they are told, or say what they are told to say."""

    def __init__(self) -> None:
        self.away = ""  # why nobody can connect
        self.refused = ""  # what a token is answered
        self.connected = False
        self.tried = 0  # to connect
        self.tokens: list[str] = []  # that came, whether they were taken or not
        self.told: list[dict[str, int]] = []
        self.signers: list[list[str]] = []
        self.left: list[str] = []
        self.silent: set[str] = set()
        self.fault: Exception | None = None  # which comes of connecting
        self.answers = asyncio.Event()
        self.answers.set()

    async def connect(self, reach: Reach, login: Login) -> str:
        self.tried += 1
        await self.answers.wait()
        if self.fault is not None:
            raise self.fault
        if reach.id in self.silent:
            await asyncio.Event().wait()
        self.connected = not self.away
        return self.away

    async def tell(self, id: str, token: str) -> str:
        if id in self.silent:
            await asyncio.Event().wait()
        self.tokens.append(token)
        if not self.refused:
            claims = read_claims(token)["nats"]
            self.told.append(claims.get("revocations", {}))
            self.signers.append([one for one in claims["signing_keys"] if isinstance(one, str)])
        return self.refused

    def is_connected(self, reach: Reach) -> bool:
        return self.connected

    async def let_go(self, id: str) -> None:
        self.left.append(id)


class World:
    """A store, keys and servers, with one principal's credentials that are old enough to be judged."""

    def __init__(self, store: MemoryCredentials, one: Credential) -> None:
        self.store, self.one, self.servers = store, one, Servers()
        self.known: list[bytes] | None = None  # keys of edges' own
        self.passed = 0.0  # by the clock of the process
        self.now = one.created + SETTLES_S + 1
        self.endpoint = ENDPOINT
        self.revoking = self.another()

    def another(self) -> Revoking:
        """A process that looks after the backbone from now on."""
        edges = None if self.known is None else partial(tuple, self.known)
        self.revoking = Revoking(self.store, KeptTrusts(self.store, (b"s" * 48,)), self.servers, edges, lambda: self.passed)
        return self.revoking

    def with_edges(self, *edges: bytes) -> list[bytes]:
        """From now on these keys are edges' own; the list may be changed."""
        self.known = list(edges)
        self.another()
        return self.known

    async def step(self, *principals: Principal, ours: tuple[str, ...] = (ID,), later: int = 0, keys: bytes = b"") -> None:
        snapshot = _snapshot(*principals, ours=ours, keys=keys, endpoint=self.endpoint)
        await self.revoking.step(snapshot, ours, self.now + later)

    async def why(self) -> str:
        [one] = await self.store.given("acme", ID)
        return one.why


def _snapshot(*principals: Principal, ours: tuple[str, ...] = (ID,), keys: bytes = b"", endpoint: str = ENDPOINT) -> Snapshot:
    backbones = tuple(Reach(id, "acme", "eu", "local", endpoint, keys=keys) for id in dict.fromkeys((ID, *ours)))
    return Snapshot(1, {}, keyless=principals, backbones=backbones)


@pytest.fixture
async def world() -> World:
    store = MemoryCredentials(MemoryConfigStore())
    one = credential("acme")
    one = msgspec.structs.replace(one, created=one.created - 100)
    await KeptTrusts(store, (b"s" * 48,)).make(ID)
    await store.give(one)
    return World(store, one)


async def test_nobody_is_asked_when_all_hold(world: World) -> None:
    await world.step(HOLDS)
    assert (await world.why(), world.servers.told) == ("", [])


@pytest.mark.parametrize(
    ("principals", "why"),
    [
        ((), "the principal was removed"),
        ((msgspec.structs.replace(HOLDS, org="other"),), "the principal was removed"),
        ((msgspec.structs.replace(HOLDS, grants=(Grant("publish"),)),), "the principal lost grants"),
    ],
)
async def test_it_is_revoked_and_servers_are_told_once_when_the_principal_is_not_what_it_was(
    world: World, principals: tuple[Principal, ...], why: str
) -> None:
    for _ in range(3):
        await world.step(*principals)
    [told] = world.servers.told
    assert (await world.why(), list(told)) == (why, [world.one.key])


async def test_servers_are_told_again_when_they_were_away(world: World) -> None:
    world.servers.away = "it does not answer"
    await world.step()
    world.servers.away, world.passed = "", 1.0
    await world.step()
    world.servers.connected = False  # its servers may be others now, with what they had before
    await world.step()
    await world.step()
    assert len(world.servers.told) == 2


async def test_servers_are_told_the_same_again_when_a_minute_has_passed(world: World) -> None:
    await world.step()
    world.passed = AGAIN_S - 1
    await world.step()
    assert len(world.servers.tokens) == 1
    world.passed = AGAIN_S
    for _ in range(2):
        await world.step(later=int(AGAIN_S))
    first, again = world.servers.tokens
    assert first == again


async def test_each_token_is_later_than_the_one_before_when_changes_are_within_a_second_or_a_clock_is_slow(world: World) -> None:
    edges = world.with_edges(b"1" * 40)
    await world.step(HOLDS, keys=b"sealed")
    edges.append(b"2" * 40)
    await world.step(HOLDS, keys=b"sealed")
    edges.append(b"3" * 40)
    await world.another().step(_snapshot(HOLDS, keys=b"sealed"), (ID,), world.now - 100)
    first, second, third = (read_claims(token)["iat"] for token in world.servers.tokens)
    assert first == world.now < second < third


async def test_token_that_may_have_come_is_not_followed_by_the_one_before_it(world: World) -> None:
    edges = world.with_edges(b"1" * 40)
    await world.step(HOLDS, keys=b"sealed")
    edges.append(b"2" * 40)
    world.servers.refused = "no answer"
    await world.step(HOLDS, keys=b"sealed")
    edges.pop()
    world.servers.refused = ""
    await world.step(HOLDS, keys=b"sealed")
    first, lost, last = (read_claims(token)["iat"] for token in world.servers.tokens)
    assert first < lost < last


async def test_it_is_tried_less_and_less_and_nothing_is_signed_when_a_backbone_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: Any) -> str:
        raise AssertionError("a token is signed that nobody takes")

    monkeypatch.setattr(BackboneTrust, "account_token", nothing)
    world.servers.away = "it does not answer"
    for second in range(121):
        world.passed = float(second)
        await world.step()
    tried = world.servers.tried
    assert 8 <= tried <= 16
    world.passed += LONGEST_PAUSE_S
    await world.step()
    assert world.servers.tried == tried + 1


async def test_backbone_that_was_away_hears_at_once_when_there_is_news(world: World) -> None:
    edges = world.with_edges(b"1" * 40)
    world.servers.away = "it does not answer"
    for second in range(60):
        world.passed = float(second)
        await world.step(HOLDS, keys=b"sealed")
    world.servers.away = ""
    edges.clear()
    await world.step(HOLDS, keys=b"sealed")
    assert world.servers.signers == [[]]


async def test_backbone_that_was_away_hears_at_once_when_it_has_moved(world: World) -> None:
    world.servers.away = "it does not answer"
    for second in range(60):
        world.passed = float(second)
        await world.step()
    world.endpoint = "nats://elsewhere:4222"
    tried = world.servers.tried
    await world.step()
    assert world.servers.tried == tried + 1  # it may need a moment there
    world.servers.away, world.passed = "", world.passed + 1.0
    await world.step()
    assert len(world.servers.told) == 1


async def test_others_are_told_and_it_is_tried_again_when_what_answers_is_no_server_that_anybody_knows(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.servers.fault = AttributeError("'list' object has no attribute 'get'")
    await world.step()
    world.servers.fault = None
    world.passed = 1.0
    await world.step()
    assert len(world.servers.told) == 1
    assert "AttributeError" in caplog.text


async def test_nothing_is_done_when_another_process_looks_after_the_backbone(world: World) -> None:
    await world.step(ours=("other-0b",))
    assert (await world.why(), world.servers.told) == ("", [])
    await world.step()
    await world.step(ours=())
    assert world.servers.left == [ID]
    await world.step()  # it is ours again
    assert len(world.servers.told) == 2


async def test_new_ones_are_left_alone_when_the_snapshot_may_be_older(world: World) -> None:
    world.now = world.one.created + SETTLES_S
    await world.step()
    assert await world.why() == ""
    await world.step(later=1)
    assert await world.why() != ""


async def test_it_goes_on_when_the_store_was_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> list[Credential]:
        raise Unavailable("the store can't be reached")

    with monkeypatch.context() as patched:
        patched.setattr(world.store, "given", away)
        await world.step()
    await world.step()
    assert len(world.servers.told) == 1


async def test_servers_are_told_which_edges_are_let_in_when_the_keys_of_edges_change(world: World) -> None:
    edges = world.with_edges(b"1" * 40, b"2" * 40)
    for _ in range(2):
        await world.step(HOLDS, keys=b"sealed")
    edges.remove(b"2" * 40)
    await world.step(HOLDS, keys=b"sealed", later=1)
    edges.clear()
    await world.step(HOLDS, keys=b"sealed", later=2)
    both, one, none = world.servers.signers
    assert (len(both), len(one), none) == (2, 1, [])
    assert set(one) < set(both)


async def test_servers_are_told_once_though_no_edge_has_a_key_when_one_may_have_had_it_before(world: World) -> None:
    world.with_edges()
    for _ in range(2):
        await world.step(HOLDS, keys=b"sealed")
    assert world.servers.signers == [[]]


async def test_backbone_without_keys_is_told_nothing_when_edges_have_some(world: World) -> None:
    world.with_edges(b"1" * 40)
    await world.step(HOLDS)
    assert world.servers.signers == []


async def test_news_is_told_at_the_next_look_when_telling_took_longer_than_the_one_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    edges = world.with_edges(b"1" * 40)
    monkeypatch.setattr(revoking, "STEP_S", 0.0)
    world.servers.answers.clear()
    await world.step(HOLDS, keys=b"sealed")
    edges.clear()
    world.servers.answers.set()
    await eventually(lambda: len(world.servers.signers) == 1)
    monkeypatch.undo()
    await world.step(HOLDS, keys=b"sealed")
    assert [len(one) for one in world.servers.signers] == [1, 0]


async def test_others_are_told_when_a_backbone_does_not_answer(world: World) -> None:
    edges = world.with_edges(b"1" * 40)
    for id in ("silent-0b", "third-0c"):
        await KeptTrusts(world.store, (b"s" * 48,)).make(id)
    world.servers.silent = {"silent-0b"}
    for _ in range(2):
        await world.step(HOLDS, ours=(ID, "silent-0b", "third-0c"), keys=b"sealed")
    assert [len(one) for one in world.servers.signers] == [1, 1]
    edges.clear()
    await world.step(HOLDS, ours=(ID, "silent-0b", "third-0c"), keys=b"sealed", later=1)
    assert world.servers.signers[2:] == [[], []]
    await world.revoking.stop()
