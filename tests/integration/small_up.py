"""`switchboard up` with other processes (small_service) and nothing of ours in the store: the servers and the supervisor are real."""

import os
import sys
from pathlib import Path

from infra.cli.output import print_error
from infra.local.processes import Process
from infra.local.state import write_private
from infra.local.up import Plan, up
from shared.domain.errors import SwitchboardError
from shared.settings import Settings

PROCESSES = (
    Process("logger", "tests.integration.small_service"),
    Process("front", "tests.integration.small_service", is_front=True),
)


def first_steps(database_url: str, key_file: Path) -> None:
    write_private(key_file, "a key\n")


def main() -> None:
    try:
        up(Plan(Settings.from_env(os.environ), PROCESSES, first_steps, reload=False), say=lambda line: print(line, flush=True))
    except SwitchboardError as error:
        sys.exit(print_error(error))


if __name__ == "__main__":
    main()
