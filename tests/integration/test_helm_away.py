"""Helm where there is no cluster: the reason is told, and nothing of the credentials is in it or left behind."""

import os
import tempfile
from pathlib import Path

import pytest

from shared.adapters.helm.backbones import HelmBackbones
from shared.adapters.kubernetes.access import Clusters
from shared.adapters.kubernetes.kubeconfig import Kubeconfig
from shared.domain.registry.deploying import Deployment, Undeployed
from shared.domain.registry.shapes import Access, Cluster, Spec
from tests.ports import free_port

EU = Cluster("eu", "acme", "", "helm", Access(kubeconfig_secret="acme.eu"), {})
WANTED = Deployment("main-0badcafe", EU, Spec(), {"replicas": 1})


def provider(folder: Path, program: str) -> HelmBackbones:
    access = Kubeconfig({"server": f"https://127.0.0.1:{free_port()}"}, {"token": "s3cret"}, here=True)
    return HelmBackbones(Clusters(lambda wanted: access), lambda: "switchboard", folder, program)


async def test_helm_is_not_run_when_the_cluster_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(Undeployed) as refused:
        await provider(tmp_path / "helm", str(tmp_path / "none")).ensure(WANTED)
    assert refused.value.reason == "ClusterAway"
    assert "Connection refused" in refused.value.message
    assert "s3cret" not in refused.value.message
    assert not [name for name in os.listdir(tmp_path) if name.startswith("switchboard-helm-")]


async def test_cluster_is_said_to_be_away_when_it_is_only_looked_at(tmp_path: Path) -> None:
    with pytest.raises(Undeployed) as refused:
        await provider(tmp_path, "helm").look(WANTED)
    assert (refused.value.reason, "eu does not answer" in refused.value.message) == ("ClusterAway", True)
