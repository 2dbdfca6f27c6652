"""`switchboard issuer`: whose tokens (JWT) are as good as keys; for system admins."""

from typing import Annotated
from urllib.parse import quote

import typer

from infra.cli import config_text, output
from infra.cli.config_requests import ONLY_NEW, because, only_if
from infra.cli.connection import checked, connect
from infra.cli.options import ReasonOption

ISSUERS = "/v1/config/issuers"
NameArgument = Annotated[str, typer.Argument(help="The name that config has for it: principals are <issuer>/<claim>.")]

issuers = typer.Typer(no_args_is_help=True, help="Issuers of tokens: list them, set them, remove them. For system admins.")


def register(app: typer.Typer) -> None:
    """Add `issuer ls`, `issuer set` and `issuer rm`."""
    app.add_typer(issuers, name="issuer")


@issuers.command("ls")
def list_issuers(format: output.FormatOption = output.Format.TABLE) -> None:
    """List the issuers whose tokens are taken.

    Example: switchboard issuer ls
    """
    with connect().client() as client:
        items = checked(client.get(ISSUERS)).json()["items"]
    rows = items if format is output.Format.JSON else [_row(one) for one in items]
    output.print_rows(rows, ("name", "issuer", "audience", "algorithms", "org", "keys"), format)


@issuers.command("set")
def put(
    name: NameArgument,
    file: Annotated[str | None, typer.Option("--file", "-f", help="YAML or JSON; - or nothing: standard input.")] = None,
    data: Annotated[str | None, typer.Option("--data", "-d", help="The same on the command line.")] = None,
    reason: ReasonOption = "",
    if_match: Annotated[str | None, typer.Option(help="Only where it still has this ETag, e.g. 42.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Only where there is none of that name yet.")] = False,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Take the tokens of an issuer, as a YAML or JSON text says, within a second.

    Example: switchboard issuer set corp -f corp.yaml --reason 'single sign-on'
    """
    headers = because(reason) | only_if(if_match) | (ONLY_NEW if new else {})
    with connect().client() as client:
        made = checked(client.put(_path(name), headers=headers, json=config_text.read(file, data))).json()
    output.print_fields(made if format is output.Format.JSON else {**_row(made), "config_revision": made["config_revision"]}, format)


@issuers.command("rm")
def remove(name: NameArgument, reason: ReasonOption = "") -> None:
    """Take an issuer's tokens no more, within a second.

    Example: switchboard issuer rm corp
    """
    with connect().client() as client:
        checked(client.delete(_path(name), headers=because(reason)))


def _row(one: dict[str, object]) -> dict[str, object]:
    """An issuer as a table shows it."""
    org, audience, algorithms = one["org"], one["audience"], one["algorithms"]
    assert isinstance(audience, list)
    assert isinstance(algorithms, list)
    allowed = f"{org['claim']}: {', '.join(org['allowed'])}" if isinstance(org, dict) else org
    shown = {"audience": ", ".join(audience), "algorithms": ", ".join(algorithms), "org": allowed, "keys": one.get("jwks_url", "inline")}
    return {"name": one["name"], "issuer": one["issuer"], **shown}


def _path(name: str) -> str:
    return f"{ISSUERS}/{quote(name, safe='')}"
