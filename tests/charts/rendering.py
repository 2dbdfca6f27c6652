"""charts/backbone through the real helm."""

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from infra.local.nats import binary
from infra.render.manifests import LOADER

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "backbone"
KUBERNETES = "1.34.0"
RELEASE, NAMESPACE = "eu-1", "backbones"


class Refused(Exception):
    """Helm refused the values; its text is helm's own."""


@cache
def helm() -> str:
    """The path of the pinned helm, which is built where this machine has none yet."""
    done = subprocess.run([ROOT / "infra" / "render" / "helm"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def lint(values: Json) -> subprocess.CompletedProcess[str]:
    return _helm("lint", str(CHART), values=values)


def render(values: Json) -> list[Json]:
    """The chart's objects. Raises Refused."""
    done = _helm("template", RELEASE, str(CHART), "--namespace", NAMESPACE, values=values)
    if done.returncode:
        raise Refused(done.stderr)
    return [each for each in yaml.load_all(done.stdout, LOADER) if each]


def notes(values: Json, folder: Path) -> str:
    """What is shown after an install: helm renders it without a cluster only under another name."""
    chart = shutil.copytree(CHART, folder / "chart")
    (chart / "templates" / "NOTES.txt").rename(chart / "templates" / "shown.txt")
    done = _helm("template", RELEASE, str(chart), "--namespace", NAMESPACE, "--show-only", "templates/shown.txt", values=values)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _helm(*arguments: str, values: Json) -> subprocess.CompletedProcess[str]:
    offline = {"KUBECONFIG": os.devnull}  # nothing here asks a cluster
    command = [helm(), *arguments, "--values", "-", "--kube-version", KUBERNETES]
    return subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False, env=os.environ | offline)


def one(objects: list[Json], kind: str, name: str = RELEASE) -> Json:
    """The object of that kind and name."""
    return next(each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name)


def nats_conf(objects: list[Json]) -> str:
    return str(one(objects, "ConfigMap")["data"]["nats.conf"])


def taken(configuration: str, folder: Path) -> str:
    """What nats-server itself says against the configuration; empty for one that it takes."""
    (folder / "nats.conf").write_text(configuration)
    env = {
        "SERVER_NAME": "eu-1-0",
        "STORE_DIR": str(folder / "data"),
        "CLIENT_LISTEN": "127.0.0.1:4222",
        "MONITOR_LISTEN": "127.0.0.1:8222",
        "ROUTE_LISTEN": "127.0.0.1:6222",
        "LEAF_LISTEN": "127.0.0.1:7422",
        "RESOLVER_DIR": str(folder / "accounts"),
    }
    done = subprocess.run([binary(), "-t", "-c", folder / "nats.conf"], env=env, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr
