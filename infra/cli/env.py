"""`switchboard env`: the local Switchboard's addresses and key as shell variables."""

import os
import shlex
from pathlib import Path

import typer

from infra.cli.connection import read_endpoints, read_key

VARIABLES = {
    "SWITCHBOARD_URL": "http",
    "SWITCHBOARD_REDIS_URL": "redis",
    "SWITCHBOARD_NATS_URL": "nats",
    "SWITCHBOARD_DATABASE_URL": "database",
}


def register(app: typer.Typer) -> None:
    """Add `env`."""
    app.command("env")(env)


def env() -> None:
    """Print the running Switchboard's addresses and admin key: eval "$(switchboard env)"."""
    endpoints = read_endpoints(os.environ)
    values = {variable: endpoints[name] for variable, name in VARIABLES.items()}
    values["SWITCHBOARD_KEY"] = read_key(Path(endpoints["admin_key_file"]))
    for variable, value in values.items():
        typer.echo(f"export {variable}={shlex.quote(value)}")
