"""What every source of snapshots must do: the store itself, or the hub that has it."""

import asyncio
import secrets
import time
from hashlib import sha256

import pytest

from shared.domain.errors import NotFound
from shared.domain.principal import Principal
from shared.domain.revisions import Write
from shared.domain.sessions import APART, Session, is_over
from shared.ports import ConfigSource, ConfigStore
from tests.conformance.config_store import READER, coming


class ConfigSourceConformance:
    """Subclasses give `config`, where config is changed, and `source`, where it is read."""

    async def test_snapshot_in_force_comes_first_and_then_each_change_within_a_second(
        self, config: ConfigStore, source: ConfigSource, org: str
    ) -> None:
        await config.put_principal(Principal("shop", org, READER), "me")
        _, key = await config.create_key(org, "shop", "me")
        changes = source.changes()
        found = await coming(changes, 10)
        while found.principal_of(key) is None:  # a hub of ours follows the store, too
            found = await coming(changes)
        assert found.principal_of(key) == Principal("shop", org, READER)
        for size in (b"1", b"2"):
            text = b'{"max_bytes":' + size + b"}"
            revision = await config.write_documents(org, Write("document.put", "org", {"org": text}), "me")
            found = await coming(changes, 1.5)  # a second, and room for a busy machine
            assert (found.revision, found.documents[org]["org"]) == (revision, text)
        await changes.aclose()  # type: ignore[attr-defined]  # it is a generator

    async def test_nothing_comes_when_nothing_changed(self, config: ConfigStore, source: ConfigSource, org: str) -> None:
        revision = await config.put_principal(Principal("shop", org, READER), "me")
        changes = source.changes()
        while (await coming(changes, 10)).revision < revision:
            pass
        with pytest.raises(TimeoutError):
            await coming(changes, 0.7)

    async def test_any_revision_is_had_when_it_is_asked_for_by_number(self, config: ConfigStore, source: ConfigSource, org: str) -> None:
        first = await config.write_documents(org, Write("document.put", "org", {"org": b'{"max_bytes":1}'}), "me")
        second = await config.write_documents(org, Write("document.put", "org", {"org": b'{"max_bytes":2}'}), "me")
        found = await asyncio.gather(*(source.snapshot(revision) for revision in (first, second)))
        assert [(one.revision, one.documents[org]["org"][-2:-1]) for one in found] == [(first, b"1"), (second, b"2")]

    async def test_revision_is_not_found_when_it_is_to_come(self, config: ConfigStore, source: ConfigSource, org: str) -> None:
        revision = await config.put_principal(Principal("shop", org, READER), "me")
        with pytest.raises(NotFound):
            await source.snapshot(revision + 1_000)

    async def test_session_is_over_for_everybody_within_a_second_when_it_was_signed_out(
        self, config: ConfigStore, source: ConfigSource, org: str
    ) -> None:
        signed_in, other = await session_of(config, org), await session_of(config, org)
        changes = source.changes()
        found = await coming(changes, 10)
        while signed_in.key not in found.keys or other.key not in found.keys:
            found = await coming(changes)
        assert not is_over(found.ended, signed_in)
        await source.end_session(signed_in)
        found = await coming(changes, 1.5)  # a second, and room for a busy machine
        assert is_over(found.ended, signed_in)
        assert not is_over(found.ended, other)
        await changes.aclose()  # type: ignore[attr-defined]  # it is a generator

    async def test_sign_out_makes_no_history_and_a_second_one_no_revision(
        self, config: ConfigStore, source: ConfigSource, org: str
    ) -> None:
        signed_in = await session_of(config, org)
        history, before = await config.revisions(org, 100), await config.current()
        await source.end_session(signed_in)
        assert await config.current() == before + 1
        await source.end_session(signed_in)
        await source.end_session(Session(bytes(32), signed_in.expires, signed_in.id))  # of no key that there is
        assert await config.current() == before + 1
        assert await config.revisions(org, 100) == history
        assert await config.revision(org, before + 1) is None

    async def test_few_sessions_of_a_key_are_in_a_snapshot_when_many_were_signed_out(
        self, config: ConfigStore, source: ConfigSource, org: str
    ) -> None:
        first, other = await session_of(config, org), await session_of(config, org)
        many = [Session(first.key, first.expires + number, secrets.token_bytes(16)) for number in range(2 * APART)]
        await source.end_session(other)
        for one in many:
            await source.end_session(one)
        found = await config.snapshot()
        assert all(is_over(found.ended, one) for one in (*many, other))
        assert len(found.ended) <= APART + 2
        assert not is_over(found.ended, Session(first.key, many[-1].expires + 1, bytes(16)))


async def session_of(config: ConfigStore, org: str) -> Session:
    """A session of a new key, as a browser gets it."""
    name = secrets.token_hex(4)
    await config.put_principal(Principal(name, org, READER), "me")
    _, key = await config.create_key(org, name, "me")
    return Session(sha256(key.encode()).digest(), int(time.time()) + 3600, secrets.token_bytes(16))
