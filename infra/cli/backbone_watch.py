"""`--watch`: what becomes of a backbone, a line whenever something about it changes, until it is as it was declared, or gone."""

import time
from typing import Any
from urllib.parse import quote

import httpx
import typer

from infra.cli.output import cell
from shared.domain.errors import NotFound

EVERY_S = 0.5  # between two looks


def watch(client: httpx.Client, id: str, *, until_gone: bool = False) -> None:
    """Return when it is as declared and answers, or is gone. Raises NotFound where it goes while it should come."""
    said = ""
    while True:
        answer = client.get(f"/v1/backbones/{quote(id, safe='')}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            if not until_gone:
                raise NotFound(f"{id} is gone: somebody deleted it")
            typer.echo(f"{id} is gone")
            return
        answer.raise_for_status()
        backbone = answer.json()
        line = line_of(backbone)
        if line != said:
            typer.echo(line)
            said = line
        if not until_gone and is_as_declared(backbone):
            return
        time.sleep(EVERY_S)


def is_as_declared(backbone: dict[str, Any]) -> bool:
    """Whether the declared generation is the one that runs, and answers."""
    status = backbone["status"]
    good = {one["type"] for one in status["conditions"] if one["status"] == "True"}
    return status["observed_generation"] == backbone["generation"] and backbone["endpoint"] is not None and {"Ready", "Reachable"} <= good


def line_of(backbone: dict[str, Any]) -> str:
    """How it is, in a line."""
    status = backbone["status"]
    behind = f"generation {status['observed_generation']} of {backbone['generation']}"
    parts = [f"{one['type']} {one['status']}{': ' + one['message'] if one['message'] else ''}" for one in status["conditions"]]
    return cell("  ".join([backbone["id"], behind, *parts, *(["at " + backbone["endpoint"]] if backbone["endpoint"] else [])]))
