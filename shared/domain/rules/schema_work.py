"""How much work a JSON Schema can be: references may double at each step, and thirty lines of them would never end.

Counted is how often one place in the data may be looked at: the keywords that apply there, by way of `allOf` and its like too. Places
further down are other places; what is counted there is what all schemas that reach them ask together. The largest number that any
place can get is the schema's work; a recursive schema whose number goes on growing as data gets deeper is refused.
"""

from typing import Any
from urllib.parse import unquote

MAX_PLACE = 20_000  # looks at one place
DEPTH = 512  # levels of data (shared/codec/json_text.py, MAX_DEPTH)

_HERE_ONE = ("not", "if", "then", "else")
_HERE_MANY = ("allOf", "anyOf", "oneOf")
_BELOW_ONE = ("additionalProperties", "propertyNames", "unevaluatedProperties", "items", "contains", "unevaluatedItems")

Counts = dict[int, int]  # how often each schema (by its place in the list) applies to one place in the data


def work_of(schema: Any) -> int:
    """The largest number of looks at one place in the data. Raises ValueError where it is over 20,000, or a reference leads nowhere."""
    return _Walk(schema).work()


class _Walk:
    """The schema's parts, numbered as they are met."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.numbers: dict[int, int] = {}
        self.schemas: list[Any] = []

    def work(self) -> int:
        """Level by level down the data: what applies at a level, and from it what may apply at the one below."""
        level: list[Counts] = [self._closed({self._number(self.root): 1})]
        seen: set[frozenset[tuple[int, int]]] = set()
        largest = 1
        for _ in range(DEPTH):
            below: dict[frozenset[tuple[int, int]], Counts] = {}
            for counts in level:
                largest = max(largest, sum(self._own(number) * count for number, count in counts.items()))
                if largest > MAX_PLACE:
                    raise ValueError("its references and combinations may look at one value too often")
                for place in self._below(counts):
                    key = frozenset(place.items())
                    if key not in seen:
                        seen.add(key)
                        below[key] = place
                        if len(seen) > MAX_PLACE:
                            raise ValueError("its references and combinations have too many cases")
            if not below:
                return largest
            level = list(below.values())
        return largest

    def _number(self, schema: Any) -> int:
        number = self.numbers.get(id(schema))
        if number is None:
            number = self.numbers[id(schema)] = len(self.schemas)
            self.schemas.append(schema)
        return number

    def _closed(self, counts: Counts) -> Counts:
        """With all that applies to the same place by way of references and combinations."""
        closed: Counts = {}
        todo = list(counts.items())
        steps = 0
        while todo:
            number, count = todo.pop()
            closed[number] = closed.get(number, 0) + count
            steps += 1
            if closed[number] > MAX_PLACE or steps > MAX_PLACE:
                raise ValueError("its references lead back to where they are, or double too often")
            todo.extend((self._number(inner), count) for inner in self._here(self.schemas[number]))
        return closed

    def _here(self, schema: Any) -> list[Any]:
        if not isinstance(schema, dict):
            return []
        found = [schema[name] for name in _HERE_ONE if name in schema]
        found += [inner for name in _HERE_MANY for inner in schema.get(name, ())]
        found += list(schema.get("dependentSchemas", {}).values())
        found += [self._referred(schema[name]) for name in ("$ref", "$dynamicRef") if name in schema]
        return found

    def _own(self, number: int) -> int:
        """The looks of one schema's own keywords; each value of an enumeration is one."""
        schema = self.schemas[number]
        if not isinstance(schema, dict):
            return 1
        listed = sum(len(schema[name]) for name in ("enum", "required") if isinstance(schema.get(name), list))
        return 1 + len(schema) + _size(schema.get("const")) + listed + sum(_size(value) for value in schema.get("enum", ()))

    def _below(self, counts: Counts) -> list[Counts]:
        """What may apply to one place below. A member with a name of its own has that name's schemas and those for every member."""
        every: Counts = {}
        named: dict[tuple[str, Any], Counts] = {}
        for number, count in counts.items():
            schema = self.schemas[number]
            if not isinstance(schema, dict):
                continue
            for inner in [schema[name] for name in _BELOW_ONE if name in schema] + list(schema.get("patternProperties", {}).values()):
                self._add(every, inner, count)
            for name, inner in schema.get("properties", {}).items():
                self._add(named.setdefault(("name", name), {}), inner, count)
            for index, inner in enumerate(schema.get("prefixItems", ())):
                self._add(named.setdefault(("index", index), {}), inner, count)
        places = [{key: place.get(key, 0) + every.get(key, 0) for key in place.keys() | every.keys()} for place in named.values()]
        return [self._closed(place) for place in [*places, every] if place]

    def _add(self, counts: Counts, schema: Any, count: int) -> None:
        number = self._number(schema)
        counts[number] = counts.get(number, 0) + count

    def _referred(self, reference: str) -> Any:
        found = self.root
        for part in reference.removeprefix("#").split("/")[1:]:
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(name)] if isinstance(found, list) else found[name]
            except (KeyError, ValueError, IndexError, TypeError):
                raise ValueError(f"{reference[:100]} leads nowhere") from None
        return found


def _size(value: Any) -> int:
    """How many values there are in one."""
    if isinstance(value, dict):
        return 1 + sum(_size(inner) for inner in value.values())
    if isinstance(value, list):
        return 1 + sum(_size(inner) for inner in value)
    return 0 if value is None else 1
