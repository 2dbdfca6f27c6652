"""The reconciler by what it does: a registry in memory, a provider and streams that are told how they are."""

from typing import Any, Literal

import msgspec
import pytest

from shared.domain.registry.deciding import Change, Written
from shared.domain.registry.deploying import Deployment, Undeployed
from shared.domain.registry.shapes import SHARED, Backbone, Spec
from shared.domain.revisions import Stale
from shared.ports.deploying import Seen
from tests.unit.reconcilers import EU, WITHIN, Install, has_endpoint
from tests.waiting import eventually


@pytest.fixture
def install() -> Install:
    return Install()


async def test_backbone_is_deployed_found_and_told_of_when_it_is_declared(install: Install) -> None:
    await install.declare()
    async with install.reconciler() as keepers:
        await eventually(install.is_ready, within=WITHIN)
        assert await has_endpoint(install), "what is told to be ready has its endpoint"
        assert keepers.count == 1
    kept = await install.kept()
    assert isinstance(kept.declared, Backbone)
    assert (kept.declared.endpoint, kept.declared.found, kept.declared.generation) == ("nats://10.0.0.7:4222", True, 1)
    assert kept.status is not None
    assert (kept.status.observed_generation, kept.status.version, kept.status.servers) == (1, "2.15.1", 1)
    assert await install.condition("Ready") == ("True", "Running", "1 of 1 servers is up")
    assert await install.condition("Reachable") == ("True", "Answers", "")
    assert await install.condition("Drifted") == ("False", "AsDeclared", "")
    assert await install.actions() == [
        "add",
        "backbone.not-ready",
        "backbone.endpoint",
        "backbone.deployed",
        "backbone.reachable",
        "backbone.ready",
    ]
    streams = {one.name: (one.subjects, one.max_age_s) for one in install.streams.wanted.get("main-0a", ())}
    assert streams == {} or streams == {"sb-acme": (("sb.acme.>",), 7 * 86_400), "sb-zeta": (("sb.zeta.>",), 3600)}
    assert install.leases == {}


async def test_nothing_is_written_when_nothing_changes(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    await install.declare()
    written: list[str] = []
    write = install.registry.write

    async def counted(change: Change, author: str, reason: str = "") -> Written:
        written.append(change.action)
        return await write(change, author, reason)

    monkeypatch.setattr(install.registry, "write", counted)
    async with install.reconciler():
        await eventually(install.is_ready, within=WITHIN)
        before, calls = await install.actions(), len(install.provider.calls)
        await eventually(lambda: len(install.provider.calls) > calls + 5, within=WITHIN)
        assert await install.actions() == before
    assert written == ["backbone.endpoint"], "a change that changes nothing takes the lock of all changes, too"


async def test_drift_is_put_back_and_recorded_when_somebody_changes_it(install: Install) -> None:
    await install.declare()
    async with install.reconciler():
        await eventually(install.is_ready, within=WITHIN)
        install.provider.drift = "the release had been edited: replicas"
        status, _, message = await install.turned("Drifted", "Repaired")
    assert status == "False"
    assert message.startswith("the release had been edited: replicas; it was put back 2")
    assert "backbone.repaired" in await install.actions()


async def test_reason_is_told_and_generation_is_not_observed_when_it_cannot_be_deployed(install: Install) -> None:
    install.provider.wrong = Undeployed("HelmFailed", "quota exceeded", drift="the release had been deleted")
    await install.declare()
    async with install.reconciler():
        assert await install.turned("Ready", "HelmFailed") == ("False", "HelmFailed", "quota exceeded")
        assert await install.condition("Drifted") == ("True", "Changed", "the release had been deleted; it could not be put back")
        kept = await install.kept()
        assert kept.status is not None
        assert kept.status.observed_generation == 0
        install.provider.wrong = None
        await eventually(install.is_ready, within=WITHIN)


async def test_change_is_acted_upon_at_once_when_it_has_failed_for_long(install: Install) -> None:
    install.provider.wrong = Undeployed("HelmFailed", "no")
    backbone = await install.declare()
    async with install.reconciler():
        await eventually(lambda: len(install.provider.calls) >= 2, within=WITHIN)
        install.provider.wrong = None
        changed = msgspec.structs.replace(backbone, spec=Spec(replicas=3), generation=2)
        await install.registry.write(Change("update", changed, (await install.kept()).revision), "boss")
        await eventually(install.is_ready, within=WITHIN)
    assert install.provider.releases["main-0a"].values["replicas"] == 3


async def test_provider_is_never_asked_when_a_spec_cannot_work(install: Install) -> None:
    await install.declare(spec=Spec(values={"replica": 2}))
    async with install.reconciler():
        _, _, message = await install.turned("Ready", "SpecRefused")
        assert "/spec/values" in message
    assert install.provider.calls == []


@pytest.mark.parametrize(
    ("more", "reason"), [({"cluster": "here"}, "NoProvider"), ({"domain": "UPPER"}, "SpecRefused")], ids=["no provider", "domain"]
)
async def test_it_says_why_when_this_reconciler_cannot_do_it(install: Install, more: dict[str, Any], reason: str) -> None:
    await install.declare(**more)
    async with install.reconciler():
        await install.turned("Ready", reason)
    assert install.provider.calls == []


async def test_it_is_somebody_elses_when_a_local_endpoint_was_declared(install: Install) -> None:
    await install.declare(cluster="here", endpoint="nats://127.0.0.1:4222")
    install.streams.seen = Seen(refused="no server answers")
    async with install.reconciler():
        assert await install.turned("Ready", "Elsewhere") == ("False", "Elsewhere", "no server answers")
        install.streams.seen = Seen()
        await eventually(install.is_ready, within=WITHIN)
    assert install.provider.calls == []


async def test_endpoint_stays_as_declared_when_somebody_declared_it(install: Install) -> None:
    await install.declare(endpoint="nats://nats.example:4222")
    async with install.reconciler():
        await eventually(install.is_ready, within=WITHIN)
    declared = (await install.kept()).declared
    assert isinstance(declared, Backbone)
    assert (declared.endpoint, declared.found) == ("nats://nats.example:4222", False)


async def test_no_door_hears_of_an_endpoint_when_it_is_one_that_no_backbone_may_have(install: Install) -> None:
    install.provider.endpoint = "nats://169.254.169.254:4222"
    await install.declare()
    async with install.reconciler():
        _, _, message = await install.turned("Ready", "NoEndpoint")
        assert "link-local" in message
        assert not await has_endpoint(install)


async def test_servers_that_are_not_up_are_counted_when_it_starts(install: Install) -> None:
    install.provider.up = 1
    await install.declare(spec=Spec(replicas=3))
    async with install.reconciler():
        assert await install.turned("Ready", "Starting") == ("False", "Starting", "1 of 3 servers is up: no room")
        install.provider.up = None
        await eventually(install.is_ready, within=WITHIN)


async def test_leaf_is_joined_to_the_hubs_of_its_owner_when_they_are_there(install: Install) -> None:
    await install.declare()
    await install.declare("hub-0b", scope="global")
    async with install.reconciler():
        await eventually(lambda: "leafnodes" in install.provider.releases.get("main-0a", _none()).values, within=WITHIN)
        hub, leaf = install.provider.releases["hub-0b"], install.provider.releases["main-0a"]
        assert hub.values["leafnodes"] == {"enabled": True}
        assert leaf.values["leafnodes"] == {"remotes": [{"urls": ["nats-leaf://in:7422"]}]}
        assert (hub.values["jetstream"]["domain"], leaf.values["jetstream"]["domain"]) == ("hub-0b", "main-0a")
        await eventually(lambda: any(one.sources for one in install.streams.wanted.get("main-0a", ())), within=WITHIN)
        copies = [one for one in install.streams.wanted["main-0a"] if one.sources]
        assert [(one.name, one.sources[0].domain) for one in copies] == [("sbg-acme", "hub-0b"), ("sbg-zeta", "hub-0b")]


def _none() -> Deployment:
    return Deployment("", EU, Spec(), {})


async def test_it_is_forgotten_when_all_of_it_has_been_taken_away(install: Install) -> None:
    install.provider.left = 3
    backbone = await install.declare()
    async with install.reconciler():
        await eventually(lambda: has_endpoint(install), within=WITHIN)
        kept = await install.kept()
        await install.registry.write(Change("backbone.remove", kept.declared, kept.revision, remove=True), "boss")
        install.provider.wrong = Undeployed("NoAccess", "the cluster does not answer")

        async def says_why() -> bool:  # a look that began before it was to go says that it can't be made
            return await install.condition("Ready") == ("False", "NoAccess", "it can't be taken away: the cluster does not answer")

        await eventually(says_why, within=WITHIN)
        install.provider.wrong = None

        async def forgotten() -> bool:
            return not await install.registry.registered((SHARED,), f"backbones/{backbone.id}")

        await eventually(forgotten, within=WITHIN)
    assert install.provider.releases == {}
    assert (await install.actions())[-1] == "backbone.forget"


async def test_all_of_it_is_taken_away_when_it_is_deleted_while_it_is_installed(install: Install) -> None:
    install.provider.goes_on.clear()
    await install.declare()
    async with install.reconciler():
        await eventually(lambda: "ensure" in install.provider.calls, within=WITHIN)
        kept = await install.kept()
        await install.registry.write(Change("backbone.remove", kept.declared, kept.revision, remove=True), "boss")
        marked = await install.kept()
        assert isinstance(marked.declared, Backbone)
        assert marked.declared.deleting, "something may be there already: it isn't forgotten at once"
        install.provider.goes_on.set()

        async def forgotten() -> bool:
            return not await install.registry.registered((SHARED,), "backbones/main-0a")

        await eventually(forgotten, within=WITHIN)
    assert install.provider.releases == {}
    first = install.provider.calls.index("remove")
    assert set(install.provider.calls[first:]) == {"remove"}, "nothing is installed again"
    assert (await install.actions())[-1] == "backbone.forget"


async def test_change_is_acted_upon_when_it_comes_while_the_one_before_is_installed_or_rolls(install: Install) -> None:
    install.provider.goes_on.clear()
    await install.declare()
    async with install.reconciler():
        await eventually(lambda: "ensure" in install.provider.calls, within=WITHIN)
        await changed(install, 2, 3)
        install.provider.up = 0  # and then its servers roll
        install.provider.goes_on.set()

        async def rolls_as(generation: int) -> bool:
            kept = await install.kept()
            assert kept.status is not None
            assert (await install.condition("Ready"))[0] != "True"
            return kept.status.observed_generation == generation

        await eventually(lambda: rolls_as(2), within=WITHIN)
        assert install.provider.releases["main-0a"].values["replicas"] == 3
        await changed(install, 3, 5)
        await eventually(lambda: rolls_as(3), within=WITHIN)
        assert install.provider.releases["main-0a"].values["replicas"] == 5, "nobody waited until the roll before was done"
        install.provider.up = None
        await eventually(install.is_ready, within=WITHIN)


async def changed(install: Install, generation: int, replicas: Literal[1, 3, 5]) -> None:
    """Declare another spec, whatever the reconciler writes meanwhile."""

    async def written() -> bool:
        kept = await install.kept()
        assert isinstance(kept.declared, Backbone)
        wanted = msgspec.structs.replace(kept.declared, spec=Spec(replicas=replicas), generation=generation)
        try:
            return bool(await install.registry.write(Change("update", wanted, kept.revision), "boss"))
        except Stale:
            return False

    assert await eventually(written, within=WITHIN)
