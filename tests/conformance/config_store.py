"""What every config store must do."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from shared.domain.errors import NotFound, NotProcessable
from shared.domain.issuers import issuer_text
from shared.domain.principal import Grant, Principal
from shared.domain.revisions import Stale
from shared.domain.snapshot import Snapshot
from shared.domain.token_issuer import Issuer
from shared.ports import ConfigStore

READER = (Grant("read", ("orders.>",), ("agent-7", "*")), Grant("publish"))


async def coming(changes: AsyncIterator[Snapshot], within: float = 30.0) -> Snapshot:
    """The next snapshot."""
    return await asyncio.wait_for(anext(changes), within)


class ConfigStoreConformance:
    """Subclasses give `config`, and conftest `org`."""

    async def test_principal_is_found_as_it_was_put(self, config: ConfigStore, org: str) -> None:
        wanted = Principal("shop", org, READER, system=True)
        revision = await config.put_principal(wanted, "me", "why not")
        assert await config.principal(org, "shop") == wanted
        assert await config.principal(org, "other") is None
        assert await config.principal("another", "shop") is None
        assert (await config.snapshot()).revision == revision

    async def test_principal_is_replaced_when_it_is_put_again(self, config: ConfigStore, org: str) -> None:
        first = await config.put_principal(Principal("shop", org, READER), "me")
        _, key = await config.create_key(org, "shop", "me")
        assert await config.put_principal(Principal("shop", org, ()), "me") == first + 2
        assert await config.principals(org) == [Principal("shop", org, ())]
        assert (await config.snapshot()).principal_of(key) == Principal("shop", org, ())

    async def test_principals_are_an_orgs_own_and_in_order_when_they_are_listed(self, config: ConfigStore, org: str) -> None:
        for name, whose in (("b", org), ("a", org), ("c", f"{org}2")):
            await config.put_principal(Principal(name, whose, ()), "me")
        assert [principal.name for principal in await config.principals(org)] == ["a", "b"]

    async def test_key_leads_to_its_principal_when_it_was_created(self, config: ConfigStore, org: str) -> None:
        await config.put_principal(Principal("shop", org, READER), "me")
        key_id, key = await config.create_key(org, "shop", "me")
        snapshot = await config.snapshot()
        assert snapshot.principal_of(key) == Principal("shop", org, READER)
        assert snapshot.principal_of(key_id) is None
        assert key.startswith("sb_")
        assert len(key) == 46

    async def test_key_is_nowhere_in_what_is_told_of_it_when_it_is_listed(self, config: ConfigStore, org: str) -> None:
        await config.put_principal(Principal("shop", org, ()), "me")
        await config.put_principal(Principal("till", org, ()), "me")
        made = [await config.create_key(org, name, "me") for name in ("shop", "shop", "till")]
        listed = await config.keys(org)
        assert [(key["id"], key["principal"]) for key in listed] == [(made[0][0], "shop"), (made[1][0], "shop"), (made[2][0], "till")]
        assert all(key.keys() == {"id", "principal", "created"} and key["created"].endswith("Z") for key in listed)
        assert [key["id"] for key in await config.keys(org, "till")] == [made[2][0]]
        assert await config.keys("another") == []

    async def test_key_is_refused_when_there_is_no_such_principal(self, config: ConfigStore, org: str) -> None:
        before = (await config.snapshot()).revision
        with pytest.raises(NotFound):
            await config.create_key(org, "nobody", "me")
        assert (await config.snapshot()).revision == before

    async def test_key_is_void_when_it_was_deleted(self, config: ConfigStore, org: str) -> None:
        await config.put_principal(Principal("shop", org, ()), "me")
        key_id, key = await config.create_key(org, "shop", "me")
        _, kept = await config.create_key(org, "shop", "me")
        before = (await config.snapshot()).revision
        assert not await config.delete_key(org, "till", key_id, "me")
        assert not await config.delete_key("another", "shop", key_id, "me")
        assert (await config.snapshot()).revision == before
        assert await config.delete_key(org, "shop", key_id, "me")
        assert not await config.delete_key(org, "shop", key_id, "me")
        snapshot = await config.snapshot()
        assert (snapshot.principal_of(key), snapshot.principal_of(kept)) == (None, Principal("shop", org, ()))
        assert snapshot.revision == before + 1

    async def test_keys_are_void_when_their_principal_was_deleted(self, config: ConfigStore, org: str) -> None:
        await config.put_principal(Principal("shop", org, ()), "me")
        _, key = await config.create_key(org, "shop", "me")
        assert await config.delete_principal(org, "shop", "me", "gone")
        assert not await config.delete_principal(org, "shop", "me")
        assert (await config.snapshot()).principal_of(key) is None
        assert await config.keys(org) == []

    async def test_every_change_has_a_revision_of_its_own_when_many_come_at_once(self, config: ConfigStore, org: str) -> None:
        before = (await config.snapshot()).revision
        made = await asyncio.gather(*(config.put_principal(Principal(f"p{n}", org, ()), "me") for n in range(10)))
        assert sorted(made) == list(range(before + 1, before + 11))

    async def test_door_speaks_as_its_principal_when_config_has_one_without_a_key(self, config: ConfigStore, org: str) -> None:
        await config.put_principal(Principal("shop", org, READER), "me")
        assert (await config.snapshot()).door_principal("redis", org) == Principal(f"redis:{org}", org, (Grant("publish"),))
        wanted = Principal(f"redis:{org}", org, (Grant("publish", ("orders.>",)),))
        await config.put_principal(wanted, "me")
        await config.put_principal(Principal(f"nats:{org}", f"{org}2", READER), "me")  # another org's, whatever its name
        snapshot = await config.snapshot()
        assert snapshot.door_principal("redis", org) == wanted
        assert snapshot.door_principal("nats", org) == Principal(f"nats:{org}", org, (Grant("publish"),))
        await config.delete_principal(org, wanted.name, "me")
        assert (await config.snapshot()).door_principal("redis", org).grants == (Grant("publish"),)

    async def test_orgs_are_those_with_a_principal_when_a_source_asks(self, config: ConfigStore, org: str) -> None:
        assert org not in (await config.snapshot()).orgs
        for whose in (f"{org}2", org):
            await config.put_principal(Principal("shop", whose, ()), "me")
        assert (await config.snapshot()).orgs == (org, f"{org}2")
        await config.delete_org(org, "me")
        assert (await config.snapshot()).orgs == (f"{org}2",)

    async def test_issuer_is_in_force_and_has_a_history_when_it_was_put(self, config: ConfigStore, org: str) -> None:
        wanted = Issuer("idp", "https://idp.example/", ("us",), ("ES256",), jwks='{"keys":[]}', org=org, grants={"a": READER})
        first = await config.put_issuer(wanted, org, "me", "sso")
        assert await config.issuers() == {"idp": (wanted, first)}
        assert (await config.snapshot()).issuers == (wanted,)
        other = Issuer(
            "also", "https://idp.example/", ("them",), ("ES256",), jwks_url="https://idp.example/jwks", org_claim="o", orgs=(org,)
        )
        second = await config.put_issuer(other, org, "me", expected=0)
        assert list(await config.issuers()) == ["also", "idp"]
        assert (await config.snapshot(first)).issuers == (wanted,)
        [newest, *_] = await config.revisions(org, 10)
        assert (newest.revision, newest.path, newest.action, newest.changes[0].before) == (second, "issuers/also", "issuer.put", None)
        assert [change.path for change in newest.changes] == ["issuers/also"]
        assert newest.changes[0].after == issuer_text(other)
        assert await config.delete_issuer("idp", org, "me")
        assert not await config.delete_issuer("idp", org, "me")
        assert (await config.snapshot()).issuers == (other,)

    async def test_issuer_is_refused_when_it_is_not_as_expected_or_takes_anothers_tokens(self, config: ConfigStore, org: str) -> None:
        wanted = Issuer("idp", "https://idp.example/", ("us",), ("ES256",), jwks="{}", org=org)
        first = await config.put_issuer(wanted, org, "me")
        for expected in (0, first + 1):
            with pytest.raises(Stale):
                await config.put_issuer(wanted, org, "me", expected=expected)
            with pytest.raises(Stale):
                await config.delete_issuer("idp", org, "me", expected=expected)
        with pytest.raises(NotProcessable):
            await config.put_issuer(msgspec.structs.replace(wanted, name="twin", audience=("us", "them")), org, "me")
        assert (await config.snapshot()).revision == first
        assert await config.put_issuer(wanted, org, "me", expected=first) == first + 1

    async def test_principal_is_named_in_the_snapshot_when_it_has_no_key(self, config: ConfigStore, org: str) -> None:
        await config.put_principal(Principal("shop", org, READER), "me")
        assert (await config.snapshot()).principal_named(org, "shop") == Principal("shop", org, READER)
        await config.create_key(org, "shop", "me")
        snapshot = await config.snapshot()
        assert (snapshot.keyless, snapshot.principal_named(org, "shop")) == ((), Principal("shop", org, READER))

    async def test_snapshots_come_when_config_changes(self, config: ConfigStore, org: str) -> None:
        changes = config.changes()
        try:
            first = await coming(changes)
            revision = await config.put_principal(Principal("shop", org, READER), "me")
            second = await coming(changes)
            _, key = await config.create_key(org, "shop", "me")
            third = await coming(changes)
        finally:
            await changes.aclose()  # type: ignore[attr-defined]  # it is a generator
        assert (first.revision, second.revision, third.revision) == (revision - 1, revision, revision + 1)
        assert third.principal_of(key) == Principal("shop", org, READER)
