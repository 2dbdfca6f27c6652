"""The `switchboard` command. Each subcommand is a module here with `register(app)`, which adds it to the app.

A command raises an error of shared.domain.errors; this module says it in one line and ends with its exit code (output.py).
"""

import importlib
import importlib.util
import sys

import httpx
import typer

from infra.cli import output
from shared.domain.errors import SwitchboardError, Unavailable

MODULES = (  # in the order of --help
    *("up", "env", "send", "listen", "tail", "query", "why", "config", "principal", "key", "issuer", "org", "cluster", "backbone"),
    *("deploy", "setup_store", "doctor"),
)


def build() -> typer.Typer:
    """The app with every subcommand that this install has."""
    app = typer.Typer(
        name="switchboard",
        help="Messages between agents and services: sent, watched, found and explained.",
        epilog=output.EXIT_CODES_HELP,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(lambda: None)  # a group even with one subcommand
    for name in MODULES:
        if importlib.util.find_spec(f"infra.cli.{name}") is not None:
            importlib.import_module(f"infra.cli.{name}").register(app)
    return app


def main() -> None:
    """The console script. Ends the process with an exit code of output.py."""
    try:
        build()()
    except SwitchboardError as error:
        sys.exit(output.print_error(error))
    except httpx.TransportError as error:
        sys.exit(output.print_error(Unavailable(f"no answer: {error}")))
    except BrokenPipeError:  # `switchboard query | head`
        sys.exit(output.FAILED)
    except KeyboardInterrupt:
        sys.exit(output.INTERRUPTED)


if __name__ == "__main__":
    main()
