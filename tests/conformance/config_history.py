"""What every config store must do with documents, revisions and orgs."""

import asyncio
import json
from typing import Any

import pytest

from shared.domain import revisions
from shared.domain.errors import Conflict, NotFound, NotProcessable
from shared.domain.principal import Grant, Principal
from shared.domain.revisions import Document, LastAdmin, Stale, Write
from shared.ports import ConfigStore

ADMIN = (Grant("admin"),)


def put(path: str, text: bytes | None, **more: Any) -> Write:
    """One document's write."""
    return Write("document.put", path, {path: text}, **more)


class ConfigHistoryConformance:
    """Subclasses give `config`, and conftest `org`."""

    async def test_document_is_the_very_bytes_when_it_was_written(self, config: ConfigStore, org: str) -> None:
        text = '{"max_bytes":1,"é\\u0000":"\U0001f680"}'.encode()
        revision = await config.write_documents(org, put("topics/a.é b.>", text), "me", "why")
        assert await config.document(org, "topics/a.é b.>") == Document(text, revision)
        assert await config.document(org, "topics/a") is None
        assert await config.document("another", "topics/a.é b.>") is None
        assert await config.documents(org) == {"topics/a.é b.>": Document(text, revision)}
        snapshot = await config.snapshot()
        assert (snapshot.revision, snapshot.documents[org]) == (revision, {"topics/a.é b.>": text})
        assert await config.current() == revision

    async def test_document_is_gone_when_it_was_deleted(self, config: ConfigStore, org: str) -> None:
        await config.write_documents(org, put("org", b"{}"), "me")
        last = await config.write_documents(org, put("org", None), "me")
        assert await config.documents(org) == {}
        assert org not in (await config.snapshot()).documents
        assert await config.documents(org, last - 1) == {"org": Document(b"{}", last - 1)}

    async def test_write_is_refused_when_the_document_is_not_as_expected(self, config: ConfigStore, org: str) -> None:
        first = await config.write_documents(org, put("org", b"{}", expected={"org": 0}), "me")
        for expected in (0, first - 1, first + 1):
            with pytest.raises(Stale) as stale:
                await config.write_documents(org, put("org", b"[]", expected={"org": expected}), "me")
            assert stale.value.revision == first
        assert isinstance(stale.value, Conflict)
        assert (await config.snapshot()).revision == first
        with pytest.raises(Stale):
            await config.write_documents(org, put("topics/a", b"[]", expected={"topics/a": first}), "me")
        assert await config.write_documents(org, put("org", b"[]", expected={"org": first}), "me") == first + 1

    async def test_one_of_many_wins_when_all_expect_the_same(self, config: ConfigStore, org: str) -> None:
        first = await config.write_documents(org, put("org", b"0"), "me")
        tries = [config.write_documents(org, put("org", b"%d" % n, expected={"org": first}), "me") for n in range(8)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert sorted(type(one).__name__ for one in outcomes) == ["Stale"] * 7 + ["int"]

    async def test_write_is_refused_when_any_document_of_the_org_moved(self, config: ConfigStore, org: str) -> None:
        seen = await config.write_documents(org, put("org", b"{}"), "me")
        await config.write_documents(f"{org}2", put("org", b"{}"), "me")
        assert await config.write_documents(org, put("topics/a", b"{}", unchanged_since=seen), "me") == seen + 2
        with pytest.raises(Stale):
            await config.write_documents(org, put("topics/b", b"{}", unchanged_since=seen), "me")
        await config.write_documents(org, put("org", None), "me")
        with pytest.raises(Stale):
            await config.write_documents(org, put("topics/b", b"{}", unchanged_since=seen + 2), "me")

    async def test_many_documents_are_one_revision_when_they_are_one_write(self, config: ConfigStore, org: str) -> None:
        first = await config.write_documents(org, Write("x", "a", {"org": b"1", "topics/a": b"2"}), "me")
        second = await config.write_documents(org, Write("y", "rollback", {"org": None, "topics/a": b"3", "topics/b": b"4"}), "you", "so")
        told = await config.revision(org, second)
        assert told is not None
        assert (told.revision, told.org, told.author, told.action, told.path, told.reason) == (second, org, "you", "y", "rollback", "so")
        assert [(one.path, one.before, one.after) for one in told.changes] == [
            ("org", b"1", None),
            ("topics/a", b"2", b"3"),
            ("topics/b", None, b"4"),
        ]
        assert {path: one.text for path, one in (await config.documents(org, first)).items()} == {"org": b"1", "topics/a": b"2"}

    async def test_org_has_no_more_than_its_bounds_when_more_are_written(
        self, config: ConfigStore, org: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(revisions, "MAX_DOCUMENTS", 2)
        monkeypatch.setattr(revisions, "MAX_ORG_BYTES", 10)
        for number in range(2):
            await config.write_documents(org, put(f"topics/{number}", b"1234"), "me")
        for wanted in (put("topics/2", b""), put("topics/1", b"1234567")):
            with pytest.raises(NotProcessable):
                await config.write_documents(org, wanted, "me")
        await config.write_documents(org, put("topics/1", b"123456"), "me")
        await config.write_documents(org, put("topics/1", None), "me")
        assert await config.write_documents(org, put("topics/2", b"1"), "me") == (await config.snapshot()).revision

    async def test_org_has_no_more_principals_and_keys_than_its_bounds_and_may_always_have_fewer(
        self, config: ConfigStore, org: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = tuple(Grant("publish", (f"orders.{n}",)) for n in range(20))
        for name in ("one", "two", "three"):
            await config.put_principal(Principal(name, org, names), "me")
        made = [(await config.create_key(org, "one", "me"))[0] for _ in range(3)]
        monkeypatch.setattr(revisions, "MAX_PRINCIPALS", 2)
        monkeypatch.setattr(revisions, "MAX_KEYS", 2)
        monkeypatch.setattr(revisions, "MAX_GRANTS_BYTES", 100)
        before = await config.current()
        for change in (
            config.put_principal(Principal("four", org, ()), "me"),
            config.put_principal(Principal("one", org, (*names, Grant("read"))), "me"),
            config.create_key(org, "two", "me"),
        ):
            with pytest.raises(NotProcessable):
                await change
        assert await config.current() == before
        await config.put_principal(Principal("one", org, names[:1]), "me")
        assert await config.delete_key(org, "one", made[0], "me")
        assert await config.delete_key(org, "one", made[1], "me")
        await config.create_key(org, "two", "me")
        await config.put_principal(Principal("one", f"{org}2", names[:1]), "me")
        assert await config.delete_principal(org, "three", "me")
        assert await config.delete_principal(org, "two", "me")
        await config.put_principal(Principal("four", org, ()), "me")

    async def test_no_message_is_judged_by_too_many_rules_when_they_are_written_at_once(self, config: ConfigStore, org: str) -> None:
        policies = [{"name": f"p{n}", "when": "false"} for n in range(64)]
        text = json.dumps({"policies": policies}).encode()
        patterns = ("a.b", "a.*", "*.b", "*.*", "a.>", "*.>", ">")
        writes = [config.write_documents(org, put(f"topics/{pattern}", text), "me") for pattern in patterns]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert sorted(type(one).__name__ for one in outcomes) == ["NotProcessable"] * 3 + ["int"] * 4
        [refused, *_] = [one for one in outcomes if isinstance(one, NotProcessable)]
        assert [fault.pointer for fault in refused.faults] == ["/policies"]
        before = await config.current()
        for path in await config.documents(org):
            await config.write_documents(org, put(path, b"{}"), "me")
        with pytest.raises(NotProcessable):  # all at once, too
            await config.write_documents(org, Write("x", "rollback", {f"topics/{pattern}": text for pattern in patterns}), "me")
        await config.write_documents(org, put("topics/c", text), "me")
        assert await config.current() == before + 5

    async def test_reason_is_kept_when_a_key_is_made_and_revoked(self, config: ConfigStore, org: str) -> None:
        await config.put_principal(Principal("shop", org, ()), "me", "new")
        key_id, _ = await config.create_key(org, "shop", "me", "a second one")
        await config.delete_key(org, "shop", key_id, "me", "leaked")
        told = await config.revisions(org, 3)
        assert [(one.action, one.reason) for one in told] == [
            ("key.delete", "leaked"),
            ("key.create", "a second one"),
            ("principal.put", "new"),
        ]

    async def test_revisions_of_others_are_not_an_orgs_when_they_are_listed(self, config: ConfigStore, org: str) -> None:
        own = await config.write_documents(org, put("org", b"1"), "me")
        await config.write_documents(f"{org}2", put("org", b"2"), "me")
        everybodys = await config.write_documents("", put("global", b"3"), "root")
        last = await config.put_principal(Principal("shop", org, ()), "me", "new")
        assert [one.revision for one in await config.revisions(org, 10)] == [last, everybodys, own]
        assert [one.revision for one in await config.revisions(None, 10)] == [last, everybodys, own + 1, own]
        assert [one.revision for one in await config.revisions(org, 1, before=last)] == [everybodys]
        assert [one.revision for one in await config.revisions(org, 10, path="org")] == [own]
        assert await config.revision(org, own + 1) is None
        assert await config.revision(org, last + 1) is None
        told = await config.revision(org, last)
        assert told is not None
        [change] = told.changes
        assert (change.path, change.before, json.loads(change.after or b"")) == ("principals/shop", None, {"grants": [], "system": False})

    async def test_times_of_revisions_follow_their_order_when_many_come_at_once(self, config: ConfigStore, org: str) -> None:
        await asyncio.gather(*(config.write_documents(org, put(f"topics/{n}", b"1"), "me") for n in range(12)))
        told = await config.revisions(org, 20)
        assert [one.time for one in told] == sorted((one.time for one in told), reverse=True)

    async def test_snapshot_of_a_revision_is_what_was_in_force_when_it_is_asked_for_later(self, config: ConfigStore, org: str) -> None:
        await config.put_principal(Principal("shop", org, ADMIN), "me")
        key_id, _ = await config.create_key(org, "shop", "me")
        seen = [await config.snapshot()]
        changes = (
            config.write_documents(org, put("org", b"1"), "me"),
            config.put_principal(Principal("shop", org, ()), "me"),
            config.create_key(org, "shop", "me"),
            config.write_documents("", put("global", b"{}"), "me"),
            config.delete_key(org, "shop", key_id, "me"),
            config.write_documents(org, put("org", b"2"), "me"),
            config.delete_principal(org, "shop", "me"),
            config.write_documents(org, put("org", None), "me"),
        )
        for change in changes:
            await change
            seen.append(await config.snapshot())
        assert [await config.snapshot(one.revision) for one in seen] == seen
        for number in (seen[-1].revision + 1, 0, -1):
            with pytest.raises(NotFound):
                await config.snapshot(number)

    async def test_principal_has_the_revision_that_changed_it_when_others_changed_since(self, config: ConfigStore, org: str) -> None:
        first = await config.put_principal(Principal("shop", org, ()), "me", expected=0)
        await config.put_principal(Principal("till", org, ()), "me")
        assert await config.principal_version(org, "shop") == (Principal("shop", org, ()), first)
        assert await config.principal_version(org, "nobody") is None
        for expected in (0, first - 1, first + 1):
            with pytest.raises(Stale):
                await config.put_principal(Principal("shop", org, ()), "me", expected=expected)
            with pytest.raises(Stale):
                await config.delete_principal(org, "shop", "me", expected=expected)
            with pytest.raises(Stale):
                await config.create_key(org, "shop", "me", expected=expected)
        assert await config.put_principal(Principal("shop", org, ADMIN), "me", expected=first) == first + 2
        await config.create_key(org, "shop", "me", expected=first + 2)
        assert await config.delete_principal(org, "shop", "me", expected=first + 2)

    async def test_last_system_admin_stays_when_two_go_at_once(self, config: ConfigStore, org: str) -> None:
        names = ("one", "two")
        for name in names:
            await config.put_principal(Principal(name, org, ADMIN, system=True), "me")
            await config.create_key(org, name, "me")
        outcomes = await asyncio.gather(*(config.delete_principal(org, name, "me") for name in names), return_exceptions=True)
        assert sorted(map(repr, outcomes))[1] == "True"
        assert [type(one) for one in outcomes if one is not True] == [LastAdmin]
        [left] = await config.principals(org)
        [key] = await config.keys(org)
        for attempt in (
            config.put_principal(Principal(left.name, org, (), system=True), "me"),
            config.put_principal(Principal(left.name, org, ADMIN), "me"),
            config.delete_key(org, left.name, key["id"], "me"),
            config.delete_org(org, "me"),
        ):
            with pytest.raises(LastAdmin):
                await attempt
        assert len((await config.snapshot()).keys) == 1

    async def test_org_is_made_once_with_its_first_admin(self, config: ConfigStore, org: str) -> None:
        made = await config.create_org(Principal("admin", org, ADMIN), "root", "new")
        snapshot = await config.snapshot()
        assert (snapshot.revision, snapshot.principal_of(made.key)) == (made.revision, Principal("admin", org, ADMIN))
        assert [key["id"] for key in await config.keys(org)] == [made.key_id]
        [state] = await config.orgs(org)
        assert (state.org, state.deleted) == (org, None)
        for restore in (False, True):
            with pytest.raises(Stale):
                await config.create_org(Principal("admin", org, ADMIN), "root", restore=restore)

    async def test_org_has_no_doors_when_it_was_deleted_and_is_made_again_on_purpose_only(self, config: ConfigStore, org: str) -> None:
        made = await config.create_org(Principal("admin", org, ADMIN), "root")
        await config.create_org(Principal("admin", f"{org}2", ADMIN), "root")
        await config.write_documents(org, put("org", b"1"), "me")
        assert await config.delete_org(org, "root", "gone")
        assert not await config.delete_org(org, "root")
        assert not await config.delete_org(f"{org}3", "root")
        snapshot = await config.snapshot()
        assert snapshot.principal_of(made.key) is None
        assert org not in snapshot.documents
        assert [principal.org for principal in snapshot.keys.values()] == [f"{org}2"]
        [state] = await config.orgs(org)
        assert state.deleted is not None
        admin = Principal("admin", org, ADMIN)
        for attempt in (config.put_principal(admin, "root"), config.write_documents(org, put("org", b"1"), "me")):
            with pytest.raises(NotProcessable):
                await attempt
        with pytest.raises(Stale):
            await config.create_org(admin, "root")
        again = await config.create_org(admin, "root", restore=True)
        assert (await config.snapshot()).principal_of(again.key) == admin
        assert [(one.org, one.deleted) for one in await config.orgs(org)] == [(org, None)]
        assert await config.documents(org) == {}

    async def test_only_its_retention_is_left_of_an_orgs_documents_when_it_is_deleted(self, config: ConfigStore, org: str) -> None:
        await config.create_org(Principal("admin", org, ADMIN), "root")
        await config.create_org(Principal("admin", f"{org}2", ADMIN), "root")
        written = {"org": b'{"max_bytes":9,"retention":"7d"}', "topics/orders.>": b'{"max_bytes":5}'}
        for path, text in written.items():
            await config.write_documents(org, put(path, text), "me")
        assert await config.delete_org(org, "root")
        last, left = await config.current(), b'{"retention":"7d"}'
        assert await config.documents(org) == {"org": Document(left, last)}
        snapshot = await config.snapshot()
        assert (snapshot.documents[org], snapshot.rules.retention.of(org)) == ({"org": left}, 7 * 86_400)
        told = await config.revision(None, last)
        assert told is not None
        changed = {change.path: (change.before, change.after) for change in told.changes if change.path in written}
        assert changed == {"org": (written["org"], left), "topics/orders.>": (written["topics/orders.>"], None)}

    async def test_org_is_known_when_it_has_a_principal(self, config: ConfigStore, org: str) -> None:
        assert await config.orgs(org) == []
        await config.put_principal(Principal("shop", org, ()), "me")
        assert [one.org for one in await config.orgs()] == [org]
