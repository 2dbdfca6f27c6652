"""The command as a whole: each subcommand is there under its module's name, alone as well as with all the others."""

import pytest
import typer

from infra.cli.main import MODULES, build


def commands(app: typer.Typer) -> set[str]:
    """The names of an app's subcommands."""
    return set(typer.main.get_group(app).commands)


@pytest.mark.parametrize("name", [module.replace("_", "-") for module in MODULES])
def test_a_subcommand_is_there_alone_when_the_arguments_begin_with_it(name: str) -> None:
    assert commands(build([name, "--help"])) == {name}


@pytest.mark.parametrize("arguments", [[], ["--help"], ["quer"], ["-o", "query"]])
def test_all_subcommands_are_there_when_the_arguments_begin_with_none(arguments: list[str]) -> None:
    assert commands(build(arguments)) == {module.replace("_", "-") for module in MODULES}
