"""`switchboard setup-store`: what a cluster's Job runs before anything else is of use: the store's schema, and the first admin key."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from infra.cli.connection import read_key
from shared.domain.errors import Unavailable

Result = TypeVar("Result")

PAUSE = 1.0  # seconds between two tries to reach the database


def register(app: typer.Typer) -> None:
    """Add `setup-store`: for the Job, so that --help doesn't show it."""
    app.command("setup-store", hidden=True)(setup_store)


def setup_store(
    key_file: Annotated[Path, typer.Option(help="A file with the API key of the first system admin: org default, principal admin.")],
    patience: Annotated[float, typer.Option(help="Seconds that the database may take to be there.")] = 120.0,
) -> None:
    """Bring the schema of SWITCHBOARD_DATABASE_URL up to date, and make a file's key the first admin's. Safe to run again, and at once."""
    from shared.adapters.postgres.keys import ensure_given_key
    from shared.adapters.postgres.migrations import migrate
    from shared.settings import Settings

    database_url, key = Settings.from_env().required("database_url"), read_key(key_file)
    deadline = time.monotonic() + patience
    _retried(lambda: migrate(database_url), deadline)
    typer.echo("the schema is up to date")
    made = _retried(lambda: ensure_given_key(database_url, key), deadline)
    typer.echo("the admin key is in the store now" if made else "the admin key was in the store")


def _retried(work: Callable[[], Result], deadline: float) -> Result:
    """The work's result, tried until the database can be reached. Raises Unavailable when that takes too long."""
    while True:
        try:
            return work()
        except Unavailable as error:
            if time.monotonic() > deadline:
                raise
            typer.echo(f"{error.detail}; trying again", err=True)
            time.sleep(PAUSE)
