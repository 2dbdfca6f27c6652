"""Taking things away: what is no longer rendered, or all of it."""

from collections import Counter
from collections.abc import Callable, Sequence

from infra.cluster.changes import all_labelled, labelled
from infra.cluster.manifests import KNATIVE_SERVICE, key_of, kind_of
from infra.cluster.plan import is_ours
from infra.cluster.tools import Cluster, Manifest
from infra.cluster.waiting import gone
from shared.domain.errors import Unavailable

Say = Callable[[str], None]


def delete(cluster: Cluster, objects: Sequence[Manifest], say: Say) -> None:
    """Delete these objects; the Knative Services first, so that nobody sends to what has lost its servers."""
    functions = [one for one in objects if kind_of(one) == KNATIVE_SERVICE]
    for some in (functions, [one for one in objects if one not in functions]):
        if some:
            cluster.kubectl("delete", *(str(key_of(one)) for one in some), "--ignore-not-found", "--wait=false")
            say(f"deleted {counted(some)}")


def counted(objects: Sequence[Manifest]) -> str:
    """How many of each kind, in words."""
    counts = Counter(key_of(one).title for one in objects)
    return ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "nothing"


def undeploy(cluster: Cluster, say: Say, timeout: float) -> None:
    """Delete everything of ours in the namespace, data included, and the namespace where `deploy` made it.

    Raises Unavailable when something is still there after `timeout` seconds, in a namespace that stays.
    """
    namespace = cluster.find(f"namespace/{cluster.namespace}")
    if namespace is None:
        say(f"there is no namespace {cluster.namespace}")
        return
    if namespace["metadata"].get("deletionTimestamp"):
        say(f"the namespace {cluster.namespace} is being deleted already")
        return
    delete(cluster, labelled(cluster), say)
    if is_ours(namespace):
        cluster.kubectl("delete", f"namespace/{cluster.namespace}", "--wait=false")
        say(f"deleted the namespace {cluster.namespace}: Kubernetes takes some minutes to empty it")
        return
    if left := gone(lambda: all_labelled(cluster), timeout):
        raise Unavailable(f"still there after {timeout:.0f} s: {', '.join(str(key_of(one)) for one in left)}")
