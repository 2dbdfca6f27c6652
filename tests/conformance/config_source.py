"""What every source of snapshots must do: the store itself, or the hub that has it."""

import asyncio

import pytest

from shared.domain.errors import NotFound
from shared.domain.principal import Principal
from shared.domain.revisions import Write
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
