"""Config documents as text: YAML or JSON in, YAML out, and coloured differences."""

import difflib
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml
from rich.text import Text

from infra.cli import output
from shared.domain.errors import Fault, Malformed, NotFound

UNUSUAL = frozenset("\x85\u2028\u2029\ufeff")
COLOURS = {"+": "green", "-": "red", "@": "cyan"}


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
    """YAML whose values are JSON's: a date stays the text it is, and a name is there once."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(name, deep=True) for name, _ in node.value]
        for name in names:
            if not isinstance(name, str):
                raise yaml.constructor.ConstructorError(None, None, f"the name {name!r} is no text: put it in quotes", node.start_mark)
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} is there twice", node.start_mark)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # yaml has no types
    """YAML that reads as what it was: unusual line ends and the byte order mark are escaped, which the library forgets in plain text."""


def _text(dumper: _Dumper, value: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if UNUSUAL.intersection(value) else None)


_Dumper.add_representer(str, _text)


def parse(text: str, where: str) -> Any:
    """The value of a YAML or JSON text. Raises Malformed, naming `where` it comes from."""
    try:
        value = yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader with less
        json.dumps(value, allow_nan=False).encode()
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        detail = " ".join(str(error).split())
        raise Malformed(f"{where} is neither YAML nor JSON that says a document: {detail}", faults=[Fault(where, detail)]) from error
    return value


def read(file: str | None, data: str | None) -> Any:
    """The value of `--data`, else of a file; `-` and no file at all: of standard input. Raises Malformed, NotFound."""
    if data is not None:
        return parse(data, "--data")
    if file in (None, "-"):
        return parse(sys.stdin.buffer.read().decode(errors="replace"), "standard input")
    try:
        return parse(Path(str(file)).read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"{file} can't be read: {error}") from error


def to_yaml(value: Any) -> str:
    """A value as YAML, names in the order that it has them."""
    text: str = yaml.dump(_plain(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120)
    return text.removesuffix("...\n")


def _plain(value: Any) -> Any:
    """Whole numbers without a point: 100.0 of a JSON text is 100."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and math.isfinite(value) and value == int(value) and abs(value) < 1e15 else value


def difference(path: str, before: Any, after: Any) -> Iterator[str]:
    """The lines of a unified diff of two documents as YAML; None for one that isn't there."""
    was, now = ([] if value is None else to_yaml(value).splitlines() for value in (before, after))
    names = [f"{path}{' (none)' if value is None else ''}" for value in (before, after)]
    yield from difflib.unified_diff(was, now, names[0], names[1], lineterm="")
    if before is not None and after is not None and was == now:
        yield f"  {path}: the same as YAML"


def print_changes(changes: Iterable[Mapping[str, Any]]) -> None:
    """Print what became of each path, in colours where it is a terminal."""
    console = output.console()
    for change in changes:
        for line in difference(change["path"], change["before"], change["after"]):
            bold = line.startswith(("---", "+++"))
            console.print(Text(output.cell(line), style="bold" if bold else COLOURS.get(line[:1], "")), soft_wrap=True)
