"""The SQL of this folder, from the .sql files in sql/."""

from pathlib import Path

FOLDER = Path(__file__).with_name("sql")


def statement(name: str, **parts: str) -> bytes:
    """The text of `sql/<name>.sql`; each `{part}` in it is replaced by the text of another file, named by the argument.

    Statements are bytes because psycopg takes no text that isn't a literal; nothing else is ever put into them.
    """
    text = (FOLDER / f"{name}.sql").read_text(encoding="utf-8")
    for part, file in parts.items():
        text = text.replace("{" + part + "}", (FOLDER / f"{file}.sql").read_text(encoding="utf-8").strip())
    return text.encode()
