"""Taking it away again. Runs last (conftest.py)."""

import json
from typing import Any

from infra.cluster.manifests import SELECTOR
from infra.cluster.tools import Manifest
from tests.cluster.conftest import Took
from tests.cluster.install import INLINE, NAMESPACE, Install


def labelled(install: Install, namespaced: bool) -> list[Manifest]:
    """Every object with our part-of label, in any namespace or in none, of every kind that can be listed."""
    names = install.cluster.kubectl("api-resources", "--verbs=list", "--output=name", f"--namespaced={str(namespaced).lower()}").split()
    kinds = ",".join(name for name in names if not name.endswith(".metrics.k8s.io"))
    answer: dict[str, Any] = json.loads(
        install.cluster.kubectl("get", kinds, "--all-namespaces", f"--selector={SELECTOR}", "--output=json", "--ignore-not-found") or "{}"
    )
    found: list[Manifest] = answer.get("items", [])
    return found


def test_undeploying_leaves_no_object_of_ours_outside_a_terminating_namespace(install: Install, took: Took) -> None:
    install.has(install.deployed or INLINE)
    assert labelled(install, namespaced=True), "the label finds what is deployed"
    done = install.undeploy()
    assert done.status == 0, done.said
    took("undeploy", f"{done.seconds:.1f} s")
    without = labelled(install, namespaced=False)
    assert {one["kind"] for one in without} <= {"Namespace"}
    others = {one["metadata"]["name"] for one in without} - {NAMESPACE}  # other installs, which are none of ours
    assert {one["metadata"]["namespace"] for one in labelled(install, namespaced=True)} - others <= {NAMESPACE}
    namespace = install.cluster.find(f"namespace/{NAMESPACE}")
    assert namespace is None or "deletionTimestamp" in namespace["metadata"]
    again = install.undeploy()
    assert again.status == 0, again.said
