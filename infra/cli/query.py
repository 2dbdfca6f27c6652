"""`switchboard query`: find messages."""

import sys
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer

from functions.query.parameters import message_uuid
from infra.cli import output
from infra.cli.answers import read_json
from infra.cli.connection import checked, connect

COLUMNS = ("received_at", "id", "topic", "subject", "verdict", "data", "delivered")
PAGE = 1000
_DATA_WIDTH = 60  # characters of a message's data in a table


def register(app: typer.Typer) -> None:
    """Add `query`."""
    app.command("query")(query)


def query(
    id: Annotated[str | None, typer.Option(help="One message, by its message id.")] = None,
    subject: Annotated[str | None, typer.Option(help="The recipient.")] = None,
    topic: Annotated[str | None, typer.Option(help="A pattern: 'orders.*', 'orders.>'. Quote it.")] = None,
    source: Annotated[str | None, typer.Option(help="The producer's source.")] = None,
    event_id: Annotated[str | None, typer.Option(help="The producer's event id.")] = None,
    type: Annotated[str | None, typer.Option(help="The event's type.")] = None,
    verdict: Annotated[str | None, typer.Option(help="accepted or blocked.")] = None,
    since: Annotated[str | None, typer.Option(help="From then on: 15m, 2h, 7d, or a time like 2026-01-31T12:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Before then, likewise.")] = None,
    filter: Annotated[str | None, typer.Option(help="A CEL expression: 'data.total > 100'. Quote it.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=PAGE)] = 100,
    all: Annotated[bool, typer.Option("--all", help="As many as there are.")] = False,
    org: Annotated[str | None, typer.Option(help="Another org, for system admins.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="With --id: only the data, byte for byte.")] = False,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Find messages, newest first.

    Example: switchboard query --topic 'orders.>' --since 15m

    Example: switchboard query --id 8f14e45f-ceea-8b3a-95e4-61f7ce5a1474 -o json
    """
    filters = {"subject": subject, "topic": topic, "source": source, "event_id": event_id, "type": type, "verdict": verdict}
    wanted = {name: value for name, value in (filters | {"since": since, "until": until, "filter": filter}).items() if value is not None}
    scope = {} if org is None else {"org": org}
    if raw and id is None:
        raise typer.BadParameter("--raw prints the data of one message: name it with --id")
    if id is not None and wanted:
        raise typer.BadParameter(f"--id names one message: leave out --{', --'.join(wanted).replace('_', '-')}")
    with connect().client(timeout=60.0) as client:
        if id is not None:
            _print_one(client, id, scope, raw, format)
        else:
            rows = list(_found(client, wanted | scope, PAGE if all else limit, all))
            output.print_rows(rows if format is output.Format.JSON else [_table_row(row) for row in rows], COLUMNS, format)


def message_path(id: str) -> str:
    """Where a message is. Raises Malformed naming `id` unless it is a UUID: anything else would be another path."""
    message_uuid(id)
    return f"/v1/messages/{quote(id, safe='')}"


def _print_one(client: httpx.Client, id: str, scope: dict[str, str], raw: bool, format: output.Format) -> None:
    response = checked(client.get(message_path(id), params=scope | ({"raw": "1"} if raw else {})))
    if raw:
        sys.stdout.buffer.write(response.content)
        sys.stdout.buffer.flush()
    else:
        message = read_json(response.content)
        output.print_fields(message if format is output.Format.JSON else _readable(message), format)


def _found(client: httpx.Client, wanted: dict[str, str], limit: int, all: bool) -> Iterator[dict[str, Any]]:
    """The items, page after page where `all` are wanted; a page may be cut short by the size of its bodies."""
    page = wanted | {"limit": str(limit)}
    left = limit
    while True:
        answer = read_json(checked(client.get("/v1/messages", params=page)).content)
        yield from answer["items"]
        left -= len(answer["items"])
        if answer["next"] is None or (left <= 0 and not all):
            return
        page = wanted | {"limit": str(limit if all else left), "cursor": answer["next"]}


def _readable(message: dict[str, Any]) -> dict[str, Any]:
    """The same fields, with data that isn't JSON as text where it is text."""
    if "data_base64" not in message:
        return message
    return {
        ("data" if name == "data_base64" else name): value for name, value in {**message, "data_base64": output.data_line(message)}.items()
    }


def _table_row(row: dict[str, Any]) -> dict[str, object]:
    data = output.data_line(row)
    taken = [f"{one['backbone']}#{one['sequence']}" for one in row["deliveries"] if one["error"] is None]
    verdict = row["verdict"] if row["rule"] is None else f"{row['verdict']}: {row['rule']}"
    return {**row, "verdict": verdict, "data": data if len(data) <= _DATA_WIDTH else f"{data[:_DATA_WIDTH]}…", "delivered": " ".join(taken)}
