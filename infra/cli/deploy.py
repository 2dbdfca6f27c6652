"""`switchboard deploy`: Switchboard onto a Kubernetes cluster with Knative, from the manifests of knative/clusters/NAME."""

import time
from typing import Annotated

import typer

from infra.cli import output

TIMEOUT = 300  # seconds

ClusterOption = Annotated[str, typer.Option(help="Which of knative/clusters/.", show_default=False)]
ContextOption = Annotated[str | None, typer.Option(help="The kubeconfig's context. Default: the current one.")]


def register(app: typer.Typer) -> None:
    """Add `deploy`."""
    app.command("deploy")(deploy)


def deploy(
    cluster: ClusterOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    context: ContextOption = None,
    undeploy: Annotated[bool, typer.Option("--undeploy", help="Take everything away again, data included.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Delete what is ours there and no longer rendered.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --undeploy: don't ask.")] = False,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds for each thing to become ready.")] = TIMEOUT,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Bring a cluster to what knative/clusters/NAME says: show what changes, change it, and wait until it is ready.

    It stops at the first thing that doesn't become ready; what served before goes on serving.

    Example: switchboard deploy --cluster test --dry-run
    """
    from infra.cli import deploy_report as report
    from infra.cluster import addresses, removal, steps
    from infra.cluster.plan import prepare

    if undeploy:
        _undeploy(cluster, context, dry_run, yes, timeout)
        return
    began = time.monotonic()
    plan = prepare(cluster, context)
    if format is output.Format.TABLE:
        report.show(plan, prune)
    if not dry_run:
        steps.carry_out(plan, report.say, timeout)
        if prune:
            removal.delete(plan.cluster, plan.stray, report.say)
            steps.unbind(plan.cluster, plan.stray, report.say, timeout)
        report.say("nothing to change" if plan.changes_nothing else f"ready in {time.monotonic() - began:.0f} s")
    urls = {} if dry_run else addresses.of(plan.cluster)
    admin_key = {"admin_key": addresses.admin_key(plan.cluster)} if plan.has_admin_key else {}
    if format is output.Format.JSON:
        output.print_json(report.as_json(cluster, plan, dry_run) | {"urls": urls} | admin_key)
    elif not dry_run:
        output.print_fields({**urls, **{name.replace("_", " "): value for name, value in admin_key.items()}})


def _undeploy(name: str, context: str | None, dry_run: bool, yes: bool, timeout: int) -> None:
    """Say what goes, ask, and take it away."""
    from infra.cli.deploy_report import say
    from infra.cluster import removal
    from infra.cluster.changes import labelled
    from infra.cluster.manifests import namespace_of, render
    from infra.cluster.plan import is_ours
    from infra.cluster.tools import Cluster

    cluster = Cluster.named(context, namespace_of(render(name)))
    found = labelled(cluster)
    data = [one["metadata"]["name"] for one in found if one["kind"] == "PersistentVolumeClaim"]
    say(f"in {cluster.title()} go: {removal.counted(found)}")
    if data:
        say(f"all data goes with the volumes {', '.join(data)}")
    namespace = cluster.find(f"namespace/{cluster.namespace}")
    if namespace is not None and is_ours(namespace):
        say(f"the namespace {cluster.namespace} goes too, with whatever else is in it")
    if dry_run:
        return
    if not yes:
        typer.confirm("Delete them?", abort=True, err=True)
    removal.undeploy(cluster, say, timeout)
