"""`switchboard org`: orgs, for system admins."""

from typing import Annotated
from urllib.parse import quote

import typer

from infra.cli import output
from infra.cli.config_requests import because
from infra.cli.connection import checked, connect
from infra.cli.options import ReasonOption

ORGS = "/v1/config/orgs"
OrgArgument = Annotated[str, typer.Argument(help="1 to 40 of a-z, 0-9 and '-'.")]

orgs = typer.Typer(no_args_is_help=True, help="Orgs: list, make and end them. For system admins.")


def register(app: typer.Typer) -> None:
    """Add `org ls`, `org add` and `org rm`."""
    app.add_typer(orgs, name="org")


@orgs.command("ls")
def list_orgs(format: output.FormatOption = output.Format.TABLE) -> None:
    """List all orgs, the ended ones too.

    Example: switchboard org ls
    """
    with connect().client() as client:
        output.print_rows(checked(client.get(ORGS)).json()["items"], ("org", "created", "deleted"), format)


@orgs.command("add")
def add(
    org: OrgArgument,
    admin: Annotated[str, typer.Option(help="The name of its first admin.")] = "admin",
    restore: Annotated[bool, typer.Option("--restore", help="Make one again that was ended, with whatever it left.")] = False,
    reason: ReasonOption = "",
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Make an org and print its first admin's key: it is shown this once. An org that is there stays as it is.

    Example: switchboard org add acme
    """
    with connect().client() as client:
        answer = client.put(_path(org), headers=because(reason), json={"admin": admin, "restore": restore})
        made = checked(answer).json()
    if format is output.Format.JSON:
        output.print_json(made)
    elif "admin" in made:
        typer.echo(made["admin"]["key"])
    else:
        typer.echo(f"{output.cell(org)} was there already", err=True)


@orgs.command("rm")
def remove(org: OrgArgument, reason: ReasonOption = "") -> None:
    """Stop an org's doors: its principals, keys and documents go, within a second. Its messages stay until their retention.

    Example: switchboard org rm acme --reason 'left us'
    """
    with connect().client() as client:
        checked(client.delete(_path(org), headers=because(reason)))


def _path(org: str) -> str:
    return f"{ORGS}/{quote(org, safe='')}"
