"""What a release is told of keys: no secret is among its values, and the Secret for its hubs is kept as it should be."""

import base64
import json
from typing import Any, cast

import pytest

from shared.adapters.helm.trusted import keep_secret, secret_name, values_of
from shared.adapters.kubernetes.objects import Objects
from shared.backbone_chart import backbone_chart
from shared.domain.registry.deploying import Deployment, Hub, Trust, Undeployed
from shared.domain.registry.shapes import SHARED, Access, Cluster, Spec
from shared.domain.registry.spec import values_faults
from shared.trust.backbone import BackboneTrust

EU = Cluster("eu", SHARED, "", "helm", Access(in_cluster=True), {})
OWN, HUB, SECOND = (BackboneTrust(id, id.encode()[:4] * 8) for id in ("leaf-0a", "hubs-0b", "more-0c"))
URLS = ["nats-leaf://hub.example:7422"]
HUBS = (Hub("away-0d", "away-0d", ()), Hub("hubs-0b", "hubs-0b", tuple(URLS)), Hub("open-0e", "open-0e", tuple(URLS)))


def wanted(*, keyed: bool = True, **more: Any) -> Deployment:
    """A leaf of two hubs that it reaches, one of which lets in everybody."""
    values = {"jetstream": {"domain": "leaf-0a"}, "leafnodes": {"remotes": [{"urls": URLS}, {"urls": URLS}]}} | more
    logins = {"hubs-0b": HUB.login("leaf-0a"), "away-0d": HUB.login("leaf-0a")}
    trust = Trust(OWN.server if keyed else None, OWN.login("switchboard"), logins)
    return Deployment("leaf-0a", EU, Spec(), values, HUBS, trust)


class Secrets:
    """The Secrets of a cluster."""

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, str]] = {}
        self.written = 0

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        assert kind == "Secret"
        return {"data": dict(self.secrets[name])} if name in self.secrets else None

    def create_secret(self, name: str, release: str, data: dict[str, str]) -> None:
        assert (name not in self.secrets, release) == (True, "leaf-0a")
        self.secrets[name] = dict(data)
        self.written += 1

    def patch_secret(self, name: str, data: dict[str, str]) -> None:
        self.secrets[name] |= data
        self.written += 1


def kept(cluster: Secrets, deployment: Deployment) -> str:
    return keep_secret(cast(Objects, cluster), deployment)


def test_values_have_tokens_and_accounts_and_nothing_secret_when_it_has_keys() -> None:
    before = wanted()
    values = values_of(before)
    server = OWN.server
    assert values["auth"] == {"operator": server.operator, "systemAccount": server.system_account, "accounts": server.accounts}
    first, second = values["leafnodes"]["remotes"]
    assert first == {"urls": URLS, "account": server.account, "credentialsSecret": "leaf-0a-hubs", "credentialsKey": "hubs-0b"}
    assert second == {"urls": URLS, "account": server.account}
    assert values_faults(values, backbone_chart()) == []
    assert not [login for login in (before.trust.login, *before.trust.hubs.values()) if login.seed in json.dumps(values)]
    assert before == wanted(), "what is declared stays"


def test_values_have_only_how_it_signs_in_to_hubs_when_it_has_no_keys() -> None:
    values = values_of(wanted(keyed=False))
    assert "auth" not in values
    assert values["leafnodes"]["remotes"] == [
        {"urls": URLS, "credentialsSecret": "leaf-0a-hubs", "credentialsKey": "hubs-0b"},
        {"urls": URLS},
    ]


def test_remotes_of_its_own_are_in_its_account() -> None:
    account = BackboneTrust("x", b"x" * 32).account.public
    own = {"remotes": [{"urls": URLS}, {"urls": URLS, "account": account}]}
    remotes = values_of(wanted(leafnodes=own)._replace(hubs=()))["leafnodes"]["remotes"]
    assert [one["account"] for one in remotes] == [OWN.account.public, account]


def test_it_is_refused_when_the_spec_says_who_may_come_in_and_it_has_keys() -> None:
    with pytest.raises(Undeployed, match="auth/secret"):
        values_of(wanted(auth={"secret": "mine", "checksum": ""}))
    assert values_of(wanted(keyed=False, auth={"secret": "mine"}))["auth"] == {"secret": "mine"}


def test_secret_is_made_once_and_put_back_when_somebody_changes_it() -> None:
    cluster, name = Secrets(), secret_name("leaf-0a")
    text = base64.b64encode(HUB.login("leaf-0a").file().encode()).decode()
    assert [kept(cluster, wanted()) for _ in range(2)] == ["", ""]
    assert (cluster.secrets, cluster.written) == ({name: {"hubs-0b": text}}, 1)
    cluster.secrets[name]["hubs-0b"] = "eA=="
    assert kept(cluster, wanted()) == f"its Secret {name} had been changed"
    assert (cluster.secrets[name], cluster.written) == ({"hubs-0b": text}, 2)


def test_secret_keeps_what_servers_may_still_mount_when_the_hubs_are_others() -> None:
    cluster, name = Secrets(), secret_name("leaf-0a")
    kept(cluster, wanted())
    other = wanted()._replace(hubs=(Hub("more-0c", "more-0c", tuple(URLS)),))
    moved = other._replace(trust=other.trust._replace(hubs={"more-0c": SECOND.login("leaf-0a")}))
    assert kept(cluster, moved) == ""
    assert sorted(cluster.secrets[name]) == ["hubs-0b", "more-0c"]
    assert kept(cluster, wanted()._replace(trust=Trust(OWN.server))) == ""
    assert cluster.written == 2
