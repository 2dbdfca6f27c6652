"""functions/README.md and the folders say the same."""

import ast
from pathlib import Path

FUNCTIONS = Path(__file__).parents[2] / "functions"


def rows() -> dict[str, str]:
    """The rows of the table, by folder."""
    lines = (FUNCTIONS / "README.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("| ")][1:]
    return {line.split("|")[1].strip(): line for line in table}


def folders() -> list[str]:
    return sorted(path.name for path in FUNCTIONS.iterdir() if (path / "__init__.py").exists())


def test_every_folder_is_in_the_table_when_it_is_a_package() -> None:
    assert sorted(rows()) == folders()


def test_docstring_is_the_row_when_a_folder_is_in_the_table() -> None:
    for folder, row in rows().items():
        tree = ast.parse((FUNCTIONS / folder / "__init__.py").read_text())
        assert ast.get_docstring(tree) == row, folder
