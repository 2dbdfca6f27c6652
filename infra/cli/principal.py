"""`switchboard principal`: who may do what in an org."""

from typing import Annotated
from urllib.parse import quote

import typer

from infra.cli import output
from infra.cli.config_requests import ONLY_NEW, because, scope
from infra.cli.connection import checked, connect
from infra.cli.key import PRINCIPALS, parse_grants
from infra.cli.options import MadeOrgOption, OrgOption, ReasonOption
from shared.domain.errors import Malformed

NameArgument = Annotated[str, typer.Argument(help="The principal's name.")]

principals = typer.Typer(no_args_is_help=True, help="Principals: list them, set their grants, remove them.")


def register(app: typer.Typer) -> None:
    """Add `principal ls`, `principal set` and `principal rm`."""
    app.add_typer(principals, name="principal")


@principals.command("ls")
def list_principals(org: OrgOption = None, format: output.FormatOption = output.Format.TABLE) -> None:
    """List the org's principals and their grants.

    Example: switchboard principal ls
    """
    with connect().client() as client:
        items = checked(client.get(PRINCIPALS, params=scope(org))).json()["items"]
    rows = items if format is output.Format.JSON else [{**one, "grants": "\n".join(map(_grant_text, one["grants"]))} for one in items]
    output.print_rows(rows, ("name", "org", "system", "grants"), format)


@principals.command("set")
def put(
    name: NameArgument,
    grant: Annotated[list[str] | None, typer.Option(help="What it may do; several are allowed. Without any: nothing.")] = None,
    reason: ReasonOption = "",
    new: Annotated[bool, typer.Option("--new", help="Only where there is none of that name yet.")] = False,
    org: MadeOrgOption = None,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Make a principal, or give one these grants instead of its own: with all its keys, within a second.

    Example: switchboard principal set shop --grant 'action=publish,topics=orders.>' --reason 'a new shop'
    """
    try:
        grants = [one for text in grant or () for one in parse_grants(text)]
    except Malformed as error:
        raise typer.BadParameter(error.detail) from error
    headers = because(reason) | (ONLY_NEW if new else {})
    with connect().client() as client:
        answer = client.put(_path(name), params=scope(org), headers=headers, json={"grants": grants})
        made = checked(answer).json()
    shown = made if format is output.Format.JSON else {**made, "grants": "; ".join(map(_grant_text, made["grants"]))}
    output.print_fields(shown, format)


@principals.command("rm")
def remove(name: NameArgument, reason: ReasonOption = "", org: OrgOption = None) -> None:
    """Remove a principal and its keys.

    Example: switchboard principal rm shop
    """
    with connect().client() as client:
        checked(client.delete(_path(name), params=scope(org), headers=because(reason)))


def _grant_text(grant: dict[str, list[str]]) -> str:
    """A grant as --grant takes it."""
    return f"action={grant['action']},topics={','.join(grant['topics'])},subjects={','.join(grant['subjects'])}"


def _path(name: str) -> str:
    return f"{PRINCIPALS}/{quote(name, safe='')}"
