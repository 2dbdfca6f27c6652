"""`switchboard up`: run Switchboard on this machine, with its servers."""

import os
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add `up`."""
    app.command("up")(up)


def up(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of HTTP and the dashboard (8080); 0: any free one.")] = None,
    state: Annotated[Path | None, typer.Option(help="Where data, logs, keys and passwords live (.switchboard).")] = None,
    reload: Annotated[bool, typer.Option("--reload", help="Restart our processes when their code changes.")] = False,
) -> None:
    """Run Switchboard here: Redis, NATS, the database and our processes, until Ctrl-C.

    A server whose SWITCHBOARD_REDIS_URL, SWITCHBOARD_NATS_URL or SWITCHBOARD_DATABASE_URL is set isn't started: that one is used.
    """
    from infra.local.processes import PROCESSES
    from infra.local.up import Plan
    from infra.local.up import up as run
    from shared.domain.errors import Misconfigured
    from shared.settings import Settings

    told = {"PORT": None if port is None else str(port), "SWITCHBOARD_STATE_DIR": None if state is None else str(state)}
    settings = Settings.from_env({**os.environ, **{name: value for name, value in told.items() if value is not None}})
    if settings.hub_url is not None:
        raise Misconfigured("SWITCHBOARD_HUB_URL: `switchboard up` is hub and edge in one, unset it")
    run(Plan(settings, PROCESSES, _prepare_store, reload), lambda line: typer.echo(line))


def _prepare_store(database_url: str, key_file: Path) -> None:
    """Bring the schema up to date, and make the first admin key."""
    from shared.adapters.postgres.keys import ensure_admin_key
    from shared.adapters.postgres.migrations import migrate

    migrate(database_url)
    ensure_admin_key(database_url, key_file)
