"""`switchboard doctor`: what is wrong here, and what to do about it."""

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.connection import read_endpoints
from infra.cli.output import FAILED, Format, FormatOption, print_rows
from shared.domain.errors import Misconfigured
from shared.settings import Settings

if TYPE_CHECKING:
    from infra.local.checks import Finding

SERVERS = {"redis": "redis_url", "nats": "nats_url", "database": "database_url"}


def register(app: typer.Typer) -> None:
    """Add `doctor`."""
    app.command("doctor")(doctor)


def doctor(
    cluster: Annotated[
        str | None, typer.Option(help="Examine a Kubernetes cluster instead, for knative/clusters/NAME.", show_default=False)
    ] = None,
    context: Annotated[str | None, typer.Option(help="With --cluster: the kubeconfig's context. Default: the current one.")] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Examine this machine and the Switchboard that runs on it; exit code 1 when something fails.

    With --cluster: what a cluster must have. Its servers are asked by a pod that is there for a moment.
    """
    findings = _of_cluster(cluster, context) if cluster is not None else _of_machine()
    rows = [{"check": name, "status": each.status, "found": each.found, "what to do": each.remedy} for name, each in findings]
    print_rows(rows, ("check", "status", "found", "what to do"), output)
    if any(each.status == "failed" for _, each in findings):
        raise typer.Exit(FAILED)


def _of_machine() -> list[tuple[str, "Finding"]]:
    from infra.local.checks import Subject, examine

    settings = Settings.from_env()
    return asyncio.run(examine(Subject(settings, _urls(settings))))


def _of_cluster(name: str, context: str | None) -> list[tuple[str, "Finding"]]:
    from infra.cluster.checks import examine

    return examine(name, context)


def _urls(settings: Settings) -> dict[str, str]:
    """The URLs of the Switchboard that runs here, else of the servers that are set."""
    try:
        return read_endpoints(os.environ)
    except Misconfigured:
        return {name: url for name, field in SERVERS.items() if (url := getattr(settings, field))}
