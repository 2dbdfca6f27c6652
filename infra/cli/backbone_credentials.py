"""`switchboard backbone credentials`: what an agent signs in to a backbone with, given once, listed and revoked."""

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from infra.cli import output
from infra.cli.config_requests import because, scope
from infra.cli.connection import checked, connect
from shared.domain.errors import Malformed

COLUMNS = ("id", "principal", "created", "expires", "author", "revoked", "why")


def credentials(
    id: Annotated[str, typer.Argument(help="The backbone's id.")],
    principal: Annotated[str | None, typer.Argument(help="Whose agent they are for. Without: list those there are.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the credentials file there (0600) and not to stdout.")] = None,
    revoke: Annotated[str | None, typer.Option(help="The id of credentials to revoke.")] = None,
    org: Annotated[str | None, typer.Option(help="Another org's, for system admins.")] = None,
    reason: Annotated[str, typer.Option(help="Why: kept with the revision.")] = "",
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Give an agent what it signs in with, for 30 days: a credentials file, as `nats --creds` and `switchboard listen` take it.

    Example: switchboard backbone credentials main-0a1b2c3d agent-7 --out agent-7.creds

    Example: switchboard backbone credentials main-0a1b2c3d --revoke c_0a1b2c3d4e5f
    """
    if principal is not None and revoke is not None:
        raise Malformed("a principal, or --revoke: not both")
    path = f"/v1/backbones/{quote(id, safe='')}/credentials"
    with connect().client() as client:
        if revoke is not None:
            checked(client.delete(f"{path}/{quote(revoke, safe='')}", headers=because(reason), params=scope(org)))
            return
        if principal is None:
            output.print_rows(checked(client.get(path, params=scope(org))).json()["items"], COLUMNS, format)
            return
        file = None if out is None else _private(out)  # before they are made: they are shown once
        made = checked(client.post(path, headers=because(reason), params=scope(org), json={"principal": principal})).json()
    text = str(made["credentials"])
    if file is not None:
        with os.fdopen(file, "w", encoding="utf-8") as target:
            target.write(text)
    if format is output.Format.JSON:
        output.print_json(made)
    elif file is None:
        typer.echo(text, nl=False)
    else:
        typer.echo(made["id"])


def _private(path: Path) -> int:
    """A new file for nobody else. Raises Malformed where there is one already."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Malformed(f"--out: {path} can't be made: {error.strerror}") from None
