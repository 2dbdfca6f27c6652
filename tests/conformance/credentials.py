"""What every store of credentials must do."""

import asyncio
import time
from typing import Any

import msgspec
import pytest

from shared.domain.errors import NotProcessable
from shared.domain.principal import Grant
from shared.domain.registry.agents import Credential
from shared.domain.registry.deciding import Change
from shared.domain.registry.shapes import path_of
from shared.ports import ConfigStore, Credentials, Registry
from tests.conformance.registry import added, backbone, cluster

GRANTS = (Grant("read", ("orders.>",), ("agent-7",)),)


def credential(org: str, id: str = "c_1", **more: Any) -> Credential:
    """Credentials of a principal of that org."""
    now = int(time.time())
    made = Credential(id, "main-0a", org, "agent-7", f"U{org}{id}", GRANTS, ("agent-7", "agent-7-2"), now, now + 600, "boss")
    return msgspec.structs.replace(made, **more)


class CredentialsConformance:
    """Subclasses give `credentials`, and `config` and `registry` beside them; conftest gives `org`."""

    async def test_what_was_given_is_listed_with_a_revision_of_its_own(
        self, credentials: Credentials, config: ConfigStore, org: str
    ) -> None:
        before = await config.current()
        wanted = credential(org)
        assert await credentials.give(wanted, "it needs some") == before + 1
        assert await credentials.given(org) == [wanted]
        assert await credentials.given(org, "main-0a") == [wanted]
        assert await credentials.given(org, "other-0b") == []
        assert await credentials.given("another") == []
        [revision] = await config.revisions(org, 1)
        assert (revision.author, revision.action, revision.reason) == ("boss", "credential.create", "it needs some")
        assert revision.path == "backbones/main-0a/credentials/c_1"

    async def test_it_holds_no_longer_when_it_was_revoked_and_that_is_noted_once(
        self, credentials: Credentials, config: ConfigStore, org: str
    ) -> None:
        await credentials.give(credential(org))
        assert await credentials.revoke(credential(org), "boss", "it left")
        number = await config.current()
        assert not await credentials.revoke(credential(org), "boss", "again")
        assert await config.current() == number
        [one] = await credentials.given(org)
        assert (one.revoked is not None, one.why, one.live(int(time.time()))) == (True, "it left", False)
        [revision] = await config.revisions(org, 1)
        assert (revision.action, revision.reason) == ("credential.revoke", "it left")

    async def test_nothing_is_listed_when_it_has_expired(self, credentials: Credentials, org: str) -> None:
        now = int(time.time())
        await credentials.give(credential(org, created=now - 100, expires=now - 1))
        assert await credentials.given(org) == []

    async def test_it_is_refused_when_another_principals_have_one_of_its_consumers(self, credentials: Credentials, org: str) -> None:
        await credentials.give(credential(org, principal="agent", consumers=("agent", "agent-7")))
        with pytest.raises(NotProcessable, match="consumer agent-7"):
            await credentials.give(credential(org, "c_2"))
        await credentials.give(credential(org, "c_3", backbone="other-0b"))
        await credentials.give(credential(org, "c_4", principal="agent", consumers=("agent", "agent-7")))
        for one in await credentials.given(org, "main-0a"):
            await credentials.revoke(one, "boss", "")
        await credentials.give(credential(org, "c_2"))

    async def test_keys_are_kept_once_and_sealed_anew_when_nobody_was_faster(self, credentials: Credentials) -> None:
        assert await credentials.keys("main-0a") is None
        assert await credentials.keep_keys("main-0a", b"first", None)
        assert not await credentials.keep_keys("main-0a", b"second", None)
        assert not await credentials.keep_keys("main-0a", b"second", b"other")
        assert await credentials.keys("main-0a") == b"first"
        assert await credentials.keep_keys("main-0a", b"second", b"first")
        assert await credentials.keys("main-0a") == b"second"

    async def test_each_time_of_issue_is_later_when_a_clock_stands_still_or_is_slow(self, credentials: Credentials) -> None:
        assert await credentials.issue("main-0a", 1_000) is None
        await credentials.keep_keys("main-0a", b"first", None)
        await credentials.keep_keys("other-0b", b"first", None)
        assert [await credentials.issue("main-0a", now) for now in (1_000, 1_000, 900, 2_000)] == [1_000, 1_001, 1_002, 2_000]
        assert await credentials.issue("other-0b", 900) == 900
        await credentials.keep_keys("main-0a", b"second", b"first")
        assert await credentials.issue("main-0a", 900) == 2_001
        both = await asyncio.gather(*(credentials.issue("main-0a", 900) for _ in range(5)))
        assert sorted(one or 0 for one in both) == list(range(2_002, 2_007))

    async def test_snapshot_has_the_keys_of_the_backbones_that_have_some(
        self, credentials: Credentials, config: ConfigStore, registry: Registry, org: str
    ) -> None:
        await credentials.keep_keys("main-0a", b"first", None)
        [_, number, _] = await added(registry, cluster(org), backbone(org), backbone(org, "plain-0b"))
        for revision in (number, None):
            found = {one.id: one.keys for one in (await config.snapshot(revision)).backbones}
            assert found == {"main-0a": b"first"} | ({} if revision else {"plain-0b": b""})
        await credentials.keep_keys("main-0a", b"second", b"first")
        assert [one.keys for one in (await config.snapshot()).backbones] == [b"second", b""]

    async def test_keys_and_credentials_go_when_their_backbone_is_forgotten(
        self, credentials: Credentials, registry: Registry, org: str
    ) -> None:
        _, number = await added(registry, cluster(org), backbone(org))
        await credentials.keep_keys("main-0a", b"first", None)
        await credentials.give(credential(org))
        await credentials.give(credential(org, "c_2", backbone="other-0b"))
        await registry.write(Change("forget", backbone(org), number, remove=True, forget=True), "boss")
        assert path_of(backbone(org)) not in {path for _, path in await registry.registered((org,))}
        assert await credentials.keys("main-0a") is None
        assert [one.id for one in await credentials.given(org)] == ["c_2"]
