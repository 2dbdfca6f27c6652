"""`switchboard config backtest`: try a document on what was logged."""

import json
from typing import Annotated, Any

import httpx
import typer

from infra.cli import config_text, output
from infra.cli.config_requests import scope
from infra.cli.connection import checked, connect
from shared.domain.errors import SwitchboardError, Unavailable

LINES = {"accept": "application/x-ndjson"}
SILENCE = 120.0  # seconds without a line


def backtest(
    path: Annotated[str, typer.Argument(help="Where the document would be: org, topics/<pattern>, subjects/<pattern>, global.")],
    file: Annotated[str | None, typer.Option("--file", "-f", help="The document: YAML or JSON, - for standard input.")] = None,
    data: Annotated[str | None, typer.Option("--data", "-d", help="The same on the command line.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="As if there were no document at the path.")] = False,
    since: Annotated[str, typer.Option(help="The oldest message: an RFC 3339 time, or an age like 15m, 2h, 7d.")] = "24h",
    until: Annotated[str | None, typer.Option(help="Before this time, likewise. Default: now.")] = None,
    org: Annotated[str | None, typer.Option(help="Another org, for system admins.")] = None,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Say which logged messages would get another verdict if the document were in force. Nothing is changed, counted or sent.

    Example: switchboard config backtest 'topics/orders.>' -f orders.yaml --since 7d
    """
    if remove and (file is not None or data is not None):
        raise typer.BadParameter("--remove takes no document")
    body: dict[str, Any] = {"path": path, "document": None if remove else config_text.read(file, data)}
    answer: dict[str, Any] | None = None
    body |= {"since": since} | ({} if until is None else {"until": until})
    while answer is None or answer["next"] is not None:
        answer = _joined(answer, _asked(body | ({} if answer is None else {"cursor": answer["next"]}), org))
    if format is output.Format.JSON:
        output.print_json(answer)
        return
    flips = answer["flips"]
    unknown = f", {answer['unknown']} of them can't be judged again" if answer["unknown"] else ""
    typer.echo(f"{answer['examined']} messages examined{unknown}; {flips['count']} would flip")
    if flips["count"]:
        output.print_rows([{"rule": rule, "flips": count} for rule, count in flips["by_rule"].items()], ("rule", "flips"))
        output.print_rows(flips["first"], ("id", "was", "now", "rule"), title=f"the first {len(flips['first'])}")


def _asked(body: dict[str, Any], org: str | None) -> dict[str, Any]:
    """The last line of an answer; the others are progress, on standard error."""
    last: dict[str, Any] | None = None
    try:
        with (
            connect().client(timeout=SILENCE) as client,
            client.stream("POST", "/v1/config/backtest", params=scope(org), json=body, headers=LINES) as response,
        ):
            if response.status_code != 200:
                response.read()
                checked(response)
            for line in response.iter_lines():
                last = json.loads(line)
                assert last is not None
                if "error" in last:
                    raise SwitchboardError(str(last["error"].get("detail", "the backtest failed")))
                typer.echo(f"\r{last['examined']} examined, {last['flips']['count']} would flip", err=True, nl=False)
    except httpx.HTTPError as error:
        raise Unavailable(f"the answer broke off: {error}") from error
    finally:
        typer.echo("", err=True)
    if last is None:
        raise Unavailable("there was no answer")
    return last


def _joined(before: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, Any]:
    """Two parts of one backtest together."""
    if before is None:
        return now
    was, flips = before["flips"], now["flips"]
    rules = {rule: was["by_rule"].get(rule, 0) + flips["by_rule"].get(rule, 0) for rule in (*was["by_rule"], *flips["by_rule"])}
    return now | {
        "examined": before["examined"] + now["examined"],
        "unknown": before["unknown"] + now["unknown"],
        "reached": now["reached"] or before["reached"],
        "flips": {"count": was["count"] + flips["count"], "by_rule": rules, "first": (was["first"] + flips["first"])[:100]},
    }
