"""`switchboard send`: one event from the command line, or a file of them (infra/cli/batch.py)."""

import json
import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from cloudevents.conversion import to_binary
from cloudevents.http import CloudEvent

from infra.cli import output
from infra.cli.batch import send_file
from infra.cli.connection import checked, connect

SOURCE, TYPE = "/switchboard/cli", "message"

_ESCAPED = re.compile(r'[^\x21-\x7e]|["%]')  # CloudEvents HTTP binding, section 3.1.3.2


def register(app: typer.Typer) -> None:
    """Add `send`."""
    app.command("send")(send)


def send(
    text: Annotated[str | None, typer.Argument(metavar="[DATA]", help="The same as --data.", show_default=False)] = None,
    topic: Annotated[str | None, typer.Option(help="The channel. Default: the event's type.")] = None,
    subject: Annotated[str | None, typer.Option(help="The party it is addressed to.")] = None,
    type: Annotated[str, typer.Option(help="The event's type.")] = TYPE,
    source: Annotated[str, typer.Option(help="Who produces it.")] = SOURCE,
    id: Annotated[
        str | None, typer.Option(help="The event's id at its source: the same one again is the same event. Default: a new one.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Its data: text, or - for what stdin gives, byte for byte.")] = None,
    content_type: Annotated[
        str | None, typer.Option(help="What the data is. Default: application/json where it is JSON, else text.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Events to send instead, a JSON object a line (- for stdin), 1,000 a request.", allow_dash=True)
    ] = None,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Send an event, and print the receipt.

    Example: switchboard send --topic orders.created --subject agent-7 --data '{"sku": "a"}'

    Example: switchboard send --file events.jsonl
    """
    attributes = {"type": type, "source": source, "id": id, "topic": topic, "subject": subject}
    given = {name: value for name, value in attributes.items() if value is not None}
    if text is not None and data is not None:
        raise typer.BadParameter("give the data once: as an argument, or with --data")
    if file is not None:
        if text is not None or data is not None or id is not None:
            raise typer.BadParameter("--file brings its own events: --data and --id are of one event")
        raise typer.Exit(send_file(connect(), file, given, format))
    headers, body = event_request(given, read_data(data if text is None else text), content_type)
    with connect().client(timeout=30.0) as client:
        receipt = checked(client.post("/v1/events", headers=headers, content=body)).json()
    output.print_fields(receipt, format)


def read_data(data: str | None) -> bytes | None:
    """The event's data: the text's bytes as the shell gave them, or stdin's for `-`."""
    return sys.stdin.buffer.read() if data == "-" else None if data is None else data.encode(errors="surrogateescape")


def event_request(attributes: dict[str, str], data: bytes | None, content_type: str | None) -> tuple[dict[str, str], bytes | None]:
    """Headers and body of the event in the binary mode, which leaves the data's bytes alone."""
    if content_type is None and data is not None:
        content_type = "application/json" if _is_json(data) else "text/plain; charset=utf-8"
    if content_type is not None:
        attributes = {**attributes, "datacontenttype": content_type}
    headers, body = to_binary(CloudEvent(attributes, data))
    escaped = {name: _escape(value) if name.startswith("ce-") else value for name, value in headers.items()}
    return escaped, body


def _escape(value: str) -> str:
    return _ESCAPED.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode(errors="surrogateescape")), value)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
