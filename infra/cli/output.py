"""What commands print: tables for people, JSON for scripts (`-o json`); and the exit code of each kind of error.

| Exit code | Means |
|---|---|
| 0 | done |
| 1 | a check failed, or an error that has no kind |
| 2 | the command line is wrong |
| 65 | malformed: fix the message (400, 415) |
| 66 | not found (404) |
| 67 | unauthenticated: get a key (401) |
| 69 | unavailable: outcome unknown, retry with the same id (503, or no answer) |
| 73 | too large: send less (413) |
| 74 | conflict: read the current state and try again (412) |
| 75 | overloaded: slow down, then send the same again (429) |
| 76 | not processable: the rules say no (422) |
| 77 | forbidden: get a grant (403) |
| 78 | misconfigured: an operator must act |
| 130 | interrupted |

Where sysexits.h has a fitting number, it is that one.
"""

import base64
import enum
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.domain.errors import Fault, SwitchboardError

EXIT_CODES = {
    "malformed": 65,
    "not-found": 66,
    "unauthenticated": 67,
    "unavailable": 69,
    "too-large": 73,
    "conflict": 74,
    "overloaded": 75,
    "not-processable": 76,
    "forbidden": 77,
    "misconfigured": 78,
}
FAILED, INTERRUPTED = 1, 130
EXIT_CODES_HELP = "Exit codes: 0 done, 1 failed, 2 wrong usage, " + ", ".join(f"{code} {kind}" for kind, code in EXIT_CODES.items()) + "."
PIPE_WIDTH = 240  # columns of a table that isn't written to a terminal

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Format(enum.StrEnum):
    """How a command prints its result."""

    TABLE = "table"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--output", "-o", help="A table for people, or JSON for scripts.")]


def print_rows(
    rows: Sequence[Mapping[str, object]], columns: Sequence[str], output: Format = Format.TABLE, title: str | None = None
) -> None:
    """Print `rows` as a table with these columns, or as one JSON array of whole rows."""
    if output is Format.JSON:
        print_json(rows)
        return
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(Text(cell(row.get(column)), overflow="fold") for column in columns))
    console().print(table)


def print_fields(fields: Mapping[str, object], output: Format = Format.TABLE) -> None:
    """Print one thing: a line a field, or one JSON object."""
    if output is Format.JSON:
        print_json(fields)
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in fields.items():
        table.add_row(Text(name, style="bold"), Text(cell(value), overflow="fold"))
    console().print(table)


def print_json(value: object) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_json_line(value: object) -> None:
    """Print one line of a stream of JSON documents, at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def console() -> Console:
    """Where tables go. What isn't a terminal gets wide lines, not cut ones."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def cell(value: object) -> str:
    """A value as a table shows it. A message's control characters are written out: they don't reach the terminal."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def data_line(message: Mapping[str, Any]) -> str:
    """A message's data on one line, from the `data` or `data_base64` of its view: JSON, text, or `base64 ...` for other bytes."""
    if "data_base64" not in message:
        return cell(json.dumps(message["data"], ensure_ascii=False, separators=(",", ":"))) if "data" in message else ""
    try:
        text = base64.b64decode(message["data_base64"]).decode()
    except UnicodeDecodeError:
        return f"base64 {message['data_base64']}"
    return cell(text).replace("\n", "\\n").replace("\t", "\\t")


def print_error(error: SwitchboardError) -> int:
    """Say on stderr what is wrong, and return the exit code for it."""
    rule = f" (rule {error.rule})" if error.rule else ""
    untold = [
        fault for fault in error.faults if f"{fault.pointer}: {fault.detail}" not in error.detail and fault != Fault("", error.detail)
    ]
    lines = [f"switchboard: {cell(error.detail)}{rule}", *(f"  {cell(fault.pointer)}: {cell(fault.detail)}" for fault in untold)]
    sys.stderr.write("\n".join(lines) + "\n")
    return EXIT_CODES.get(error.kind, FAILED)
