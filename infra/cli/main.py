"""The `switchboard` command. Each subcommand is a module here with `register(app)`, which adds it to the app.

A command raises an error of shared.domain.errors; this module says it in one line and ends with its exit code (output.py).
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence

import typer

from infra.cli import output
from shared.domain.errors import SwitchboardError, Unavailable
from shared.lean_import import lean

with lean(left_out=("httpx._main",)):  # httpx's own command, and all that draws its output
    import httpx

MODULES = (  # in the order of --help
    *("up", "env", "send", "listen", "tail", "query", "why", "config", "principal", "key", "issuer", "org", "cluster", "backbone"),
    *("deploy", "setup_store", "doctor"),
)


def build(arguments: Sequence[str] = ()) -> typer.Typer:
    """The app with every subcommand that this install has; or with that one alone which the arguments begin with: the others would take
    most of the time that a command needs to start."""
    app = typer.Typer(
        name="switchboard",
        help="Messages between agents and services: sent, watched, found and explained.",
        epilog=output.EXIT_CODES_HELP,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(lambda: None)  # a group even with one subcommand
    named = arguments[0].replace("-", "_") if arguments else ""
    for name in (named,) if named in MODULES else MODULES:
        if importlib.util.find_spec(f"infra.cli.{name}") is not None:
            importlib.import_module(f"infra.cli.{name}").register(app)
    return app


def main() -> None:
    """The console script. Ends the process with an exit code of output.py."""
    try:
        build(sys.argv[1:])()
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
