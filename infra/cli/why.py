"""`switchboard why`: what happened to a message, and why."""

from typing import Annotated, Any

import typer

from infra.cli import output
from infra.cli.answers import read_json
from infra.cli.connection import checked, connect
from infra.cli.query import message_path

FIXED = ("step", "time", "outcome", "record_id")
COLUMNS = ("time", "step", "outcome", "details")


def register(app: typer.Typer) -> None:
    """Add `why`."""
    app.command("why")(why)


def why(
    id: Annotated[str, typer.Argument(help="The message id, as receipt and query show it.")],
    org: Annotated[str | None, typer.Option(help="Another org, for system admins.")] = None,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Explain a message: each step of its way, its outcome and its time.

    Example: switchboard why 8f14e45f-ceea-8b3a-95e4-61f7ce5a1474
    """
    with connect().client() as client:
        answer = read_json(checked(client.get(f"{message_path(id)}/why", params={} if org is None else {"org": org})).content)
    if format is output.Format.JSON:
        output.print_json(answer)
        return
    message = answer["message"]
    title = output.cell(f"{answer['id']}  {message['topic']}  to {message['subject'] or 'nobody in particular'}")
    output.print_rows([_table_row(step) for step in answer["steps"]], COLUMNS, title=title)


def _table_row(step: dict[str, Any]) -> dict[str, object]:
    hidden = (*FIXED, "document", "text") if step.get("document") == "default" else FIXED  # nobody wrote a default
    details = (f"{name} {output.cell(value)}" for name, value in step.items() if name not in hidden and value)
    return {"time": step["time"], "step": step["step"], "outcome": step["outcome"], "details": ", ".join(details)}
