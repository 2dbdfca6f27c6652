"""Every rendered object is one that an API server takes: Kubernetes' own kinds, Knative's, the Prometheus operator's."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.render.manifests import CLUSTERS, render, write
from tests.manifests.schemas import faults

Json = dict[str, Any]


def test_every_object_is_valid_when_every_cluster_is_rendered(rendered: dict[str, list[Json]]) -> None:
    distinct: dict[str, tuple[str, Json]] = {}
    for cluster, objects in rendered.items():
        for each in objects:
            distinct[json.dumps(each, sort_keys=True)] = (f"{cluster}: {each['kind']} {each['metadata']['name']}", each)
    found = {name: wrong for name, each in distinct.values() if (wrong := faults(each))}
    assert found == {}
    assert len(distinct) > 60


def test_every_overlay_and_component_is_in_some_cluster_when_all_are_rendered() -> None:
    knative = CLUSTERS.parent
    taken = {
        (path.parent / entry).resolve()
        for path in knative.rglob("kustomization.yaml")
        for part in ("resources", "components")
        for entry in yaml.safe_load(path.read_text()).get(part, ())
    }
    optional = [path.parent for part in ("base", "overlays", "components") for path in knative.glob(f"{part}/*/kustomization.yaml")]
    assert len(optional) > 10
    assert [folder for folder in optional if folder.resolve() not in taken] == []


def _unknown_in_container(each: Json) -> None:
    each["spec"]["template"]["spec"]["containers"][0]["porst"] = []


def _unknown_in_metadata(each: Json) -> None:
    each["metadata"]["lables"] = {}


def _no_image(each: Json) -> None:
    del each["spec"]["template"]["spec"]["containers"][0]["name"]
    each["spec"]["template"]["spec"]["containers"] = "none"


def _text_for_a_number(each: Json) -> None:
    field = "replicas" if "replicas" in each["spec"] else "timeoutSeconds"
    where = each["spec"] if field == "replicas" else each["spec"]["template"]["spec"]
    where[field] = "two"


def _no_trigger(each: Json) -> None:
    del each["spec"]["triggers"]


def _behind_a_flag(each: Json) -> None:
    each["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "fast"}


@pytest.mark.parametrize(
    ("kind", "group", "break_it"),
    [
        ("Deployment", "apps", _unknown_in_container),
        ("Deployment", "apps", _unknown_in_metadata),
        ("Deployment", "apps", _no_image),
        ("Deployment", "apps", _text_for_a_number),
        ("Service", "serving.knative.dev", _unknown_in_container),
        ("Service", "serving.knative.dev", _unknown_in_metadata),
        ("Service", "serving.knative.dev", _no_image),
        ("Service", "serving.knative.dev", _text_for_a_number),
        ("Service", "serving.knative.dev", _behind_a_flag),
        ("PodMonitor", "monitoring.coreos.com", _unknown_in_metadata),
        ("ScaledObject", "keda.sh", _no_trigger),
    ],
)
def test_broken_object_is_refused_when_it_is_held_against_its_schema(
    rendered: dict[str, list[Json]], kind: str, group: str, break_it: Callable[[Json], None]
) -> None:
    each = next(one for one in rendered["production"] if one["kind"] == kind and one["apiVersion"].startswith(f"{group}/"))
    broken = copy.deepcopy(each)
    break_it(broken)
    assert faults(each) == []
    assert faults(broken) != []


def test_kind_that_nobody_knows_is_refused_when_it_is_held_against_schemas() -> None:
    assert faults({"apiVersion": "v1", "kind": "Nothing", "metadata": {"name": "a"}}) != []


def test_files_are_the_same_when_rendered_again(rendered: dict[str, list[Json]], tmp_path: Path) -> None:
    first, second = (write(objects, tmp_path / name) for name, objects in (("a", rendered["test"]), ("b", render("test"))))
    assert [path.read_text() for path in first] == [path.read_text() for path in second]
    assert len(first) == len(rendered["test"])
    assert first[0].name == "0-namespace-switchboard.yaml"
