"""An answer's JSON as the command line reads it. A message's data may have any number that JSON can spell, and one that Python has no
room for must not take the other messages' lines with it: a whole number of more than 4,300 digits, or one that is no finite double,
is read as its text."""

import json
import math
import sys
from typing import Any


def read_json(text: str | bytes) -> Any:
    """What the JSON says. Raises ValueError where it is none."""
    return json.loads(text, parse_int=_whole, parse_float=_real)


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits.lstrip("-")) <= sys.get_int_max_str_digits() else digits


def _real(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits
