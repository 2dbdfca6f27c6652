"""`switchboard backbone`: NATS deployments, declared, changed, watched and taken down."""

from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer

from infra.cli import output
from infra.cli.backbone_credentials import credentials
from infra.cli.backbone_watch import watch
from infra.cli.config_requests import because, only_if, scope
from infra.cli.config_text import read
from infra.cli.connection import checked, connect
from infra.cli.options import ReasonOption

BACKBONES = "/v1/backbones"
PAGE = 200
COLUMNS = ("id", "org", "cluster", "scope", "endpoint", "ready", "reachable", "why")
IdArgument = Annotated[str, typer.Argument(help="The backbone's id.")]
WatchOption = Annotated[bool, typer.Option("--watch", "-w", help="Go on until it is as declared (or gone), and tell what happens.")]
AbandonOption = Annotated[bool, typer.Option("--abandon", help="Forget one that is going and can't be taken away; what is left stays.")]
ReplicasOption = Annotated[int | None, typer.Option(help="Servers: 1, 3 or 5.")]
SizeOption = Annotated[str | None, typer.Option(help="How much each server keeps, as in 10Gi.")]
StorageOption = Annotated[str | None, typer.Option(help="file or memory.")]
ExposeOption = Annotated[str | None, typer.Option(help="ClusterIP, NodePort or LoadBalancer.")]
EndpointOption = Annotated[str | None, typer.Option(help="Its URL, where it isn't to be found by itself.")]
ValuesOption = Annotated[str | None, typer.Option(help="A file of chart values (YAML, JSON) for what has no option; '-' is stdin.")]

backbones = typer.Typer(no_args_is_help=True, help="Backbones: declare, change, watch and take down NATS deployments.")


def register(app: typer.Typer) -> None:
    """Add `backbone ls`, `add`, `update`, `rm`, `events` and `credentials`."""
    backbones.command("credentials")(credentials)
    app.add_typer(backbones, name="backbone")


@backbones.command("ls")
def list_backbones(
    cluster: Annotated[str | None, typer.Option(help="Only those in this cluster.")] = None,
    org: Annotated[str | None, typer.Option(help="Another org's, for system admins.")] = None,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """List the org's backbones and the shared ones, and how they are.

    Example: switchboard backbone ls --cluster eu
    """
    with connect().client() as client:
        items = every(client, BACKBONES, scope(org) | ({} if cluster is None else {"cluster": cluster}))
    output.print_rows(items if format is output.Format.JSON else [row_of(one) for one in items], COLUMNS, format)


@backbones.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What it is called in its cluster; its id begins with that.")],
    cluster: Annotated[str, typer.Option(help="Where it is to be.")],
    scope: Annotated[str, typer.Option(help="local, or global: the hub that the local ones are leaves of.")] = "local",
    replicas: ReplicasOption = None,
    size: SizeOption = None,
    storage: StorageOption = None,
    expose: ExposeOption = None,
    endpoint: EndpointOption = None,
    values: ValuesOption = None,
    shared: Annotated[bool, typer.Option("--shared", help="For every org; for system admins.")] = False,
    reason: ReasonOption = "",
    watching: WatchOption = False,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Declare a backbone; it is deployed in the background. Prints its id.

    Example: switchboard backbone add main --cluster eu --replicas 3 --watch
    """
    body: dict[str, Any] = {"name": name, "cluster": cluster, "scope": scope} | ({"org": None} if shared else {})
    body |= {} if endpoint is None else {"endpoint": endpoint}
    body["spec"] = _spec({}, replicas, size, storage, expose, values)
    with connect().client() as client:
        made = checked(client.post(BACKBONES, headers=because(reason), json=body)).json()
        if format is output.Format.JSON:
            output.print_json(made)
        else:
            typer.echo(made["id"])
        if watching:
            watch(client, made["id"])


@backbones.command("update")
def update(
    id: IdArgument,
    replicas: ReplicasOption = None,
    size: SizeOption = None,
    storage: StorageOption = None,
    expose: ExposeOption = None,
    endpoint: EndpointOption = None,
    values: ValuesOption = None,
    if_match: Annotated[str | None, typer.Option(help="Only if this is its ETag still; else the one just read.")] = None,
    reason: ReasonOption = "",
    watching: WatchOption = False,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Change what is declared of a backbone; what isn't said stays.

    Example: switchboard backbone update main-0a1b2c3d --expose LoadBalancer --watch
    """
    with connect().client() as client:
        found = checked(client.get(_path(id)))
        body = found.json()
        body["spec"] = _spec(body["spec"], replicas, size, storage, expose, values)
        body |= {} if endpoint is None else {"endpoint": endpoint}
        guard = only_if(if_match or found.headers["etag"])
        changed = checked(client.put(_path(id), headers=because(reason) | guard, json=body)).json()
        if format is output.Format.JSON or not watching:
            output.print_fields(changed if format is output.Format.JSON else row_of(changed), format)
        if watching:
            watch(client, id)


@backbones.command("rm")
def remove(id: IdArgument, reason: ReasonOption = "", abandon: AbandonOption = False, watching: WatchOption = False) -> None:
    """Take a backbone down: nothing new goes there, what was installed is taken away, then it is forgotten.

    Example: switchboard backbone rm main-0a1b2c3d --watch
    """
    with connect().client() as client:
        answer = checked(client.delete(_path(id), params={"abandon": "true"} if abandon else {}, headers=because(reason)))
        if watching and answer.status_code == httpx.codes.ACCEPTED:
            watch(client, id, until_gone=True)


@backbones.command("events")
def events(
    id: IdArgument,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """What happened to a backbone, newest first; of one that is gone, too.

    Example: switchboard backbone events main-0a1b2c3d
    """
    with connect().client() as client:
        items = checked(client.get(f"{_path(id)}/events", params={"limit": limit})).json()["items"]
    output.print_rows(items, ("time", "author", "action", "reason", "message"), format)


def every(client: httpx.Client, path: str, wanted: dict[str, str]) -> list[dict[str, Any]]:
    """All items of a list, page by page."""
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = checked(client.get(path, params={**wanted, "limit": PAGE, **({} if cursor is None else {"cursor": cursor})})).json()
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items


def row_of(backbone: dict[str, Any]) -> dict[str, Any]:
    """A backbone as a table shows it."""
    found = {one["type"]: one for one in backbone["status"]["conditions"]}
    ready, reachable = found.get("Ready", {}), found.get("Reachable", {})
    why = "it is being taken down" if backbone["deleting"] else "" if ready.get("status") == "True" else ready.get("message", "")
    shown = {name: backbone[name] for name in ("id", "cluster", "scope", "endpoint")}
    return {**shown, "org": backbone["org"] or "(shared)", "ready": ready.get("status"), "reachable": reachable.get("status"), "why": why}


def _spec(
    before: dict[str, Any], replicas: int | None, size: str | None, storage: str | None, expose: str | None, values: str | None
) -> dict[str, Any]:
    """The spec with what the options say."""
    spec = dict(before)
    if replicas is not None:
        spec["replicas"] = replicas
    for field, name, value in (("jetstream", "size", size), ("jetstream", "storage", storage), ("expose", "type", expose)):
        if value is not None:
            spec[field] = {**spec.get(field, {}), name: value}
    if values is not None:
        spec["values"] = read(values, None)
    return spec


def _path(id: str) -> str:
    return f"{BACKBONES}/{quote(id, safe='')}"
