"""What every registry must do."""

from typing import Any

import msgspec
import pytest

from shared.domain.authority import EVERYTHING
from shared.domain.errors import NotProcessable
from shared.domain.principal import Principal
from shared.domain.registry.deciding import Change, Kept
from shared.domain.registry.reach import Reach
from shared.domain.registry.shapes import SHARED, Access, Backbone, Cluster, Condition, Event, Report, Spec, Status
from shared.domain.revisions import Stale
from shared.ports import ConfigStore, Registry


def cluster(org: str, name: str = "eu", **more: Any) -> Cluster:
    """A cluster of that org."""
    return msgspec.structs.replace(Cluster(name, org, "west", "helm", Access(kubeconfig_secret="eu"), {"tier": 1}), **more)


def backbone(org: str, id: str = "main-0a", **more: Any) -> Backbone:
    """A backbone of that org."""
    name = id.partition("-")[0]
    return msgspec.structs.replace(Backbone(id, org, "eu", name, "local", "nats://nats.eu:4222", None, Spec(values={"a": 1}), {}), **more)


async def added(registry: Registry, *wanted: Cluster | Backbone) -> list[int]:
    """The revisions that these were declared by, one after the other."""
    return [(await registry.write(Change("add", one, 0), "boss", "why")).revision for one in wanted]


class RegistryConformance:
    """Subclasses give `registry`, `config` (the config store beside it), and conftest `org`."""

    async def test_what_was_declared_is_found_as_it_was_with_its_revision(self, registry: Registry, config: ConfigStore, org: str) -> None:
        before = await config.current()
        numbers = await added(registry, cluster(org), backbone(org))
        assert numbers == [before + 1, before + 2]
        found = await registry.registered((org,))
        assert [(place, kept.declared, kept.revision) for place, kept in found.items()] == [
            ((org, "backbones/main-0a"), backbone(org), before + 2),
            ((org, "clusters/eu"), cluster(org), before + 1),
        ]
        assert all(kept.since.endswith("Z") and kept.status is None for kept in found.values())
        assert await registry.registered((org,), "clusters/eu") == {(org, "clusters/eu"): found[org, "clusters/eu"]}
        assert await registry.registered(("another", SHARED)) == {}
        assert await registry.registered() == found
        [revision] = await config.revisions(org, 1)
        assert (revision.author, revision.action, revision.path, revision.reason) == ("boss", "add", "backbones/main-0a", "why")
        assert revision.changes[0].before is None

    async def test_snapshot_of_each_revision_has_the_backbones_of_it(self, registry: Registry, config: ConfigStore, org: str) -> None:
        _, number = await added(registry, cluster(org), backbone(org))
        assert (await config.snapshot()).backbones == (Reach("main-0a", org, "eu", "local", "nats://nats.eu:4222"),)
        await registry.report(org, "backbones/main-0a", Status(1))
        marked = await registry.write(Change("remove", backbone(org), number, remove=True), "boss")
        assert marked.revision == number + 1
        assert [one.deleting for one in (await config.snapshot()).backbones] == [True]
        assert [one.deleting for one in (await config.snapshot(number)).backbones] == [False]
        assert (await config.snapshot(number - 1)).backbones == ()

    async def test_change_is_refused_when_it_is_not_what_the_writer_saw(self, registry: Registry, org: str) -> None:
        first, _ = await added(registry, cluster(org), backbone(org))
        for expected in (0, first + 100):
            with pytest.raises(Stale) as caught:
                await registry.write(Change("put", cluster(org, region="east"), expected), "boss")
            assert caught.value.revision == first
        with pytest.raises(Stale):
            await registry.write(Change("put", backbone(org, "other-0b"), 1), "boss")
        with pytest.raises(Stale):
            await registry.write(Change("remove", backbone(org, "other-0b"), 1, remove=True), "boss")

    async def test_nothing_is_written_when_nothing_changes(self, registry: Registry, config: ConfigStore, org: str) -> None:
        [number] = await added(registry, cluster(org))
        written = await registry.write(Change("put", cluster(org), number), "boss")
        assert (written.changed, written.created, written.revision, written.kept and written.kept.revision) == (
            False,
            False,
            number,
            number,
        )
        assert await config.current() == number
        changed = await registry.write(Change("put", cluster(org, region="east"), number), "boss")
        assert (changed.changed, changed.created, changed.kept and changed.kept.declared) == (True, False, cluster(org, region="east"))
        assert await config.current() == changed.revision == number + 1

    async def test_cluster_has_one_meaning_when_orgs_and_everybody_name_theirs(self, registry: Registry, org: str) -> None:
        await added(registry, cluster(SHARED), cluster(org, "own"), cluster(f"{org}2", "own"))
        for wanted in (cluster(org, "eu"), cluster(SHARED, "own")):
            with pytest.raises(NotProcessable) as caught:
                await added(registry, wanted)
            assert [fault.pointer for fault in caught.value.faults] == ["/name"]

    async def test_backbone_is_refused_when_its_cluster_is_not_there_or_its_name_is(self, registry: Registry, org: str) -> None:
        await added(registry, cluster(org), backbone(org))
        for wanted, pointer in (
            (backbone(org, "other-1", cluster="nowhere"), "/cluster"),
            (backbone(SHARED, "shared-1"), "/cluster"),
            (backbone(f"{org}2", "theirs-1"), "/cluster"),
            (backbone(org, "main-2"), "/name"),
            (backbone(org, "other-2", name="other", domain="main-0a"), "/domain"),
        ):
            with pytest.raises(NotProcessable) as caught:
                await added(registry, wanted)
            assert [fault.pointer for fault in caught.value.faults] == [pointer]
        await added(registry, cluster(f"{org}2"), backbone(f"{org}2", "main-3"))

    async def test_cluster_stays_when_there_are_backbones_in_it(self, registry: Registry, org: str) -> None:
        shared, _, own = await added(registry, cluster(SHARED), cluster(f"{org}2", "own"), backbone(org))
        with pytest.raises(NotProcessable):
            await registry.write(Change("remove", cluster(SHARED), shared, remove=True), "boss")
        assert (await registry.write(Change("remove", backbone(org), own, remove=True), "boss")).kept is None
        assert (await registry.write(Change("remove", cluster(SHARED), shared, remove=True), "boss")).kept is None
        assert [path for _, path in await registry.registered()] == ["clusters/own"]

    async def test_status_is_kept_beside_what_is_declared_when_it_is_reported(
        self, registry: Registry, config: ConfigStore, org: str
    ) -> None:
        status = Status(1, "2.11.0", 3, "2026-01-01T00:00:00Z", (Condition("Ready", "True", "Serving", "3 of 3", "2026-01-01T00:00:00Z"),))
        assert not await registry.report(org, "backbones/main-0a", status)
        _, number = await added(registry, cluster(org), backbone(org))
        assert await registry.report(org, "backbones/main-0a", status, [Event(0, 0, None, "reconciler", "installed", "Installed", "it is")])
        assert not await registry.report(f"{org}2", "backbones/main-0a", status)
        assert await config.current() == number
        kept = (await registry.registered((org,), "backbones/main-0a"))[org, "backbones/main-0a"]
        assert kept == Kept(backbone(org), number, kept.since, status)
        again = await registry.write(Change("update", backbone(org, generation=2), number), "boss")
        assert again.kept is not None
        assert again.kept.status == status

    async def test_several_are_reported_in_one_step_and_each_has_its_answer(self, registry: Registry, org: str) -> None:
        await added(registry, cluster(org), backbone(org))
        happened = [Event(0, 0, None, "reconciler", f"it-{number}", "", "") for number in range(2)]
        main, other = (org, "backbones/main-0a"), (org, "clusters/eu")
        first = await registry.report_all(
            [
                Report(*main, Status(1), happened[:1]),
                Report(org, "backbones/none", Status(1), happened),
                Report(*other, Status(2)),
                Report(*main, Status(3), happened[1:]),
            ]
        )
        assert first == [True, False, True, True]
        kept = await registry.registered((org,))
        assert [kept[place].status for place in (main, other)] == [Status(3), Status(2)]
        assert [one.action for one in await registry.events(*main, 2)] == ["it-1", "it-0"]
        assert await registry.events(org, "backbones/none", 10) == []
        assert await registry.report_all([]) == []

    async def test_backbone_is_marked_when_something_was_reported_of_it_and_goes_when_it_is_forgotten(
        self, registry: Registry, org: str
    ) -> None:
        _, number = await added(registry, cluster(org), backbone(org))
        await registry.report(org, "backbones/main-0a", Status(1))
        marked = await registry.write(Change("remove", backbone(org), number, remove=True), "boss")
        assert marked.kept is not None
        assert marked.kept.declared == backbone(org, deleting=True)
        again = await registry.write(Change("remove", marked.kept.declared, marked.revision, remove=True), "boss")
        assert (again.changed, again.revision) == (False, marked.revision)
        with pytest.raises(NotProcessable):
            await registry.write(Change("update", backbone(org, deleting=True, generation=2), marked.revision), "boss")
        gone = await registry.write(Change("forget", marked.kept.declared, marked.revision, remove=True, forget=True), "reconciler")
        assert gone.kept is None
        assert not await registry.report(org, "backbones/main-0a", Status(1))
        assert [event.action for event in await registry.events(org, "backbones/main-0a", 10)] == ["forget", "remove", "add"]

    async def test_history_is_told_newest_first_and_in_pages_when_it_is_asked_for(self, registry: Registry, org: str) -> None:
        _, number = await added(registry, cluster(org), backbone(org))
        told = [Event(0, 0, None, "reconciler", "seen", f"Reason{n}", "it was seen") for n in range(3)]
        await registry.report(org, "backbones/main-0a", Status(1), told)
        first = await registry.events(org, "backbones/main-0a", 2)
        rest = await registry.events(org, "backbones/main-0a", 9, first[-1].number)
        assert [event.reason for event in (*first, *rest)] == ["Reason2", "Reason1", "Reason0", "why"]
        assert (rest[-1].revision, rest[-1].author, first[0].revision) == (number, "boss", None)
        assert all(later.time >= earlier.time for later, earlier in zip(first, [*first[1:], *rest], strict=False))
        assert await registry.events(f"{org}2", "backbones/main-0a", 9) == []

    async def test_only_the_last_events_are_kept_when_there_are_many(self, registry: Registry, org: str) -> None:
        await added(registry, cluster(org))
        for start in range(0, 1005, 335):
            told = [Event(0, 0, None, "reconciler", "seen", f"R{start + n}", "") for n in range(335)]
            assert await registry.report(org, "clusters/eu", Status(), told)
        events = await registry.events(org, "clusters/eu", 2000)
        assert [event.reason for event in events] == [f"R{n}" for n in range(1004, 4, -1)]

    async def test_nothing_new_is_declared_when_the_org_was_deleted(self, registry: Registry, config: ConfigStore, org: str) -> None:
        await config.create_org(Principal("admin", org, EVERYTHING), "boss")
        await config.delete_org(org, "boss")
        with pytest.raises(NotProcessable):
            await added(registry, cluster(org))
