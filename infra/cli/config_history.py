"""`switchboard config history`, `diff` and `rollback`: what config was, and back to it."""

from typing import Annotated, Any

import typer

from infra.cli import config_text, output
from infra.cli.config_requests import because, scope
from infra.cli.connection import checked, connect
from infra.cli.options import OrgOption

COLUMNS = ("revision", "time", "author", "action", "path", "reason")
PAGE = 200


def history(
    path: Annotated[str | None, typer.Argument(help="Only what is about this path: topics/orders.>, principals/shop, rollback.")] = None,
    revision: Annotated[int | None, typer.Option(help="One revision, and what it changed.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 50,
    org: OrgOption = None,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """List config revisions, newest first; or show one.

    Example: switchboard config history 'topics/orders.>'

    Example: switchboard config history --revision 42
    """
    with connect().client(timeout=30.0) as client:
        if revision is not None:
            told = checked(client.get(f"/v1/config/revisions/{revision}", params=scope(org))).json()
            if format is output.Format.JSON:
                output.print_json(told)
                return
            output.print_fields({name: told[name] for name in COLUMNS})
            config_text.print_changes(_changes(told))
            return
        wanted = scope(org) | ({} if path is None else {"path": path})
        items: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None and len(items) < limit:
            page = wanted | {"limit": str(min(PAGE, limit - len(items)))} | ({"cursor": cursor} if cursor else {})
            answer = checked(client.get("/v1/config/revisions", params=page)).json()
            items += answer["items"]
            cursor = answer["next"]
    output.print_rows(items, COLUMNS, format)


def diff(
    start: Annotated[int, typer.Argument(metavar="FROM", help="A revision.")],
    end: Annotated[int | None, typer.Argument(metavar="[TO]", help="Another. Default: the one in force.")] = None,
    org: OrgOption = None,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Show what differs between the documents of two revisions.

    Example: switchboard config diff 41 42
    """
    params = {"from": str(start)} | ({} if end is None else {"to": str(end)}) | scope(org)
    with connect().client(timeout=30.0) as client:
        found = checked(client.get("/v1/config/diff", params=params)).json()
    if format is output.Format.JSON:
        output.print_json(found)
    else:
        config_text.print_changes(found["changes"])


def rollback(
    to: Annotated[int, typer.Argument(metavar="REVISION", help="Whose documents are to be in force again.")],
    reason: Annotated[str, typer.Option(help="Why: kept with the revision.")] = "",
    everybodys: Annotated[bool, typer.Option("--global", help="The document global, and no other: for system admins.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would change.")] = False,
    org: OrgOption = None,
    format: output.FormatOption = output.Format.TABLE,
) -> None:
    """Make the org's documents what they were at a revision. Principals, keys and grants stay.

    Example: switchboard config rollback 41 --reason 'orders were refused'
    """
    with connect().client(timeout=60.0) as client:
        if dry_run:
            differing = checked(client.get("/v1/config/diff", params={"from": str(to)} | scope(org))).json()["changes"]
            wanted = [one for one in differing if (one["path"] == "global") == everybodys]
            told: dict[str, Any] = {
                "revision": None,
                "changes": [{**one, "before": one["after"], "after": one["before"]} for one in wanted],
            }
        else:
            body = {"to": to} | ({"global": True} if everybodys else {})
            told = checked(client.post("/v1/config/rollback", params=scope(org), headers=because(reason), json=body)).json()
    if format is output.Format.JSON:
        output.print_json(told)
        return
    config_text.print_changes(told["changes"])
    if not told["changes"]:
        typer.echo(f"nothing differs from revision {to}", err=True)
    elif told["revision"] is not None:
        typer.echo(f"revision {told['revision']} has the documents of revision {to}", err=True)


def _changes(told: dict[str, Any]) -> list[dict[str, Any]]:
    """What a revision changed, path by path: many of them are told by path."""
    before, after = told["before"], told["after"]
    if before is None and after is None:
        return []
    if told["action"] not in ("document.rollback", "org.create", "org.delete"):
        return [{"path": told["path"], "before": before, "after": after}]
    was, now = before or {}, after or {}
    return [{"path": path, "before": was.get(path), "after": now.get(path)} for path in sorted(was.keys() | now.keys())]
