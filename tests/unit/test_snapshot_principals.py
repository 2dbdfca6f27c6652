"""Who a snapshot knows: by key, by name, and at the doors where no key is shown."""

from hashlib import sha256
from pathlib import Path

import pytest

from shared.domain.principal import Grant, Principal
from shared.domain.snapshot import Snapshot, standing
from shared.snapshots import read, write

SHOP = Principal("shop", "acme", (Grant("read"),))
DOOR = Principal("redis:acme", "acme", (Grant("publish", ("orders.>",)),))
IMPOSTOR = Principal("nats:acme", "globex", (Grant("admin"),))
ORGS, DOORS = standing([SHOP, IMPOSTOR, DOOR])
SNAPSHOT = Snapshot(7, {sha256(b"sb_key").digest(): SHOP}, orgs=ORGS, doors=DOORS)


def test_door_may_publish_whatever_its_org_may_when_config_says_nothing_of_it() -> None:
    for door in ("redis", "nats"):
        principal = SNAPSHOT.door_principal(door, "globex")
        assert principal == Principal(f"{door}:globex", "globex", (Grant("publish"),))
        assert principal.may_touch("publish", "any.topic", "agent-7")
        assert not principal.may("read")


def test_door_has_the_grants_of_its_principal_when_config_has_it_in_that_org() -> None:
    assert SNAPSHOT.door_principal("redis", "acme") == DOOR
    assert SNAPSHOT.door_principal("nats", "acme").grants == (Grant("publish"),)


@pytest.mark.parametrize(
    ("org", "name", "found"),
    [
        ("acme", "shop", SHOP),
        ("globex", "shop", None),
        ("acme", "redis:acme", DOOR),
        ("acme", "redis:globex", None),
        ("acme", "http:acme", None),
        ("globex", "nats:globex", Principal("nats:globex", "globex", (Grant("publish"),))),
        ("acme", "redis", None),
    ],
)
def test_principal_is_found_by_name_when_it_has_a_key_or_is_a_doors(org: str, name: str, found: Principal | None) -> None:
    assert SNAPSHOT.principal_named(org, name) == found


def test_orgs_and_doors_are_kept_when_the_snapshot_is_written_down(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    write(path, SNAPSHOT)
    kept = read(path)
    assert kept is not None
    assert kept == SNAPSHOT
    assert kept.orgs == ("acme", "globex")
    assert kept.door_principal("redis", "acme") == DOOR
