"""Credentials that hold no longer: what the reconciler notes, and what it tells the servers, on a store in memory."""

from typing import Any

import msgspec
import pytest

from functions.reconcile_backbones.revoking import SETTLES_S, Revoking
from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.credentials import MemoryCredentials
from shared.domain.errors import Unavailable
from shared.domain.principal import Grant, Principal
from shared.domain.registry.agents import Credential
from shared.domain.registry.login import Login
from shared.domain.registry.reach import Reach
from shared.domain.snapshot import Snapshot
from shared.trust.claims import read_claims
from shared.trust.keeping import KeptTrusts
from tests.conformance.credentials import GRANTS, credential

ID = "main-0a"
HOLDS = Principal("agent-7", "acme", GRANTS)


class Servers:
    """Accounts that take what they are told, or say what they are told to say."""

    def __init__(self) -> None:
        self.problem = ""
        self.connected = False
        self.told: list[dict[str, int]] = []
        self.left: list[str] = []

    async def tell(self, reach: Reach, token: str, login: Login) -> str:
        if not self.problem:
            self.connected = True
            self.told.append(read_claims(token)["nats"].get("revocations", {}))
        return self.problem

    def is_connected(self, id: str) -> bool:
        return self.connected

    async def let_go(self, id: str) -> None:
        self.left.append(id)


class World:
    """A store, keys and servers, with one principal's credentials that are old enough to be judged."""

    def __init__(self, store: MemoryCredentials, one: Credential) -> None:
        self.store, self.one, self.servers = store, one, Servers()
        self.revoking = Revoking(store, KeptTrusts(store, (b"s" * 48,)), self.servers)
        self.now = one.created + SETTLES_S + 1

    async def step(self, *principals: Principal, ours: tuple[str, ...] = (ID,), later: int = 0) -> None:
        snapshot = Snapshot(1, {}, keyless=principals, backbones=(Reach(ID, "acme", "eu", "local", "nats://eu:4222"),))
        await self.revoking.step(snapshot, ours, self.now + later)

    async def why(self) -> str:
        [one] = await self.store.given("acme", ID)
        return one.why


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
    world.servers.problem = "it does not answer"
    await world.step()
    world.servers.problem = ""
    await world.step()
    world.servers.connected = False  # its servers may be others now, with what they had before
    await world.step()
    await world.step()
    assert len(world.servers.told) == 2


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
