"""JSON Schema 2020-12 for `data`: compiled once, in linear time for patterns, and never told to fetch anything."""

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from shared.domain.config.reading import pointer
from shared.domain.errors import Fault
from shared.domain.rules.admission import values_in
from shared.domain.rules.schema_work import work_of

if TYPE_CHECKING:
    import jsonschema_rs

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_FAULTS = 10
MAX_WORK = 10_000_000  # looks at one value, at 20 ns to 100 where it is compared with large ones
_REGEX_BYTES = 1 << 20  # of one compiled pattern
_REFERENCES = ("$ref", "$dynamicRef")
_NAMES = ("$id", "$anchor", "$dynamicAnchor", "$vocabulary")
_BY_NAME = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")  # their members are schemas by any name
_VALUES = ("const", "enum", "default", "examples", "required", "dependentRequired", "type")  # values, and no schemas


class Schema(msgspec.Struct, frozen=True):
    """A compiled schema. `work` is how often one value of data may be looked at."""

    validator: "jsonschema_rs.Draft202012Validator"
    work: int

    def affordable(self, body: bytes) -> bool:
        """Whether data of that body may be validated: a schema may ask for more looks than there is time for."""
        if self.work * len(body) <= MAX_WORK:
            return True
        return self.work * (values_in(body) + len(body) // 64) <= MAX_WORK

    def faults(self, data: Any) -> list[Fault]:
        """What is wrong with the data, the first 10: a pointer below /data, and the keyword that says so. The data itself isn't echoed."""
        try:
            if self.validator.is_valid(data):
                return []
            found = []
            for error in self.validator.iter_errors(data):
                found.append(Fault("/data" + pointer(*error.instance_path)[:300], reason(error)))
                if len(found) == MAX_FAULTS:
                    break
        except ValueError:  # nested deeper than the library goes
            return [Fault("/data", "nested too deep for the schema")]
        return found


def compile_schema(value: dict[str, Any] | bool) -> Schema:
    """The schema that a JSON value is. Raises SchemaFault with a pointer into it unless it is a valid JSON Schema 2020-12, whose
    references all stay inside it, and whose work is bounded."""
    return _compile(msgspec.json.encode(value, order="deterministic"))


class SchemaFault(ValueError):
    """Why a value is no schema of ours, and where in it."""

    def __init__(self, at: str, detail: str) -> None:
        super().__init__(detail)
        self.fault = Fault(at, detail)


@lru_cache(maxsize=1024)
def _compile(text: bytes) -> Schema:
    import jsonschema_rs  # 15 MB that a process without any schema does without

    value = json.loads(text)
    _keep_inside(value, ())
    try:
        validator = jsonschema_rs.Draft202012Validator(
            value, offline=True, validate_formats=False, pattern_options=jsonschema_rs.RegexOptions(size_limit=_REGEX_BYTES)
        )
        work = work_of(value)
    except jsonschema_rs.ValidationError as error:
        raise SchemaFault(pointer(*error.instance_path), reason(error)) from None
    except (ValueError, RecursionError) as error:
        raise SchemaFault("", str(error)[:200] if isinstance(error, ValueError) else "nested too deep") from None
    return Schema(validator, work)


def _keep_inside(value: Any, way: tuple[str | int, ...]) -> None:
    """Raises SchemaFault for a reference out of the schema, another dialect, or names of its own that references could go by."""
    if len(way) > 200:
        raise SchemaFault(pointer(*way[:8]), "nested too deep")
    if isinstance(value, list):
        for index, inner in enumerate(value):
            _keep_inside(inner, (*way, index))
    if not isinstance(value, dict):
        return
    for name, inner in value.items():
        if name in _REFERENCES and isinstance(inner, str) and not inner.startswith("#"):
            raise SchemaFault(pointer(*way, name), "a reference stays in the schema: it starts with #")
        if name == "$schema" and inner not in (DIALECT, DIALECT + "#"):
            raise SchemaFault(pointer(*way, name), f"only {DIALECT} is known")
        if name in _NAMES and (way or name != "$id"):
            raise SchemaFault(pointer(*way, name), "names of its own are not taken: refer with #/$defs/...")
        if name in _BY_NAME and isinstance(inner, dict):
            for key, schema in inner.items():
                _keep_inside(schema, (*way, name, key))
        elif name not in _VALUES:
            _keep_inside(inner, (*way, name))


def reason(error: "jsonschema_rs.ValidationError") -> str:
    """A short reason made of the schema's side of an error only."""
    kind = error.kind
    name = str(error.schema_path[-1]) if error.schema_path else kind.name
    known = kind.as_dict()
    if "types" in known:
        return f"should be of type {' or '.join(map(str, known['types']))}"[:200]
    if "property" in known:
        return f"{_short(known['property'])} is required"
    if "limit" in known:
        return f"{name} is {_short(known['limit'])}"
    if "pattern" in known:
        return f"doesn't match {_short(known['pattern'])}"
    if "format" in known:
        return f"is no {_short(known['format'])}"
    return f"{name} doesn't hold"


def _short(value: Any) -> str:
    return str(value)[:120]
