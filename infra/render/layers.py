"""What a cluster's folder says besides its objects: its namespace, what our images are called there, how many proxies are before it.

Kustomize is asked first (infra/render/manifests.py), so that these files are kustomizations when they are read here; what it lets pass is
looked at here.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from shared.domain.errors import Misconfigured

Json = dict[str, Any]

CORE, RECONCILE = "switchboard/core", "switchboard/reconcile"  # the images in knative/base, whatever a cluster calls them
MOST_PROXIES = 10  # before a gateway: more is a typing error
PROXIES = "trusted_proxies"


def layers(folder: Path) -> list[Json]:
    """A cluster's kustomization and those of the clusters it is laid over, the nearest first."""
    own = yaml.safe_load((folder / "kustomization.yaml").read_text())
    below = [folder / each for each in own.get("resources") or ()]
    clusters = [each for each in below if (each / "kustomization.yaml").is_file() and each.resolve().parent == folder.resolve().parent]
    return [own, *(layer for each in clusters for layer in layers(each))]


def namespace_of(folder: Path) -> str:
    """The namespace of the nearest kustomization that has one. Raises Misconfigured."""
    found = next((layer["namespace"] for layer in layers(folder) if layer.get("namespace")), None)
    if found is None:
        raise Misconfigured(f"{folder}/kustomization.yaml must say its namespace")
    return str(found)


def core_image(folder: Path) -> Json:
    """The entry for our image in the nearest kustomization that has one. Raises Misconfigured."""
    if (found := _renamed(folder, CORE)) is None:
        raise Misconfigured(f"{folder}/kustomization.yaml must say under `images` what {CORE} is called there: its newName")
    return found


def reconcile_image(folder: Path, core: str) -> Json:
    """What the image of reconcile-backbones is called: as the cluster says, else like the other one, with `reconcile` for its `core`."""
    if (found := _renamed(folder, RECONCILE)) is not None:
        return {"name": found["newName"]}
    return {"name": RECONCILE, "newName": core.removesuffix("core") + "reconcile" if core.endswith("core") else f"{core}-reconcile"}


def _renamed(folder: Path, name: str) -> Json | None:
    images = (image for layer in layers(folder) for image in layer.get("images") or ())
    return next((dict(image) for image in images if image.get("name") == name and image.get("newName")), None)


def trusted_proxies(folder: Path) -> int:
    """How many proxies are before the gateway, by the folder's gateway.json; 0 without one. Raises Misconfigured for any other content."""
    file = folder / "gateway.json"
    if not file.is_file():
        return 0
    wanted = f'{{"{PROXIES}": n}}, with n from 0 to {MOST_PROXIES}'
    try:
        said = json.loads(file.read_text())
    except ValueError as error:
        raise Misconfigured(f"{file} is no JSON ({error}): it is {wanted}") from error
    if not isinstance(said, dict) or set(said) != {PROXIES}:
        raise Misconfigured(f"{file} must be {wanted}, and nothing else")
    number = said[PROXIES]
    if type(number) is not int or not 0 <= number <= MOST_PROXIES:  # True is an int
        raise Misconfigured(f"{file}: {PROXIES} is {json.dumps(number)}; it must be {wanted}")
    return number
