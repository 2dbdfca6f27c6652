"""Pods of the tests' own, in a namespace beside Switchboard's: where load and events come from, and where events go."""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from infra.cluster.tools import Cluster, Manifest, as_list
from tests.waiting import eventually_now

PROGRAMS = Path(__file__).parent / "programs"
FOLDER = "/programs"


class Clients:
    """A namespace with a pod to run programs in, and a receiver of events, both with the core image."""

    def __init__(self, image: str) -> None:
        self.namespace = f"switchboard-clients-{secrets.token_hex(3)}"
        self.cluster = Cluster(None, self.namespace)
        self._image = image

    def start(self) -> None:
        self.cluster.kubectl("create", "namespace", self.namespace)
        files = [f"--from-file={path}" for path in sorted(PROGRAMS.glob("*.py"))]
        self.cluster.kubectl("create", "configmap", "programs", *files)
        self.apply(
            self._pod("toolbox", ["python", "-c", "import signal; signal.sigwait([signal.SIGTERM])"]),
            self._pod("receiver", ["python", f"{FOLDER}/receiver.py"]),
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "receiver"},
                "spec": {"selector": {"app": "receiver"}, "ports": [{"port": 80, "targetPort": 8080}]},
            },
        )
        self.cluster.kubectl("wait", "pod/toolbox", "pod/receiver", "--for=condition=Ready", "--timeout=60s")
        found = self.cluster.find("service/receiver")
        assert found is not None
        self._receiver = f"http://{found['spec']['clusterIP']}"
        eventually_now(lambda: self.received("/") == [], within=20)

    def stop(self) -> None:
        """The namespace goes; nobody waits for it."""
        self.cluster.kubectl("delete", "namespace", self.namespace, "--wait=false", "--ignore-not-found")

    def apply(self, *objects: Manifest) -> None:
        self.cluster.kubectl("apply", "--filename=-", stdin=as_list(list(objects)))

    def received(self, path: str) -> list[dict[str, Any]]:
        """What came to the receiver at a path."""
        try:
            found: list[dict[str, Any]] = httpx.get(f"{self._receiver}{path}", timeout=5).json()
        except httpx.TransportError:
            return [{"error": "the receiver does not answer"}]
        return found

    def run(self, program: str, plan: dict[str, Any], within: float = 120) -> str:
        """Run a program in the toolbox to its end; what it printed."""
        done = subprocess.run(
            self._command(program), input=json.dumps(plan) + "\n", capture_output=True, text=True, timeout=within, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def running(self, program: str, plan: dict[str, Any]) -> Iterator["subprocess.Popen[str]"]:
        """A program in the toolbox for the time of the block; it ends by itself when its stdin does."""
        # Over a WebSocket, kubectl gives a stream up for good when one ping of it is late (seen while everything rolled on two cores).
        env = {**os.environ, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}
        with subprocess.Popen(self._command(program), env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            process.stdin.write(json.dumps(plan) + "\n")
            process.stdin.flush()
            try:
                yield process
            finally:
                process.stdin.close()

    def _command(self, program: str) -> list[str]:
        return ["kubectl", "--namespace", self.namespace, "exec", "--stdin", "toolbox", "--", "python", f"{FOLDER}/{program}"]

    def _pod(self, name: str, command: list[str]) -> Manifest:
        container = {
            "name": name,
            "image": self._image,
            "command": command,
            "volumeMounts": [{"name": "programs", "mountPath": FOLDER}],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        spec = {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
            "volumes": [{"name": "programs", "configMap": {"name": "programs"}}],
        }
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}
