"""`switchboard doctor`: what is wrong here, and what to do about it."""

import asyncio
import os

import typer

from infra.cli.connection import read_endpoints
from infra.cli.output import FAILED, Format, FormatOption, print_rows
from shared.domain.errors import Misconfigured
from shared.settings import Settings

SERVERS = {"redis": "redis_url", "nats": "nats_url", "database": "database_url"}


def register(app: typer.Typer) -> None:
    """Add `doctor`."""
    app.command("doctor")(doctor)


def doctor(output: FormatOption = Format.TABLE) -> None:
    """Examine this machine and the Switchboard that runs on it; exit code 1 when something fails."""
    from infra.local.checks import Subject, examine

    settings = Settings.from_env()
    findings = asyncio.run(examine(Subject(settings, _urls(settings))))
    rows = [{"check": name, "status": each.status, "found": each.found, "what to do": each.remedy} for name, each in findings]
    print_rows(rows, ("check", "status", "found", "what to do"), output)
    if any(each.status == "failed" for _, each in findings):
        raise typer.Exit(FAILED)


def _urls(settings: Settings) -> dict[str, str]:
    """The URLs of the Switchboard that runs here, else of the servers that are set."""
    try:
        return read_endpoints(os.environ)
    except Misconfigured:
        return {name: url for name, field in SERVERS.items() if (url := getattr(settings, field))}
