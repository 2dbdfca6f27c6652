"""`switchboard config edit`: a document in $EDITOR, saved only onto what was read, and opened again when it is refused."""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from infra.cli import config_text, output
from infra.cli.config_requests import ONLY_NEW, Headers, because, only_if, scope, url_of
from infra.cli.connection import checked, connect
from shared.domain.errors import Conflict, Malformed, Misconfigured, NotFound, NotProcessable, SwitchboardError

HEAD = "# {path}: saved when you leave the editor. A file without anything in it, or left as it was, changes nothing.\n"
REFUSED = "# REFUSED: "


def edit(
    path: Annotated[str, typer.Argument(help="global, org, topics/<pattern> or subjects/<pattern>. Quote it.")],
    reason: Annotated[str, typer.Option(help="Why: kept with the revision.")] = "",
    org: Annotated[str | None, typer.Option(help="Another org, for system admins.")] = None,
) -> None:
    """Edit a document in $VISUAL, $EDITOR or vi, as YAML. A document that doesn't hold is opened again, with what is wrong.

    Example: switchboard config edit 'topics/orders.>'
    """
    with connect().client(timeout=30.0) as client, tempfile.TemporaryDirectory(prefix="switchboard-") as folder:
        before, guard = _read(client, path, scope(org))
        file = Path(folder) / "document.yaml"
        text = HEAD.format(path=output.cell(path)) + ("" if before is None else config_text.to_yaml(before))
        while True:
            text, left = _edited(file, text), text
            if _content(text) == _content(left):
                if text.startswith(REFUSED):
                    raise NotProcessable(f"{path} was not saved: it was refused, and left as it was")
                typer.echo("nothing changed", err=True)
                return
            try:
                after = _save(client, path, scope(org), guard | because(reason), text)
            except (Malformed, NotProcessable) as error:
                text = _refused(error) + _content(text)
                continue
            except Conflict as error:
                raise Conflict(f"{path} was changed meanwhile, so yours was not saved: {_kept(text)} has it") from error
            except (SwitchboardError, httpx.HTTPError):
                typer.echo(f"{path} was not saved: {_kept(text)} has what you wrote", err=True)
                raise
            config_text.print_changes([{"path": path, "before": before, "after": after}])
            return


def _read(client: httpx.Client, path: str, params: dict[str, str]) -> tuple[Any, Headers]:
    """The document, None where there is none, and the headers that a save is guarded by."""
    try:
        answer = checked(client.get(url_of(path), params=params))
    except NotFound:
        return None, ONLY_NEW
    return answer.json(), only_if(answer.headers["etag"])


def _save(client: httpx.Client, path: str, params: dict[str, str], headers: Headers, text: str) -> Any:
    value = config_text.parse(text, path)
    if value is None:
        raise Malformed("there is nothing in it: `switchboard config rm` removes a document")
    answer = client.put(url_of(path), params=params, headers=headers, json=value)
    return checked(answer).json()


def _edited(file: Path, text: str) -> str:
    """The text as the editor left it; bytes that are no UTF-8 as half a surrogate pair each, so that they are refused and not lost.

    Raises Misconfigured when there is no editor, or it fails.
    """
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        done = subprocess.run([*shlex.split(editor), str(file)], check=False)
        if done.returncode != 0:
            raise Misconfigured(f"{editor} ended with {done.returncode}: nothing was saved")
        return file.read_text(encoding="utf-8", errors="surrogateescape")
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{editor} can't be used: set EDITOR to an editor ({error})") from error


def _refused(error: SwitchboardError) -> str:
    """What is wrong, as comments."""
    lines = [error.detail, *(f"{fault.pointer or '/'}: {fault.detail}" for fault in error.faults)]
    return "".join(f"{REFUSED}{output.cell(' '.join(line.split()))}\n" for line in lines)


def _content(text: str) -> str:
    """The text without what was said of it."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(REFUSED))


def _kept(text: str) -> str:
    """A file that has the text, and stays."""
    descriptor, name = tempfile.mkstemp(prefix="switchboard-", suffix=".yaml")
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    return name
