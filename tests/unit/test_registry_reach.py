"""What a route's targets mean by the registry (contracts.md, "Config": routes), and what snapshots hold of it."""

import gc
import tracemalloc

import pytest

from shared.domain.registry.deciding import Kept
from shared.domain.registry.deploying import hubs_of
from shared.domain.registry.reach import Reach, Resolved, Targets, leaves_of, reaches
from shared.domain.registry.shapes import SHARED, Backbone, Cluster, Scope, Spec, decode, encode
from shared.domain.snapshot import Snapshot
from shared.snapshots import encode as packed

EU = Cluster("eu", SHARED, "", "local", None, {})
SCOPES: tuple[Scope, ...] = ("local", "global")
BACKBONES = (
    Reach("a-own", "acme", "eu", "local"),
    Reach("b-everybodys", SHARED, "eu", "local"),
    Reach("c-us", SHARED, "us", "local"),
    Reach("d-hub", SHARED, "us", "global"),
    Reach("e-globex", "globex", "eu", "global"),
    Reach("f-going", "acme", "de", "local", deleting=True),
)
TARGETS = Targets(BACKBONES, "local", "home")


@pytest.mark.parametrize(
    ("org", "target", "backbones"),
    [
        ("acme", "local", ("local",)),
        ("acme", "cluster:eu", ("a-own",)),
        ("globex", "cluster:eu", ("b-everybodys",)),
        ("acme", "cluster:us", ("c-us",)),
        ("acme", "cluster:home", ("local",)),
        ("acme", "cluster:nowhere", ()),
        ("acme", "global", ("d-hub",)),
        ("globex", "global", ("e-globex",)),
        ("acme", "backbone:a-own", ("a-own",)),
        ("globex", "backbone:a-own", ()),
        ("globex", "backbone:d-hub", ("d-hub",)),
        (SHARED, "backbone:e-globex", ()),
        ("acme", "backbone:f-going", ()),
        ("acme", "cluster:de", ()),
        ("acme", "backbone:local", ()),
        ("acme", "sink:x", ()),
    ],
)
def test_target_stands_for_an_orgs_own_before_the_shared_when_there_are_both(org: str, target: str, backbones: tuple[str, ...]) -> None:
    assert TARGETS.of(org, target) == backbones


def test_each_backbone_is_there_once_and_in_order_when_targets_meet() -> None:
    assert TARGETS.resolve("acme", ("global", "backbone:d-hub", "local")) == Resolved(("d-hub", "local"), None)
    assert TARGETS.resolve("acme", ("cluster:eu", "cluster:x", "sink:y")) == Resolved(("a-own",), "no-route: cluster:x, sink:y")
    assert TARGETS.resolve("acme", ("cluster:x",)) == Resolved((), "no-route")
    assert TARGETS.resolve("acme", ()) == Resolved((), "no-route")


def test_snapshot_knows_where_a_backbone_is_and_nothing_secret_when_it_is_declared() -> None:
    here = Cluster("eu", "acme", "", "local", None, {})
    backbone = Backbone("m-1", "acme", "eu", "m", "local", "nats://127.0.0.1:1", "d", Spec(values={"x": 1}), {"note": 1})
    registered = {("acme", "clusters/eu"): Kept(here, 1, ""), ("acme", "backbones/m-1"): Kept(backbone, 2, "")}
    assert reaches(registered) == (Reach("m-1", "acme", "eu", "local", "nats://127.0.0.1:1", "d", False, True),)


def test_leaves_of_a_hub_are_those_that_it_is_a_hub_of_when_both_sides_are_asked() -> None:
    remotes = Spec(values={"leafnodes": {"remotes": [{"urls": ["nats-leaf://elsewhere:7422"]}]}})
    declared = [
        Backbone(f"{scope[0]}-{org or 'shared'}-{number}", org, "eu", f"n{number}", scope, None, None, spec, {}, 1, deleting)
        for org in ("acme", SHARED)
        for scope in SCOPES
        for number, (spec, deleting) in enumerate(((Spec(), False), (Spec(), True), (remotes, False)))
    ]
    registered: dict[tuple[str, str], Kept] = {(SHARED, "clusters/eu"): Kept(EU, 1, "")}
    registered |= {(one.org, f"backbones/{one.id}"): Kept(one, 1, "") for one in declared}
    known = reaches(registered)
    joined = {(hub.id, leaf.id) for hub in known for leaf in leaves_of(hub, known)}
    assert joined == {(hub.id, leaf.id) for leaf in declared if not leaf.deleting for hub in hubs_of(leaf, EU, registered)}
    assert ("g-acme-0", "l-acme-0") in joined


def test_thousand_backbones_are_small_when_a_snapshot_has_them() -> None:
    many = tuple(
        Reach(f"backbone-{n:08x}", "acme", f"cluster-{n}", "local", f"nats://nats.cluster-{n}.example:4222", "d") for n in range(1000)
    )
    assert len(packed(Snapshot(1, {}, backbones=many))) < 200_000


def test_snapshot_of_a_thousand_backbones_keeps_nothing_of_what_else_is_said_of_them() -> None:
    spec = Spec(values={"podAnnotations": {"note": "s" * 20_000}})
    tracemalloc.start()
    try:
        registered: dict[tuple[str, str], Kept] = {("acme", "clusters/eu"): Kept(Cluster("eu", "acme", "", "helm", None, {}), 1, "")}
        for number in range(1_000):
            one = Backbone(
                f"b-{number:08x}", "acme", "eu", f"b{number}", "local", f"nats://b{number}.example:4222", None, spec, {"note": "m" * 15_000}
            )
            registered["acme", f"backbones/{one.id}"] = Kept(decode("backbone", encode(one)), 1, "")
        whole = tracemalloc.get_traced_memory()[0]
        snapshot = Snapshot(1, {}, backbones=reaches(registered))
        assert snapshot.targets.of("acme", "backbone:b-00000007") == ("b-00000007",)
        registered.clear()
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert whole > 30_000_000
    assert kept < 5_000_000  # 20 MB are allowed
