"""The objects of knative/clusters/<name>: `make render` writes them to build/<name>/, `switchboard deploy` applies them.

Kustomize knows neither the route table nor which images were built just now. So it gets a folder of its own for the while, with a
kustomization over the cluster's that adds what depends on these: the gateway's configuration, the tag, the namespace's name as a setting.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from infra.render import gateway, layers
from infra.render.documents import documents
from infra.render.roles import check_role, functions_of
from shared.domain.errors import Misconfigured, NotFound, NotProcessable

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
CLUSTERS = ROOT / "knative" / "clusters"
BUILD = ROOT / "build"
LOCAL = "dev.local/"  # images that come from `make images` alone, and have its tag
FIRST = ("Namespace", "ServiceAccount", "ConfigMap", "NetworkPolicy")  # of the written files; then by kind
GATEWAY = {
    "app.kubernetes.io/part-of": "switchboard",
    "app.kubernetes.io/managed-by": "switchboard",
    "app.kubernetes.io/name": "gateway",
    "app.kubernetes.io/component": "gateway",
}
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, where it is: ten times as fast
KLOG = re.compile(r'[EF]\d{4} \S+ \d+ \S+\] "command failed" err=')  # how kubectl begins some of its errors
IN_POD = "/etc/envoy/"  # where the gateway's files are mounted


def folder_of(name: str) -> Path:
    """The folder of a cluster: knative/clusters/<name>, or any, given with a slash in it."""
    return Path(os.path.abspath(name)) if "/" in name else CLUSTERS / name


def names(clusters: Path = CLUSTERS) -> list[str]:
    """The clusters there are."""
    return sorted(path.parent.name for path in clusters.glob("*/kustomization.yaml"))


def render(cluster: str, clusters: Path = CLUSTERS) -> list[Json]:
    """The objects of a cluster, in kustomize's order. IMAGE_TAG in the environment goes before every other tag of our images.

    Raises NotFound for a name that isn't there, NotProcessable where kustomize refuses, Misconfigured where there is no kustomize and for
    what check_role() refuses.
    """
    folder = clusters / cluster
    if not (folder / "kustomization.yaml").is_file():
        raise NotFound(f"there is no cluster {cluster} in {clusters} (there: {', '.join(names(clusters)) or 'none'})")
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="render-") as over:  # of this call alone: several may render at once
        (Path(over) / "kustomization.yaml").write_text(yaml.safe_dump(_kustomization(folder, Path(over))))
        return _built(Path(over))


def write(objects: list[Json], folder: Path) -> list[Path]:
    """One file an object, named by order, kind and name; what was in the folder goes. `kubectl apply -f` takes them in this order."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    paths = []
    for each in objects:
        path = folder / f"{_place(each)}-{_kind(each)}-{each['metadata']['name']}.yaml"
        path.write_text(yaml.safe_dump(each, sort_keys=True, width=140, allow_unicode=True))
        paths.append(path)
    return sorted(paths)


def _place(each: Json) -> int:
    kind = each["kind"]
    return FIRST.index(kind) if kind in FIRST else len(FIRST)


def _kind(each: Json) -> str:
    return "knative-service" if each["apiVersion"].startswith("serving.knative.dev/") else str(each["kind"]).lower()


def _kustomization(folder: Path, over: Path) -> Json:
    bare = _built(folder)  # first: kustomize says best what it can't read
    namespace = layers.namespace_of(folder)
    image = layers.core_image(folder)
    tag = _tag(image)
    check_role(bare)
    generated = _gateway_files(folder, over, namespace, functions_of(bare))
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": [os.path.relpath(folder, over)],
        "configMapGenerator": [
            {"name": "gateway-envoy", "files": generated, "options": {"labels": GATEWAY}},
            {"name": "switchboard-settings", "behavior": "merge", "literals": [f"NAMESPACE={namespace}"]},
        ],
        "images": [{"name": image["newName"], "newTag": tag}, layers.reconcile_image(folder, image["newName"]) | {"newTag": tag}],
        "labels": [{"pairs": {"app.kubernetes.io/version": tag}}],
    }


def _tag(image: Json) -> str:
    """IMAGE_TAG; else the cluster's own; for an image that `make images` makes, the tag it made last, or would make now."""
    if tag := os.environ.get("IMAGE_TAG"):
        return tag
    if not image["newName"].startswith(LOCAL):
        if "newTag" not in image:
            raise Misconfigured(f"{image['newName']} has no newTag: say which, or set IMAGE_TAG")
        return str(image["newTag"])
    made = BUILD / "image-tag"
    return made.read_text().strip() if made.is_file() else _run([str(ROOT / "infra" / "images" / "tag")]).strip()


def _gateway_files(folder: Path, over: Path, namespace: str, functions: tuple[str, ...]) -> list[str]:
    """Write the gateway's files for kustomize to take. A cluster may say in gateway.json how many proxies are before it."""
    proxies = layers.trusted_proxies(folder)
    served = documents(functions)
    answers = {path: (IN_POD + each.file, each.media_type) for path, each in served.items()}
    config = gateway.configuration(namespace, proxies, answers, functions)
    files = {"envoy.json": gateway.text(config)} | {each.file: each.text for each in served.values()}
    for name, content in files.items():
        (over / name).write_text(content)
    return sorted(files)


def _built(folder: Path) -> list[Json]:
    """What kustomize makes of a folder."""
    return [each for each in yaml.load_all(_run([*_kustomize(), str(folder)]), LOADER) if each]


def _kustomize() -> list[str]:
    """kubectl's, else kustomize's own, else one that is built once a machine from its Go module. Raises Misconfigured."""
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    return [_run([str(ROOT / "infra" / "render" / "kustomize")]).strip(), "build"]


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        why = KLOG.sub("", re.sub(r"\s+", " ", done.stderr).strip())
        error = Misconfigured if command[0].startswith("/") else NotProcessable
        raise error(f"{' '.join(command)}: {why}")
    return done.stdout
