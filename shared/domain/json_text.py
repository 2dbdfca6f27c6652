"""JSON as config keeps it: one text for one value, whoever wrote it and however."""

import json
import math
from collections import Counter
from typing import Any, NoReturn

from shared.domain.errors import Fault, Malformed

MAX_DEPTH = 64  # of arrays and objects inside each other


def parse(text: bytes) -> Any:
    """The value of a JSON text (RFC 8259).

    Raises Malformed for what isn't one, for a name that an object has twice, for numbers no double holds, lone surrogates, and for
    what goes too deep.
    """
    try:
        value = json.loads(text.decode(), object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
        canonical(value)
    except (ValueError, RecursionError) as error:
        detail = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise Malformed(f"the body is not JSON: {detail}", faults=[Fault("", detail)]) from None
    if _depth_over(value, MAX_DEPTH):
        raise Malformed(f"the body is nested over {MAX_DEPTH} deep", faults=[Fault("", "nested too deep")])
    return value


def canonical(value: Any) -> bytes:
    """The one text of a value: names in order, no white space, UTF-8. Raises ValueError for what no text can carry."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True).encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError(f"{next(name for name, count in counts.items() if count > 1)[:100]!r} is there twice")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _depth_over(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if depth == 0:
        return True
    return any(_depth_over(inner, depth - 1) for inner in (value.values() if isinstance(value, dict) else value))
