"""Rendering: which tag an image gets, and what is refused; the tag of the images' content."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from infra.render import __main__ as program
from infra.render import layers, manifests
from infra.render.gateway import path_expression
from shared.domain.errors import Misconfigured, NotFound, NotProcessable

BASE = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}


def _cluster(folder: Path, name: str, **content: object) -> Path:
    """A cluster over the real `production`, which needs nothing that `make images` makes."""
    over = os.path.relpath(manifests.CLUSTERS / "production", folder / name)
    (folder / name).mkdir()
    (folder / name / "kustomization.yaml").write_text(yaml.safe_dump({**BASE, "resources": [over], **content}))
    return folder


def _image(folder: Path, name: str) -> str:
    found = next(one for one in manifests.render(name, folder) if one["kind"] == "Deployment" and one["metadata"]["name"] == "logger")
    assert found["metadata"]["labels"]["app.kubernetes.io/version"] in found["spec"]["template"]["spec"]["containers"][0]["image"]
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def test_tag_is_the_clusters_own_when_the_image_has_a_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMAGE_TAG", raising=False)
    images = [{"name": "registry.example.com/switchboard-core", "newName": "registry.example.com/core", "newTag": "7"}]
    images += [{"name": "switchboard/core", "newName": "registry.example.com/core", "newTag": "7"}]
    assert _image(_cluster(tmp_path, "mine", namespace="mine", images=images), "mine") == "registry.example.com/core:7"


def test_tag_is_that_of_the_environment_when_it_names_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_TAG", "from-ci")
    images = [{"name": "switchboard/core", "newName": "registry.example.com/switchboard-core"}]
    assert _image(_cluster(tmp_path, "mine", namespace="mine", images=images), "mine").endswith(":from-ci")


def test_tag_is_that_of_make_images_when_the_image_is_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMAGE_TAG", raising=False)
    monkeypatch.setattr(manifests, "BUILD", tmp_path / "build")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "image-tag").write_text("0.1.0-abc\n")
    assert _image(manifests.CLUSTERS, "test") == "dev.local/switchboard-core:0.1.0-abc"


def test_clusters_there_are_listed_when_the_one_asked_for_is_not_there() -> None:
    with pytest.raises(NotFound, match=r"there is no cluster nowhere in .*production, test"):
        manifests.render("nowhere")


@pytest.mark.parametrize("said", ["{}/mine", "{}/mine/", "{}/other/../mine"])
def test_folder_of_a_cluster_is_left_as_it_is_when_it_is_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setattr(manifests, "BUILD", tmp_path / "build")
    monkeypatch.setattr(program, "BUILD", tmp_path / "build")
    images = [{"name": "switchboard/core", "newName": "registry.example.com/core", "newTag": "7"}]
    file = _cluster(tmp_path, "mine", namespace="mine", images=images) / "mine" / "kustomization.yaml"
    before = file.read_text()
    assert program.main([said.format(tmp_path)]) == 0
    assert (file.read_text(), list(file.parent.iterdir())) == (before, [file])
    assert len(list((tmp_path / "build" / "mine").glob("*.yaml"))) > 20


def test_namespace_is_asked_for_when_a_cluster_has_none(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="must say its namespace"):
        manifests.render("mine", _cluster(tmp_path, "mine"))


@pytest.mark.parametrize("said", ["", "hello", "[a, b]", "a: [1", "resources: ../mine", "resources: [../mine]", "images: [hello]"])
def test_kustomization_is_refused_and_named_when_it_is_none(tmp_path: Path, said: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kustomization.yaml").write_text(said)
    with pytest.raises(NotProcessable, match=f"{tmp_path}/mine: (?!E[0-9]).*"):
        manifests.render("mine", tmp_path)


@pytest.mark.parametrize(("empty", "missing"), [("images", "what switchboard/core is called"), ("namespace", "must say its namespace")])
def test_field_without_a_value_is_as_none_when_a_cluster_is_rendered(tmp_path: Path, empty: str, missing: str) -> None:
    (tmp_path / "mine").mkdir()
    images = [{"name": "switchboard/core", "newName": "registry.example.com/core", "newTag": "7"}]
    content = {**BASE, "namespace": "mine", "images": images, "resources": None, empty: None}
    (tmp_path / "mine" / "kustomization.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(Misconfigured, match=missing):
        manifests.render("mine", tmp_path)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "is no JSON"),
        ("[1]", "must be .*, and nothing else"),
        ("{}", "must be .*, and nothing else"),
        ('{"trusted_proxies": 1, "proxies": 2}', "must be .*, and nothing else"),
        ('{"trusted_proxies": "1"}', 'trusted_proxies is "1"'),
        ('{"trusted_proxies": true}', "trusted_proxies is true"),
        ('{"trusted_proxies": 1.5}', "trusted_proxies is 1.5"),
        ('{"trusted_proxies": -1}', "trusted_proxies is -1"),
        ('{"trusted_proxies": 99999999999}', "from 0 to 10"),
    ],
)
def test_number_of_proxies_is_refused_when_envoy_could_not_have_it(tmp_path: Path, said: str, why: str) -> None:
    (tmp_path / "gateway.json").write_text(said)
    with pytest.raises(Misconfigured, match=f"gateway.json.*{why}"):
        layers.trusted_proxies(tmp_path)


def test_number_of_proxies_is_what_the_cluster_says_when_it_says_so(tmp_path: Path) -> None:
    assert layers.trusted_proxies(tmp_path) == 0
    (tmp_path / "gateway.json").write_text('{"trusted_proxies": 2}')
    assert layers.trusted_proxies(tmp_path) == 2


EDGE = "overlays/edge"


@pytest.mark.parametrize(
    ("components", "settings", "said"),
    [
        ([EDGE], ["SWITCHBOARD_CLUSTER=eu"], "it is an edge: switchboard-settings must say where its hub is, SWITCHBOARD_HUB_URL"),
        (
            [EDGE],
            ["SWITCHBOARD_CLUSTER=local", "SWITCHBOARD_HUB_URL=https://hub.example"],
            "switchboard-settings must say SWITCHBOARD_CLUSTER",
        ),
        ([], ["SWITCHBOARD_HUB_URL=https://hub.example"], "SWITCHBOARD_HUB_URL is set, so it is an edge: name overlays/edge"),
    ],
)
def test_half_an_edge_is_refused_when_it_is_rendered(tmp_path: Path, components: list[str], settings: list[str], said: str) -> None:
    generated = [{"name": "switchboard-settings", "behavior": "merge", "literals": settings}]
    over = [os.path.relpath(manifests.CLUSTERS.parent / each, tmp_path / "mine") for each in components]
    images = [{"name": "switchboard/core", "newName": "registry.example.com/core", "newTag": "7"}]
    content = {"namespace": "switchboard", "images": images, "components": over, "configMapGenerator": generated}
    with pytest.raises(Misconfigured, match=said):
        manifests.render("mine", _cluster(tmp_path, "mine", **content))


def test_path_expression_is_the_prefix_in_either_form_when_it_is_written_out() -> None:
    assert path_expression("/", exact=True) == "(?:/|%2[Ff])"
    assert path_expression("/a", exact=True) == "(?:/|%2[Ff])(?:a|%61)"
    assert path_expression("/a", exact=False) == "(?:/|%2[Ff])(?:a|%61)(?:(?:/|%2[Ff]).*)?"


def _tree(folder: Path) -> Path:
    """What the images' tag looks at, in little."""
    for path, text in {
        "functions/a.py": "1",
        "shared/b.py": "2",
        "infra/c.py": "3",
        "charts/d.yaml": "6",
        "requirements.lock": "4",
        "requirements-reconcile.lock": "7",
        ".dockerignore": "5",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "pyproject.toml").write_text('version = "1.2.3"\n')
    (folder / "infra" / "images").mkdir()
    shutil.copy(manifests.ROOT / "infra" / "images" / "tag", folder / "infra" / "images" / "tag")
    return folder


def _tag(folder: Path) -> str:
    return subprocess.run([folder / "infra" / "images" / "tag"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(
    "path",
    [
        "functions/a.py",
        "shared/new.py",
        "infra/c.py",
        "charts/d.yaml",
        "requirements.lock",
        "requirements-reconcile.lock",
        ".dockerignore",
        "infra/images/Dockerfile",
    ],
)
def test_tag_is_another_when_what_goes_into_the_images_changes(tmp_path: Path, path: str) -> None:
    tree = _tree(tmp_path)
    before = _tag(tree)
    (tree / path).write_text("changed")
    assert before.startswith("1.2.3-")
    assert _tag(tree) not in ("", before)


@pytest.mark.parametrize(
    "path", ["tests/test_a.py", "functions/README.md", "knative/base.yaml", "infra/servers/nats.yaml", "shared/_core.cpython-311.so"]
)
def test_tag_stays_when_something_else_changes(tmp_path: Path, path: str) -> None:
    tree = _tree(tmp_path)
    before = _tag(tree)
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_text("changed")
    assert _tag(tree) == before
