"""The install under test: brought there and taken away by the commands of README's "Deploy to a cluster", and looked at by kubectl."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import httpx
import yaml

from infra.cluster.manifests import SELECTOR, key_of
from infra.cluster.tools import Cluster, Manifest
from infra.render.manifests import CLUSTERS
from tests.waiting import eventually_now

NAMESPACE = "switchboard"  # of knative/clusters/test
ROOT = Path(__file__).parents[2]
INLINE, REMOTE, BROKERED = "test", "test-remote", "test-brokered"
# The commands of README.md; tests/cluster/test_readme.py compares them.
DEPLOY = ("deploy", "--cluster", INLINE)
DRY_RUN, UNDEPLOY, DOCTOR = (*DEPLOY, "--dry-run"), (*DEPLOY, "--undeploy", "--yes"), ("doctor", "--cluster", INLINE)
LOOK = 0.25  # seconds between two looks by kubectl: each takes a core a tenth of a second, and what is waited for wants the cores too
GONE = 300  # seconds that Kubernetes may take to empty a namespace with functions in it
SERVICES = "services.serving.knative.dev"
REVISION = "serving.knative.dev/revision"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    said: str
    seconds: float


def run(*command: str, env: dict[str, str] | None = None, stdin: str = "", within: float = 600) -> Done:
    """Run a program to its end."""
    began = time.monotonic()
    done = subprocess.run(
        command, input=stdin, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=within, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


@dataclass
class Install:
    """Switchboard in its namespace. `deployed` is the cluster's name, or the folder, that was deployed last; `printed`, what `deploy` said
    then."""

    cluster: Cluster = field(default_factory=lambda: Cluster(None, NAMESPACE))
    deployed: str | None = None
    printed: str = ""
    key: str = field(default="", repr=False)  # the first admin's
    url: str = ""  # the gateway's, from here

    # ---- the commands ---------------------------------------------------------------------------------------------------------

    @staticmethod
    def command(arguments: Sequence[str]) -> Sequence[str]:
        """A command of `switchboard`, as the README has it."""
        return (str(Path(sys.executable).with_name("switchboard")), *arguments)

    def deploy(self, name: str, *options: str, wiring: str | None = None) -> Done:
        """`switchboard deploy --cluster <name>`, which must succeed. `wiring`: the cluster that `name` is a variant of, and that does as
        well for whoever wants the wiring alone."""
        done = self.try_deploy(name, *options)
        assert done.status == 0, done.said
        if "--dry-run" not in options:
            self.deployed, self.printed = wiring or name, done.out
            self._look()
        return done

    def try_deploy(self, name: str, *options: str) -> Done:
        """The same, whatever its end."""
        return run(*self.command(DEPLOY[:-1]), name, *options)

    def undeploy(self) -> Done:
        """`switchboard deploy --cluster test --undeploy --yes`."""
        self.deployed = None
        return run(*self.command(UNDEPLOY))

    def is_there(self) -> bool:
        """Whether the namespace is there, and not on its way out."""
        namespace = self.cluster.find(f"namespace/{self.cluster.namespace}")
        return namespace is not None and "deletionTimestamp" not in namespace["metadata"]

    def from_nothing(self) -> Done:
        """Deploy where nothing is: what an earlier run left goes first."""
        if self.is_there():
            self.undeploy()
        eventually_now(lambda: self.cluster.find(f"namespace/{NAMESPACE}") is None, within=GONE, step=LOOK)
        return self.deploy(INLINE)

    def has(self, name: str) -> None:
        """Bring the install to this wiring, unless it has it."""
        if self.deployed is None:
            self.from_nothing()
        if self.deployed != name:
            self.deploy(
                name, *(("--prune",) if self.deployed == BROKERED else ())
            )  # a SinkBinding that stays goes on telling of the Broker

    def new_key(self, name: str, org: str, *grants: str) -> str:
        """`switchboard key create`, by way of the gateway; returns once the key is in force."""
        options = [option for grant in grants for option in ("--grant", grant)]
        env = {"SWITCHBOARD_URL": self.url, "SWITCHBOARD_KEY": self.key}
        done = run(*self.command(("key", "create", name, "--org", org)), *options, env=env)
        assert done.status == 0, done.said
        key = done.out.strip()
        with self.client(key) as client:
            eventually_now(lambda: client.post("/v1/events", content=b"no event").status_code == 415, within=30)
        return key

    # ---- what is there --------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self.key = self.secret("switchboard-admin-key", "key")
        self.url = f"http://{self.address('gateway')}"

    def address(self, service: str) -> str:
        """A Service's cluster IP, which can be reached from this machine."""
        found = self.cluster.find(f"service/{service}")
        assert found is not None, f"there is no Service {service}"
        return str(found["spec"]["clusterIP"])

    def secret(self, name: str, key: str) -> str:
        found = self.cluster.find(f"secret/{name}")
        assert found is not None, f"there is no Secret {name}"
        return base64.b64decode(found["data"][key]).decode().strip()

    def server(self, setting: str) -> str:
        """A server's URL as the pods have it, with an address instead of its Service's name."""
        place = urlsplit(self.secret("switchboard-servers", setting))
        assert place.hostname is not None
        login, _, _ = place.netloc.rpartition("@")
        return urlunsplit(place._replace(netloc=f"{login}@{self.address(place.hostname)}:{place.port}"))

    def client(self, key: str | None = None) -> httpx.Client:
        """A client of the gateway, the admin's unless another key is given."""
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {key or self.key}"}, timeout=60)

    def feed_url(self, **parameters: str) -> str:
        """Where the feed is."""
        return f"ws{self.url.removeprefix('http')}/v1/feed?{urlencode(parameters)}"

    def revisions(self) -> dict[str, str]:
        """The revision that each Knative Service serves."""
        return {one["metadata"]["name"]: one["status"]["latestReadyRevisionName"] for one in self.cluster.get(SERVICES)}

    def generations(self) -> dict[str, int]:
        """What deploy applied, and how often its spec was changed. What Knative makes of it changes by itself."""
        kinds = f"{SERVICES},deployments,statefulsets,configmaps,services,secrets,serviceaccounts,networkpolicies,jobs"
        return {
            str(key_of(one)): one["metadata"].get("generation", 0)
            for one in self.cluster.get(kinds, f"--selector={SELECTOR}")
            if "ownerReferences" not in one["metadata"]
        }

    def pods(self, name: str) -> list[Manifest]:
        """The pods of a function, pod or server that aren't ending."""
        found = self.cluster.get("pods", f"--selector=app.kubernetes.io/name={name}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self, name: str) -> list[Manifest]:
        return [
            pod
            for pod in self.pods(name)
            if any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))
        ]

    def ending_pods(self) -> list[str]:
        """The pods that were told to end and haven't yet."""
        return [pod["metadata"]["name"] for pod in self.cluster.get("pods") if "deletionTimestamp" in pod["metadata"]]

    def metrics(self, name: str) -> dict[str, float]:
        """The metrics of all pods of a function, added up: by name and labels as Prometheus writes them."""
        total: dict[str, float] = {}
        for pod in self.ready_pods(name):
            text = httpx.get(f"http://{pod['status']['podIP']}:8080/metrics", timeout=10).text
            for line in text.splitlines():
                if line and not line.startswith("#"):
                    series, _, value = line.rpartition(" ")
                    total[series] = total.get(series, 0.0) + float(value)
        return total

    def kill(self, name: str) -> str:
        """End a pod of that name as a crash would: a second, then SIGKILL. The pod's own name."""
        pod: str = eventually_now(lambda: self.ready_pods(name), within=180, step=LOOK)[0]["metadata"]["name"]
        self.cluster.kubectl("delete", "pod", pod, "--grace-period=1", "--wait=false")
        return pod


def variant(
    folder: Path,
    settings: dict[str, str] | None = None,
    patches: list[dict[str, Any]] | None = None,
    trusted_proxies: int = 0,
    base: str = INLINE,
) -> str:
    """A cluster of its own over another, with other settings or patches, or behind proxies: what `--cluster` takes."""
    folder.mkdir(parents=True)
    (folder / "gateway.json").write_text(json.dumps({"trusted_proxies": trusted_proxies}))
    content: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": [os.path.relpath(CLUSTERS / base, folder.resolve())],
        "images": [{"name": "switchboard/core", "newName": "dev.local/switchboard-core"}],
    }
    if settings:
        literals = [f"{name}={value}" for name, value in settings.items()]
        content["configMapGenerator"] = [{"name": "switchboard-settings", "behavior": "merge", "literals": literals}]
    if patches:
        content["patches"] = patches
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return str(folder)


def with_setting(service: str, name: str, value: str, group: str = "serving.knative.dev", kind: str = "Service") -> dict[str, Any]:
    """A patch: one more variable for one Knative Service, or another kind."""
    operation = {"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": {"name": name, "value": value}}
    return {"target": {"group": group, "kind": kind, "name": service}, "patch": json.dumps([operation])}
