"""`switchboard cluster`: where backbones are."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from infra.cli import output
from infra.cli.backbone import every
from infra.cli.config_requests import because, scope
from infra.cli.connection import checked, connect
from infra.cli.options import ReasonOption

CLUSTERS = "/v1/clusters"
OrgOption = Annotated[str | None, typer.Option(help="Another org's, for system admins.")]

clusters = typer.Typer(no_args_is_help=True, help="Clusters: where backbones are deployed, and how they are got at.")


def register(app: typer.Typer) -> None:
    """Add `cluster ls`, `add` and `rm`."""
    app.add_typer(clusters, name="cluster")


@clusters.command("ls")
def list_clusters(org: OrgOption = None, format: output.FormatOption = output.Format.TABLE) -> None:
    """List the org's clusters and the shared ones.

    Example: switchboard cluster ls
    """
    with connect().client() as client:
        items = every(client, CLUSTERS, scope(org))
    rows = items if format is output.Format.JSON else [{**one, "org": one["org"] or "(shared)"} for one in items]
    output.print_rows(rows, ("name", "org", "provider", "region", "access"), format)


@clusters.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What routes call it: cluster:<name>.")],
    kubeconfig_secret: Annotated[str | None, typer.Option(help="A Kubernetes Secret with its kubeconfig, beside the reconciler.")] = None,
    aws_secret: Annotated[str | None, typer.Option(help="A secret of AWS Secrets Manager with its kubeconfig.")] = None,
    eks: Annotated[str | None, typer.Option(help="A cluster of Amazon EKS, as NAME@REGION.")] = None,
    in_cluster: Annotated[bool, typer.Option("--in-cluster", help="The one that the reconciler runs in.")] = False,
    local: Annotated[bool, typer.Option("--local", help="This machine: backbones are processes of it.")] = False,
    region: Annotated[str, typer.Option(help="Where it is; for people.")] = "",
    shared: Annotated[bool, typer.Option("--shared", help="For every org; for system admins.")] = False,
    reason: ReasonOption = "",
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Declare a cluster, and how it is got at: one of the options, and never a kubeconfig itself.

    Example: switchboard cluster add eu --kubeconfig-secret acme.eu --region eu-west-1
    """
    access = _access(kubeconfig_secret, aws_secret, eks, in_cluster)
    body: dict[str, Any] = {"name": name, "provider": "local" if local else "helm", "region": region}
    body |= ({"access": access} if access else {}) | ({"org": None} if shared else {})
    with connect().client() as client:
        made = checked(client.post(CLUSTERS, headers=because(reason), json=body)).json()
    output.print_fields(made, format)


@clusters.command("rm")
def remove(name: Annotated[str, typer.Argument(help="The cluster's name.")], reason: ReasonOption = "", org: OrgOption = None) -> None:
    """Forget a cluster. Refused while there are backbones in it.

    Example: switchboard cluster rm eu
    """
    with connect().client() as client:
        checked(client.delete(f"{CLUSTERS}/{quote(name, safe='')}", params=scope(org), headers=because(reason)))


def _access(kubeconfig_secret: str | None, aws_secret: str | None, eks: str | None, in_cluster: bool) -> dict[str, Any]:
    access: dict[str, Any] = {"in_cluster": True} if in_cluster else {}
    access |= {} if kubeconfig_secret is None else {"kubeconfig_secret": kubeconfig_secret}
    access |= {} if aws_secret is None else {"aws_secret": aws_secret}
    if eks is not None:
        name, at, region = eks.partition("@")
        if not (name and at and region):
            raise typer.BadParameter("--eks is NAME@REGION, as in prod@eu-west-1")
        access["eks"] = {"name": name, "region": region}
    return access
