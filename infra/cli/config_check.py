"""`switchboard config check`: try a document on events, without effect."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli import config_text, output
from infra.cli.config_requests import scope
from infra.cli.connection import checked, connect
from shared.domain.errors import Malformed, NotFound


def check(
    path: Annotated[str | None, typer.Argument(help="Where the document would be. Without any: what is in force is asked.")] = None,
    file: Annotated[str | None, typer.Option("--file", "-f", help="The document: YAML or JSON, - for standard input.")] = None,
    data: Annotated[str | None, typer.Option("--data", "-d", help="The same on the command line.")] = None,
    events: Annotated[Path | None, typer.Option(help="CloudEvents as JSON: one, an array, or one a line.")] = None,
    principal: Annotated[str | None, typer.Option(help="Whose events they are. Default: yours.")] = None,
    org: Annotated[str | None, typer.Option(help="Another org, for system admins.")] = None,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Say whether a document holds, and what would be said of events if it were in force. Nothing is changed, counted or sent.

    Example: switchboard config check 'topics/orders.>' -f orders.yaml --events some-orders.jsonl
    """
    body: dict[str, Any] = {"events": [] if events is None else _events(events)}
    if path is not None:
        body |= {"path": path, "document": config_text.read(file, data)}
    elif file is not None or data is not None:
        raise typer.BadParameter("say where the document would be: PATH")
    if principal is not None:
        body["principal"] = principal
    with connect().client(timeout=60.0) as client:
        answer = checked(client.post("/v1/config/check", params=scope(org), json=body)).json()
    if format is output.Format.JSON:
        output.print_json(answer)
    elif body["events"]:
        rows = [{**one, "would route to": ", ".join(one["would_route_to"])} for one in answer["verdicts"]]
        output.print_rows(rows, ("id", "status", "rule", "would route to", "detail"))
    else:
        typer.echo("the document holds" if path is not None else "there is nothing to check")


def _events(file: Path) -> list[Any]:
    """The events of a file. Raises Malformed, NotFound."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"{file} can't be read: {error}") from error
    try:
        found = json.loads(text)
        return found if isinstance(found, list) else [found]
    except ValueError:
        pass  # a line each, then
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise Malformed(f"{file} holds no events as JSON: {error}") from error
