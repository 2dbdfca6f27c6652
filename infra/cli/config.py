"""`switchboard config`: the documents that say what messages must be and where they go."""

from collections.abc import Callable
from typing import Annotated, Any

import httpx
import typer

from infra.cli import config_backtest, config_check, config_edit, config_history, config_text, output
from infra.cli.config_requests import ONLY_NEW, Headers, because, only_if, scope, url_of
from infra.cli.connection import checked, connect
from infra.cli.options import OrgOption, ReasonOption
from shared.domain.errors import NotFound

PathArgument = Annotated[str, typer.Argument(help="global, org, topics/<pattern> or subjects/<pattern>. Quote it.")]
FileOption = Annotated[str | None, typer.Option("--file", "-f", help="YAML or JSON; - or nothing: standard input.")]
DataOption = Annotated[str | None, typer.Option("--data", "-d", help="The same on the command line.")]
MatchOption = Annotated[str | None, typer.Option(help="Only where the document still has this ETag, e.g. 42.")]

config = typer.Typer(no_args_is_help=True, help="Config: read, write, try, explain and undo it.")


def register(app: typer.Typer) -> None:
    """Add the commands below `config`."""
    commands: tuple[tuple[str, Callable[..., None]], ...] = (
        *(("get", get), ("set", put), ("patch", patch), ("edit", config_edit.edit), ("rm", remove)),
        *(("diff", config_history.diff), ("history", config_history.history), ("rollback", config_history.rollback)),
        ("check", config_check.check),
        ("backtest", config_backtest.backtest),
    )
    for name, command in commands:
        config.command(name)(command)
    app.add_typer(config, name="config")


def get(
    path: Annotated[str | None, typer.Argument(help="Which document. Without any: all there are.")] = None,
    topic: Annotated[str | None, typer.Option(help="What all documents say together of this topic, and which of them says it.")] = None,
    subject: Annotated[str | None, typer.Option(help="With --topic: of messages to this subject.")] = None,
    org: OrgOption = None,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Show a document, all documents, or with --topic what holds for a topic.

    Example: switchboard config get 'topics/orders.>'

    Example: switchboard config get --topic orders.created --subject agent-7
    """
    if path is not None and topic is not None:
        raise typer.BadParameter("a document or --topic, not both")
    with connect().client() as client:
        if topic is not None:
            _print_effective(client, {"topic": topic} | ({} if subject is None else {"subject": subject}) | scope(org), format)
        elif path is None:
            items = checked(client.get("/v1/config/documents", params=scope(org))).json()["items"]
            rows = items if format is output.Format.JSON else [{**one, "says": ", ".join(one["document"])} for one in items]
            output.print_rows(rows, ("path", "etag", "says"), format)
        else:
            show(checked(client.get(url_of(path), params=scope(org))).json(), format)


def put(
    path: PathArgument,
    file: FileOption = None,
    data: DataOption = None,
    reason: ReasonOption = "",
    if_match: MatchOption = None,
    new: Annotated[bool, typer.Option("--new", help="Only where there is no such document yet.")] = False,
    org: OrgOption = None,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Make a document what a YAML or JSON text says, and show what that changed.

    Example: switchboard config set 'topics/orders.>' -f orders.yaml --reason 'orders have a schema now'
    """
    headers = because(reason) | only_if(if_match) | (ONLY_NEW if new else {})
    with connect().client(timeout=30.0) as client:
        _write(client, "PUT", path, scope(org), headers, config_text.read(file, data), format)


def patch(
    path: PathArgument,
    file: FileOption = None,
    data: DataOption = None,
    reason: ReasonOption = "",
    if_match: MatchOption = None,
    org: OrgOption = None,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Merge a YAML or JSON text into a document (RFC 7396: null removes), and show what that changed.

    Example: switchboard config patch org -d 'max_bytes: 65536'
    """
    with connect().client(timeout=30.0) as client:
        _write(client, "PATCH", path, scope(org), because(reason) | only_if(if_match), config_text.read(file, data), format)


def remove(path: PathArgument, reason: ReasonOption = "", if_match: MatchOption = None, org: OrgOption = None) -> None:
    """Remove a document.

    Example: switchboard config rm 'topics/orders.>' --reason 'no orders any more'
    """
    with connect().client() as client:
        checked(client.delete(url_of(path), params=scope(org), headers=because(reason) | only_if(if_match)))


def show(document: Any, format: output.Format) -> None:
    """Print a document: YAML for people."""
    if format is output.Format.JSON:
        output.print_json(document)
    else:
        typer.echo(config_text.to_yaml(document), nl=False)


def _write(
    client: httpx.Client, method: str, path: str, params: dict[str, str], headers: Headers, value: Any, format: output.Format
) -> None:
    try:
        before = checked(client.get(url_of(path), params=params)).json()
    except NotFound:
        before = None
    answer = checked(client.request(method, url_of(path), params=params, headers=headers, json=value))
    if format is output.Format.JSON:
        output.print_json({"path": path, "etag": answer.headers["etag"], "document": answer.json()})
    else:
        config_text.print_changes([{"path": path, "before": before, "after": answer.json()}])


def _print_effective(client: httpx.Client, params: dict[str, str], format: output.Format) -> None:
    found = checked(client.get("/v1/config/effective", params=params)).json()
    if format is output.Format.JSON:
        output.print_json(found)
        return
    typer.echo(config_text.to_yaml(found["document"]), nl=False)
    rows = [{"value": pointer, "from": path} for pointer, path in sorted(found["origins"].items())]
    output.print_rows(rows, ("value", "from"), title=f"config revision {found['config_revision']}")
