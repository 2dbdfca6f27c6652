"""`switchboard key`: API keys of principals."""

import sys
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer

from infra.cli import output
from infra.cli.config_requests import ONLY_NEW, Headers, because, scope
from infra.cli.connection import checked, connect
from infra.cli.options import MadeOrgOption, OrgOption, ReasonOption
from shared.domain.errors import Conflict, Fault, Malformed, NotFound

PRINCIPALS = "/v1/config/principals"

keys = typer.Typer(no_args_is_help=True, help="API keys: make, list and revoke them.")


def register(app: typer.Typer) -> None:
    """Add `key create`, `key ls` and `key rm`."""
    app.add_typer(keys, name="key")


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="The principal the key is for.")],
    org: MadeOrgOption = None,
    grant: Annotated[
        list[str] | None,
        typer.Option(help="What the new principal may do; several are allowed. Without any, the principal must exist."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Give a principal that exists these grants instead of its own.")] = False,
    reason: ReasonOption = "",
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Make an API key and print it: it is shown this once.

    Example: switchboard key create shop --grant 'action=publish,topics=orders.>'

    Example: switchboard key create agent-7 --grant 'action=read,topics=orders.*,pay.*,subjects=agent-7'
    """
    if replace and not grant:
        raise typer.BadParameter("--replace is about grants: give them with --grant")
    org_meant = scope(org)
    try:
        grants = [one for text in grant or () for one in parse_grants(text)]
    except Malformed as error:
        raise typer.BadParameter(error.detail) from error
    with connect().client() as client:
        if grants:
            _put_principal(client, name, org_meant, grants, because(reason) | ({} if replace else ONLY_NEW))
        made = checked(client.post(f"{_path(name)}/keys", params=org_meant, headers=because(reason))).json()
    if format is output.Format.JSON:
        output.print_json(made)
    else:
        typer.echo(made["key"])


@keys.command("ls")
def list_keys(
    name: Annotated[str | None, typer.Argument(help="Only this principal's.")] = None,
    org: OrgOption = None,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """List keys by id; the keys themselves are stored nowhere.

    Example: switchboard key ls shop
    """
    with connect().client() as client:
        output.print_rows(list(_keys(client, name, scope(org))), ("id", "principal", "created"), format)


@keys.command("rm")
def remove(
    id: Annotated[str, typer.Argument(help="The key's id, as `key ls` shows it.")],
    reason: ReasonOption = "",
    org: OrgOption = None,
) -> None:
    """Revoke a key: it stops working everywhere within a second.

    Example: switchboard key rm 5f0c --reason leaked
    """
    org_meant = scope(org)
    with connect().client() as client:
        owner = next((key["principal"] for key in _keys(client, None, org_meant) if key["id"] == id), None)
        if owner is None:
            raise NotFound(f"no key {id}")
        checked(client.delete(f"{_path(owner)}/keys/{quote(id, safe='')}", params=org_meant, headers=because(reason)))


def parse_grants(text: str) -> list[dict[str, object]]:
    """`action=publish,topics=orders.>,subjects=a,b` as grants of the API, one for each action. Raises Malformed.

    A part without `=` is one more value of the name before it.
    """
    values: dict[str, list[str]] = {}
    name = ""
    for part in text.split(","):
        head, equals, rest = part.strip().partition("=")
        if equals:
            name, value = head, rest
        else:
            value = head
        if name not in ("action", "topics", "subjects") or not value:
            detail = f"{part!r} is not action=..., topics=... or subjects=..."
            raise Malformed(f"--grant {text}: {detail}", faults=[Fault("--grant", detail)])
        values.setdefault(name, []).append(value)
    actions = values.pop("action", [])
    if not actions:
        raise Malformed(f"--grant {text}: no action", faults=[Fault("--grant", "has no action=publish, read, ...")])
    return [{"action": action, **values} for action in actions]


def _put_principal(client: httpx.Client, name: str, scope: dict[str, str], grants: list[dict[str, object]], headers: Headers) -> None:
    """Make the principal with these grants; one that exists gets them only without ONLY_NEW, since its older keys get them too."""
    try:
        response = checked(client.put(_path(name), params=scope, headers=headers, json={"grants": grants}))
    except Conflict as error:
        choice = "leave out --grant for one more key of it, or add --replace to give it and all its keys these grants"
        raise Conflict(f"{name} is there already, with its own grants: {choice}") from error
    if response.status_code != httpx.codes.CREATED:
        sys.stderr.write(f"{output.cell(name)} was there already: it has these grants now, with all its keys\n")


def _keys(client: httpx.Client, name: str | None, scope: dict[str, str]) -> Iterator[dict[str, Any]]:
    names = [name] if name is not None else [one["name"] for one in checked(client.get(PRINCIPALS, params=scope)).json()["items"]]
    for owner in names:
        yield from checked(client.get(f"{_path(owner)}/keys", params=scope)).json()["items"]


def _path(name: str) -> str:
    return f"{PRINCIPALS}/{quote(name, safe='')}"
