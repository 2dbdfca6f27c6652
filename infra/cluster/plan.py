"""The plan of a deployment: rendered, compared with the cluster, and nothing changed yet."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from infra.cluster import parts, secrets
from infra.cluster.changes import Change, compare, mark, no_longer_rendered, with_what_they_replace
from infra.cluster.manifests import MANAGED_BY, OURS, in_order, labels_of, namespace_of, render, secrets_needed
from infra.cluster.tools import Cluster, Manifest
from infra.render.roles import is_edge
from shared.domain.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Plan:
    """What a deployment will do: `changes` in the order they are made; `secrets`, names of those to make; `stray`, objects of ours that
    are no longer rendered; `left_out`, in words."""

    cluster: Cluster
    changes: list[Change]
    secrets: list[str]
    stray: list[Manifest]
    left_out: list[str]

    @property
    def has_admin_key(self) -> bool:
        """Whether the first admin's key is kept there: an edge's principals are its hub's."""
        return secrets.ADMIN_KEY in secrets_needed(change.object for change in self.changes)

    @property
    def changes_nothing(self) -> bool:
        """Whether the cluster has it all already."""
        return not self.secrets and all(change.action == "unchanged" for change in self.changes)


def prepare(name: str, context: str | None) -> Plan:
    """Plan the deployment of knative/clusters/<name>.

    Raises NotFound for an unknown name, Misconfigured for what an operator must do first, and what the API server refuses with.
    """
    objects = render(name)
    plan = plan_of(Cluster.named(context, namespace_of(objects)), objects)
    return replace(plan, left_out=plan.left_out + parts.not_named(name))


def plan_of(cluster: Cluster, rendered: list[Manifest]) -> Plan:
    """Plan the deployment of these objects. Raises as prepare() does."""
    objects, no_such_kind, exists = fitted(cluster, rendered)
    needed = secrets_needed(objects)
    to_make = secrets.missing(needed, secrets.read(cluster, needed) if exists else {}, is_edge(objects))
    with ThreadPoolExecutor(1) as meanwhile:  # two long questions, neither of which needs the other's answer
        listed = meanwhile.submit(no_longer_rendered, cluster, objects, {*needed, *secrets.MADE}) if exists else None
        changes = changes_of(cluster, objects, exists)
        stray = listed.result() if listed else []
    return Plan(cluster, with_what_they_replace(changes, stray), to_make, stray, no_such_kind)


def fitted(cluster: Cluster, rendered: list[Manifest]) -> tuple[list[Manifest], list[str], bool]:
    """The objects as they suit the cluster, in order; what is left out, in words; and whether the namespace is there.

    Raises Unavailable while the namespace is being deleted, Misconfigured where a kind is missing that can't be left out.
    """
    objects = in_order(rendered)
    namespace = cluster.find(f"namespace/{cluster.namespace}")
    if namespace is not None and namespace["metadata"].get("deletionTimestamp"):
        raise Unavailable(f"the namespace {cluster.namespace} is being deleted, which takes Kubernetes some minutes: try again then")
    if namespace is not None and not is_ours(namespace):
        objects = [one for one in objects if one["kind"] != "Namespace"]  # somebody else's: it stays as it is
    kept, left_out = parts.served(cluster, objects)
    return parts.scaled(kept), left_out, namespace is not None


def changes_of(cluster: Cluster, objects: list[Manifest], exists: bool) -> list[Change]:
    """What becomes of each object, those that rest on Secrets by these too. Raises what the API server refuses with."""
    found = secrets.read(cluster, secrets_needed(objects)) if exists else {}
    return compare(cluster, mark(objects, secrets.versions(found)), exists)


def is_ours(namespace: Manifest) -> bool:
    """Whether `deploy` made the namespace."""
    return labels_of(namespace).get(MANAGED_BY) == OURS[MANAGED_BY]
