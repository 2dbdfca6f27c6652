"""How a cluster is got at: one reference to credentials, which its org may use."""

import re
from collections.abc import Iterator

from shared.domain.errors import Fault
from shared.domain.registry.shapes import SHARED, Access, Cluster

_SECRET = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_AWS_SECRET = re.compile(r"[A-Za-z0-9/_+=.@:-]{1,512}")
ONE = "one of kubeconfig_secret, aws_secret, eks and in_cluster"


def access_faults(cluster: Cluster, *, system: bool) -> Iterator[Fault]:
    """What is wrong with a cluster's access. Without `system` it may only refer to what is its org's by name: a reference is followed with
    the reconciler's rights, which reach every org's credentials."""
    access = cluster.access
    if cluster.provider == "local":
        if access is not None:
            yield Fault("/access", "the provider local needs none")
        if not system:
            yield Fault("/provider", "local runs servers on Switchboard's own machine: for system admins")
        return
    if access is None:
        yield Fault("/access", f"missing: {ONE}")
        return
    given = [one for one in (access.kubeconfig_secret, access.aws_secret, access.eks) if one is not None] + [True] * access.in_cluster
    if len(given) != 1:
        yield Fault("/access", ONE)
    yield from _reference_faults(access)
    if not system:
        yield from _reach_faults(access, cluster.org)


def _reference_faults(access: Access) -> Iterator[Fault]:
    if access.kubeconfig_secret is not None and not _SECRET.fullmatch(access.kubeconfig_secret):
        yield Fault("/access/kubeconfig_secret", "the name of a Kubernetes Secret; a kubeconfig itself is never taken")
    if access.aws_secret is not None and not _AWS_SECRET.fullmatch(access.aws_secret):
        yield Fault("/access/aws_secret", "the name or ARN of a secret in AWS Secrets Manager; a kubeconfig itself is never taken")


def _reach_faults(access: Access, org: str) -> Iterator[Fault]:
    assert org != SHARED
    if access.kubeconfig_secret is not None and not access.kubeconfig_secret.startswith(f"{org}."):
        yield Fault("/access/kubeconfig_secret", f"an org's own Secrets are called {org}.<something>; others are for system admins")
    if access.aws_secret is not None and not access.aws_secret.startswith(f"switchboard/{org}/"):
        yield Fault("/access/aws_secret", f"an org's own secrets are called switchboard/{org}/<something>; others are for system admins")
    for name in ("eks", "in_cluster"):
        if getattr(access, name):
            yield Fault(f"/access/{name}", "with the reconciler's own rights: for system admins")
